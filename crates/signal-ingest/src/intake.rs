//! From checked items to stored signals: sources are looked up, requests of all callers share transactions.
//!
//! Owns the lanes of the accepting stage. An answer is given only after the commit that it speaks of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::PipelineDb;
use coalesce::{CallError, Coalescer, Lane, Options};
use errors::{ApiError, ErrorCode, FieldError};
use ids::{BatchId, Clock, IdGen, OrgId, SignalId, SourceId};
use lifecycle::{Lifecycle, OnExit, Phase};
use telemetry::TraceContext;

use crate::config::AcceptSettings;
use crate::domain::accept::{Outcome, Request, Verdict};
use crate::domain::prepared::Prepared;
use crate::domain::validate::NewSignal;
use crate::error::IngestError;
use crate::metrics::IngestMetrics;
use crate::sources::{Directory, LastSeen, State};
use crate::store::accept::{Repeats, accept};

/// One request: whose it is, and its items, each checked or with what is wrong with it.
#[derive(Debug)]
pub struct Draft {
    /// The organization, verified.
    pub org: OrgId,
    /// The items in order.
    pub items: Vec<Result<NewSignal, Vec<FieldError>>>,
    /// The key of the whole request.
    pub key: Option<String>,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemVerdict {
    /// New, and stored.
    Accepted(SignalId),
    /// Known: the id of the signal that was first.
    Duplicate(SignalId),
    /// Refused, and why.
    Rejected(Vec<FieldError>),
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// The batch of its first new signal.
    pub batch: Option<BatchId>,
    /// One per item, in order.
    pub items: Vec<ItemVerdict>,
}

/// The requests of one call; they share a transaction.
type Group = Vec<Request>;
/// What became of them. The group's own failure: a call next to it is not touched by it.
type GroupOutcome = Result<Vec<Outcome>, ApiError>;

/// Takes requests in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    calls: Coalescer<Group, GroupOutcome, ApiError>,
    directory: Directory,
    last_seen: LastSeen,
    metrics: IngestMetrics,
    clock: Arc<dyn Clock>,
}

/// What the lanes work with.
#[derive(Clone)]
struct Worker {
    db: PipelineDb,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    metrics: IngestMetrics,
    repeats: Repeats,
}

impl Intake {
    /// Starts the lanes as tasks of `lifecycle`.
    #[must_use]
    pub fn start(
        settings: &AcceptSettings,
        db: &PipelineDb,
        (directory, last_seen): (Directory, LastSeen),
        (clock, ids): (&Arc<dyn Clock>, &Arc<dyn IdGen>),
        metrics: &IngestMetrics,
        lifecycle: &Lifecycle,
    ) -> Self {
        let (calls, lanes) = Coalescer::new(Options {
            lanes: settings.lanes,
            max_items: settings.group_signals,
            max_weight: settings.group_signals,
            max_queued_items: settings.queued_calls,
            max_queued_weight: settings.queued_signals,
            breath: Duration::ZERO,
            crowd: settings.group_signals,
        });
        let worker = Worker {
            db: db.clone(),
            clock: Arc::clone(clock),
            ids: Arc::clone(ids),
            metrics: metrics.clone(),
            repeats: Repeats::default(),
        };
        for lane in lanes {
            spawn(lane, &calls, &worker, lifecycle);
        }
        Self {
            calls,
            directory,
            last_seen,
            metrics: metrics.clone(),
            clock: Arc::clone(clock),
        }
    }

    /// Stores the good items of `drafts` in one transaction. The answers are in the order of the drafts.
    pub async fn accept(&self, mut drafts: Vec<Draft>) -> Vec<Result<Verdicts, ApiError>> {
        if let Err(error) = self.check_sources(&mut drafts).await {
            let refusal = refusal(&error);
            return drafts.iter().map(|_| Err(refusal.clone())).collect();
        }
        let (open, group) = prepare(drafts, &TraceContext::current());
        let sources: BTreeSet<_> = sources_of(&group).collect();
        let outcome = if group.is_empty() {
            Ok(Vec::new())
        } else {
            self.store(group).await
        };
        let verdicts = match outcome {
            Ok(outcomes) => finish(open, outcomes),
            Err(error) => open
                .into_iter()
                .map(|waiting| waiting.without_store(&error))
                .collect(),
        };
        let now = self.clock.now();
        if verdicts.iter().any(Result::is_ok) {
            sources
                .into_iter()
                .for_each(|(org, id)| self.last_seen.note(org, id, now));
        }
        self.count(&verdicts);
        verdicts
    }

    async fn store(&self, group: Group) -> GroupOutcome {
        let weight = group.iter().map(|request| request.signals.len()).sum();
        match self.calls.call(group, weight).await {
            Ok(outcome) => outcome,
            Err(CallError::Overloaded) => {
                Err(ApiError::unavailable("too many signals are waiting to be stored"))
            }
            Err(CallError::Closed) => Err(ApiError::unavailable("the service is shutting down")),
            Err(CallError::Bulk(error)) => Err(error),
            Err(CallError::Aborted | CallError::WrongLength { .. }) => Err(ApiError::internal()),
        }
    }

    /// Rejects the items whose source does not exist or is paused.
    async fn check_sources(&self, drafts: &mut [Draft]) -> Result<(), IngestError> {
        let named = |draft: &Draft| {
            let org = draft.org;
            let ids = draft
                .items
                .iter()
                .filter_map(|item| item.as_ref().ok()?.source_id);
            ids.map(move |id| (org, id)).collect::<Vec<_>>()
        };
        let keys: BTreeSet<_> = drafts.iter().flat_map(named).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let states = self.directory.states(&keys).await?;
        for draft in drafts {
            for item in &mut draft.items {
                let Some(id) = item.as_ref().ok().and_then(|signal| signal.source_id) else {
                    continue;
                };
                let (code, message) = match states.get(&(draft.org, id)) {
                    Some(State::Open) => continue,
                    Some(State::Paused) => (
                        "source_paused",
                        "the source is paused; activate it to send through it",
                    ),
                    Some(State::Unknown) | None => ("unknown_source", "there is no such source"),
                };
                *item = Err(vec![FieldError::new("/sourceId", code, message)]);
            }
        }
        Ok(())
    }

    fn count(&self, verdicts: &[Result<Verdicts, ApiError>]) {
        let (mut accepted, mut duplicate, mut rejected) = (0, 0, 0);
        for item in verdicts.iter().flatten().flat_map(|verdicts| &verdicts.items) {
            match item {
                ItemVerdict::Accepted(_) => accepted += 1,
                ItemVerdict::Duplicate(_) => duplicate += 1,
                ItemVerdict::Rejected(_) => rejected += 1,
            }
        }
        for (verdict, count) in [
            ("accepted", accepted),
            ("duplicate", duplicate),
            ("rejected", rejected),
        ] {
            self.metrics.signals.with_label_values(&[verdict]).inc_by(count);
        }
    }
}

/// A request whose good items are on their way: the place of each, and the verdicts of the others.
struct Waiting {
    rejected: Vec<Option<Vec<FieldError>>>,
    sent: bool,
}

impl Waiting {
    /// When the transaction failed: a request without good items is answered all the same.
    fn without_store(self, error: &ApiError) -> Result<Verdicts, ApiError> {
        if self.sent {
            Err(error.clone())
        } else {
            self.answer(Outcome {
                batch: None,
                verdicts: Vec::new(),
            })
        }
    }

    fn answer(self, outcome: Outcome) -> Result<Verdicts, ApiError> {
        let mut stored = outcome.verdicts.into_iter();
        let verdict = |faults| match faults {
            Some(faults) => Ok(ItemVerdict::Rejected(faults)),
            None => match stored.next() {
                Some(Verdict::Accepted(id)) => Ok(ItemVerdict::Accepted(id)),
                Some(Verdict::Duplicate(id)) => Ok(ItemVerdict::Duplicate(id)),
                None => Err(ApiError::internal()),
            },
        };
        let items = self.rejected.into_iter().map(verdict).collect::<Result<_, _>>()?;
        Ok(Verdicts {
            batch: outcome.batch,
            items,
        })
    }
}

fn prepare(drafts: Vec<Draft>, trace: &TraceContext) -> (Vec<Waiting>, Group) {
    let traceparent: Option<Arc<str>> = trace.traceparent().map(Into::into);
    let mut waiting = Vec::with_capacity(drafts.len());
    let mut group = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut signals = Vec::with_capacity(draft.items.len());
        let mut rejected = Vec::with_capacity(draft.items.len());
        for (index, item) in draft.items.into_iter().enumerate() {
            rejected.push(match item {
                Ok(signal) => {
                    signals.push(Prepared::new(
                        signal,
                        draft.key.as_deref().map(|key| (key, index)),
                    ));
                    None
                }
                Err(faults) => Some(faults),
            });
        }
        waiting.push(Waiting {
            rejected,
            sent: !signals.is_empty(),
        });
        if !signals.is_empty() {
            group.push(Request {
                org: draft.org,
                signals,
                traceparent: traceparent.clone(),
            });
        }
    }
    (waiting, group)
}

fn finish(waiting: Vec<Waiting>, outcomes: Vec<Outcome>) -> Vec<Result<Verdicts, ApiError>> {
    let mut outcomes = outcomes.into_iter();
    let mut next = |sent| match sent {
        true => outcomes.next().ok_or_else(ApiError::internal),
        false => Ok(Outcome {
            batch: None,
            verdicts: Vec::new(),
        }),
    };
    waiting
        .into_iter()
        .map(|waiting| next(waiting.sent).and_then(|outcome| waiting.answer(outcome)))
        .collect()
}

fn sources_of(group: &[Request]) -> impl Iterator<Item = (OrgId, SourceId)> + '_ {
    let named = |request: &Request| {
        let org = request.org;
        request
            .signals
            .iter()
            .filter_map(move |signal| Some((org, signal.source_id?)))
            .collect::<Vec<_>>()
    };
    group.iter().flat_map(named)
}

fn spawn(
    lane: Lane<Group, GroupOutcome, ApiError>,
    calls: &Coalescer<Group, GroupOutcome, ApiError>,
    worker: &Worker,
    lifecycle: &Lifecycle,
) {
    let (calls, worker) = (calls.clone(), worker.clone());
    lifecycle.spawn("accept-lane", Phase::Work, OnExit::restart(), move |shutdown| {
        let (lane, calls, worker) = (lane.clone(), calls.clone(), worker.clone());
        async move {
            let bulk = |groups: Vec<Group>| {
                let (calls, signals) = calls.queued();
                for (what, count) in [("calls", calls), ("signals", signals)] {
                    let gauge = worker.metrics.queued.with_label_values(&[what]);
                    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
                }
                let worker = worker.clone();
                async move { Ok(worker.run(groups).await) }
            };
            lane.run(bulk, shutdown.requested_owned()).await;
            Ok(())
        }
    });
}

impl Worker {
    /// All groups in one transaction. When the database refuses what one of them holds, each is tried alone, so that it
    /// fails alone.
    async fn run(&self, groups: Vec<Group>) -> Vec<GroupOutcome> {
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        let mut all: Vec<Request> = groups.into_iter().flatten().collect();
        match self.store(&all).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                sizes
                    .iter()
                    .map(|size| Ok(outcomes.by_ref().take(*size).collect()))
                    .collect()
            }
            Err(error) if sizes.len() > 1 && refusal(&error).code == ErrorCode::Internal => {
                let mut answers = Vec::with_capacity(sizes.len());
                for size in sizes {
                    let rest = all.split_off(size);
                    answers.push(self.store(&all).await.map_err(|error| refusal(&error)));
                    all = rest;
                }
                answers
            }
            Err(error) => {
                let refusal = refusal(&error);
                sizes.iter().map(|_| Err(refusal.clone())).collect()
            }
        }
    }

    async fn store(&self, requests: &[Request]) -> Result<Vec<Outcome>, IngestError> {
        let signals: usize = requests.iter().map(|request| request.signals.len()).sum();
        let begun = Instant::now();
        let outcome = accept(&self.db, &*self.clock, &*self.ids, &self.repeats, requests).await;
        let label = if outcome.is_ok() { "stored" } else { "failed" };
        self.metrics
            .accept_seconds
            .with_label_values(&[label])
            .observe(begun.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        self.metrics.group_items.observe(signals as f64);
        self.metrics
            .requests
            .inc_by(u64::try_from(requests.len()).unwrap_or(0));
        if let Err(error) = &outcome {
            let chain = anyhow::Chain::new(error)
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(": ");
            tracing::error!(error = %chain, signals, "an accepting transaction failed");
        }
        outcome
    }
}

/// What the callers of a failed accepting transaction are told.
fn refusal(error: &IngestError) -> ApiError {
    error.to_accept_api()
}
