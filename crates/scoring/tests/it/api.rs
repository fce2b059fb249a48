//! gRPC: the score as it is stored, and the stages.

use std::sync::Arc;
use std::time::Duration;

use contracts::events::v1::AccountCreated;
use contracts::scores::v1::score_service_client::ScoreServiceClient;
use contracts::scores::v1::score_service_server::ScoreServiceServer;
use contracts::scores::v1::{AccountScore, GetAccountScoreRequest, Tier};
use errors::ApiError;
use ids::{OrgId, SystemClock};
use rpc::{Actor, KeyPair, Principal, Role, Server, ServerSettings, Signer, Verifier};
use scoring::api::ScoreApi;
use telemetry::Metrics;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::harness::{Said as _, World, new_id, new_org, signal};

struct Caller {
    client: ScoreServiceClient<Channel>,
    signer: Signer,
}

impl Caller {
    async fn of(world: &World) -> Self {
        let pair = KeyPair::generate();
        let verifier = Verifier::new(&[pair.public], SystemClock::shared()).unwrap();
        let settings = ServerSettings {
            listen: "127.0.0.1:0".to_owned(),
            deadline_ms: 10_000,
            max_concurrent_streams: 100,
            reflection: false,
        };
        let listener = TcpListener::bind(&settings.listen).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Server::new(settings, verifier, &Metrics::new("api"))
            .unwrap()
            .add(ScoreServiceServer::new(ScoreApi::new(world.scorer.clone())))
            .serve(listener, &world.life);
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        Self {
            client: ScoreServiceClient::new(channel),
            signer: Signer::new(&pair.private, SystemClock::shared()).unwrap(),
        }
    }

    async fn score(&self, org: OrgId, account: &str, scopes: &[&str]) -> Result<AccountScore, Status> {
        let principal = Principal {
            org: Some(org),
            actor: Actor::User(Uuid::from_u128(1)),
            role: Role::Viewer,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        let mut request = Request::new(GetAccountScoreRequest {
            account_id: account.to_owned(),
        });
        let token = self.signer.token(&principal).unwrap();
        request
            .metadata_mut()
            .insert(rpc::PRINCIPAL_KEY, token.parse().unwrap());
        request.set_timeout(Duration::from_secs(10));
        let answer = self.client.clone().get_account_score(request).await?;
        Ok(answer.into_inner().score.unwrap())
    }
}

fn code(outcome: Result<AccountScore, Status>) -> &'static str {
    ApiError::from_status(&outcome.unwrap_err()).code.as_str()
}

#[tokio::test]
async fn a_score_is_read_as_it_was_computed() {
    let world = World::new().await;
    let caller = Caller::of(&world).await;
    let (org, account) = (new_org(), new_id());
    world
        .record(org, vec![signal("login", world.now()).by(new_id()).of(account)])
        .await;
    world.settle().await;
    let first = caller.score(org, &account.to_string(), &[]).await.unwrap();
    world.advance_hours(1);
    assert_eq!(caller.score(org, &account.to_string(), &[]).await.unwrap(), first);
    assert_eq!(
        caller
            .score(org, &account.to_string().to_uppercase(), &[])
            .await
            .unwrap(),
        first
    );
}

#[tokio::test]
async fn a_known_account_without_a_score_is_scored_now_and_told_once() {
    let world = World::new().await;
    let caller = Arc::new(Caller::of(&world).await);
    let (org, account) = (new_org(), new_id());
    let created = AccountCreated {
        account: Some(contracts::crm::v1::Account {
            id: account.to_string(),
            version: 1,
            ..Default::default()
        }),
    };
    world.tell(org, &created).await;
    let text = account.to_string();
    let reads = (0..8).map(|_| caller.score(org, &text, &[]));
    for score in futures::future::join_all(reads).await {
        let score = score.unwrap();
        assert_eq!(
            (score.score, score.tier(), score.factors.len()),
            (0, Tier::Inactive, 8)
        );
    }
    world.settle_all().await;
    assert_eq!(
        world
            .told::<contracts::events::v1::AccountScoreChanged>(org)
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn wrong_calls_are_refused_precisely() {
    let world = World::new().await;
    let caller = Caller::of(&world).await;
    let (org, other, account) = (new_org(), new_org(), new_id());
    world
        .record(org, vec![signal("login", world.now()).of(account)])
        .await;
    world.settle().await;
    let text = account.to_string();
    assert_eq!(code(caller.score(org, "acme", &[]).await), "invalid_id");
    assert_eq!(code(caller.score(org, "", &[]).await), "invalid_id");
    assert_eq!(
        code(caller.score(org, &new_id().to_string(), &[]).await),
        "not_found"
    );
    assert_eq!(code(caller.score(other, &text, &[]).await), "not_found");
    assert_eq!(
        code(caller.score(org, &Uuid::nil().to_string(), &[]).await),
        "not_found"
    );
    assert_eq!(
        code(caller.score(org, &text, &["signals:read"]).await),
        "permission_denied"
    );
    let unsigned = caller
        .client
        .clone()
        .get_account_score(GetAccountScoreRequest { account_id: text })
        .await;
    assert_eq!(
        ApiError::from_status(&unsigned.unwrap_err()).code.as_str(),
        "unauthenticated"
    );
}
