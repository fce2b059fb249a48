//! Webhooks: made, changed, given new secrets, enabled, disabled, tested, deleted.

use contracts::convert;
use contracts::events::v1::{
    WebhookEndpointCreated, WebhookEndpointDeleted, WebhookEndpointDisabled, WebhookEndpointEnabled,
    WebhookEndpointUpdated,
};
use contracts::webhooks::v1 as wire;
use errors::{ApiError, ErrorCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::{OrgScope, Tx};
use uuid::Uuid;

use super::draft::Given;
use super::parts::{Api, Fault, if_match, path_id};
use super::told;
use crate::webhooks::domain::signature::{Scheme, SecretBytes};
use crate::webhooks::store::endpoints::{self, Endpoint};
use crate::webhooks::store::secrets::{self, NewSecret};
use crate::webhooks::store::{log, queue};
use crate::webhooks::{SCHEMA_VERSION, TEST_TYPE};

/// The usual time that an old secret signs too.
const OVERLAP_HOURS: i32 = 24;
const MAX_OVERLAP_HOURS: i32 = 168;

fn not_found() -> Fault {
    ApiError::not_found("webhook").into()
}

fn secret(given: Option<&str>, scheme: Scheme) -> Result<SecretBytes, ApiError> {
    let Some(text) = given else {
        let mut bytes = [0_u8; 32];
        rand::fill(&mut bytes);
        return Ok(SecretBytes::new(bytes.to_vec()));
    };
    if scheme == Scheme::Ed25519 {
        let message = "a key of ed25519 is made here; leave this out";
        return Err(ApiError::invalid("/secret", "not_allowed", message));
    }
    let message = "`whsec_` and 24 to 64 bytes in base64";
    SecretBytes::parse(text).ok_or_else(|| ApiError::invalid("/secret", "invalid", message))
}

/// The webhook with the secret that is shown this once; a private key is never shown.
fn with_secret(endpoint: Endpoint, scheme: Scheme, secret: &SecretBytes) -> wire::Webhook {
    let mut told = told::webhook(endpoint);
    match scheme {
        Scheme::Hmac => told.secret = Some(secret.text()),
        Scheme::Ed25519 => told.public_key = secret.public(),
    }
    told
}

impl Api {
    pub(super) async fn locked(&self, tx: &mut Tx, scope: &OrgScope, id: Uuid) -> Result<Endpoint, Fault> {
        endpoints::read(tx, scope, id, true).await?.ok_or_else(not_found)
    }

    pub(super) async fn read(&self, scope: &OrgScope, id: &str) -> Result<Endpoint, Fault> {
        let id = path_id(id, "webhook")?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        let found = endpoints::read(&mut tx, scope, id, false).await?;
        tx.commit().await?;
        found.ok_or_else(not_found)
    }

    pub(super) async fn create(
        &self,
        scope: &OrgScope,
        asked: wire::CreateWebhookRequest,
    ) -> Result<wire::Webhook, Fault> {
        let now = self.0.clock.now();
        let scheme = scheme(asked.signature.as_deref())?;
        let secret = secret(asked.secret.as_deref(), scheme)?;
        let mut new = blank(self.0.ids.next(), scheme, now);
        if asked.rate_per_second == Some(0) {
            return Err(ApiError::invalid("/ratePerSecond", "out_of_range", "1 to 10,000").into());
        }
        Given::from(&asked).apply(&mut new, scope.uuid(), &self.0)?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        if endpoints::count_locked(&mut tx, scope).await? >= self.0.most {
            let detail = format!("an organization has at most {} webhooks", self.0.most);
            return Err(ApiError::new(ErrorCode::QuotaExceeded, detail).into());
        }
        endpoints::insert(&mut tx, scope, &new).await?;
        let sealed = NewSecret {
            org: scope.uuid(),
            webhook: new.id,
            id: self.0.ids.next(),
            secret: &secret,
            scheme,
            at: now,
        };
        secrets::add(&mut tx, &self.0.sealer, &sealed, now).await?;
        let event = WebhookEndpointCreated {
            webhook_id: new.id.to_string(),
            url: new.url.clone(),
        };
        self.0.tell(&mut tx, scope, new.id, now, &event).await?;
        self.0.finish(tx, asked.dry_run).await?;
        Ok(with_secret(new, scheme, &secret))
    }

    pub(super) async fn change(
        &self,
        scope: &OrgScope,
        asked: wire::UpdateWebhookRequest,
    ) -> Result<wire::Webhook, Fault> {
        let id = path_id(&asked.webhook_id, "webhook")?;
        let (if_version, dry_run) = (asked.if_version, asked.dry_run);
        let given = Given::of_change(asked)?;
        let now = self.0.clock.now();
        let mut tx = self.0.stores.db.begin(scope).await?;
        let before = self.locked(&mut tx, scope, id).await?;
        if_match(if_version, before.version)?;
        let mut after = before.clone();
        given.apply(&mut after, scope.uuid(), &self.0)?;
        let changed = after.changed(&before);
        if changed.is_empty() {
            tx.rollback().await;
            return Ok(told::webhook(before));
        }
        after.updated_at = now;
        after.version += 1;
        endpoints::update(&mut tx, scope, &after).await?;
        let event = WebhookEndpointUpdated {
            webhook_id: id.to_string(),
            url: after.url.clone(),
            changed: changed.into_iter().map(str::to_owned).collect(),
        };
        self.0.tell(&mut tx, scope, id, now, &event).await?;
        self.0.finish(tx, dry_run).await?;
        Ok(told::webhook(after))
    }

    pub(super) async fn delete(
        &self,
        scope: &OrgScope,
        asked: wire::DeleteWebhookRequest,
    ) -> Result<(), Fault> {
        let id = path_id(&asked.webhook_id, "webhook")?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        let before = self.locked(&mut tx, scope, id).await?;
        if_match(asked.if_version, before.version)?;
        endpoints::delete(&mut tx, scope, id).await?;
        let event = WebhookEndpointDeleted {
            webhook_id: id.to_string(),
            url: before.url,
        };
        self.0
            .tell(&mut tx, scope, id, self.0.clock.now(), &event)
            .await?;
        self.0.finish(tx, asked.dry_run).await
    }

    pub(super) async fn rotate(
        &self,
        scope: &OrgScope,
        asked: wire::RotateWebhookSecretRequest,
    ) -> Result<wire::Webhook, Fault> {
        let id = path_id(&asked.webhook_id, "webhook")?;
        let hours = asked.overlap_hours.unwrap_or(OVERLAP_HOURS);
        if !(0..=MAX_OVERLAP_HOURS).contains(&hours) {
            let message = format!("0 to {MAX_OVERLAP_HOURS}");
            return Err(ApiError::invalid("/overlapHours", "out_of_range", message).into());
        }
        let now = self.0.clock.now();
        let mut tx = self.0.stores.db.begin(scope).await?;
        let mut endpoint = self.locked(&mut tx, scope, id).await?;
        let scheme = Scheme::parse(&endpoint.signature).unwrap_or(Scheme::Hmac);
        let secret = secret(asked.secret.as_deref(), scheme)?;
        let sealed = NewSecret {
            org: scope.uuid(),
            webhook: id,
            id: self.0.ids.next(),
            secret: &secret,
            scheme,
            at: now,
        };
        let until = now
            .checked_add(SignedDuration::from_hours(i64::from(hours)))
            .unwrap_or(now);
        secrets::add(&mut tx, &self.0.sealer, &sealed, until).await?;
        endpoint.version += 1;
        endpoint.updated_at = now;
        endpoints::update(&mut tx, scope, &endpoint).await?;
        let event = WebhookEndpointUpdated {
            webhook_id: id.to_string(),
            url: endpoint.url.clone(),
            changed: vec!["secret".to_owned()],
        };
        self.0.tell(&mut tx, scope, id, now, &event).await?;
        let endpoint = self.locked(&mut tx, scope, id).await?;
        self.0.finish(tx, asked.dry_run).await?;
        Ok(with_secret(endpoint, scheme, &secret))
    }

    pub(super) async fn enable(
        &self,
        scope: &OrgScope,
        id: &str,
        dry_run: Option<bool>,
    ) -> Result<wire::Webhook, Fault> {
        let id = path_id(id, "webhook")?;
        let now = self.0.clock.now();
        loop {
            let mut tx = self.0.stores.db.begin(scope).await?;
            let endpoint = self.locked(&mut tx, scope, id).await?;
            if endpoint.disabled.is_none() {
                tx.rollback().await;
                return Ok(told::webhook(endpoint));
            }
            // What waited when it was disabled is not sent unasked.
            if queue::hold(&mut tx, scope.uuid(), id).await? > 0 && dry_run != Some(true) {
                tx.commit().await?;
                continue;
            }
            endpoints::set_disabled(&mut tx, scope, id, None, now).await?;
            let event = WebhookEndpointEnabled {
                webhook_id: id.to_string(),
                url: endpoint.url,
            };
            self.0.tell(&mut tx, scope, id, now, &event).await?;
            let endpoint = self.locked(&mut tx, scope, id).await?;
            self.0.finish(tx, dry_run).await?;
            return Ok(told::webhook(endpoint));
        }
    }

    pub(super) async fn disable(
        &self,
        scope: &OrgScope,
        id: &str,
        dry_run: Option<bool>,
    ) -> Result<wire::Webhook, Fault> {
        let id = path_id(id, "webhook")?;
        let now = self.0.clock.now();
        let mut tx = self.0.stores.db.begin(scope).await?;
        let endpoint = self.locked(&mut tx, scope, id).await?;
        if endpoint.disabled.is_some() {
            tx.rollback().await;
            return Ok(told::webhook(endpoint));
        }
        endpoints::set_disabled(&mut tx, scope, id, Some(("requested", now)), now).await?;
        // The rest, if there is more, is held by the delivery role's upkeep.
        queue::hold(&mut tx, scope.uuid(), id).await?;
        let event = WebhookEndpointDisabled {
            webhook_id: id.to_string(),
            url: endpoint.url,
            reason: "requested".to_owned(),
            failing_since: endpoint.failing_since.map(convert::timestamp),
        };
        self.0.tell(&mut tx, scope, id, now, &event).await?;
        let endpoint = self.locked(&mut tx, scope, id).await?;
        self.0.finish(tx, dry_run).await?;
        Ok(told::webhook(endpoint))
    }

    pub(super) async fn test(
        &self,
        scope: &OrgScope,
        id: &str,
        dry_run: Option<bool>,
    ) -> Result<wire::WebhookDelivery, Fault> {
        let id = path_id(id, "webhook")?;
        let now = self.0.clock.now();
        let mut tx = self.0.stores.db.begin(scope).await?;
        let endpoint = self.locked(&mut tx, scope, id).await?;
        if endpoint.disabled.is_some() {
            let detail = "the webhook is disabled: nothing is sent to it";
            return Err(ApiError::new(ErrorCode::Conflict, detail).into());
        }
        let event = self.0.ids.next();
        let body = json!({
            "id": event.to_string(),
            "type": TEST_TYPE,
            "timestamp": now.to_string(),
            "organizationId": scope.org().to_string(),
            "data": {"webhookId": id.to_string()},
        })
        .to_string();
        let single = queue::Single {
            org: scope.uuid(),
            webhook: id,
            ids: (self.0.ids.next(), self.0.ids.next()),
            event,
            kind: TEST_TYPE,
            body: body.as_bytes(),
            at: now,
        };
        queue::push(&mut tx, &single).await?;
        let delivery = log::delivery(&mut tx, scope, id, single.ids.0).await?;
        self.0.finish(tx, dry_run).await?;
        let delivery = delivery.ok_or_else(|| ApiError::not_found("delivery"))?;
        Ok(delivery.0)
    }
}

fn scheme(given: Option<&str>) -> Result<Scheme, ApiError> {
    let Some(text) = given else {
        return Ok(Scheme::Hmac);
    };
    let message = "`hmac_sha256` or `ed25519`";
    Scheme::parse(text).ok_or_else(|| ApiError::invalid("/signature", "unknown_value", message))
}

fn blank(id: Uuid, scheme: Scheme, now: Timestamp) -> Endpoint {
    Endpoint {
        id,
        url: String::new(),
        description: None,
        events: Vec::new(),
        filter: None,
        payload: "full".to_owned(),
        schema_version: SCHEMA_VERSION,
        signature: scheme.text().to_owned(),
        header_names: Vec::new(),
        headers_sealed: None,
        rate_per_second: None,
        max_in_flight: 16,
        ordered: false,
        disabled: None,
        created_at: now,
        updated_at: now,
        version: 1,
        last_sequence: 0,
        failing_since: None,
        public_key: None,
        previous_secret_until: None,
    }
}
