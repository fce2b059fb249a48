//! Webhooks: endpoints of customers, and the way of every event to them.
//!
//! Owns: the tables `webhook…`; the services of `devsignal.webhooks.v1`; the fan-out of the event stream into deliveries;
//! the queue, the attempts, the log. Must not: hold a transaction while HTTP runs, drop an accepted delivery, or know what
//! an event means.

mod api;
mod domain;
mod fanout;
mod metrics;
mod settings;
mod store;
mod upkeep;
mod worker;

use std::sync::Arc;

use ::store::Stores;
use eventbus::Bus;
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use telemetry::Metrics;
use tokio::sync::Notify;

pub use api::{Api, Parts};
pub use settings::WebhookSettings;

use crate::error::StartError;
use crate::events::Catalogue;
use crate::mail::Mailer;
use crate::secrets::Sealer;

/// The one version of the events' schemas that there is.
const SCHEMA_VERSION: i32 = 1;
/// The type of a test's event; it is on no stream.
const TEST_TYPE: &str = "webhook.test";

/// Whether there are events of this type, or of a pattern such as `deal.*`.
fn is_event_type(catalogue: &Catalogue, pattern: &str) -> bool {
    catalogue
        .types()
        .any(|of| domain::types::stands_for(pattern, &of.name))
}

/// What the delivery role stands on.
pub struct Deps {
    /// The event stream.
    pub bus: Bus,
    /// The gateway's schema.
    pub stores: Stores,
    /// Renders events.
    pub catalogue: Catalogue,
    /// Opens secrets and headers.
    pub sealer: Sealer,
    /// Tells owners and admins.
    pub mailer: Mailer,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
    /// Woken when something was queued in this process.
    pub poke: Arc<Notify>,
}

impl Deps {
    /// The services, over the same tables.
    #[must_use]
    pub fn api(&self, settings: &WebhookSettings) -> Api {
        Api(Arc::new(Parts {
            stores: self.stores.clone(),
            sealer: self.sealer.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            catalogue: self.catalogue.clone(),
            policy: settings.client.policy(),
            most: i64::from(settings.max_per_organization),
            poke: Arc::clone(&self.poke),
        }))
    }
}

/// Starts the delivery role: fan-out, worker and upkeep, as tasks of `lifecycle`.
///
/// # Errors
/// The HTTP client's settings cannot be used, or a metric's name is taken.
pub fn deliver(
    settings: &WebhookSettings,
    deps: Deps,
    metrics: &Metrics,
    lifecycle: &Lifecycle,
) -> Result<(), StartError> {
    let metrics = metrics::HookMetrics::new(metrics)?;
    let client =
        outbound::Client::new(&settings.client).map_err(|error| StartError::Webhooks(error.to_string()))?;
    let deps = Arc::new(deps);
    upkeep::spawn(settings, &deps, &metrics, lifecycle);
    fanout::spawn(settings, &deps, &metrics, lifecycle);
    worker::spawn(settings, &deps, client, &metrics, lifecycle);
    Ok(())
}
