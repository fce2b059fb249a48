//! The batch services as the loaders see them: each answers for what it is asked, and notes that it was.

use contracts::crm::v1 as crm;
use contracts::crm::v1::batch_service_server::{BatchService as CrmBatches, BatchServiceServer as CrmServer};
use contracts::identity::v1::Identity;
use contracts::scores::v1 as scores;
use contracts::scores::v1::batch_service_server::{
    BatchService as ScoreBatches, BatchServiceServer as ScoreServer,
};
use contracts::signals::v1 as signals;
use contracts::signals::v1::batch_service_server::{
    BatchService as SignalBatches, BatchServiceServer as SignalServer,
};
use errors::ApiError;
use tonic::{Request, Response, Status};

use crate::fakes::{Fake, KNOWN};

pub fn crm(fake: Fake) -> CrmServer<Fake> {
    CrmServer::new(fake)
}

pub fn signals(fake: Fake) -> SignalServer<Fake> {
    SignalServer::new(fake)
}

pub fn scores(fake: Fake) -> ScoreServer<Fake> {
    ScoreServer::new(fake)
}

impl Fake {
    fn called<T>(&self, request: &Request<T>, name: &'static str) -> Result<(), Status> {
        self.note(request)?;
        self.0.batches.lock().push(name);
        Ok(())
    }
}

fn contact(account: &str, n: i32) -> crm::Contact {
    crm::Contact {
        id: format!("0197e1c8-1f2a-7b3c-8d4f-{n:012}"),
        name: format!("Dev {n}"),
        email: Some("dev@acme.com".into()),
        account_id: Some(account.to_owned()),
        identities: vec![Identity {
            r#type: "email".into(),
            value: "dev@acme.com".into(),
            ..Identity::default()
        }],
        last_seen_at: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..crm::Contact::default()
    }
}

fn signal(account: &str, n: i32) -> signals::Signal {
    let number = prost_types::value::Kind::NumberValue(f64::from(n));
    signals::Signal {
        id: format!("0197e1c8-1f2a-7b3c-8d50-{n:012}"),
        source_id: Some(KNOWN.into()),
        account_id: Some(account.to_owned()),
        r#type: "repo_star".into(),
        actor: Some(signals::Actor {
            name: Some("Dev".into()),
            ..signals::Actor::default()
        }),
        metadata: Some(prost_types::Struct {
            fields: [("n".to_owned(), prost_types::Value { kind: Some(number) })].into(),
        }),
        ..signals::Signal::default()
    }
}

#[tonic::async_trait]
impl CrmBatches for Fake {
    async fn batch_get_accounts(
        &self,
        request: Request<crm::BatchGetAccountsRequest>,
    ) -> Result<Response<crm::BatchGetAccountsResponse>, Status> {
        self.called(&request, "accounts")?;
        let account = |id: String| crm::Account {
            id,
            name: "Acme".into(),
            ..crm::Account::default()
        };
        let data = request.into_inner().ids.into_iter().map(account).collect();
        Ok(Response::new(crm::BatchGetAccountsResponse { data }))
    }

    async fn batch_get_contacts(
        &self,
        request: Request<crm::BatchGetContactsRequest>,
    ) -> Result<Response<crm::BatchGetContactsResponse>, Status> {
        self.called(&request, "contacts by id")?;
        Err(ApiError::unavailable("later").into())
    }

    async fn batch_list_contacts(
        &self,
        request: Request<crm::BatchListContactsRequest>,
    ) -> Result<Response<crm::BatchListContactsResponse>, Status> {
        self.called(&request, "contacts")?;
        let asked = request.into_inner();
        let group = |id: String| crm::ContactGroup {
            data: (0..asked.limit.min(3)).map(|n| contact(&id, n)).collect(),
            id,
        };
        let groups = asked.ids.into_iter().map(group).collect();
        Ok(Response::new(crm::BatchListContactsResponse { groups }))
    }
}

#[tonic::async_trait]
impl SignalBatches for Fake {
    async fn batch_list_account_signals(
        &self,
        request: Request<signals::BatchListAccountSignalsRequest>,
    ) -> Result<Response<signals::BatchListAccountSignalsResponse>, Status> {
        self.called(&request, "signals")?;
        let asked = request.into_inner();
        let group = |id: String| signals::SignalGroup {
            data: (0..asked.limit.min(3)).map(|n| signal(&id, n)).collect(),
            id,
        };
        let groups = asked.ids.into_iter().map(group).collect();
        Ok(Response::new(signals::BatchListAccountSignalsResponse { groups }))
    }

    async fn batch_list_contact_signals(
        &self,
        request: Request<signals::BatchListContactSignalsRequest>,
    ) -> Result<Response<signals::BatchListContactSignalsResponse>, Status> {
        self.called(&request, "signals of contacts")?;
        Ok(Response::new(signals::BatchListContactSignalsResponse::default()))
    }

    async fn batch_get_sources(
        &self,
        request: Request<signals::BatchGetSourcesRequest>,
    ) -> Result<Response<signals::BatchGetSourcesResponse>, Status> {
        self.called(&request, "sources")?;
        let source = |id: String| signals::Source {
            id,
            r#type: "github".into(),
            ..signals::Source::default()
        };
        let data = request.into_inner().ids.into_iter().map(source).collect();
        Ok(Response::new(signals::BatchGetSourcesResponse { data }))
    }
}

#[tonic::async_trait]
impl ScoreBatches for Fake {
    async fn batch_get_account_scores(
        &self,
        request: Request<scores::BatchGetAccountScoresRequest>,
    ) -> Result<Response<scores::BatchGetAccountScoresResponse>, Status> {
        self.called(&request, "scores")?;
        let score = |account_id: String| scores::AccountScore {
            account_id,
            score: 87,
            trend: scores::Trend::Rising.into(),
            factors: vec![scores::ScoreFactor {
                name: "user_count".into(),
                weight: 15.0,
                value: 0.5,
                ..scores::ScoreFactor::default()
            }],
            ..scores::AccountScore::default()
        };
        let data = request.into_inner().ids.into_iter().map(score).collect();
        Ok(Response::new(scores::BatchGetAccountScoresResponse { data }))
    }
}
