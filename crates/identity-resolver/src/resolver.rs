//! One unit of work: a batch of accepted signals becomes a batch of resolved ones, with everything that was decided on the
//! way, in one transaction.
//!
//! Contract. Decisions of an organization have one order: whoever decides something new holds the lock of its row in
//! `org_epochs`. A batch whose identities are all known, at the epoch that the database shows, decides nothing and takes no
//! lock. A merge that another replica commits between that look and this commit leaves a batch with an actor that is no
//! more; whoever consumes the batch applies `identity.merged` to it, whichever comes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ::store::{PipelineDb, Tx, inbox};
use contracts::signals::v1::{SignalsAccepted, SignalsResolved};
use eventbus::enqueue_all;
use ids::{BatchId, Clock, IdGen, OrgId};
use parking_lot::Mutex;

use crate::domain::{Attribution, Changes, Claims, Seen, World, resolve};
use crate::error::ResolveError;
use crate::memory::{Memory, Slot};
use crate::metrics::ResolverMetrics;
use crate::store::{self, Wanted, epochs};
use crate::wire::{self, Announcer};

/// Name under which batches are claimed.
const CONSUMER: &str = "identity-resolver_signals_accepted";

/// Resolves batches. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    db: PipelineDb,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    memory: Arc<Memory>,
    lanes: Arc<Mutex<HashMap<OrgId, Arc<Lane>>>>,
    metrics: ResolverMetrics,
}

/// Batches of one organization go one after the other in this process: they would wait for each other in the database.
type Lane = tokio::sync::Mutex<View>;

/// What this process remembers of an organization.
struct View {
    slot: Slot,
    /// The epoch that the slot's entries are of; `None` when it has none.
    epoch: Option<i64>,
}

/// What a batch came to.
struct Outcome {
    attributions: Vec<Attribution>,
    changes: Changes,
    epoch: i64,
}

impl Resolver {
    /// A resolver over these.
    #[must_use]
    pub fn new(
        db: PipelineDb,
        (clock, ids): (Arc<dyn Clock>, Arc<dyn IdGen>),
        memory: Memory,
        metrics: ResolverMetrics,
    ) -> Self {
        Self {
            db,
            clock,
            ids,
            memory: Arc::new(memory),
            lanes: Arc::default(),
            metrics,
        }
    }

    /// Resolves a batch, once: a batch that was resolved before changes nothing.
    ///
    /// # Errors
    /// [`ResolveError::Malformed`], or the database failed; nothing was stored.
    pub async fn resolve(&self, org: OrgId, batch: SignalsAccepted) -> Result<(), ResolveError> {
        let started = Instant::now();
        let id: BatchId = batch
            .batch_id
            .parse()
            .map_err(|_| ResolveError::Malformed("batch id"))?;
        let claims: Vec<(Claims, Seen)> = batch.signals.iter().map(wire::claims).collect::<Result<_, _>>()?;
        let lane = self.lane(org);
        let mut view = lane.lock().await;
        let outcome = self.unit(org, id, batch, &claims, &mut view).await;
        if outcome.is_err() {
            // Whether it was committed may not be known: what is remembered is given up.
            *view = self.fresh();
        }
        self.metrics
            .batch_seconds
            .observe(started.elapsed().as_secs_f64());
        outcome
    }

    fn lane(&self, org: OrgId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        Arc::clone(
            lanes
                .entry(org)
                .or_insert_with(|| Arc::new(Lane::new(self.fresh()))),
        )
    }

    fn fresh(&self) -> View {
        View {
            slot: self.memory.new_slot(),
            epoch: None,
        }
    }

    async fn unit(
        &self,
        org: OrgId,
        id: BatchId,
        batch: SignalsAccepted,
        claims: &[(Claims, Seen)],
        view: &mut View,
    ) -> Result<(), ResolveError> {
        let mut tx = self.db.begin().await?;
        if !inbox::claim(&mut tx, CONSUMER, id.uuid()).await? {
            tx.rollback().await;
            return Ok(());
        }
        let seen = epochs::read(&mut tx, org).await?;
        self.catch_up(&mut tx, org, seen, view).await?;
        let outcome = match self.remembered(claims, view, seen) {
            Some(outcome) => outcome,
            None => self.decide(&mut tx, org, claims, view).await?,
        };
        self.tell(&mut tx, org, batch, &outcome).await?;
        tx.commit().await?;
        view.epoch = Some(outcome.epoch);
        self.memory.learn(view.slot, &outcome.changes);
        self.count(&outcome);
        Ok(())
    }

    /// Gives up what others revised since the view's epoch.
    async fn catch_up(
        &self,
        tx: &mut Tx,
        org: OrgId,
        epoch: i64,
        view: &mut View,
    ) -> Result<(), ResolveError> {
        match view.epoch {
            None => {}
            Some(known) if known == epoch => return Ok(()),
            // Time went back: a database that was restored.
            Some(known) if known > epoch => *view = self.fresh(),
            Some(known) => {
                let revised = epochs::revised_since(tx, org, known).await?;
                if revised.too_many {
                    *view = self.fresh();
                } else {
                    self.memory.forget(view.slot, &revised);
                }
            }
        }
        view.epoch = Some(epoch);
        Ok(())
    }

    /// The batch's outcome if everything it names is remembered and nothing new is told; else `None`.
    fn remembered(&self, claims: &[(Claims, Seen)], view: &View, epoch: i64) -> Option<Outcome> {
        let mut world = World::default();
        let wanted = self
            .memory
            .recall(view.slot, claims.iter().map(|(claims, _)| claims), &mut world);
        if !wanted.is_empty() {
            return None;
        }
        let attributions = resolve(&mut world, claims, &*self.ids);
        let changes = world.finish();
        changes.is_empty().then_some(Outcome {
            attributions,
            changes,
            epoch,
        })
    }

    /// Decides under the organization's lock, on what all decisions before left.
    async fn decide(
        &self,
        tx: &mut Tx,
        org: OrgId,
        claims: &[(Claims, Seen)],
        view: &mut View,
    ) -> Result<Outcome, ResolveError> {
        let epoch = epochs::lock(tx, org).await?;
        self.catch_up(tx, org, epoch, view).await?;
        let mut world = World::default();
        let wanted: Wanted =
            self.memory
                .recall(view.slot, claims.iter().map(|(claims, _)| claims), &mut world);
        store::load(tx, org, &wanted, &mut world).await?;
        self.memory.keep(view.slot, &wanted, &world);
        let attributions = resolve(&mut world, claims, &*self.ids);
        let changes = world.finish();
        let next = if changes.revises() { epoch + 1 } else { epoch };
        if !changes.is_empty() {
            store::write(tx, org, &changes, next, self.clock.now(), &*self.ids).await?;
        }
        if next > epoch {
            epochs::advance(tx, org, next).await?;
        }
        Ok(Outcome {
            attributions,
            changes,
            epoch: next,
        })
    }

    async fn tell(
        &self,
        tx: &mut Tx,
        org: OrgId,
        mut batch: SignalsAccepted,
        outcome: &Outcome,
    ) -> Result<(), ResolveError> {
        for (signal, attribution) in batch.signals.iter_mut().zip(&outcome.attributions) {
            wire::attribute(signal, attribution.clone());
        }
        let announcer = Announcer {
            org,
            ids: &*self.ids,
            clock: &*self.clock,
        };
        let mut envelopes: Vec<_> = outcome
            .changes
            .announcements
            .iter()
            .map(|told| announcer.announce(told))
            .collect();
        let resolved = SignalsResolved {
            batch_id: batch.batch_id,
            organization_id: batch.organization_id,
            signals: batch.signals,
        };
        let about = resolved.batch_id.clone();
        envelopes.push(announcer.wrap(&resolved, about));
        Ok(enqueue_all(tx, &envelopes).await?)
    }

    fn count(&self, outcome: &Outcome) {
        let path = if outcome.changes.is_empty() {
            "known"
        } else {
            "decided"
        };
        self.metrics.batches.with_label_values(&[path]).inc();
        for attribution in &outcome.attributions {
            let actor = match (&attribution.actor, attribution.is_person) {
                (Some(_), true) => "person",
                (Some(_), false) => "anonymous",
                (None, _) => "nobody",
            };
            self.metrics.signals.with_label_values(&[actor]).inc();
            self.metrics
                .matched
                .inc_by(u64::from(attribution.account.is_some()));
        }
        for decision in &outcome.changes.decisions {
            self.metrics
                .decisions
                .with_label_values(&[decision.kind.name()])
                .inc();
        }
    }
}
