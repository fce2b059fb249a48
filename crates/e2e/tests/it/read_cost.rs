//! What the gateway adds to a read. A measurement, not a test:
//! `cargo nextest run --release -p e2e --run-ignored only read_cost --no-capture`, after a release build of all binaries.

use std::time::{Duration, Instant};

use contracts::crm::v1::account_service_client::AccountServiceClient;
use contracts::crm::v1::{GetAccountRequest, ListAccountsRequest};
use futures::future::BoxFuture;
use ids::SystemClock;
use rpc::{Actor, Principal, Role, Signer};
use serde_json::json;
use tonic::metadata::MetadataValue;

use crate::support::{cluster, counted};

/// Callers at once: one waits for every hop, many keep the machine busy, so that what counts is the work.
const CALLERS: [usize; 2] = [1, 16];
/// Slices in which one way and the other take turns, so that both see the same machine, and how long one is.
const SLICES: usize = 8;
const SLICE: Duration = Duration::from_millis(500);

/// Microseconds per call and caller of each of the ways.
async fn measure<const N: usize>(callers: usize, ways: [&dyn Way; N]) -> [f64; N] {
    let mut calls = [0_u32; N];
    for _ in 0..SLICES {
        for (way, calls) in ways.iter().zip(&mut calls) {
            let until = Instant::now() + SLICE;
            let each = (0..callers).map(|_| async {
                let mut made = 0;
                while Instant::now() < until {
                    way.call().await;
                    made += 1;
                }
                made
            });
            *calls += futures::future::join_all(each).await.into_iter().sum::<u32>();
        }
    }
    let time = SLICE.as_secs_f64() * 1e6 * f64::from(u32::try_from(SLICES * callers).unwrap());
    calls.map(|calls| time / f64::from(calls))
}

/// A way to read.
trait Way {
    fn call(&self) -> BoxFuture<'_, ()>;
}

impl<F: Fn() -> Fut, Fut: Future<Output = ()> + Send + 'static> Way for F {
    fn call(&self) -> BoxFuture<'_, ()> {
        Box::pin(self())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_read_through_the_gateway_costs_little_more_than_the_call_behind_it() {
    let (mut cluster, api) = cluster().await;
    // More than a client may ask by default.
    cluster.set("DEVSIGNAL_GATEWAY__LIMITS__READ__PER_MINUTE", "6000000");
    cluster.set("DEVSIGNAL_GATEWAY__LIMITS__READ__BURST", "1000000");
    cluster.stop("gateway").await.unwrap();
    cluster.restart("gateway").unwrap();
    cluster.wait_healthy().await;
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
    let crm = AccountServiceClient::new(channel);
    let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
    let token = || MetadataValue::try_from(&*signer.token(&principal).unwrap()).unwrap();
    let asks = |token: MetadataValue<_>| {
        let mut request = tonic::Request::new(());
        request.metadata_mut().insert(rpc::PRINCIPAL_KEY, token);
        request
    };
    let one_direct = || {
        let (mut crm, id) = (crm.clone(), id.clone());
        let request = asks(token()).map(|()| GetAccountRequest {
            account_id: id,
            as_of: None,
        });
        async move { drop(crm.get_account(request).await.unwrap()) }
    };
    let page_direct = || {
        let mut crm = crm.clone();
        let request = asks(token()).map(|()| ListAccountsRequest::default());
        async move { drop(crm.list_accounts(request).await.unwrap()) }
    };
    let get = |path: &str| {
        let request = http
            .get(format!("http://{}{path}", api.host()))
            .bearer_auth(api.key());
        async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap();
        }
    };
    let path = format!("/api/v1/accounts/{id}");
    let (one_through, page_through) = (|| get(&path), || get("/api/v1/accounts"));
    for callers in CALLERS {
        let [d, t, pd, pt] = measure(callers, [&one_direct, &one_through, &page_direct, &page_through]).await;
        println!(
            "{callers} callers, one account: {d:.0} us by gRPC, {t:.0} us by REST, ratio {:.2}",
            t / d
        );
        println!(
            "{callers} callers, page of 50: {pd:.0} us by gRPC, {pt:.0} us by REST, ratio {:.2}",
            pt / pd
        );
    }
}
