//! A URL that was judged: what a request may go to.
//!
//! Owns the checks of scheme, host, credentials, port and length. It must not resolve names: what a
//! name means is judged when it is connected to, each time.

use std::fmt;
use std::net::IpAddr;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use url::Url;

use crate::settings::Policy;
use crate::{address, text};

/// Longest URL.
pub const MAX_URL_BYTES: usize = 2_048;

/// A checked URL. Made by [`Target::parse`] only.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: Host,
    port: u16,
    https: bool,
}

/// What the URL names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// In ASCII, lower case, without a trailing dot.
    Name(String),
    /// As text it was in its one usual form.
    Address(IpAddr),
}

/// Why a URL is refused. [`TargetError::code`] is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Over [`MAX_URL_BYTES`].
    #[error("the URL is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Not an absolute URL, or with characters that URLs do not have.
    #[error("this is not a URL like https://example.com/path")]
    Malformed,
    /// Neither `https` nor, if allowed, `http`.
    #[error("the URL must begin with https://")]
    Scheme,
    /// `user:password@`.
    #[error("the URL must not hold a user or password")]
    Credentials,
    /// `#…`: it would never be sent.
    #[error("the URL must not hold a fragment")]
    Fragment,
    /// Port 0, or one where other protocols listen.
    #[error("the URL's port is not one that webhooks are sent to")]
    Port,
    /// No host name, or one that only means something in a private network.
    #[error("the URL's host must be a public host name or address")]
    Host,
    /// An address in a form that different programs read differently (`0x7f.1`, `010.0.0.1`, one number).
    #[error("an address must be written as four decimal numbers or in brackets")]
    AddressForm,
    /// See [`address::Kind`].
    #[error("the URL's address is not public")]
    NotPublic,
}

impl TargetError {
    /// A stable word for logs and APIs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "url_too_long",
            Self::Malformed => "url_malformed",
            Self::Scheme => "url_scheme_not_allowed",
            Self::Credentials => "url_credentials_not_allowed",
            Self::Fragment => "url_fragment_not_allowed",
            Self::Port => "url_port_not_allowed",
            Self::Host => "url_host_not_allowed",
            Self::AddressForm => "url_address_form_not_allowed",
            Self::NotPublic => "address_not_public",
        }
    }
}

impl Target {
    /// Judges the text. Nothing is looked up.
    ///
    /// # Errors
    ///
    /// See [`TargetError`]: each says what is wrong in words for the person who typed it.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, TargetError> {
        let authority = text::authority(text)?;
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::InvalidPort => TargetError::Port,
            url::ParseError::IdnaError
            | url::ParseError::InvalidIpv4Address
            | url::ParseError::InvalidIpv6Address
            | url::ParseError::InvalidDomainCharacter => TargetError::Host,
            _ => TargetError::Malformed,
        })?;
        let https = match url.scheme() {
            "https" => true,
            "http" if policy.allow_http => false,
            _ => return Err(TargetError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        let port = url.port_or_known_default().ok_or(TargetError::Port)?;
        if port == 0 || is_foreign_port(port) {
            return Err(TargetError::Port);
        }
        let host = match url.host().ok_or(TargetError::Host)? {
            url::Host::Domain(name) => Host::Name(name_of(name, policy)?),
            url::Host::Ipv4(v4) => {
                let found = Host::Address(address_of(v4.into(), policy)?);
                if text::host(authority) != v4.to_string() {
                    return Err(TargetError::AddressForm);
                }
                found
            }
            url::Host::Ipv6(v6) => Host::Address(address_of(v6.into(), policy)?),
        };
        // What the parser made of it is longer where it had to encode.
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(TargetError::TooLong);
        }
        Ok(Self {
            url,
            host,
            port,
            https,
        })
    }

    /// As it is sent: the parser's normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Whether TLS is used.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host's name, or its address as text.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(ip) => ip.to_string(),
        }
    }

    /// The port, written or implied.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether another policy would take it too: a URL may have been stored under a laxer one.
    pub(crate) fn fits(&self, policy: &Policy) -> Result<(), TargetError> {
        Self::parse(self.as_str(), policy).map(|_| ())
    }

    pub(crate) fn place(&self) -> &Host {
        &self.host
    }

    /// Path and query: what stands in the request's first line.
    pub(crate) fn path(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The `Host` header: by name, with a port that is not the scheme's.
    pub(crate) fn host_header(&self) -> Result<HeaderValue, TargetError> {
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(IpAddr::V4(v4)) => v4.to_string(),
            Host::Address(IpAddr::V6(v6)) => format!("[{v6}]"),
        };
        let usual = if self.https { 443 } else { 80 };
        let text = if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        };
        HeaderValue::from_str(&text).map_err(|_| TargetError::Host)
    }

    /// The name that the certificate must be for.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, TargetError> {
        match &self.host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| TargetError::Host),
            Host::Address(ip) => Ok(ServerName::from(*ip)),
        }
    }
}

impl fmt::Debug for Target {
    /// Without path and query: they may hold a receiver's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Target({}://{}:{}/…)",
            self.url.scheme(),
            self.host(),
            self.port
        )
    }
}

fn address_of(ip: IpAddr, policy: &Policy) -> Result<IpAddr, TargetError> {
    if address::may_connect(ip, policy.allow_private) {
        Ok(ip)
    } else {
        Err(TargetError::NotPublic)
    }
}

/// The name in the form that is looked up and put into TLS.
fn name_of(name: &str, policy: &Policy) -> Result<String, TargetError> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name.is_empty() || name.len() > 253 || name.split('.').any(|l| l.is_empty() || l.len() > 63) {
        return Err(TargetError::Host);
    }
    if ServerName::try_from(name.as_str()).is_err() {
        return Err(TargetError::Host);
    }
    if !policy.allow_private && is_private_name(&name) {
        return Err(TargetError::Host);
    }
    Ok(name)
}

/// Names without a dot, and those that RFC 6761, RFC 6762, RFC 8375, RFC 9476, ICANN and common practice keep out of
/// the public name space.
fn is_private_name(name: &str) -> bool {
    const PRIVATE: &[&str] = &[
        "alt",
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "mail",
        "onion",
        "private",
        "svc",
        "test",
    ];
    name.rsplit_once('.')
        .is_none_or(|(_, top)| PRIVATE.contains(&top))
}

/// Ports where something else than HTTP listens that takes harm from, or answers to, text: browsers' list (Fetch,
/// "port blocking") and the usual stores, brokers and control planes.
fn is_foreign_port(port: u16) -> bool {
    const FOREIGN: &[u16] = &[
        1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103,
        104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512,
        513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1433,
        1521, 1719, 1720, 1723, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 4222, 5060,
        5061, 5432, 5672, 5900, 6000, 6222, 6379, 6432, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 8222,
        9042, 9092, 9200, 9300, 10080, 10250, 10255, 11211, 27017, 27018, 27019,
    ];
    FOREIGN.binary_search(&port).is_ok()
}
