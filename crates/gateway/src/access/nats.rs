//! `NatsAccessService`: credentials and consumers with which an organization's programs read its events from the broker.

use contracts::access::v1 as wire;
use contracts::access::v1::nats_access_service_server::NatsAccessService;
use contracts::{StreamKind, convert};
use errors::{ApiError, ErrorCode, ErrorDomain as _};
use eventbus::BusError;
use eventbus::partners::{DOMAIN, PartnerSettings, Partners};
use store::list::{Filter, Kind, ListSpec, Match};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::nats_store::{Consumer, Credential};
use super::organizations::{BY_AGE, list_of};
use super::parts::{Api, Fault, enter, name, path_id};

const CREDENTIALS: ListSpec = ListSpec {
    table: "nats_credentials",
    columns: "t.id, t.name, t.created_at, t.expires_at, t.revoked_at",
    condition: None,
    filters: &[Filter {
        name: "revoked",
        kind: Kind::Bool,
        matches: Match::Sql("(t.revoked_at IS NOT NULL) = {}"),
    }],
    sorts: BY_AGE,
    default_sort: "-createdAt",
};

const CONSUMERS: ListSpec = ListSpec {
    table: "nats_consumers",
    columns: "t.org_id, t.id, t.credential_id, t.slot, t.event_types, t.start_at, t.ordered, t.created_at",
    condition: None,
    filters: &[Filter {
        name: "credentialId",
        kind: Kind::Uuid,
        matches: Match::Eq("credential_id"),
    }],
    sorts: BY_AGE,
    default_sort: "-createdAt",
};
const MAX_TYPES: usize = 50;

/// The broker's side, where it is set up for partners, and its settings.
pub struct NatsAccess {
    pub settings: PartnerSettings,
    pub partners: Option<Partners>,
}

impl From<BusError> for Fault {
    fn from(error: BusError) -> Self {
        tracing::warn!(%error, source = ?std::error::Error::source(&error), "the broker did not do what a partner needs");
        Self::Api(error.to_api())
    }
}

/// Only known public events.
fn event_types(given: Vec<String>) -> Result<Vec<String>, ApiError> {
    if given.len() > MAX_TYPES {
        return Err(ApiError::invalid(
            "/eventTypes",
            "out_of_range",
            "at most 50 types",
        ));
    }
    for (at, kind) in given.iter().enumerate() {
        let known = contracts::type_of(kind).is_some_and(|(_, stream)| stream == StreamKind::Events);
        if !known {
            return Err(ApiError::invalid(
                format!("/eventTypes/{at}"),
                "unknown_event_type",
                "expected the type of a public event, such as deal.created",
            ));
        }
        if given[..at].contains(kind) {
            return Err(ApiError::invalid(
                format!("/eventTypes/{at}"),
                "duplicate",
                "each type once",
            ));
        }
    }
    Ok(given)
}

impl Api {
    fn partners(&self) -> Result<&Partners, ApiError> {
        self.0.nats.partners.as_ref().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Unimplemented,
                "the broker of this installation takes no partners",
            )
        })
    }

    /// With what is the same for all credentials.
    fn told(&self, credential: Credential) -> wire::NatsCredential {
        let settings = &self.0.nats.settings;
        wire::NatsCredential {
            url: settings.public_url.clone(),
            inbox_prefix: Partners::inbox_of(credential.id),
            domain: DOMAIN.to_owned(),
            stream: self
                .0
                .nats
                .partners
                .as_ref()
                .map(Partners::stream)
                .unwrap_or_default(),
            max_connections: i32::try_from(settings.max_connections).unwrap_or(i32::MAX),
            max_consumers: i32::from(settings.max_consumers),
            ..credential.wire
        }
    }
}

#[tonic::async_trait]
impl NatsAccessService for Api {
    async fn list_nats_credentials(
        &self,
        request: Request<wire::ListNatsCredentialsRequest>,
    ) -> Result<Response<wire::ListNatsCredentialsResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let page = self
            .list::<Credential>(&scope, CREDENTIALS, &list_of!(request.get_ref()))
            .await?;
        Ok(Response::new(wire::ListNatsCredentialsResponse {
            data: page.items.into_iter().map(|c| self.told(c)).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_nats_credential(
        &self,
        request: Request<wire::GetNatsCredentialRequest>,
    ) -> Result<Response<wire::GetNatsCredentialResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let id = path_id(&request.get_ref().credential_id, "credential")?;
        let found = self
            .one::<Credential>(&scope, &CREDENTIALS, id, "credential")
            .await?;
        Ok(Response::new(wire::GetNatsCredentialResponse {
            credential: Some(self.told(found)),
        }))
    }

    async fn create_nats_credential(
        &self,
        request: Request<wire::CreateNatsCredentialRequest>,
    ) -> Result<Response<wire::CreateNatsCredentialResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let asked = request.into_inner();
        let name = name("/name", &asked.name)?;
        let expires_at = asked.expires_at.as_ref().and_then(convert::from_timestamp);
        if expires_at.is_some_and(|at| at <= self.0.clock.now()) {
            return Err(ApiError::invalid("/expiresAt", "in_past", "a time in the future").into());
        }
        self.partners()?;
        let (made, password) = self.new_credential(&scope, name, expires_at).await?;
        let credential = Some(wire::NatsCredential {
            password: Some(password),
            ..self.told(made)
        });
        Ok(Response::new(wire::CreateNatsCredentialResponse { credential }))
    }

    async fn delete_nats_credential(
        &self,
        request: Request<wire::DeleteNatsCredentialRequest>,
    ) -> Result<Response<wire::DeleteNatsCredentialResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let id = path_id(&request.get_ref().credential_id, "credential")?;
        self.revoke_credential(&scope, id).await?;
        if let Some(partners) = &self.0.nats.partners {
            partners.changed();
        }
        Ok(Response::new(wire::DeleteNatsCredentialResponse {}))
    }

    async fn list_nats_consumers(
        &self,
        request: Request<wire::ListNatsConsumersRequest>,
    ) -> Result<Response<wire::ListNatsConsumersResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let page = self
            .list::<Consumer>(&scope, CONSUMERS, &list_of!(request.get_ref()))
            .await?;
        Ok(Response::new(wire::ListNatsConsumersResponse {
            data: page.items.into_iter().map(|c| c.wire).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_nats_consumer(
        &self,
        request: Request<wire::GetNatsConsumerRequest>,
    ) -> Result<Response<wire::GetNatsConsumerResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let mut found = self
            .consumer(&scope, &request.get_ref().consumer_id, false)
            .await?;
        if let Some(partners) = &self.0.nats.partners {
            let state = partners.state(&found.broker).await.map_err(Fault::from)?;
            let count = |n| i64::try_from(n).unwrap_or(i64::MAX);
            found.wire.pending = state.map(|s| count(s.pending));
            found.wire.unacknowledged = state.map(|s| count(s.unacknowledged));
        }
        Ok(Response::new(wire::GetNatsConsumerResponse {
            consumer: Some(found.wire),
        }))
    }

    async fn create_nats_consumer(
        &self,
        request: Request<wire::CreateNatsConsumerRequest>,
    ) -> Result<Response<wire::CreateNatsConsumerResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let asked = request.into_inner();
        let credential = Uuid::try_parse(&asked.credential_id).map_err(|_| {
            ApiError::invalid("/credentialId", "invalid_id", "the id of a credential is a UUID")
        })?;
        let types = event_types(asked.event_types)?;
        let now = self.0.clock.now();
        let start = asked
            .from
            .as_ref()
            .and_then(convert::from_timestamp)
            .unwrap_or(now);
        if start > now {
            return Err(ApiError::invalid("/from", "in_future", "a time in the past").into());
        }
        let partners = self.partners()?.clone();
        let made = self
            .new_consumer(&scope, credential, types, (start, asked.ordered))
            .await?;
        if let Err(error) = partners.ensure(&made.broker).await {
            // It is stored, so it is made as soon as the broker can.
            tracing::warn!(%error, "a partner's consumer is made later");
            partners.changed();
        }
        Ok(Response::new(wire::CreateNatsConsumerResponse {
            consumer: Some(made.wire),
        }))
    }

    async fn delete_nats_consumer(
        &self,
        request: Request<wire::DeleteNatsConsumerRequest>,
    ) -> Result<Response<wire::DeleteNatsConsumerResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let gone = self
            .consumer(&scope, &request.get_ref().consumer_id, true)
            .await?;
        if let Some(partners) = &self.0.nats.partners
            && let Err(error) = partners.remove(&gone.broker.name()).await
        {
            tracing::warn!(%error, "a partner's consumer is removed later");
            partners.changed();
        }
        Ok(Response::new(wire::DeleteNatsConsumerResponse {}))
    }
}
