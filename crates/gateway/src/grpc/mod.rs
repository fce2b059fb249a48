//! Public gRPC on its own port: the services' own methods, behind the gateway's authentication and limits.
//!
//! Owns: which methods are public, who calls, on whose behalf the services are called. Messages pass through as bytes.
//! Must not: let a client name its own principal, or reach an internal service.

mod proxy;
mod serve;

pub use proxy::{Local, Proxy, ProxyParts};
pub use serve::serve;
