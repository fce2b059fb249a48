//! `WebhookDeliveryService`, and the figures of a webhook.

use contracts::convert;
use contracts::webhooks::v1 as wire;
use contracts::webhooks::v1::webhook_delivery_service_server::WebhookDeliveryService;
use errors::{ApiError, ErrorCode, FieldError};
use jiff::{SignedDuration, Timestamp};
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use store::list::{ListRequest, ListSpec};
use store::paging::Page;
use store::{OrgScope, Tx, retry};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::parts::{Api, Fault, enter, path_id};
use crate::webhooks::domain::stats::{BUCKETS, quantile};
use crate::webhooks::is_event_type;
use crate::webhooks::store::log::{DELIVERIES, Delivery};
use crate::webhooks::store::replays::{NewReplay, Replay};
use crate::webhooks::store::{endpoints, log, queue, replays};

const STATS_DAYS: i64 = 31;
const MAX_TYPES: usize = 100;

fn not_found(what: &str) -> Fault {
    ApiError::not_found(what).into()
}

fn time(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(convert::from_timestamp)
}

impl Api {
    /// A page of a list.
    pub(super) async fn page<T>(
        &self,
        scope: &OrgScope,
        method: &str,
        spec: ListSpec,
        list: &ListRequest<'_>,
    ) -> Result<Page<T>, Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = spec.prepare(scope, method, list)?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        let page = query.fetch(&mut tx).await?;
        tx.commit().await?;
        Ok(page)
    }

    /// The webhook of a path must be one of the organization's.
    async fn known(&self, tx: &mut Tx, scope: &OrgScope, webhook: &str) -> Result<Uuid, Fault> {
        let id = path_id(webhook, "webhook")?;
        let found = endpoints::read(tx, scope, id, false).await?;
        found.map(|_| id).ok_or_else(|| not_found("webhook"))
    }

    async fn list_log(
        &self,
        scope: &OrgScope,
        asked: &wire::ListWebhookDeliveriesRequest,
    ) -> Result<Page<Delivery>, Fault> {
        let mut tx = self.0.stores.db.begin(scope).await?;
        let webhook = self.known(&mut tx, scope, &asked.webhook_id).await?;
        tx.commit().await?;
        if let Some(own) = ["webhookId", "from", "to"]
            .iter()
            .find(|n| asked.filter.contains_key(**n))
        {
            let field = FieldError::new(
                format!("?filter[{own}]"),
                "unknown",
                "filters are status, type, eventId",
            );
            return Err(ApiError {
                fields: vec![field],
                ..ApiError::new(ErrorCode::InvalidParameter, "there is no such filter")
            }
            .into());
        }
        let mut list = ListRequest {
            limit: asked.limit,
            cursor: asked.cursor.as_deref(),
            sort: asked.sort.as_deref(),
            filters: asked.filter.clone().into_iter().collect(),
            include: asked.include.as_deref(),
        };
        list.filters.push(("webhookId".to_owned(), webhook.to_string()));
        for (name, at) in [("from", &asked.from), ("to", &asked.to)] {
            if let Some(at) = time(at.as_ref()) {
                list.filters.push((name.to_owned(), at.to_string()));
            }
        }
        self.page(scope, "ListWebhookDeliveries", DELIVERIES, &list).await
    }

    async fn get(&self, scope: &OrgScope, webhook: &str, delivery: &str) -> Result<Delivery, Fault> {
        let id = path_id(delivery, "delivery")?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        let webhook = self.known(&mut tx, scope, webhook).await?;
        let found = log::delivery(&mut tx, scope, webhook, id).await?;
        let mut found = found.ok_or_else(|| not_found("delivery"))?;
        log::details(&mut tx, scope, &mut found).await?;
        tx.commit().await?;
        Ok(found)
    }

    async fn resend(
        &self,
        scope: &OrgScope,
        asked: &wire::ResendWebhookDeliveryRequest,
    ) -> Result<Delivery, Fault> {
        let id = path_id(&asked.delivery_id, "delivery")?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        let webhook = path_id(&asked.webhook_id, "webhook")?;
        let endpoint = endpoints::read(&mut tx, scope, webhook, true).await?;
        enabled(&endpoint.ok_or_else(|| not_found("webhook"))?)?;
        let now = self.0.clock.now();
        if !queue::again(&mut tx, (scope.uuid(), webhook, id), now).await? {
            return Err(not_found("delivery"));
        }
        let found = log::delivery(&mut tx, scope, webhook, id).await?;
        self.0.finish(tx, asked.dry_run).await?;
        found.ok_or_else(|| not_found("delivery"))
    }

    async fn replay(
        &self,
        scope: &OrgScope,
        asked: wire::CreateWebhookReplayRequest,
    ) -> Result<Replay, Fault> {
        let now = self.0.clock.now();
        let range = range(&asked, now)?;
        let statuses = statuses(asked.statuses)?;
        if asked.types.len() > MAX_TYPES {
            return Err(ApiError::invalid("/types", "too_many", format!("at most {MAX_TYPES} types")).into());
        }
        if let Some(at) = asked
            .types
            .iter()
            .position(|kind| !is_event_type(&self.0.catalogue, kind))
        {
            let message = "there are no events of this type";
            return Err(ApiError::invalid(format!("/types/{at}"), "unknown_value", message).into());
        }
        let webhook = path_id(&asked.webhook_id, "webhook")?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        let endpoint = endpoints::read(&mut tx, scope, webhook, true).await?;
        enabled(&endpoint.ok_or_else(|| not_found("webhook"))?)?;
        let new = NewReplay {
            id: self.0.ids.next(),
            webhook,
            range,
            statuses: &statuses,
            types: &asked.types,
            at: now,
        };
        let made = replays::insert(&mut tx, scope, &new).await?;
        self.0.finish(tx, asked.dry_run).await?;
        Ok(made)
    }

    /// How deliveries went, and how many wait.
    pub(super) async fn stats(
        &self,
        scope: &OrgScope,
        asked: &wire::GetWebhookStatsRequest,
    ) -> Result<wire::GetWebhookStatsResponse, Fault> {
        let now = self.0.clock.now();
        let days = |days: i64| {
            let age = SignedDuration::from_hours(24 * days);
            now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        let from = time(asked.from.as_ref())
            .unwrap_or_else(|| days(1))
            .max(days(STATS_DAYS));
        let to = time(asked.to.as_ref()).unwrap_or(now);
        let mut tx = self.0.stores.db.begin(scope).await?;
        let webhook = self.known(&mut tx, scope, &asked.webhook_id).await?;
        let hours = log::hours(&mut tx, scope, webhook, (from, to)).await?;
        let (pending, held, oldest) = log::waiting(&mut tx, scope, webhook, now).await?;
        tx.commit().await?;
        let mut buckets = vec![0; BUCKETS];
        for (sum, count) in hours.iter().flat_map(|hour| hour.buckets.iter().enumerate()) {
            if let Some(bucket) = buckets.get_mut(sum) {
                *bucket += count;
            }
        }
        Ok(wire::GetWebhookStatsResponse {
            pending,
            held,
            oldest_due_at: oldest.map(convert::timestamp),
            succeeded: hours.iter().map(|hour| hour.succeeded).sum(),
            failed: hours.iter().map(|hour| hour.failed).sum(),
            exhausted: hours.iter().map(|hour| hour.exhausted).sum(),
            p50_ms: quantile(&buckets, 50),
            p95_ms: quantile(&buckets, 95),
            hours: hours.iter().map(hour).collect(),
        })
    }
}

fn hour(of: &log::Hour) -> wire::WebhookStatsHour {
    let all = (of.succeeded + of.failed).max(1);
    wire::WebhookStatsHour {
        hour: Some(convert::timestamp(of.hour.to_jiff())),
        succeeded: of.succeeded,
        failed: of.failed,
        exhausted: of.exhausted,
        mean_ms: of.took_ms_sum / all,
        max_ms: i64::from(of.took_ms_max),
    }
}

/// Nothing is sent to a disabled webhook, so nothing can be asked to be.
fn enabled(endpoint: &endpoints::Endpoint) -> Result<(), ApiError> {
    match endpoint.disabled {
        None => Ok(()),
        Some(_) => Err(ApiError::new(
            ErrorCode::Conflict,
            "the webhook is disabled: enable it first",
        )),
    }
}

fn range(
    asked: &wire::CreateWebhookReplayRequest,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), ApiError> {
    let from = time(asked.from.as_ref())
        .ok_or_else(|| ApiError::invalid("/from", "required", "the time from which on"))?;
    let to = time(asked.to.as_ref()).unwrap_or(now);
    if from >= to {
        return Err(ApiError::invalid("/to", "out_of_range", "a time after `from`"));
    }
    Ok((from, to))
}

fn statuses(given: Vec<String>) -> Result<Vec<String>, ApiError> {
    if given.is_empty() {
        return Ok(vec!["failed".to_owned(), "held".to_owned()]);
    }
    let known = ["failed", "held", "delivered"];
    if let Some(at) = given.iter().position(|status| !known.contains(&status.as_str())) {
        let message = "`failed`, `held` or `delivered`";
        return Err(ApiError::invalid(
            format!("/statuses/{at}"),
            "unknown_value",
            message,
        ));
    }
    Ok(given)
}

#[tonic::async_trait]
impl WebhookDeliveryService for Api {
    async fn list_webhook_deliveries(
        &self,
        request: Request<wire::ListWebhookDeliveriesRequest>,
    ) -> Result<Response<wire::ListWebhookDeliveriesResponse>, Status> {
        let scope = enter(&request)?;
        let page = self.list_log(&scope, request.get_ref()).await?;
        Ok(Response::new(wire::ListWebhookDeliveriesResponse {
            data: page.items.into_iter().map(|delivery| delivery.0).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_webhook_delivery(
        &self,
        request: Request<wire::GetWebhookDeliveryRequest>,
    ) -> Result<Response<wire::GetWebhookDeliveryResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let found = self.get(&scope, &asked.webhook_id, &asked.delivery_id).await?;
        Ok(Response::new(wire::GetWebhookDeliveryResponse {
            delivery: Some(found.0),
        }))
    }

    async fn resend_webhook_delivery(
        &self,
        request: Request<wire::ResendWebhookDeliveryRequest>,
    ) -> Result<Response<wire::ResendWebhookDeliveryResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let delivery = Some(retry(|| self.resend(&scope, asked)).await?.0);
        Ok(Response::new(wire::ResendWebhookDeliveryResponse { delivery }))
    }

    async fn create_webhook_replay(
        &self,
        request: Request<wire::CreateWebhookReplayRequest>,
    ) -> Result<Response<wire::CreateWebhookReplayResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let replay = Some(retry(|| self.replay(&scope, asked.clone())).await?.0);
        Ok(Response::new(wire::CreateWebhookReplayResponse { replay }))
    }

    async fn get_webhook_replay(
        &self,
        request: Request<wire::GetWebhookReplayRequest>,
    ) -> Result<Response<wire::GetWebhookReplayResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let id = path_id(&asked.replay_id, "replay")?;
        let work = async {
            let mut tx = self.0.stores.db.begin(&scope).await?;
            let webhook = self.known(&mut tx, &scope, &asked.webhook_id).await?;
            let found = replays::read(&mut tx, &scope, webhook, id).await?;
            tx.commit().await?;
            found.ok_or_else(|| not_found("replay"))
        };
        let replay = Some(work.await?.0);
        Ok(Response::new(wire::GetWebhookReplayResponse { replay }))
    }
}
