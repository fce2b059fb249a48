//! Services as the gateway sees them: real gRPC servers with the real principal check, and a short memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use contracts::crm::v1::account_service_server::{AccountService, AccountServiceServer};
use contracts::crm::v1::{
    Account, BatchCreateAccountsRequest, BatchCreateAccountsResponse, BatchResult,
    BatchUpdateAccountsRequest, BatchUpdateAccountsResponse, CreateAccountRequest, CreateAccountResponse,
    DeleteAccountRequest, DeleteAccountResponse, GetAccountRequest, GetAccountResponse,
    ListAccountTimelineRequest, ListAccountTimelineResponse, ListAccountsRequest, ListAccountsResponse,
    UpdateAccountRequest, UpdateAccountResponse, UpsertAccountRequest, UpsertAccountResponse,
};
use contracts::ops::v1::stage_service_server::{StageService, StageServiceServer};
use contracts::ops::v1::{ListStagesRequest, ListStagesResponse, Stage};
use contracts::signals::v1::intake_service_server::{IntakeService, IntakeServiceServer};
use contracts::signals::v1::json_intake_result::Outcome;
use contracts::signals::v1::source_service_server::{SourceService, SourceServiceServer};
use contracts::signals::v1::{
    AcceptJsonRequest, AcceptJsonResponse, CreateSourceRequest, CreateSourceResponse, DeleteSourceRequest,
    DeleteSourceResponse, GetSourceRequest, GetSourceResponse, IngestError, IngestResult,
    IngestSignalsResponse, IntakeRefusal, JsonIntake, JsonIntakeResult, ListSourcesRequest,
    ListSourcesResponse, ReceiveGithubRequest, ReceiveGithubResponse, Source, UpdateSourceRequest,
    UpdateSourceResponse,
};
use errors::{ApiError, ErrorCode};
use lifecycle::Lifecycle;
use parking_lot::Mutex;
use rpc::{Access, InProcess, Principal, Role, Server, ServerSettings, Verifier};
use serde_json::Value;
use telemetry::Metrics;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

/// The id of the one account and the one source there are.
pub const KNOWN: &str = "0197e1c8-1f2a-7b3c-8d4e-5f6071829304";

/// What reached the services.
#[derive(Default)]
pub struct Seen {
    pub intakes: Mutex<Vec<JsonIntake>>,
    pub groups: AtomicUsize,
    pub hooks: Mutex<Vec<ReceiveGithubRequest>>,
    pub principals: Mutex<Vec<Principal>>,
    pub created: Mutex<Vec<CreateSourceRequest>>,
    pub lists: Mutex<Vec<ListAccountsRequest>>,
    pub updates: Mutex<Vec<UpdateAccountRequest>>,
    pub request_ids: Mutex<Vec<String>>,
    /// Names of the batch methods that were called.
    pub batches: Mutex<Vec<&'static str>>,
    /// Sizes of files that were taken in whole.
    pub uploaded: Mutex<Vec<i64>>,
    /// Lets `create` of a source named `slow` go on.
    pub go_on: Notify,
}

#[derive(Clone)]
pub struct Fake(pub Arc<Seen>);

impl Fake {
    /// Serves all services on one port, and to callers in this process.
    pub async fn serve(verifier: Verifier, lifecycle: &Lifecycle) -> (Arc<Seen>, String, InProcess) {
        // Accepted sockets take TCP_NODELAY over from the listener.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self(Arc::default());
        let settings = ServerSettings {
            listen: String::new(),
            deadline_ms: 10_000,
            max_concurrent_streams: 1024,
            reflection: false,
        };
        let intake = IntakeServiceServer::new(fake.clone())
            .max_decoding_message_size(32 << 20)
            .max_encoding_message_size(32 << 20);
        let server = Server::new(settings, verifier, &Metrics::new("fake"))
            .unwrap()
            .add(intake)
            .add(contracts::crm::v1::import_service_server::ImportServiceServer::new(fake.clone()))
            .add(contracts::crm::v1::export_service_server::ExportServiceServer::new(fake.clone()))
            .add(SourceServiceServer::new(fake.clone()))
            .add(crate::fake_batches::crm(fake.clone()))
            .add(crate::fake_batches::signals(fake.clone()))
            .add(crate::fake_batches::scores(fake.clone()))
            .add(AccountServiceServer::new(fake.clone()))
            .add(StageServiceServer::new(fake.clone()));
        let here = server.in_process();
        server.serve(listener, lifecycle);
        (fake.0, url, here)
    }

    pub fn note<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let caller = rpc::caller(request)?;
        self.0.principals.lock().push(caller.principal().clone());
        self.0.request_ids.lock().push(caller.request_id().to_owned());
        Ok(())
    }

    fn system<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let caller = rpc::caller(request)?;
        caller.require(Access::System, "intake")?;
        assert_eq!(caller.principal().role, Role::System);
        Ok(())
    }
}

fn judge(intake: &JsonIntake) -> Outcome {
    let Ok(body) = serde_json::from_slice::<Value>(&intake.body) else {
        return Outcome::Refusal(IntakeRefusal {
            code: "malformed_json".into(),
            detail: "not JSON".into(),
            errors: vec![],
        });
    };
    let signals = if intake.batch {
        body["signals"].as_array().cloned().unwrap_or_default()
    } else {
        vec![body]
    };
    let mut verdicts = IngestSignalsResponse::default();
    for (index, signal) in signals.iter().enumerate() {
        let index = i32::try_from(index).unwrap();
        let kind = signal["type"].as_str().unwrap_or_default();
        verdicts.results.push(if kind == "bad" {
            verdicts.rejected += 1;
            let error = IngestError {
                code: "required".into(),
                pointer: "/type".into(),
                message: "no".into(),
            };
            IngestResult {
                index,
                status: "rejected".into(),
                id: None,
                error: Some(error),
            }
        } else {
            verdicts.accepted += 1;
            verdicts.batch_id = Some("batch".into());
            IngestResult {
                index,
                status: "accepted".into(),
                id: Some(kind.to_owned()),
                error: None,
            }
        });
    }
    Outcome::Verdicts(verdicts)
}

#[tonic::async_trait]
impl IntakeService for Fake {
    async fn accept_json(
        &self,
        request: Request<AcceptJsonRequest>,
    ) -> Result<Response<AcceptJsonResponse>, Status> {
        self.system(&request)?;
        self.0.groups.fetch_add(1, Ordering::Relaxed);
        let items = request.into_inner().items;
        let results = items
            .iter()
            .map(|i| JsonIntakeResult {
                outcome: Some(judge(i)),
            })
            .collect();
        self.0.intakes.lock().extend(items);
        Ok(Response::new(AcceptJsonResponse { results }))
    }

    async fn receive_github(
        &self,
        request: Request<ReceiveGithubRequest>,
    ) -> Result<Response<ReceiveGithubResponse>, Status> {
        self.system(&request)?;
        let delivery = request.into_inner();
        if delivery.source_id != KNOWN {
            return Err(ApiError::not_found("source").into());
        }
        if delivery.signature != "sha256=good" {
            return Err(ApiError::new(ErrorCode::InvalidSignature, "the signature does not match").into());
        }
        self.0.hooks.lock().push(delivery);
        Ok(Response::new(ReceiveGithubResponse {
            status: "accepted".into(),
            signal_id: Some(KNOWN.into()),
        }))
    }
}

fn source(name: &str) -> Source {
    Source {
        id: KNOWN.into(),
        r#type: "github".into(),
        name: name.into(),
        status: "active".into(),
        created_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..Source::default()
    }
}

#[tonic::async_trait]
impl SourceService for Fake {
    async fn list_sources(
        &self,
        request: Request<ListSourcesRequest>,
    ) -> Result<Response<ListSourcesResponse>, Status> {
        self.note(&request)?;
        let data = vec![source("one"), source("two")];
        Ok(Response::new(ListSourcesResponse {
            data,
            ..ListSourcesResponse::default()
        }))
    }

    async fn create_source(
        &self,
        request: Request<CreateSourceRequest>,
    ) -> Result<Response<CreateSourceResponse>, Status> {
        self.note(&request)?;
        let wanted = request.into_inner();
        self.0.created.lock().push(wanted.clone());
        match wanted.name.as_str() {
            "crash" => Err(Status::internal("password=hunter2 at /srv/x.rs:3")),
            "panic" => panic!("on purpose"),
            "away" => Err(ApiError::unavailable("later").into()),
            "" => Err(ApiError::invalid("/name", "required", "a name is required").into()),
            "slow" => {
                self.0.go_on.notified().await;
                Ok(Response::new(CreateSourceResponse {
                    source: Some(source("slow")),
                }))
            }
            name => {
                let made = Source {
                    secret: Some("shown-once".into()),
                    ..source(name)
                };
                Ok(Response::new(CreateSourceResponse { source: Some(made) }))
            }
        }
    }

    async fn get_source(
        &self,
        request: Request<GetSourceRequest>,
    ) -> Result<Response<GetSourceResponse>, Status> {
        self.note(&request)?;
        if request.get_ref().source_id != KNOWN {
            return Err(ApiError::not_found("source").into());
        }
        Ok(Response::new(GetSourceResponse {
            source: Some(source("one")),
        }))
    }

    async fn update_source(
        &self,
        request: Request<UpdateSourceRequest>,
    ) -> Result<Response<UpdateSourceResponse>, Status> {
        self.note(&request)?;
        Ok(Response::new(UpdateSourceResponse {
            source: Some(source("changed")),
        }))
    }

    async fn delete_source(
        &self,
        request: Request<DeleteSourceRequest>,
    ) -> Result<Response<DeleteSourceResponse>, Status> {
        self.note(&request)?;
        Ok(Response::new(DeleteSourceResponse {}))
    }
}

fn account(version: i64) -> Account {
    Account {
        id: KNOWN.into(),
        name: "Acme".into(),
        version,
        contact_count: 3,
        ..Account::default()
    }
}

#[tonic::async_trait]
impl AccountService for Fake {
    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        self.note(&request)?;
        let many = request.get_ref().sort.as_deref() == Some("name");
        self.0.lists.lock().push(request.into_inner());
        if many {
            let data = (0..50_u32).map(|n| Account {
                id: format!("0197e1c8-1f2a-7b3c-8d4e-{n:012}"),
                ..account(1)
            });
            return Ok(Response::new(ListAccountsResponse {
                data: data.collect(),
                ..ListAccountsResponse::default()
            }));
        }
        let next_cursor = Some("next".to_owned());
        let page = ListAccountsResponse {
            data: vec![account(1)],
            next_cursor,
            has_more: true,
            total_count: None,
        };
        Ok(Response::new(page))
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        self.note(&request)?;
        if request.get_ref().account_id != KNOWN {
            return Err(ApiError::not_found("account").into());
        }
        Ok(Response::new(GetAccountResponse {
            account: Some(account(7)),
        }))
    }

    async fn update_account(
        &self,
        request: Request<UpdateAccountRequest>,
    ) -> Result<Response<UpdateAccountResponse>, Status> {
        self.note(&request)?;
        let wanted = request.into_inner();
        self.0.updates.lock().push(wanted.clone());
        if wanted.if_version.is_some_and(|v| v != 7) {
            return Err(ApiError::new(ErrorCode::PreconditionFailed, "it has changed").into());
        }
        Ok(Response::new(UpdateAccountResponse {
            account: Some(account(8)),
        }))
    }

    async fn create_account(
        &self,
        request: Request<CreateAccountRequest>,
    ) -> Result<Response<CreateAccountResponse>, Status> {
        self.note(&request)?;
        Ok(Response::new(CreateAccountResponse {
            account: Some(account(1)),
        }))
    }

    async fn upsert_account(
        &self,
        request: Request<UpsertAccountRequest>,
    ) -> Result<Response<UpsertAccountResponse>, Status> {
        self.note(&request)?;
        let outcome = match request.get_ref().domain() {
            "two.com" => {
                let detail = "several accounts have this domain";
                return Err(ApiError::new(ErrorCode::AmbiguousMatch, detail).into());
            }
            "new.com" => "created",
            _ => "updated",
        };
        Ok(Response::new(UpsertAccountResponse {
            account: Some(account(2)),
            outcome: outcome.to_owned(),
        }))
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        self.note(&request)?;
        Ok(Response::new(DeleteAccountResponse::default()))
    }

    async fn batch_create_accounts(
        &self,
        request: Request<BatchCreateAccountsRequest>,
    ) -> Result<Response<BatchCreateAccountsResponse>, Status> {
        self.note(&request)?;
        let result = BatchResult {
            status: 201,
            id: Some(KNOWN.into()),
            outcome: Some("created".into()),
            ..BatchResult::default()
        };
        Ok(Response::new(BatchCreateAccountsResponse {
            results: vec![result],
        }))
    }

    async fn batch_update_accounts(
        &self,
        request: Request<BatchUpdateAccountsRequest>,
    ) -> Result<Response<BatchUpdateAccountsResponse>, Status> {
        self.note(&request)?;
        Ok(Response::new(BatchUpdateAccountsResponse::default()))
    }

    async fn list_account_timeline(
        &self,
        request: Request<ListAccountTimelineRequest>,
    ) -> Result<Response<ListAccountTimelineResponse>, Status> {
        self.note(&request)?;
        Ok(Response::new(ListAccountTimelineResponse::default()))
    }
}

#[tonic::async_trait]
impl StageService for Fake {
    async fn list_stages(
        &self,
        request: Request<ListStagesRequest>,
    ) -> Result<Response<ListStagesResponse>, Status> {
        self.system(&request)?;
        let stage = Stage {
            name: "x/outbox".into(),
            lag: 2,
            oldest_age_ms: 30,
            dead_letters: 1,
        };
        Ok(Response::new(ListStagesResponse { stages: vec![stage] }))
    }
}
