//! `devsignal.events.v1.EventService`: the catalogue, schemas, and durable subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::convert;
use contracts::events::v1 as wire;
use contracts::events::v1::event_service_server::EventService;
use errors::ApiError;
use futures::stream::BoxStream;
use ids::{Clock, IdGen, OrgId};
use prost_types::Struct;
use serde_json::Value;
use store::list::ListRequest;
use store::paging::{Cursor, Fingerprint, Page, PageRequest};
use store::{Db, OrgScope};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::catch_up::check_kept;
use super::cursor::Place;
use super::open::Streams;
use super::subscriptions::{self, New};
use crate::contract::Contract;
use crate::events::{EventType, Filter, Places, schema};
use crate::openapi::Comments;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct EventApi(Arc<Inner>);

struct Inner {
    streams: Streams,
    schemas: BTreeMap<String, wire::EventSchema>,
    db: Db,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
}

/// What a durable subscription holds for a stream.
pub struct Kept {
    /// Everything up to here was acknowledged.
    pub place: Place,
    /// Its filter.
    pub filter: Filter,
}

impl EventApi {
    /// The service over these streams and this schema. All schemas are made now.
    #[must_use]
    pub fn new(
        streams: Streams,
        contract: &Contract,
        (db, clock, ids): (Db, Arc<dyn Clock>, Arc<dyn IdGen>),
    ) -> Self {
        let comments = Comments::of(contract.pool());
        let types = streams.shared.catalogue.types();
        let schemas = types.map(|of| (of.name.clone(), schema_of(of, &comments)));
        Self(Arc::new(Inner {
            schemas: schemas.collect(),
            streams,
            db,
            clock,
            ids,
        }))
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// A durable subscription.
    ///
    /// # Errors
    /// `not_found`, `invalid_id`.
    pub(super) async fn kept(&self, org: OrgId, id: &str) -> Result<Kept, ApiError> {
        let found = subscriptions::get(&self.0.db, &OrgScope::new(org), id_of(id)?).await?;
        // Types that are no more are left out by what is there now.
        let catalogue = &self.streams().shared.catalogue;
        let filter = Filter::read(catalogue, &found.types, &found.objects, Places::BODY)?;
        Ok(Kept {
            place: found.place,
            filter,
        })
    }

    async fn begin(&self, org: OrgId, after: Option<&str>) -> Result<Place, ApiError> {
        let shared = &self.streams().shared;
        match after.filter(|text| !text.is_empty()) {
            None => self.streams().end(org),
            Some(text) => {
                let place = shared.cursors.read(org, text)?;
                check_kept(shared, org, &place).await?;
                Ok(place)
            }
        }
    }

    fn told(&self, org: OrgId, kept: subscriptions::Subscription) -> wire::EventSubscription {
        kept.told(&self.streams().shared.cursors, org)
    }

    async fn create(
        &self,
        org: OrgId,
        asked: wire::CreateEventSubscriptionRequest,
    ) -> Result<wire::EventSubscription, ApiError> {
        let name = asked.name.trim();
        let fits = (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !fits {
            return Err(ApiError::invalid("/name", "out_of_range", "1 to 200 characters"));
        }
        let catalogue = &self.streams().shared.catalogue;
        Filter::read(catalogue, &asked.types, &asked.objects, Places::BODY)?;
        let new = New {
            name: name.to_owned(),
            place: self.begin(org, asked.after.as_deref()).await?,
            types: asked.types,
            objects: asked.objects,
        };
        let (scope, dry) = (OrgScope::new(org), asked.dry_run.unwrap_or_default());
        let with = (&*self.0.clock, &*self.0.ids);
        let made = subscriptions::create(&self.0.db, &scope, with, new, dry).await?;
        Ok(self.told(org, made))
    }

    async fn acknowledge(
        &self,
        org: OrgId,
        asked: wire::AcknowledgeEventsRequest,
    ) -> Result<wire::EventSubscription, ApiError> {
        let place = self.streams().shared.cursors.read(org, &asked.cursor)?;
        let what = (id_of(&asked.event_subscription_id)?, place);
        let (scope, dry) = (OrgScope::new(org), asked.dry_run.unwrap_or_default());
        let moved = subscriptions::acknowledge(&self.0.db, &scope, &*self.0.clock, what, dry).await?;
        Ok(self.told(org, moved))
    }

    fn types(
        &self,
        org: OrgId,
        asked: &wire::ListEventTypesRequest,
    ) -> Result<Page<wire::EventType>, ApiError> {
        let list = Fingerprint::new(org, "event-types", "type", &[]);
        let page = PageRequest::parse(asked.limit, asked.cursor.as_deref(), list)?;
        let after = page
            .after
            .as_ref()
            .and_then(|c| c.0.first()?.as_str().map(str::to_owned));
        let most = usize::try_from(page.fetch_limit()).unwrap_or_default();
        let types = self.streams().shared.catalogue.types();
        let rest = types.filter(|of| after.as_ref().is_none_or(|after| of.name > *after));
        let rows = rest.take(most).map(|of| type_of(of)).collect();
        let key = |last: &wire::EventType| Cursor(vec![Value::from(last.r#type.clone())]);
        Ok(Page::of(rows, &page, list, key))
    }
}

fn id_of(text: &str) -> Result<Uuid, ApiError> {
    let id = text.parse::<OrgId>().map(OrgId::uuid);
    id.map_err(|_| {
        ApiError::new(
            errors::ErrorCode::InvalidId,
            "the id of an event subscription is a UUID",
        )
    })
}

fn version_of(of: &EventType) -> i32 {
    i32::try_from(of.version).unwrap_or(1)
}

fn type_of(of: &EventType) -> wire::EventType {
    let mut objects: Vec<String> = of.kinds().map(str::to_owned).collect();
    objects.dedup();
    wire::EventType {
        r#type: of.name.clone(),
        version: version_of(of),
        description: of.description.clone(),
        object: objects.first().cloned().unwrap_or_default(),
        objects,
        schema_path: format!("/api/v1/schemas/{}", of.schema_name()),
        message: of.message.full_name().to_owned(),
    }
}

fn schema_of(of: &EventType, comments: &Comments) -> wire::EventSchema {
    let object = |value: Value| -> Option<Struct> {
        match value {
            Value::Object(object) => Some(convert::to_struct(object)),
            _ => None,
        }
    };
    wire::EventSchema {
        r#type: of.name.clone(),
        version: version_of(of),
        message: of.message.full_name().to_owned(),
        descriptor_set: schema::descriptor_set(of),
        json_schema: object(schema::json_schema(of, comments)),
        example: object(schema::sample(of, comments)),
    }
}

fn org_of<T>(request: &Request<T>) -> Result<OrgId, Status> {
    Ok(rpc::caller(request)?.org()?)
}

#[tonic::async_trait]
impl EventService for EventApi {
    type SubscribeStream = BoxStream<'static, Result<wire::SubscribeResponse, Status>>;

    async fn list_event_types(
        &self,
        request: Request<wire::ListEventTypesRequest>,
    ) -> Result<Response<wire::ListEventTypesResponse>, Status> {
        let page = self.types(org_of(&request)?, request.get_ref())?;
        Ok(Response::new(wire::ListEventTypesResponse {
            data: page.items,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        }))
    }

    async fn get_event_schema(
        &self,
        request: Request<wire::GetEventSchemaRequest>,
    ) -> Result<Response<wire::GetEventSchemaResponse>, Status> {
        let asked = request.get_ref();
        let found = self.0.schemas.get(&asked.r#type);
        let found = found.filter(|schema| schema.version.to_string() == asked.version);
        let schema = found.ok_or_else(|| ApiError::not_found("schema of an event"))?;
        Ok(Response::new(wire::GetEventSchemaResponse {
            event_schema: Some(schema.clone()),
        }))
    }

    /// Answered at the edge ([`super::Subscribe`]); nobody comes here.
    async fn subscribe(
        &self,
        _: Request<wire::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let detail = "events are followed on the gateway's public gRPC port";
        Err(ApiError::new(errors::ErrorCode::Unimplemented, detail).into())
    }

    async fn create_event_subscription(
        &self,
        request: Request<wire::CreateEventSubscriptionRequest>,
    ) -> Result<Response<wire::CreateEventSubscriptionResponse>, Status> {
        let org = org_of(&request)?;
        let event_subscription = Some(self.create(org, request.into_inner()).await?);
        Ok(Response::new(wire::CreateEventSubscriptionResponse {
            event_subscription,
        }))
    }

    async fn list_event_subscriptions(
        &self,
        request: Request<wire::ListEventSubscriptionsRequest>,
    ) -> Result<Response<wire::ListEventSubscriptionsResponse>, Status> {
        let org = org_of(&request)?;
        let asked = request.into_inner();
        let list = ListRequest {
            limit: asked.limit,
            cursor: asked.cursor.as_deref(),
            sort: asked.sort.as_deref(),
            filters: asked.filter.into_iter().collect(),
            include: asked.include.as_deref(),
        };
        let page = subscriptions::list(&self.0.db, &OrgScope::new(org), &list).await;
        let page = page.map_err(ApiError::from)?;
        Ok(Response::new(wire::ListEventSubscriptionsResponse {
            data: page.items.into_iter().map(|kept| self.told(org, kept)).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_event_subscription(
        &self,
        request: Request<wire::GetEventSubscriptionRequest>,
    ) -> Result<Response<wire::GetEventSubscriptionResponse>, Status> {
        let org = org_of(&request)?;
        let id = id_of(&request.get_ref().event_subscription_id)?;
        let found = subscriptions::get(&self.0.db, &OrgScope::new(org), id).await;
        Ok(Response::new(wire::GetEventSubscriptionResponse {
            event_subscription: Some(self.told(org, found.map_err(ApiError::from)?)),
        }))
    }

    async fn delete_event_subscription(
        &self,
        request: Request<wire::DeleteEventSubscriptionRequest>,
    ) -> Result<Response<wire::DeleteEventSubscriptionResponse>, Status> {
        let org = org_of(&request)?;
        let asked = request.get_ref();
        let (id, dry) = (
            id_of(&asked.event_subscription_id)?,
            asked.dry_run.unwrap_or_default(),
        );
        let done = subscriptions::delete(&self.0.db, &OrgScope::new(org), id, dry).await;
        done.map_err(ApiError::from)?;
        Ok(Response::new(wire::DeleteEventSubscriptionResponse {}))
    }

    async fn acknowledge_events(
        &self,
        request: Request<wire::AcknowledgeEventsRequest>,
    ) -> Result<Response<wire::AcknowledgeEventsResponse>, Status> {
        let org = org_of(&request)?;
        let event_subscription = Some(self.acknowledge(org, request.into_inner()).await?);
        Ok(Response::new(wire::AcknowledgeEventsResponse {
            event_subscription,
        }))
    }
}
