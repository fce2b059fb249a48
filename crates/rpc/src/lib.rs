//! One way to serve and to call gRPC inside DevSignal: limits, deadlines, health, reflection, metrics, trace context, and
//! the signed principal that says on whose behalf a call is made.
//!
//! Owns: [`Principal`], its token, the server, the channel, and calls within the process. Must not: know any service or its
//! messages.

mod caller;
mod channel;
mod edge;
mod principal;
mod server;
mod target;
mod token;

pub use caller::{Access, Caller, caller};
pub use channel::{ChannelSettings, channel, outgoing, stream_channel};
pub use principal::{Actor, Principal, Role};
pub use server::{Server, ServerSettings};
pub use target::{InProcess, Target};
pub use token::{KeyError, KeyPair, Signer, TokenError, Verifier};

/// Metadata key of the signed principal.
pub const PRINCIPAL_KEY: &str = "devsignal-principal";

/// Metadata key of the request id.
pub const REQUEST_ID_KEY: &str = "request-id";
