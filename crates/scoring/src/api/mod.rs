//! gRPC: check, call, convert. Must not decide anything.

mod batch;
mod scores;
mod stages;

pub use batch::BatchApi;
pub use scores::ScoreApi;
pub use stages::Stages;
