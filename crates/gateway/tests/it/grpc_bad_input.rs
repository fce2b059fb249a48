//! The gRPC row of the bad-input matrix: whatever is sent is the sender's fault, and the server lives on.

use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes};
use contracts::signals::v1::CreateSourceRequest;
use prost::Message as _;
use prost_types::value::Kind;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

use crate::harness::Gateway;

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

async fn send(gateway: &Gateway, method: &str, message: Bytes, more: &[(&'static str, &str)]) -> Code {
    // Connected before: the time of a call would run out on the client's own way there.
    let endpoint = Endpoint::from_shared(gateway.grpc.clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert(
        "authorization",
        format!("Bearer {}", gateway.key).parse().unwrap(),
    );
    for (name, value) in more {
        metadata.insert(*name, value.parse().unwrap());
    }
    let began = Instant::now();
    let answer = client.unary(request, method.parse().unwrap(), Raw).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{method}");
    match answer {
        Ok(_) => Code::Ok,
        Err(status) => {
            for inside in ["hunter2", ".rs", "/work", "127.0.0.1", "prost"] {
                assert!(!status.message().contains(inside), "{}", status.message());
            }
            status.code()
        }
    }
}

fn nested(depth: usize) -> Bytes {
    let mut value = prost_types::Value {
        kind: Some(Kind::NumberValue(1.0)),
    };
    for _ in 0..depth {
        value = prost_types::Value {
            kind: Some(Kind::ListValue(prost_types::ListValue { values: vec![value] })),
        };
    }
    let config = prost_types::Struct {
        fields: [("a".to_owned(), value)].into(),
    };
    let request = CreateSourceRequest {
        r#type: "github".into(),
        name: "x".into(),
        config: Some(config),
        ..CreateSourceRequest::default()
    };
    request.encode_to_vec().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_and_never_an_internal_error() {
    let gateway = Gateway::start().await;
    let get = "/devsignal.crm.v1.AccountService/GetAccount";
    let create = "/devsignal.signals.v1.SourceService/CreateSource";
    for (method, message, code) in [
        (
            get,
            Bytes::from_static(b"\xff\xff\xff\xff"),
            Code::InvalidArgument,
        ),
        (get, Bytes::from_static(b"\x0a\x20abc"), Code::InvalidArgument),
        (get, Bytes::from_static(b"\x08\x01"), Code::InvalidArgument),
        (
            get,
            Bytes::from_static(b"\x0a\x02\xff\xfe"),
            Code::InvalidArgument,
        ),
        (get, Bytes::from_static(b"\x0a\x00"), Code::NotFound),
        // A field of a newer release.
        (get, Bytes::from_static(b"\xf8\x07\x01"), Code::NotFound),
        (create, nested(300), Code::InvalidArgument),
        (create, vec![b'x'; 5 << 20].into(), Code::InvalidArgument),
        (
            "/devsignal.crm.v1.AccountService/Nope",
            Bytes::new(),
            Code::Unimplemented,
        ),
        (
            "/devsignal.ops.v1.StageService/ListStages",
            Bytes::new(),
            Code::Unimplemented,
        ),
        ("/nope", Bytes::new(), Code::Unimplemented),
    ] {
        let first: Vec<u8> = message.iter().take(8).copied().collect();
        let told = send(&gateway, method, message, &[]).await;
        assert_eq!(told, code, "{method} {first:?}");
    }
    for timeout in ["0n", "99999999H", "abc", "-1S"] {
        let told = send(
            &gateway,
            get,
            Bytes::from_static(b"\x0a\x00"),
            &[("grpc-timeout", timeout)],
        )
        .await;
        assert!(
            matches!(
                told,
                // A call whose time is over on its way may also end as one that was cut.
                Code::NotFound
                    | Code::DeadlineExceeded
                    | Code::Cancelled
                    | Code::Unavailable
                    | Code::InvalidArgument
            ),
            "{timeout} {told:?}"
        );
    }
    let alive = send(
        &gateway,
        "/devsignal.crm.v1.AccountService/ListAccounts",
        Bytes::new(),
        &[],
    )
    .await;
    assert_eq!(alive, Code::Ok);
}

/// One call on the bytes of HTTP/2: a body as it is, and headers.
async fn framed(gateway: &Gateway, body: Vec<u8>, headers: usize) -> Option<Code> {
    let mut channel = Endpoint::from_shared(gateway.grpc.clone())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut request = http::Request::post("/devsignal.signals.v1.SourceService/CreateSource")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", gateway.key));
    for n in 0..headers {
        request = request.header(format!("x-{n}"), "y");
    }
    let uri: http::Uri = format!("{}/devsignal.signals.v1.SourceService/CreateSource", gateway.grpc)
        .parse()
        .unwrap();
    let body = tonic::body::Body::new(http_body_util::Full::new(Bytes::from(body)));
    let mut request = request.body(body).unwrap();
    *request.uri_mut() = uri;
    let ready = tower::ServiceExt::ready(&mut channel).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), tower::Service::call(ready, request));
    let answer = answer.await.expect("no answer in time").ok()?;
    let told = Status::from_header_map(answer.headers()).map(|s| s.code());
    let whole = http_body_util::BodyExt::collect(answer.into_body()).await.ok()?;
    told.or_else(|| {
        whole
            .trailers()
            .and_then(Status::from_header_map)
            .map(|s| s.code())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_lie_and_floods_are_refused_and_the_server_lives() {
    let gateway = Gateway::start().await;
    let message = nested(0);
    let frame = |flag: u8, length: u32| {
        let mut bytes = vec![flag];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&message);
        bytes
    };
    let length = u32::try_from(message.len()).unwrap();
    for (what, body) in [
        ("compressed, without saying how", frame(1, length)),
        ("a flag that there is not", frame(2, length)),
        ("longer than it is", frame(0, length + 100)),
        ("four gigabytes", frame(0, u32::MAX)),
        ("no frame", vec![0, 0]),
        ("nothing", Vec::new()),
    ] {
        let code = framed(&gateway, body, 0).await;
        let ours = matches!(code, Some(Code::Ok | Code::Unavailable));
        assert!(!ours, "{what}: {code:?}");
    }
    assert!(
        gateway.seen.created.lock().is_empty(),
        "none of them was a request"
    );
    let many = framed(&gateway, frame(0, length), 10_000).await;
    assert_ne!(many, Some(Code::Ok), "10,000 headers");
    // Calls that are broken off at once.
    for _ in 0..20 {
        let calls = (0..50).map(|_| {
            send(
                &gateway,
                "/devsignal.crm.v1.AccountService/ListAccounts",
                Bytes::new(),
                &[],
            )
        });
        let all = futures::future::join_all(calls);
        drop(tokio::time::timeout(Duration::from_millis(1), all).await);
    }
    let list = "/devsignal.crm.v1.AccountService/ListAccounts";
    assert_eq!(send(&gateway, list, Bytes::new(), &[]).await, Code::Ok);
}
