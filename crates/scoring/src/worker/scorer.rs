//! One round of scoring, and one account at once.

use std::sync::Arc;

use ::store::{Db, OrgScope, PipelineDb, Stores, Tx};
use contracts::scores::v1::AccountScore;
use contracts::{Envelope, Event};
use ids::{AccountId, Clock, EventId, IdGen, OrgId};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::compute::{Computed, compute_all};
use crate::config::ScoringSettings;
use crate::domain::pacing::Pacing;
use crate::error::ScoringError;
use crate::metrics::ScoringMetrics;
use crate::store::models::Models;
use crate::store::schedule::{self, Claim, Finish};
use crate::store::{by_index, micros, scores};

/// An account whose score fails is tried again after this time, so that it does not take a place in every round.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(60);
/// Attempts of one request to store a score that others store at the same time.
const ATTEMPTS: usize = 5;

/// What a scorer works with.
pub struct ScorerDeps {
    /// The service's databases.
    pub stores: Stores,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
    /// How often and how many.
    pub settings: ScoringSettings,
    /// What is counted.
    pub metrics: ScoringMetrics,
}

/// Computes scores and stores them. A clone shares everything.
#[derive(Clone)]
pub struct Scorer {
    pipeline: PipelineDb,
    db: Db,
    models: Models,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    settings: ScoringSettings,
    pacing: Pacing,
    metrics: ScoringMetrics,
}

impl Scorer {
    /// A scorer.
    ///
    /// # Errors
    /// The built-in model is not valid.
    pub fn new(deps: ScorerDeps) -> Result<Self, ScoringError> {
        let ScorerDeps {
            stores,
            clock,
            ids,
            settings,
            metrics,
        } = deps;
        Ok(Self {
            pipeline: stores.pipeline,
            db: stores.db,
            models: Models::new()?,
            clock,
            ids,
            pacing: settings.pacing(),
            settings,
            metrics,
        })
    }

    /// The models in use.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// How often and how many.
    #[must_use]
    pub fn settings(&self) -> &ScoringSettings {
        &self.settings
    }

    /// Now, as it is stored.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        micros(self.clock.now())
    }

    /// Where the schedule is.
    pub(super) fn pipeline(&self) -> &PipelineDb {
        &self.pipeline
    }

    /// Scores what is due, at most a round's worth; returns how many accounts that were.
    ///
    /// Safe to be killed anywhere, and to run in many processes: a claim that is not finished is anybody's after its
    /// lease, and of two that compute one account, one stores and tells.
    ///
    /// # Errors
    /// [`ScoringError::Store`]: what was claimed is scored after its lease.
    pub async fn round(&self) -> Result<usize, ScoringError> {
        let started = std::time::Instant::now();
        let (limit, lease) = (self.settings.round_accounts, self.settings.lease());
        let claim = schedule::claim(&self.pipeline, self.ids.next(), limit, self.now(), lease).await?;
        if claim.accounts.is_empty() {
            return Ok(0);
        }
        match ::store::retry(|| self.settle(&claim)).await {
            Ok(()) => {}
            Err(error) if error.is_of_one() => self.settle_each(&claim, &error).await?,
            Err(error) => return Err(error),
        }
        self.metrics.round.observe(started.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "at most some hundreds")]
        self.metrics.round_accounts.observe(claim.accounts.len() as f64);
        Ok(claim.accounts.len())
    }

    /// One transaction: load, compute, store, tell, finish.
    async fn settle(&self, claim: &Claim) -> Result<(), ScoringError> {
        let mut tx = self.pipeline.begin().await?;
        let (finished, moved) = self.score(&mut tx, &claim.accounts).await?;
        schedule::finish(&mut tx, claim.lease, &finished, self.now()).await?;
        tx.commit().await?;
        self.metrics
            .scores
            .inc_by(finished.iter().filter(|done| !done.again).count() as u64);
        self.metrics.moved.inc_by(moved);
        Ok(())
    }

    /// One account's fault must not keep its neighbours from their scores.
    async fn settle_each(&self, claim: &Claim, error: &ScoringError) -> Result<(), ScoringError> {
        tracing::warn!(error = %chain(error), accounts = claim.accounts.len(), "a round failed; scoring one by one");
        for &(org, account) in &claim.accounts {
            let one = Claim {
                lease: claim.lease,
                accounts: vec![(org, account)],
            };
            let Err(error) = ::store::retry(|| self.settle(&one)).await else {
                continue;
            };
            if !error.is_of_one() {
                return Err(error);
            }
            tracing::error!(%org, %account, error = %chain(&error), "an account cannot be scored; trying again later");
            self.metrics.failed.inc();
            let later = self.now() + AFTER_FAILURE;
            let finish = Finish {
                org,
                account,
                next_due: Some(later),
                not_before: later,
                again: false,
            };
            let mut tx = self.pipeline.begin().await?;
            schedule::finish(&mut tx, claim.lease, &[finish], self.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Computes, stores and tells; returns how each account is to be left, and how many scores moved.
    async fn score(
        &self,
        tx: &mut Tx,
        accounts: &[(Uuid, Uuid)],
    ) -> Result<(Vec<Finish>, u64), ScoringError> {
        let now = self.now();
        by_index(tx).await?;
        let computed = compute_all(tx, &self.models, accounts, &self.pacing, now).await?;
        let (mut rows, mut rest) = (
            Vec::with_capacity(computed.len()),
            Vec::with_capacity(computed.len()),
        );
        for Computed {
            row,
            changed,
            expansion,
            finish,
        } in computed
        {
            rows.push(row);
            rest.push((changed, expansion, finish));
        }
        let written = scores::write(tx, &rows).await?;
        let (mut finished, mut events, mut moved) = (Vec::with_capacity(rest.len()), Vec::new(), 0);
        for (changed, expansion, mut finish) in rest {
            finish.again = !written.contains(&(finish.org, finish.account));
            if !finish.again {
                moved += u64::from(changed.is_some());
                events.extend(changed.map(|event| self.envelope(&event, &finish, now)));
                events.extend(expansion.map(|event| self.envelope(&event, &finish, now)));
            }
            finished.push(finish);
        }
        if !events.is_empty() {
            eventbus::enqueue_all(tx, &events).await?;
        }
        Ok((finished, moved))
    }

    fn envelope<E: Event>(&self, event: &E, of: &Finish, now: Timestamp) -> Envelope {
        let id = EventId::new(&*self.ids);
        Envelope::wrap(event, id, OrgId(of.org), of.account.to_string(), now)
    }

    /// The stored score of an account; one that is known and not scored yet is scored now, by the same way.
    ///
    /// # Errors
    /// [`ScoringError::UnknownAccount`] when nothing was ever heard of it in this organization.
    pub async fn current(&self, scope: &OrgScope, account: AccountId) -> Result<AccountScore, ScoringError> {
        let (org, account) = (scope.uuid(), account.uuid());
        for _ in 0..ATTEMPTS {
            let mut tx = self.db.begin(scope).await?;
            if let Some(score) = scores::read(&mut tx, org, account).await? {
                tx.rollback().await;
                return Ok(score);
            }
            if !schedule::is_known(&mut tx, org, account).await? {
                tx.rollback().await;
                return Err(ScoringError::UnknownAccount);
            }
            let (finished, moved) = self.score(&mut tx, &[(org, account)]).await?;
            // The account stays due: the worker scores it once more and leaves it in order.
            if finished.iter().any(|done| done.again) {
                tx.rollback().await;
                continue;
            }
            let score = scores::read(&mut tx, org, account).await?;
            tx.commit().await?;
            self.metrics.scores.inc();
            self.metrics.moved.inc_by(moved);
            if let Some(score) = score {
                return Ok(score);
            }
        }
        Err(ScoringError::Contended)
    }
}

impl Scorer {
    /// The stored scores of these accounts, in no order; an account that was never scored has none.
    ///
    /// # Errors
    /// [`ScoringError::Store`], [`ScoringError::Corrupt`].
    pub async fn stored(
        &self,
        scope: &OrgScope,
        accounts: &[Uuid],
    ) -> Result<Vec<AccountScore>, ScoringError> {
        let mut tx = self.db.begin(scope).await?;
        let found = scores::read_many(&mut tx, scope.uuid(), accounts).await?;
        tx.commit().await?;
        Ok(found)
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
