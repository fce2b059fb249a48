//! A call within the process meets the same edge as one by the port.

use std::future::pending;
use std::time::Duration;

use contracts::signals::v1::intake_service_client::IntakeServiceClient;
use contracts::signals::v1::intake_service_server::{IntakeService, IntakeServiceServer};
use contracts::signals::v1::{
    AcceptJsonRequest, AcceptJsonResponse, JsonIntake, JsonIntakeResult, ReceiveGithubRequest,
    ReceiveGithubResponse,
};
use ids::{OrgId, SystemClock};
use lifecycle::Lifecycle;
use rpc::{
    Actor, ChannelSettings, KeyPair, PRINCIPAL_KEY, Principal, Role, Server, ServerSettings, Signer, Target,
    Verifier,
};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// Longer than any test.
const LONG_MS: u64 = 60_000;
const SOON_MS: u64 = 50;
/// As in the services that take large calls.
const LARGE: usize = 32 << 20;

/// Does what the body of the first item says.
struct Puppet;

#[tonic::async_trait]
impl IntakeService for Puppet {
    async fn accept_json(
        &self,
        request: Request<AcceptJsonRequest>,
    ) -> Result<Response<AcceptJsonResponse>, Status> {
        assert!(rpc::caller(&request)?.principal().org.is_none());
        let items = request.into_inner().items;
        match items.first().map(|item| item.body.as_ref()) {
            Some(b"panic") => panic!("as told"),
            Some(b"wait") => pending().await,
            _ => Ok(Response::new(AcceptJsonResponse {
                results: vec![JsonIntakeResult::default(); items.len()],
            })),
        }
    }

    async fn receive_github(
        &self,
        request: Request<ReceiveGithubRequest>,
    ) -> Result<Response<ReceiveGithubResponse>, Status> {
        Err(match request.extensions().get::<Marker>() {
            Some(Marker) => Status::internal("an extension went over"),
            None => Status::not_found("source"),
        })
    }
}

#[derive(Clone)]
struct Marker;

/// A server and its callers.
struct Both {
    port: Target,
    here: Target,
    lifecycle: Lifecycle,
    metrics: Metrics,
    pair: KeyPair,
}

impl Both {
    async fn start(deadline_ms: u64, call_timeout_ms: u64) -> Self {
        let (lifecycle, metrics, pair) = (Lifecycle::new(), Metrics::new("test"), KeyPair::generate());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = ChannelSettings {
            url: format!("http://{}", listener.local_addr().unwrap()),
            connect_timeout_ms: LONG_MS,
            call_timeout_ms,
        };
        let settings = ServerSettings {
            listen: String::new(),
            deadline_ms,
            max_concurrent_streams: 16,
            reflection: false,
        };
        let verifier = Verifier::new(std::slice::from_ref(&pair.public), SystemClock::shared()).unwrap();
        let service = IntakeServiceServer::new(Puppet).max_decoding_message_size(LARGE);
        let server = Server::new(settings, verifier, &metrics).unwrap().add(service);
        let here = Target::in_process(server.in_process(), &channel);
        server.serve(listener, &lifecycle);
        Self {
            port: rpc::channel(&channel).unwrap().into(),
            here,
            lifecycle,
            metrics,
            pair,
        }
    }

    fn ways(&self) -> [(&'static str, IntakeServiceClient<Target>); 2] {
        [("port", &self.port), ("here", &self.here)].map(|(way, target)| {
            let client = IntakeServiceClient::new(target.clone()).max_encoding_message_size(LARGE);
            (way, client)
        })
    }

    /// A request of the gateway's.
    fn request(&self, body: &[u8]) -> Request<AcceptJsonRequest> {
        signed(&self.pair, &Principal::system("test"), body)
    }
}

fn signed(pair: &KeyPair, principal: &Principal, body: &[u8]) -> Request<AcceptJsonRequest> {
    let token = Signer::new(&pair.private, SystemClock::shared())
        .unwrap()
        .token(principal)
        .unwrap();
    let mut request = plain(body);
    let metadata = request.metadata_mut();
    metadata.insert(PRINCIPAL_KEY, token.parse().unwrap());
    request
}

fn plain(body: &[u8]) -> Request<AcceptJsonRequest> {
    Request::new(AcceptJsonRequest {
        items: vec![JsonIntake {
            body: body.to_vec().into(),
            ..JsonIntake::default()
        }],
    })
}

#[tokio::test]
async fn only_whom_the_method_is_for_gets_in() {
    let both = Both::start(LONG_MS, LONG_MS).await;
    let member = Principal {
        org: Some(OrgId(Uuid::from_u128(7))),
        actor: Actor::User(Uuid::from_u128(8)),
        role: Role::Owner,
        scopes: Vec::new(),
    };
    for (way, mut client) in both.ways() {
        let refused = client.accept_json(plain(b"")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{way}");
        let forged = signed(&KeyPair::generate(), &Principal::system("test"), b"");
        let refused = client.accept_json(forged).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{way}");
        let refused = client.accept_json(signed(&both.pair, &member, b"")).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "{way}");
        let answer = client.accept_json(both.request(b"")).await.unwrap();
        assert_eq!(answer.into_inner().results.len(), 1, "{way}");
    }
}

#[tokio::test]
async fn what_takes_longer_than_the_server_allows_is_ended() {
    let both = Both::start(SOON_MS, LONG_MS).await;
    for (way, mut client) in both.ways() {
        let ended = client.accept_json(both.request(b"wait")).await.unwrap_err();
        assert_eq!(ended.code(), Code::DeadlineExceeded, "{way}");
    }
}

#[tokio::test]
async fn what_takes_longer_than_the_caller_waits_is_ended() {
    let (patient, hasty) = (
        Both::start(LONG_MS, LONG_MS).await,
        Both::start(LONG_MS, SOON_MS).await,
    );
    for (way, mut client) in hasty.ways() {
        let ended = client.accept_json(hasty.request(b"wait")).await.unwrap_err();
        assert_eq!(ended.code(), Code::Cancelled, "{way}");
        // By this the gateway knows that the service gave no answer of its own.
        assert!(std::error::Error::source(&ended).is_some(), "{way}");
    }
    for (way, mut client) in patient.ways() {
        let mut request = patient.request(b"wait");
        request.set_timeout(Duration::from_millis(SOON_MS));
        let ended = client.accept_json(request).await.unwrap_err();
        assert_eq!(ended.code(), Code::Cancelled, "{way}");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_call_works() {
    let both = Both::start(LONG_MS, LONG_MS).await;
    for (way, mut client) in both.ways() {
        let failed = client.accept_json(both.request(b"panic")).await.unwrap_err();
        assert_eq!(failed.code(), Code::Internal, "{way}");
        client.accept_json(both.request(b"")).await.unwrap();
    }
}

#[tokio::test]
async fn messages_have_the_limits_of_the_server_and_of_the_caller() {
    let both = Both::start(LONG_MS, LONG_MS).await;
    for (way, mut client) in both.ways() {
        let above_the_default = vec![b' '; 5 << 20];
        client
            .accept_json(both.request(&above_the_default))
            .await
            .unwrap();
        let mut client = client.max_encoding_message_size(2 * LARGE);
        let refused = client.accept_json(both.request(&vec![b' '; LARGE])).await;
        assert_eq!(refused.unwrap_err().code(), Code::OutOfRange, "{way}");
    }
}

#[tokio::test]
async fn only_what_a_connection_carries_goes_over() {
    let both = Both::start(LONG_MS, LONG_MS).await;
    for (way, mut client) in both.ways() {
        let (metadata, ..) = both.request(b"").into_parts();
        let mut request = Request::new(ReceiveGithubRequest::default());
        *request.metadata_mut() = metadata;
        request.extensions_mut().insert(Marker);
        let answer = client.receive_github(request).await.unwrap_err();
        assert_eq!(answer.code(), Code::NotFound, "{way}");
    }
}

#[tokio::test]
async fn both_ways_are_counted_alike() {
    let both = Both::start(LONG_MS, LONG_MS).await;
    for (_, mut client) in both.ways() {
        client.accept_json(both.request(b"")).await.unwrap();
    }
    let text = both.metrics.render().unwrap();
    let counted = text.lines().any(|line| {
        line.contains("rpc_calls_total{") && line.contains("IntakeService/AcceptJson") && line.ends_with(" 2")
    });
    assert!(counted, "{text}");
}

#[tokio::test]
async fn a_call_within_the_process_is_answered_also_when_the_port_is_closed() {
    let both = Both::start(LONG_MS, LONG_MS).await;
    both.lifecycle.stop(Duration::from_secs(10)).await.unwrap();
    let [(_, mut port), (_, mut here)] = both.ways();
    let refused = port.accept_json(both.request(b"")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    here.accept_json(both.request(b"")).await.unwrap();
}
