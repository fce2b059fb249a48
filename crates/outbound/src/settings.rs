//! What can be set about outbound requests, with the values of production as defaults.
//!
//! Owns the bounds and the two dangerous switches. It must not read them from anywhere.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// What a target may be. Both are false in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// `http` besides `https`.
    pub allow_http: bool,
    /// Loopback and private networks, and names that only mean something there. Metadata services, link-local,
    /// multicast and reserved addresses stay refused.
    pub allow_private: bool,
}

/// Bounds and switches of a [`crate::Client`]. Each default is production's.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`Policy::allow_http`]. Anybody on the way reads and changes what is sent.
    pub dangerous_allow_http: bool,
    /// See [`Policy::allow_private`]. Whoever may name a target can reach into the network.
    pub dangerous_allow_private_addresses: bool,
    /// Networks that are refused besides all that is not public: one's own public addresses, for instance.
    pub refused_networks: Vec<IpNet>,
    /// Name servers (`address:port`); empty takes the system's.
    pub name_servers: Vec<SocketAddr>,
    /// Certificates of further authorities, PEM, besides Mozilla's.
    pub extra_authorities_pem: String,
    /// Sent unless the request says otherwise.
    pub user_agent: String,
    /// Longest wait for one address of several, in milliseconds; the request's deadline stands above it.
    pub connect_timeout_ms: u64,
    /// Addresses of one name that are tried.
    pub max_addresses_tried: usize,
    /// Bytes of an answer's body that are read; after them the connection is dropped.
    pub max_body_bytes: usize,
    /// Headers of an answer.
    pub max_headers: usize,
    /// Bytes of an answer's status line and headers (at least 8 KiB).
    pub max_head_bytes: usize,
    /// Longest that an answer of a name server is remembered, in seconds.
    pub max_dns_ttl_secs: u64,
    /// Answers of name servers remembered.
    pub cached_names: u64,
    /// Idle connections kept per scheme, host and port. 0 keeps none.
    pub idle_per_origin: usize,
    /// Idle connections kept in all.
    pub idle_connections: usize,
    /// How long an idle connection is kept, in milliseconds. Below the five seconds after which common servers
    /// close, so that a request seldom meets a closing connection.
    pub idle_ms: u64,
    /// How long a connection is used at all, in seconds: names move, and a moved name is judged anew.
    pub max_connection_age_secs: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dangerous_allow_http: false,
            dangerous_allow_private_addresses: false,
            refused_networks: Vec::new(),
            name_servers: Vec::new(),
            extra_authorities_pem: String::new(),
            user_agent: concat!("DevSignal/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout_ms: 5_000,
            max_addresses_tried: 4,
            max_body_bytes: 64 * 1024,
            max_headers: 100,
            max_head_bytes: 32 * 1024,
            max_dns_ttl_secs: 60,
            cached_names: 4_096,
            idle_per_origin: 32,
            idle_connections: 1_024,
            idle_ms: 4_000,
            max_connection_age_secs: 60,
        }
    }
}

impl Settings {
    /// The policy for [`crate::Target::parse`].
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            allow_http: self.dangerous_allow_http,
            allow_private: self.dangerous_allow_private_addresses,
        }
    }
}

/// Settings that no client can be made of.
#[derive(Debug, thiserror::Error)]
pub enum SettingsProblem {
    /// Not PEM, or not a certificate.
    #[error("extra_authorities_pem holds something that is not a certificate")]
    Authorities(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A bound that would let nothing through.
    #[error("{0}")]
    Bound(&'static str),
    /// `resolv.conf` or `hosts` cannot be read.
    #[error("the system's resolver configuration cannot be used")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// Not a header's value.
    #[error("user_agent is not a header's value")]
    UserAgent,
}
