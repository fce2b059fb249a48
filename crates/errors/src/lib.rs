//! One table of error codes, mapped once to HTTP and gRPC, and the problem document that carries them.
//!
//! Owns: [`ErrorCode`], [`ApiError`], [`Problem`]. Must not: log, or know any service.

mod api_error;
mod code;
mod problem;

pub use api_error::{ApiError, ErrorDomain, FieldError};
pub use code::ErrorCode;
pub use problem::Problem;
