//! The unit of work: some batches of one organization, resolved and told in one transaction.
//!
//! Two ways. When all that the signals name is in memory and tells nothing new, the transaction only claims the batches,
//! checks that no other replica has revised anything since (the epoch), and tells the resolved batches. Otherwise the
//! unit takes the organization's lock, catches up with what others revised, reads what is missing, decides, writes. The
//! lock gives the decisions of all replicas one order, so that two who see a person for the first time make one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ::store::{PipelineDb, StoreError, Tx, inbox, retry};
use contracts::Envelope;
use ids::{Clock, IdGen, OrgId};
use telemetry::{Metrics, TelemetryError};

use crate::CONSUMER;
use crate::config::ResolverSettings;
use crate::domain::{Attribution, Changes, Claims, Seen, World, resolve};
use crate::events::{Accepted, announcements, resolved};
use crate::lanes::{Group, Known, Lane, Lanes};
use crate::memory::{Memory, Slot};
use crate::metrics::ResolverMetrics;
use crate::store::{epochs, load, write};

/// Resolves batches. One per process: its memory and its lanes are only worth something when they are shared.
pub struct Resolver {
    db: PipelineDb,
    memory: Memory,
    lanes: Lanes<Accepted>,
    max_unit_signals: usize,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    metrics: ResolverMetrics,
}

/// A unit that was resolved from memory alone and decided nothing.
struct ByMemory {
    epoch: i64,
    /// One per batch of the group; none of a statement.
    events: Vec<Option<Envelope>>,
    attributions: Vec<Attribution>,
}

impl Resolver {
    /// A resolver without any memory yet.
    ///
    /// # Errors
    /// A conflict of metrics.
    pub fn new(
        db: &PipelineDb,
        settings: &ResolverSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
        metrics: &Metrics,
    ) -> Result<Self, TelemetryError> {
        Ok(Self {
            db: db.clone(),
            memory: Memory::new(settings.memory_actors, settings.memory_accounts),
            lanes: Lanes::new(Duration::from_millis(settings.breath_ms)),
            max_unit_signals: settings.max_unit_signals,
            clock,
            ids,
            metrics: ResolverMetrics::new(metrics)?,
        })
    }

    /// Resolves a batch and tells so; has no effect when that was done before. Returns after the commit.
    ///
    /// # Errors
    /// The database failed; whether the batch was resolved is known when the same batch is given again.
    pub async fn resolve(&self, batch: Accepted) -> Result<(), StoreError> {
        let lane = self.lanes.of(batch.org, || self.memory.new_slot());
        let weight = batch.claims.len();
        let ticket = lane.join(Arc::new(batch), weight);
        let mut alone = false;
        loop {
            let Some(group) = ticket.turn(self.max_unit_signals, alone).await else {
                return Ok(());
            };
            match self.work(&lane, &group).await {
                Ok(()) => {
                    group.done();
                    return Ok(());
                }
                // Another batch of the group may be the cause: it must not take this one down with it.
                Err(error) if group.batches.len() > 1 => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a unit failed; its batches are tried alone"
                    );
                    alone = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn work(&self, lane: &Lane<Accepted>, group: &Group<'_, Accepted>) -> Result<(), StoreError> {
        let timer = self.metrics.seconds.start_timer();
        retry(|| self.attempt(lane, &group.batches)).await?;
        timer.observe_duration();
        Ok(())
    }

    async fn attempt(&self, lane: &Lane<Accepted>, group: &[Arc<Accepted>]) -> Result<(), StoreError> {
        let Some(org) = group.first().map(|batch| batch.org) else {
            return Ok(());
        };
        let ready = self.by_memory(lane.known(), group);
        let mut tx = self.db.begin().await?;
        let fresh = claim(&mut tx, group).await?;
        self.metrics.repeated(group.len() - fresh.len());
        if fresh.is_empty() {
            return tx.commit().await;
        }
        if let Some(ready) = ready
            && epochs::read(&mut tx, org).await? == ready.epoch
        {
            let events: Vec<_> = fresh
                .iter()
                .filter_map(|place| ready.events.get(*place).cloned().flatten())
                .collect();
            eventbus::enqueue_all(&mut tx, &events).await?;
            tx.commit().await?;
            self.metrics.known(fresh.len(), &ready.attributions);
            return Ok(());
        }
        let batches: Vec<_> = fresh.into_iter().filter_map(|place| group.get(place)).collect();
        self.decide(tx, org, lane, &batches).await
    }

    /// Resolves from memory; `None` when something is missing there, or something new is learnt.
    fn by_memory(&self, known: Known, group: &[Arc<Accepted>]) -> Option<ByMemory> {
        let epoch = known.epoch?;
        let mut world = World::default();
        if !self
            .memory
            .recall(known.slot, claims(group), &mut world)
            .is_empty()
        {
            return None;
        }
        let attributions = resolve(&mut world, signals(group), &*self.ids);
        if !world.finish().is_empty() {
            return None;
        }
        let events = self.resolved_events(group, &attributions);
        Some(ByMemory {
            epoch,
            events,
            attributions,
        })
    }

    /// Decides what the batches tell, under the organization's lock.
    async fn decide(
        &self,
        mut tx: Tx,
        org: OrgId,
        lane: &Lane<Accepted>,
        batches: &[&Arc<Accepted>],
    ) -> Result<(), StoreError> {
        let epoch = epochs::lock(&mut tx, org).await?;
        let slot = self.catch_up(&mut tx, org, lane, epoch).await?;
        let mut world = World::default();
        let wanted = self.memory.recall(slot, claims(batches), &mut world);
        load(&mut tx, org, &wanted, &mut world).await?;
        // Committed by others before we had the lock, so worth keeping whatever becomes of this unit.
        self.memory.keep(slot, &wanted, &world);
        let attributions = resolve(&mut world, signals(batches), &*self.ids);
        let changes = world.finish();
        let next = if changes.revises() { epoch + 1 } else { epoch };
        self.store(&mut tx, org, &changes, next).await?;
        let mut events = announcements(org, &changes.announcements, self.clock.now(), &*self.ids);
        events.extend(self.resolved_events(batches, &attributions).into_iter().flatten());
        eventbus::enqueue_all(&mut tx, &events).await?;
        tx.commit().await?;
        self.memory.learn(slot, &changes);
        lane.set_known(Known {
            slot,
            epoch: Some(next),
        });
        self.metrics.decided(batches.len(), &attributions, &changes);
        Ok(())
    }

    async fn store(&self, tx: &mut Tx, org: OrgId, changes: &Changes, epoch: i64) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        write(tx, org, changes, epoch, self.clock.now(), &*self.ids).await?;
        if changes.revises() {
            epochs::advance(tx, org, epoch).await?;
        }
        Ok(())
    }

    /// Gives up what others have revised since this process last looked. What is left in memory is valid at `epoch`.
    async fn catch_up(
        &self,
        tx: &mut Tx,
        org: OrgId,
        lane: &Lane<Accepted>,
        epoch: i64,
    ) -> Result<Slot, StoreError> {
        let mut known = lane.known();
        match known.epoch {
            Some(then) if then == epoch => return Ok(known.slot),
            Some(then) if then < epoch => {
                let revised = epochs::revised_since(tx, org, then).await?;
                if revised.too_many {
                    known.slot = self.memory.new_slot();
                } else {
                    self.memory.forget(known.slot, &revised);
                }
            }
            // The first look; or a database that was set back.
            _ => known.slot = self.memory.new_slot(),
        }
        known.epoch = Some(epoch);
        lane.set_known(known);
        Ok(known.slot)
    }

    fn resolved_events(
        &self,
        batches: &[impl AsRef<Accepted>],
        attributions: &[Attribution],
    ) -> Vec<Option<Envelope>> {
        let now = self.clock.now();
        let mut rest = attributions;
        batches
            .iter()
            .map(|batch| {
                let batch = batch.as_ref();
                let (own, others) = rest.split_at(batch.claims.len().min(rest.len()));
                rest = others;
                (!batch.signals.is_empty()).then(|| resolved(batch, own, now, &*self.ids))
            })
            .collect()
    }
}

/// Claims the batches; answers the places of those that are new, each batch once.
async fn claim(tx: &mut Tx, group: &[Arc<Accepted>]) -> Result<Vec<usize>, StoreError> {
    let batches: Vec<_> = group.iter().map(|batch| batch.id.uuid()).collect();
    let mut fresh: HashSet<_> = inbox::claim_all(tx, CONSUMER, &batches)
        .await?
        .into_iter()
        .collect();
    Ok((0..group.len())
        .filter(|place| fresh.remove(&batches[*place]))
        .collect())
}

fn signals(batches: &[impl AsRef<Accepted>]) -> impl Iterator<Item = &(Claims, Seen)> {
    batches.iter().flat_map(|batch| &batch.as_ref().claims)
}

fn claims(batches: &[impl AsRef<Accepted>]) -> impl Iterator<Item = &Claims> {
    signals(batches).map(|(claims, _)| claims)
}
