//! A gateway of its own, with all its roles, and organizations whose events are told.

use std::time::Duration;

use anyhow::{Context as _, Result};
use contracts::Envelope;
use contracts::events::v1::AccountDeleted;
use eventbus::{Bus, BusSettings};
use gateway::access::{NewKey, create_organization};
use gateway::{Deps, Listeners, Settings};
use ids::{Clock as _, EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use lifecycle::Lifecycle;
use rpc::KeyPair;
use serde_json::json;
use store::{OrgScope, Stores};
use telemetry::Metrics;

use crate::IN_FLIGHT;

/// The gateway.
pub struct System {
    stores: Stores,
    base: String,
}

/// An organization, with its key.
pub struct Organization {
    id: OrgId,
    key: String,
}

impl System {
    pub async fn start(postgres: &str, nats: String, lifecycle: &Lifecycle) -> Result<Self> {
        let mut database = test_kit::database_settings(postgres, gateway::SCHEMA)?;
        database.pipeline_connections = 12;
        store::bootstrap::bootstrap(
            &postgres.to_owned().into(),
            &database.database,
            &[(&database).into()],
        )
        .await?;
        store::migrate(&database, &gateway::MIGRATOR).await?;
        let nobody = json!({"url": "http://127.0.0.1:19999"});
        let settings = Settings::load(
            None,
            std::iter::empty(),
            Some(json!({
                "http": {"listen": "127.0.0.1:0"}, "grpc": {"listen": "127.0.0.1:0"},
                "backends": {"signal_ingest": nobody, "identity_resolver": nobody, "crm": nobody, "scoring": nobody},
                "security": {"signing_key": KeyPair::generate().private.expose(),
                             "secret_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
                "webhooks": {"client": {"dangerous_allow_http": true, "dangerous_allow_private_addresses": true,
                                        "idle_per_origin": 1024, "idle_connections": 1024}},
            })),
        )?;
        let metrics = Metrics::new("gateway");
        let bus = BusSettings {
            url: nats,
            events_max_bytes: 1 << 30,
            ..BusSettings::default()
        };
        let stores = Stores::connect(&database, lifecycle, &metrics).await?;
        let listeners = Listeners::bind(&settings).await?;
        let base = format!("http://{}", listeners.http.local_addr()?);
        let deps = Deps {
            bus: Bus::connect(&bus, lifecycle, &metrics).await?,
            stores: stores.clone(),
            lifecycle: lifecycle.clone(),
            metrics,
            clock: SystemClock::shared(),
            ids: SystemIds::shared(),
            intake: None,
        };
        gateway::start(&settings, deps, listeners)?;
        Ok(Self { stores, base })
    }

    /// A new organization.
    pub async fn organization(&self) -> Result<Organization> {
        let new = NewKey::owner("bench");
        let (id, key) = create_organization(&self.stores, &SystemClock, &SystemIds, "Bench", &new).await?;
        let key = key.expose().clone();
        Ok(Organization { id, key })
    }

    /// Webhooks of an organization, as many as URLs.
    pub async fn webhooks(&self, of: &Organization, urls: &[String]) -> Result<()> {
        let client = reqwest::Client::new();
        for url in urls {
            let body = json!({"url": url, "maxInFlight": IN_FLIGHT, "events": ["account.deleted"]});
            let made = client
                .post(format!("{}/api/v1/webhooks", self.base))
                .bearer_auth(&of.key)
                .json(&body);
            let made = made.send().await?;
            anyhow::ensure!(
                made.status() == 201,
                "a webhook could not be made: {}",
                made.text().await?
            );
        }
        // The fan-out notices the first webhook within some tenths of a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Tells events of an organization.
    pub async fn publish(&self, of: &Organization, count: usize) -> Result<()> {
        let envelopes: Vec<Envelope> = (0..count)
            .map(|_| {
                let id = SystemIds.next();
                let event = AccountDeleted {
                    account_id: id.to_string(),
                };
                Envelope::wrap(&event, EventId(id), of.id, id.to_string(), SystemClock.now())
            })
            .collect();
        for piece in envelopes.chunks(500) {
            let mut tx = self.stores.db.begin(&OrgScope::new(of.id)).await?;
            eventbus::enqueue_all(&mut tx, piece)
                .await
                .context("events cannot be told")?;
            tx.commit().await?;
        }
        Ok(())
    }
}
