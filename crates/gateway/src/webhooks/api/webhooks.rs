//! `WebhookService`: check, call, convert.

use contracts::webhooks::v1 as wire;
use contracts::webhooks::v1::webhook_service_server::WebhookService;
use store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use store::retry;
use tonic::{Request, Response, Status};

use super::parts::{Api, enter};
use super::told;
use crate::webhooks::store::endpoints::{COLUMNS, Endpoint};

const WEBHOOKS: ListSpec = ListSpec {
    table: "webhooks",
    columns: COLUMNS,
    condition: None,
    filters: &[Filter {
        name: "status",
        kind: Kind::OneOf(&["enabled", "disabled"]),
        matches: Match::Eq("status"),
    }],
    sorts: &[Sort {
        name: "createdAt",
        column: "created_at",
        kind: SortKind::Time,
        nullable: false,
    }],
    default_sort: "-createdAt",
};

#[tonic::async_trait]
impl WebhookService for Api {
    async fn list_webhooks(
        &self,
        request: Request<wire::ListWebhooksRequest>,
    ) -> Result<Response<wire::ListWebhooksResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let list = ListRequest {
            limit: asked.limit,
            cursor: asked.cursor.as_deref(),
            sort: asked.sort.as_deref(),
            filters: asked.filter.clone().into_iter().collect(),
            include: asked.include.as_deref(),
        };
        let page = self
            .page::<Endpoint>(&scope, "ListWebhooks", WEBHOOKS, &list)
            .await?;
        Ok(Response::new(wire::ListWebhooksResponse {
            data: page.items.into_iter().map(told::webhook).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn create_webhook(
        &self,
        request: Request<wire::CreateWebhookRequest>,
    ) -> Result<Response<wire::CreateWebhookResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let webhook = Some(retry(|| self.create(&scope, asked.clone())).await?);
        Ok(Response::new(wire::CreateWebhookResponse { webhook }))
    }

    async fn get_webhook(
        &self,
        request: Request<wire::GetWebhookRequest>,
    ) -> Result<Response<wire::GetWebhookResponse>, Status> {
        let scope = enter(&request)?;
        let found = self.read(&scope, &request.get_ref().webhook_id).await?;
        let webhook = Some(told::webhook(found));
        Ok(Response::new(wire::GetWebhookResponse { webhook }))
    }

    async fn update_webhook(
        &self,
        request: Request<wire::UpdateWebhookRequest>,
    ) -> Result<Response<wire::UpdateWebhookResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let webhook = Some(retry(|| self.change(&scope, asked.clone())).await?);
        Ok(Response::new(wire::UpdateWebhookResponse { webhook }))
    }

    async fn delete_webhook(
        &self,
        request: Request<wire::DeleteWebhookRequest>,
    ) -> Result<Response<wire::DeleteWebhookResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        retry(|| self.delete(&scope, asked.clone())).await?;
        Ok(Response::new(wire::DeleteWebhookResponse {}))
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<wire::RotateWebhookSecretRequest>,
    ) -> Result<Response<wire::RotateWebhookSecretResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let webhook = Some(retry(|| self.rotate(&scope, asked.clone())).await?);
        Ok(Response::new(wire::RotateWebhookSecretResponse { webhook }))
    }

    async fn enable_webhook(
        &self,
        request: Request<wire::EnableWebhookRequest>,
    ) -> Result<Response<wire::EnableWebhookResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let done = retry(|| self.enable(&scope, &asked.webhook_id, asked.dry_run));
        let webhook = Some(done.await?);
        Ok(Response::new(wire::EnableWebhookResponse { webhook }))
    }

    async fn disable_webhook(
        &self,
        request: Request<wire::DisableWebhookRequest>,
    ) -> Result<Response<wire::DisableWebhookResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let done = retry(|| self.disable(&scope, &asked.webhook_id, asked.dry_run));
        let webhook = Some(done.await?);
        Ok(Response::new(wire::DisableWebhookResponse { webhook }))
    }

    async fn test_webhook(
        &self,
        request: Request<wire::TestWebhookRequest>,
    ) -> Result<Response<wire::TestWebhookResponse>, Status> {
        let scope = enter(&request)?;
        let asked = request.get_ref();
        let done = retry(|| self.test(&scope, &asked.webhook_id, asked.dry_run));
        let delivery = Some(done.await?);
        Ok(Response::new(wire::TestWebhookResponse { delivery }))
    }

    async fn get_webhook_stats(
        &self,
        request: Request<wire::GetWebhookStatsRequest>,
    ) -> Result<Response<wire::GetWebhookStatsResponse>, Status> {
        let scope = enter(&request)?;
        let stats = self.stats(&scope, request.get_ref()).await?;
        Ok(Response::new(stats))
    }
}
