//! Partners who read an organization's public events from the broker by themselves.
//!
//! Owns: the answer to the broker's question who a partner is and what it may do, the consumers that partners read from,
//! and the end of connections whose credential is no longer good. Must not: store credentials (a [`Directory`] does), or
//! let a partner create anything at the broker: a consumer made by a partner could deliver to any subject of ours.
//!
//! A partner's connection lives in an account of its own. What it may say is its own consumers' `MSG.NEXT`, `INFO` and
//! `ACK`; what it may hear is one inbox prefix. Neither a stream nor another's consumer is within reach.

mod answer;
mod callout;
mod consumers;
mod directory;
mod key;
mod settings;
mod watch;

use std::sync::Arc;

use lifecycle::{Lifecycle, OnExit, Phase};
use tokio::sync::Notify;

pub(crate) use callout::QUESTIONS;
pub use consumers::{ConsumerState, DOMAIN, PartnerConsumer};
pub use directory::{Directory, Grant};
pub use key::{IssuerKey, KeyProblem};
pub use settings::PartnerSettings;

use crate::{Bus, BusError};
use callout::Callout;
use watch::{Counts, Watch};

/// The partners' side of the bus. Cheap to clone.
#[derive(Clone)]
pub struct Partners {
    bus: Bus,
    /// Something about consumers changed: look now.
    look: Arc<Notify>,
}

impl Partners {
    /// Starts answering for partners and watching over them, as tasks of `lifecycle`.
    ///
    /// # Errors
    /// The issuer's key cannot be used.
    pub fn start<D: Directory>(
        bus: &Bus,
        settings: &PartnerSettings,
        directory: D,
        lifecycle: &Lifecycle,
    ) -> Result<Self, BusError> {
        let key = IssuerKey::read(settings.issuer_seed.expose())
            .map_err(|error| BusError::Connect(Box::new(error)))?;
        let (directory, counts) = (Arc::new(directory), Counts::default());
        let partners = Self {
            bus: bus.clone(),
            look: Arc::default(),
        };
        let callout = Arc::new(Callout {
            bus: bus.clone(),
            key,
            account: settings.account.clone(),
            directory: Arc::clone(&directory),
            counts: counts.clone(),
        });
        lifecycle.spawn(
            "partners-callout",
            Phase::Edge,
            OnExit::restart(),
            move |shutdown| Arc::clone(&callout).run(shutdown),
        );
        let watch = Arc::new(Watch {
            system_url: settings.system_url.clone(),
            account: settings.account.clone(),
            directory: Arc::clone(&directory),
            counts,
        });
        lifecycle.spawn(
            "partners-watch",
            Phase::Work,
            OnExit::restart(),
            move |shutdown| Arc::clone(&watch).run(shutdown),
        );
        let keeper = partners.clone();
        lifecycle.spawn(
            "partners-consumers",
            Phase::Work,
            OnExit::restart(),
            move |shutdown| consumers::keep(keeper.clone(), Arc::clone(&directory), shutdown),
        );
        Ok(partners)
    }

    /// The stream that partners read.
    #[must_use]
    pub fn stream(&self) -> String {
        self.bus.names().stream(contracts::StreamKind::Events)
    }

    /// The directory's consumers changed.
    pub fn changed(&self) {
        self.look.notify_one();
    }
}

impl std::fmt::Debug for Partners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partners").finish_non_exhaustive()
    }
}
