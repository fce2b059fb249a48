//! Public gRPC.

use contracts::crm::v1::account_service_client::AccountServiceClient;
use contracts::crm::v1::{GetAccountRequest, ListAccountsRequest};
use contracts::ops::v1::ListStagesRequest;
use contracts::ops::v1::stage_service_client::StageServiceClient;
use contracts::signals::v1::AcceptJsonRequest;
use contracts::signals::v1::intake_service_client::IntakeServiceClient;
use errors::{ApiError, ErrorCode};
use ids::SystemClock;
use rpc::{Principal, Role, Signer};
use serde_json::json;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::fakes::KNOWN;
use crate::harness::Gateway;

fn channel(gateway: &Gateway) -> Channel {
    Endpoint::from_shared(gateway.grpc.clone())
        .unwrap()
        .connect_lazy()
}

fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_its_service_on_behalf_of_the_key() {
    let gateway = Gateway::start().await;
    let mut client = AccountServiceClient::new(channel(&gateway));
    let mut request = with_key(
        GetAccountRequest {
            account_id: KNOWN.into(),
            as_of: None,
        },
        &gateway.key,
    );
    // A client that names a principal of its own is not listened to.
    let signer = Signer::new(&gateway.pair.private, SystemClock::shared()).unwrap();
    let forged = signer.token(&Principal::system("evil")).unwrap();
    request
        .metadata_mut()
        .insert("devsignal-principal", forged.parse().unwrap());
    request
        .metadata_mut()
        .insert("request-id", "mine".parse().unwrap());
    let response = client.get_account(request).await.unwrap();
    assert_eq!(response.metadata().get("request-id").unwrap(), "mine");
    assert!(response.metadata().contains_key("ratelimit-remaining"));
    assert_eq!(response.into_inner().account.unwrap().version, 7);
    let seen = gateway.seen.principals.lock()[0].clone();
    assert_eq!((seen.org, seen.role), (Some(gateway.org), Role::Owner));
    assert_eq!(gateway.seen.request_ids.lock()[0], "mine");
    let missing = GetAccountRequest {
        account_id: "0197e1c8-1f2a-7b3c-8d4e-000000000000".into(),
        as_of: None,
    };
    let status = client
        .get_account(with_key(missing, &gateway.key))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), ApiError::from_status(&status).code),
        (Code::NotFound, ErrorCode::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_services_and_callers_without_a_key_are_refused() {
    let gateway = Gateway::start().await;
    let status = IntakeServiceClient::new(channel(&gateway))
        .accept_json(with_key(AcceptJsonRequest::default(), &gateway.key))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let status = StageServiceClient::new(channel(&gateway))
        .list_stages(with_key(ListStagesRequest {}, &gateway.key))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let mut client = AccountServiceClient::new(channel(&gateway));
    let status = client
        .list_accounts(ListAccountsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = client
        .list_accounts(with_key(ListAccountsRequest::default(), "x"))
        .await
        .unwrap_err();
    assert_eq!(ApiError::from_status(&status).code, ErrorCode::Unauthenticated);
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_a_missing_service_is_unavailable() {
    let gateway = Gateway::with(json!({"limits": {"read": {"per_minute": 60, "burst": 1}}})).await;
    let mut client = AccountServiceClient::new(channel(&gateway));
    client
        .list_accounts(with_key(ListAccountsRequest::default(), &gateway.key))
        .await
        .unwrap();
    let status = client
        .list_accounts(with_key(ListAccountsRequest::default(), &gateway.key))
        .await
        .unwrap_err();
    let error = ApiError::from_status(&status);
    assert_eq!(
        (error.code, error.retry_after_secs),
        (ErrorCode::RateLimited, Some(1))
    );
    let alone = Gateway::alone().await;
    let mut client = AccountServiceClient::new(channel(&alone));
    let status = client
        .list_accounts(with_key(ListAccountsRequest::default(), &alone.key))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().contains("127.0.0.1"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_the_public_contract_only() {
    let gateway = Gateway::start().await;
    let mut client = ServerReflectionClient::new(channel(&gateway));
    let ask = |message: MessageRequest| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let asked = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(
            "devsignal.signals.v1.SignalService".into(),
        )),
        ask(MessageRequest::FileContainingSymbol(
            "devsignal.signals.v1.IntakeService".into(),
        )),
    ]);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(
        names.contains(&"devsignal.signals.v1.SignalService")
            && names.contains(&"devsignal.crm.v1.AccountService")
    );
    assert!(
        names
            .iter()
            .all(|n| !n.contains("Intake") && !n.contains("Stage")),
        "{names:?}"
    );
    let file = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)));
    let hidden = answers.message().await;
    assert!(
        !matches!(hidden, Ok(Some(r)) if matches!(r.message_response, Some(MessageResponse::FileDescriptorResponse(_))))
    );
}
