//! What a signal may look like, how it is read and how a batch is packed: values in, values out.
//!
//! Must not touch a database, the bus, HTTP, the clock or randomness.

pub mod accept;
pub mod batch;
pub mod github;
pub mod json;
pub mod limits;
pub mod prepared;
pub mod record;
pub mod seal;
pub mod source;
pub mod text;
pub mod time;
pub mod validate;
