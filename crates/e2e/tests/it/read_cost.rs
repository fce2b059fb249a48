//! What the gateway adds to a read. A measurement, not a test:
//! `cargo nextest run --release -p e2e --run-ignored only read_cost --no-capture`, after a release build of all binaries.

use std::time::Instant;

use contracts::crm::v1::account_service_client::AccountServiceClient;
use contracts::crm::v1::{GetAccountRequest, ListAccountsRequest};
use ids::SystemClock;
use rpc::{Actor, Principal, Role, Signer};
use serde_json::json;
use tonic::metadata::MetadataValue;

use crate::support::{cluster, counted};

const ROUNDS: usize = 4_000;

fn median(mut micros: Vec<u128>) -> u128 {
    micros.sort_unstable();
    micros[micros.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_read_through_the_gateway_costs_little_more_than_the_call_behind_it() {
    let (cluster, api) = cluster().await;
    for n in 0..60 {
        let signal = json!({"type": "repo_star", "actor": {"email": format!("dev@company{n}.com")}});
        assert_eq!(api.post("/api/v1/signals", &signal).await.unwrap().status, 202);
    }
    let accounts = counted(&api, "/api/v1/accounts", 60).await;
    let id = accounts[0]["id"].as_str().unwrap().to_owned();
    let wiring = cluster.wiring();
    let signer = Signer::new(
        &settings::Secret::new(wiring.secrets.principal_key.clone()),
        SystemClock::shared(),
    )
    .unwrap();
    let principal = Principal {
        org: Some(api.org),
        actor: Actor::System("bench".into()),
        role: Role::Owner,
        scopes: Vec::new(),
    };
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", wiring.crm))
        .unwrap()
        .tcp_nodelay(true)
        .connect()
        .await
        .unwrap();
    let mut crm = AccountServiceClient::new(channel);
    let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
    let get = async |path: &str| {
        let began = Instant::now();
        let request = http.get(format!("http://{}{path}", api.host()));
        let answer = request.bearer_auth(api.key()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        began.elapsed().as_micros()
    };
    let one = format!("/api/v1/accounts/{id}");
    let (mut direct, mut through, mut page_direct, mut page_through) = (vec![], vec![], vec![], vec![]);
    // In turn, so that both see the same machine.
    for _ in 0..ROUNDS {
        let token = MetadataValue::try_from(&*signer.token(&principal).unwrap()).unwrap();
        let began = Instant::now();
        let mut request = tonic::Request::new(GetAccountRequest {
            account_id: id.clone(),
            as_of: None,
        });
        request.metadata_mut().insert(rpc::PRINCIPAL_KEY, token.clone());
        crm.get_account(request).await.unwrap();
        direct.push(began.elapsed().as_micros());
        through.push(get(&one).await);
        let began = Instant::now();
        let mut request = tonic::Request::new(ListAccountsRequest::default());
        request.metadata_mut().insert(rpc::PRINCIPAL_KEY, token);
        crm.list_accounts(request).await.unwrap();
        page_direct.push(began.elapsed().as_micros());
        page_through.push(get("/api/v1/accounts").await);
    }
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    let ratio = |through: u128, direct: u128| through as f64 / direct as f64;
    let (d, t, pd, pt) = (
        median(direct),
        median(through),
        median(page_direct),
        median(page_through),
    );
    println!(
        "one account: {d} us by gRPC, {t} us by REST, ratio {:.2}",
        ratio(t, d)
    );
    println!(
        "page of 50: {pd} us by gRPC, {pt} us by REST, ratio {:.2}",
        ratio(pt, pd)
    );
}
