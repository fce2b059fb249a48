//! Files of records: taking them in, working through them in the background, and giving reports.
//!
//! Owns the tasks and the flow of bytes. Must not: hold a rule of the domain, or a statement.

mod chunk;
mod export;
mod report;
mod upload;
mod work;

pub use export::{ExportQuery, columns, export};
pub use report::report;
pub use upload::{Upload, UploadHead};
pub use work::{ImportWorker, START, judge, spawn};
