//! gRPC: check, call, convert. Must not decide anything.

mod scores;
mod stages;

pub use scores::ScoreApi;
pub use stages::Stages;
