//! The load generator: cheap connections, realistic signals, closed and open loops.

pub mod http;
pub mod run;
pub mod signals;
