//! How much may be in flight: in all, and for one organization, so that a slow one leaves room for the others.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::webhooks::WebhookSettings;

/// The places.
pub struct Limits {
    all: Arc<Semaphore>,
    organizations: Mutex<HashMap<Uuid, Weak<Semaphore>>>,
    of_organization: usize,
    /// Attempts at the same time to a webhook that fails.
    pub failing: usize,
}

/// A right to have one attempt in flight.
pub struct Permit {
    _organization: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Limits {
    /// Of the settings.
    #[must_use]
    pub fn new(settings: &WebhookSettings) -> Self {
        Self {
            all: Arc::new(Semaphore::new(settings.max_in_flight)),
            organizations: Mutex::default(),
            of_organization: settings.max_in_flight_per_organization,
            failing: settings.max_in_flight_failing,
        }
    }

    /// The places of an organization, while somebody holds them.
    #[must_use]
    pub fn organization(&self, org: Uuid) -> Arc<Semaphore> {
        let mut known = self.organizations.lock();
        if let Some(places) = known.get(&org).and_then(Weak::upgrade) {
            return places;
        }
        known.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.of_organization));
        known.insert(org, Arc::downgrade(&places));
        places
    }

    /// Waits for a place: the organization's first, so that one that waits for its own keeps nobody from the common ones.
    pub async fn enter(&self, organization: &Arc<Semaphore>) -> Option<Permit> {
        let own = Arc::clone(organization).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Permit {
            _organization: own,
            _all: all,
        })
    }
}
