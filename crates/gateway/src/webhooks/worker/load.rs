//! What lanes work with, read from the database: those that are leased together in one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use uuid::Uuid;

use super::Desk;
use super::send::Destination;
use crate::webhooks::store::lanes::{self, Due, Lane};
use crate::webhooks::store::secrets;

/// What a lane works with.
pub struct Loaded {
    /// Where to and how.
    pub to: Arc<Destination>,
    /// Attempts that the webhook lets be in flight.
    pub most: usize,
    /// Least time between two starts.
    pub pause: Duration,
    /// What is due.
    pub due: Vec<Due>,
    /// Whether more may be due than this.
    pub more: bool,
}

impl Desk {
    /// Reads the webhooks anew, and what is due, at most so many each. Those that are deleted or disabled are left out.
    pub(super) async fn load(
        &self,
        lanes: &[Lane],
        in_hand: &[Uuid],
        most: usize,
    ) -> Result<HashMap<Lane, Loaded>, StoreError> {
        let now = self.deps.clock.now();
        let mut tx = self.deps.stores.pipeline.begin().await?;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let work = lanes::load(&mut tx, lanes, in_hand, limit, now).await?;
        let mut secrets = secrets::signing(&mut tx, &self.deps.sealer, lanes, now).await?;
        tx.commit().await?;
        let loaded = work.into_iter().map(|(lane, work)| {
            let endpoint = &work.endpoint;
            let pace = endpoint.rate_per_second.filter(|rate| *rate > 0);
            let secrets = secrets.remove(&lane).unwrap_or_default();
            let loaded = Loaded {
                to: Arc::new(self.sender.destination(lane, endpoint, secrets)),
                most: usize::try_from(endpoint.max_in_flight).unwrap_or(1).max(1),
                pause: pace.map_or(Duration::ZERO, |rate| {
                    Duration::from_secs(1) / rate.unsigned_abs()
                }),
                more: work.due.len() >= most,
                due: work.due,
            };
            (lane, loaded)
        });
        Ok(loaded.collect())
    }
}
