//! What can go wrong with a request to a stranger, in classes that a delivery log can show.
//!
//! Owns the classes and their stable codes. It must not tell addresses: a name's address may be
//! something that only our resolver knows.

use std::fmt;

use crate::TargetError;

/// What a request was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// The name's addresses.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The request being taken, and the answer's status and headers.
    Head,
    /// The answer's body.
    Body,
}

impl Phase {
    pub(crate) fn from_u8(value: u8) -> Self {
        [Self::Resolve, Self::Connect, Self::Tls, Self::Head]
            .into_iter()
            .find(|phase| *phase as u8 == value)
            .unwrap_or(Self::Body)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolving the name",
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
            Self::Head => "the answer's headers",
            Self::Body => "the answer's body",
        })
    }
}

/// Why TLS was not established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsProblem {
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// The certificate is for other names.
    WrongName,
    /// No known authority vouches for it (self-signed, a private authority, a missing intermediate).
    UnknownIssuer,
    /// Anything else about the certificate.
    BadCertificate,
    /// No common version or cipher, an alert, or not TLS at all.
    Handshake,
}

/// Why there is no answer. [`Failure::code`] is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The URL is one that this client does not go to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A header that this client sets itself.
    #[error("the header `{0}` cannot be set")]
    Header(String),
    /// `CONNECT` asks for a tunnel, not for an answer.
    #[error("the method cannot be used")]
    Method,
    /// The name does not exist, or has no addresses.
    #[error("the name has no address")]
    NoSuchName,
    /// The name servers failed.
    #[error("the name could not be resolved")]
    Dns,
    /// At least one of the name's addresses is not public: none was connected to.
    #[error("the name has an address that is not public")]
    NotPublic,
    /// The other end of the connection is not the vetted address.
    #[error("the connection did not reach the address that was checked")]
    WrongPeer,
    /// Nobody listens.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// No way there.
    #[error("no connection could be made")]
    Unreachable,
    /// TLS was not established.
    #[error("TLS failed: {}", tls_text(*.0))]
    Tls(TlsProblem),
    /// The connection ended before the whole answer was there.
    #[error("the connection was closed before the whole answer was there")]
    Closed,
    /// What came is not HTTP/1.1.
    #[error("the answer is not valid HTTP/1.1")]
    Malformed,
    /// More headers than are read.
    #[error("the answer has too many headers, or too long ones")]
    HeadTooLarge,
    /// The deadline passed.
    #[error("the deadline passed during {0}")]
    Timeout(Phase),
}

impl Failure {
    /// A stable word for logs and APIs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Target(error) => error.code(),
            Self::Header(_) => "header_not_allowed",
            Self::Method => "method_not_allowed",
            Self::NoSuchName => "dns_no_such_name",
            Self::Dns => "dns_failure",
            Self::NotPublic => "address_not_public",
            Self::WrongPeer => "wrong_peer",
            Self::ConnectionRefused => "connection_refused",
            Self::Unreachable => "unreachable",
            Self::Tls(problem) => match problem {
                TlsProblem::Expired => "tls_certificate_expired",
                TlsProblem::NotYetValid => "tls_certificate_not_yet_valid",
                TlsProblem::WrongName => "tls_certificate_wrong_name",
                TlsProblem::UnknownIssuer => "tls_certificate_unknown_issuer",
                TlsProblem::BadCertificate => "tls_certificate_bad",
                TlsProblem::Handshake => "tls_handshake",
            },
            Self::Closed => "connection_closed",
            Self::Malformed => "answer_malformed",
            Self::HeadTooLarge => "answer_headers_too_large",
            Self::Timeout(_) => "timeout",
        }
    }

    /// Whether the request was refused here, by what it asks for, and nothing was sent to anybody.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Target(_) | Self::Header(_) | Self::Method | Self::NotPublic | Self::WrongPeer
        )
    }
}

fn tls_text(problem: TlsProblem) -> &'static str {
    match problem {
        TlsProblem::Expired => "the certificate has expired",
        TlsProblem::NotYetValid => "the certificate is not valid yet",
        TlsProblem::WrongName => "the certificate is for another name",
        TlsProblem::UnknownIssuer => "no known authority vouches for the certificate",
        TlsProblem::BadCertificate => "the certificate cannot be used",
        TlsProblem::Handshake => "no handshake was possible",
    }
}
