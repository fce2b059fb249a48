//! TCP and TLS to a vetted address.
//!
//! Owns the TLS configuration and the check that the other end is who was vetted. It must not
//! resolve, and must not connect to an address that it was not given.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::Progress;
use crate::failure::{Failure, Phase, TlsProblem};
use crate::settings::{Settings, SettingsProblem};
use crate::target::Target;

/// A connection's bytes, TLS or not.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// Connects.
pub(crate) struct Connector {
    tls: TlsConnector,
    per_address: Duration,
}

impl Connector {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsProblem> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for certificate in CertificateDer::pem_slice_iter(settings.extra_authorities_pem.as_bytes()) {
            let certificate = certificate.map_err(|error| SettingsProblem::Authorities(Box::new(error)))?;
            roots
                .add(certificate)
                .map_err(|error| SettingsProblem::Authorities(Box::new(error)))?;
        }
        // The provider is named, so that no other crate's choice of a process-wide one matters.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SettingsProblem::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            per_address: Duration::from_millis(settings.connect_timeout_ms),
        })
    }

    /// The first of the addresses that answers.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        vetted: &[IpAddr],
        progress: &Progress,
    ) -> Result<Box<dyn Bytes>, Failure> {
        progress.enter(Phase::Connect);
        let stream = self.tcp(vetted, target.port()).await?;
        if !target.is_https() {
            return Ok(Box::new(stream));
        }
        progress.enter(Phase::Tls);
        let name = target.server_name()?;
        match self.tls.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(tls_failure(&error)),
        }
    }

    async fn tcp(&self, vetted: &[IpAddr], port: u16) -> Result<TcpStream, Failure> {
        let mut last = Failure::Unreachable;
        for (index, ip) in vetted.iter().enumerate() {
            let connecting = TcpStream::connect(SocketAddr::new(*ip, port));
            let outcome = if index + 1 == vetted.len() {
                // Nothing is left to try: the whole deadline is the last one's.
                connecting.await
            } else {
                match tokio::time::timeout(self.per_address, connecting).await {
                    Ok(outcome) => outcome,
                    Err(_) => continue,
                }
            };
            match outcome {
                Ok(stream) => {
                    check_peer(*ip, stream.peer_addr())?;
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = connect_failure(&error),
            }
        }
        Err(last)
    }
}

/// What was connected to must be what was vetted, whatever stood between.
fn check_peer(vetted: IpAddr, peer: io::Result<SocketAddr>) -> Result<(), Failure> {
    match peer {
        Ok(peer) if peer.ip() == vetted => Ok(()),
        Ok(_) => Err(Failure::WrongPeer),
        Err(_) => Err(Failure::Closed),
    }
}

fn connect_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Failure::Closed,
        _ => Failure::Unreachable,
    }
}

fn tls_failure(error: &io::Error) -> Failure {
    let Some(cause) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return Failure::Closed;
    };
    Failure::Tls(match cause {
        rustls::Error::InvalidCertificate(problem) => certificate_problem(problem),
        rustls::Error::NoCertificatesPresented => TlsProblem::BadCertificate,
        _ => TlsProblem::Handshake,
    })
}

fn certificate_problem(problem: &CertificateError) -> TlsProblem {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsProblem::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsProblem::WrongName
        }
        CertificateError::UnknownIssuer => TlsProblem::UnknownIssuer,
        // A certificate that vouches for itself is an authority in webpki's eyes, used as a server's.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            TlsProblem::UnknownIssuer
        }
        _ => TlsProblem::BadCertificate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_not_the_vetted_address_is_refused() {
        let vetted: IpAddr = "93.184.215.14".parse().unwrap();
        let peer = |text: &str| Ok(text.parse().unwrap());
        assert_eq!(check_peer(vetted, peer("93.184.215.14:443")), Ok(()));
        assert_eq!(check_peer(vetted, peer("127.0.0.1:443")), Err(Failure::WrongPeer));
        assert_eq!(
            check_peer(vetted, peer("[::ffff:93.184.215.14]:443")),
            Err(Failure::WrongPeer)
        );
        assert_eq!(
            check_peer(vetted, Err(io::ErrorKind::NotConnected.into())),
            Err(Failure::Closed)
        );
    }
}
