//! Certificates: which are believed, and what is said about those that are not.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbound::{Answer, Client, Failure, Phase, Settings, TlsProblem};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::dns::{NameServer, Reply};
use crate::peer::{Peer, client, open_settings, post, read_request};

const LONG: Duration = Duration::from_secs(30);

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority {
        pem,
        issuer: Issuer::new(params, key),
    }
}

fn server_params(names: &[&str], years: (i32, i32)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ServerAuth);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

type Identity = (CertificateDer<'static>, KeyPair);

fn signed(authority: &Authority, names: &[&str], years: (i32, i32)) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = server_params(names, years)
        .signed_by(&key, &authority.issuer)
        .unwrap();
    (certificate.der().clone(), key)
}

/// A TLS server that answers 200 and notes the names that it was asked for.
async fn tls_peer((certificate, key): Identity) -> (Peer, Arc<Mutex<Vec<String>>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let names = Arc::new(Mutex::new(Vec::new()));
    let asked = names.clone();
    let peer = Peer::serve(move |stream: TcpStream| {
        let (acceptor, asked) = (acceptor.clone(), asked.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let name = stream.get_ref().1.server_name().unwrap_or("none").to_owned();
            asked.lock().unwrap().push(name);
            while read_request(&mut stream).await.is_some() {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
            }
        }
    })
    .await;
    (peer, names)
}

async fn names() -> NameServer {
    NameServer::start(|_, _| Reply::Addresses(vec![IpAddr::from([127, 0, 0, 1])])).await
}

fn trusting(server: &NameServer, authorities: &[&Authority]) -> Client {
    client(&Settings {
        name_servers: vec![server.at],
        extra_authorities_pem: authorities.iter().map(|a| a.pem.as_str()).collect(),
        ..open_settings()
    })
}

async fn send(client: &Client, host: &str, peer: &Peer) -> Result<Answer, Failure> {
    let url = format!("https://{host}:{}/", peer.at.port());
    client.send(post(&url, b"x"), LONG).await
}

#[tokio::test]
async fn a_certificate_of_a_known_authority_for_the_name_is_believed_and_the_name_is_told() {
    let (dns, ca) = (names().await, authority("ours"));
    let (peer, asked) = tls_peer(signed(&ca, &["hook.example.com", "127.0.0.1"], (2020, 2090))).await;
    let outbound = trusting(&dns, &[&ca]);
    for host in ["hook.example.com", "HOOK.example.com.", "127.0.0.1"] {
        let answer = send(&outbound, host, &peer).await.unwrap();
        assert_eq!(&answer.body[..], b"ok");
    }
    // One connection serves both spellings of the name; an address is not sent as a name.
    assert_eq!(*asked.lock().unwrap(), ["hook.example.com", "none"]);
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_with_their_reason() {
    let (dns, ca, other, forged) = (
        names().await,
        authority("ours"),
        authority("other"),
        authority("ours"),
    );
    let own = {
        let key = KeyPair::generate().unwrap();
        let certificate = server_params(&["hook.example.com"], (2020, 2090))
            .self_signed(&key)
            .unwrap();
        (certificate.der().clone(), key)
    };
    // As `openssl req -x509` makes them.
    let own_authority = {
        let key = KeyPair::generate().unwrap();
        let mut params = server_params(&["hook.example.com"], (2020, 2090));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.self_signed(&key).unwrap().der().clone(), key)
    };
    let generated = {
        let made = rcgen::generate_simple_self_signed(vec!["hook.example.com".to_owned()]).unwrap();
        (made.cert.der().clone(), made.signing_key)
    };
    let outbound = trusting(&dns, &[&ca]);
    let cases = [
        (
            "expired",
            signed(&ca, &["hook.example.com"], (2000, 2001)),
            TlsProblem::Expired,
        ),
        (
            "future",
            signed(&ca, &["hook.example.com"], (2090, 2091)),
            TlsProblem::NotYetValid,
        ),
        (
            "other name",
            signed(&ca, &["other.example.com"], (2020, 2090)),
            TlsProblem::WrongName,
        ),
        (
            "deeper name",
            signed(&ca, &["*.hook.example.com"], (2020, 2090)),
            TlsProblem::WrongName,
        ),
        (
            "address only",
            signed(&ca, &["127.0.0.1"], (2020, 2090)),
            TlsProblem::WrongName,
        ),
        (
            "other authority",
            signed(&other, &["hook.example.com"], (2020, 2090)),
            TlsProblem::UnknownIssuer,
        ),
        (
            "an authority that calls itself ours",
            signed(&forged, &["hook.example.com"], (2020, 2090)),
            TlsProblem::BadCertificate,
        ),
        ("self-signed", own, TlsProblem::UnknownIssuer),
        (
            "self-signed as an authority",
            own_authority,
            TlsProblem::UnknownIssuer,
        ),
        ("self-signed by a tool", generated, TlsProblem::UnknownIssuer),
    ];
    for (what, identity, expected) in cases {
        let (peer, asked) = tls_peer(identity).await;
        let failures =
            futures::future::join_all((0..100).map(|_| send(&outbound, "hook.example.com", &peer))).await;
        for failure in failures {
            assert_eq!(failure.unwrap_err(), Failure::Tls(expected), "{what}");
        }
        assert!(asked.lock().unwrap().is_empty(), "{what}: a request was sent");
    }
}

#[tokio::test]
async fn what_is_not_tls_is_told_as_such() {
    let dns = names().await;
    let outbound = trusting(&dns, &[]);
    for (what, bytes) in [
        ("plain http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("an alert: protocol_version", vec![0x15, 3, 1, 0, 2, 2, 70]),
        ("an answer of TLS 1.0", vec![0x16, 3, 1, 0, 4, 2, 0, 0, 0]),
        ("noise", vec![0xee; 4096]),
    ] {
        let peer = Peer::serve(move |mut stream: TcpStream| {
            let bytes = bytes.clone();
            async move {
                let _ = stream.write_all(&bytes).await;
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        })
        .await;
        let failure = send(&outbound, "hook.example.com", &peer).await.unwrap_err();
        assert_eq!(failure, Failure::Tls(TlsProblem::Handshake), "{what}");
    }
    let silent = Peer::serve(|mut stream: TcpStream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let url = format!("https://hook.example.com:{}/", silent.at.port());
    let failure = outbound
        .send(post(&url, b"x"), Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!(failure, Failure::Timeout(Phase::Tls));
}

#[test]
fn authorities_that_are_no_certificates_are_refused_at_start() {
    let settings = Settings {
        extra_authorities_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
        ..Settings::default()
    };
    assert!(Client::new(&settings).is_err());
}
