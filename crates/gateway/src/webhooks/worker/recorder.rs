//! Records attempts, those that end at about the same time in one transaction.

use std::sync::Arc;
use std::time::Duration;

use ::store::{StoreError, Tx};
use coalesce::{CallError, Coalescer, Lane as Work, Options};
use contracts::convert;
use contracts::events::v1::{WebhookDeliveryExhausted, WebhookEndpointDisabled};
use contracts::{Envelope, Event};
use ids::{EventId, OrgId};
use jiff::{SignedDuration, Timestamp};
use lifecycle::{Lifecycle, OnExit, Phase};
use serde_json::json;

use crate::mail::{NewMail, Template};
use crate::webhooks::domain::outcome::Verdict;
use crate::webhooks::domain::schedule::Schedule;
use crate::webhooks::domain::types::is_own;
use crate::webhooks::metrics::HookMetrics;
use crate::webhooks::store::lanes::Lane;
use crate::webhooks::store::queue;
use crate::webhooks::store::record::{self, Next, Record, Standing};
use crate::webhooks::{Deps, WebhookSettings};

/// Attempts in one transaction.
const GROUP: usize = 512;
/// Transactions at the same time.
const LANES: usize = 2;
/// Under load, what ends within this time shares a transaction.
const BREATH: Duration = Duration::from_millis(3);
/// An endpoint is not disabled for fewer failures than this, however long ago the first was.
const FEW: i64 = 12;
/// How long an attempt's record is tried to be written. Then the attempt is made again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A mail about a disabled webhook is worth sending so long.
const MAIL_GOOD_FOR: SignedDuration = SignedDuration::from_hours(72);

type Shared = Arc<StoreError>;

/// The recorder. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: Coalescer<Record, (), Shared>,
    rules: Arc<Rules>,
}

/// What follows from what.
struct Rules {
    deps: Arc<Deps>,
    schedule: Schedule,
    disable_after: SignedDuration,
    metrics: HookMetrics,
}

impl Recorder {
    /// Starts the tasks that write.
    pub fn start(
        settings: &WebhookSettings,
        deps: &Arc<Deps>,
        metrics: &HookMetrics,
        lifecycle: &Lifecycle,
    ) -> Self {
        let rules = Arc::new(Rules {
            deps: Arc::clone(deps),
            schedule: settings.schedule(),
            disable_after: SignedDuration::from_hours(i64::from(settings.disable_after_hours)),
            metrics: metrics.clone(),
        });
        let (queue, lanes) = Coalescer::new(Options {
            lanes: LANES,
            max_items: GROUP,
            max_weight: usize::MAX,
            // Never reached: as many wait as are in flight.
            max_queued_items: settings.max_in_flight.saturating_mul(2).max(64),
            max_queued_weight: usize::MAX,
            breath: BREATH,
            crowd: GROUP,
        });
        for lane in lanes {
            let rules = Arc::clone(&rules);
            // Stopped after the worker, which hands over what it has in flight until then.
            lifecycle.spawn(
                "webhook-recorder",
                Phase::Base,
                OnExit::restart(),
                move |shutdown| {
                    let (rules, lane): (_, Work<_, _, _>) = (Arc::clone(&rules), lane.clone());
                    async move {
                        let rules = &rules;
                        lane.run(
                            |group| {
                                let rules = Arc::clone(rules);
                                async move { rules.group(group).await }
                            },
                            shutdown.requested_owned(),
                        )
                        .await;
                        Ok(())
                    }
                },
            );
        }
        Self { queue, rules }
    }

    /// What follows from an attempt: attempt number `step` of the schedule.
    pub fn next(&self, verdict: Verdict, step: i32, asked: Option<Duration>) -> Next {
        match verdict {
            Verdict::Delivered => Next::Delivered,
            Verdict::Gone => Next::GivenUp,
            Verdict::Failed => {
                let step = usize::try_from(step).unwrap_or(usize::MAX);
                let pause = self.rules.schedule.pause(step, asked, rand::random::<f64>());
                let now = self.rules.deps.clock.now();
                let at = pause.and_then(|pause| now.checked_add(SignedDuration::try_from(pause).ok()?).ok());
                at.map_or(Next::GivenUp, Next::Again)
            }
        }
    }

    /// Writes one, with its neighbours; whether it was.
    pub async fn record(&self, record: Record) -> bool {
        let began = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            match self.queue.call(record.clone(), 1).await {
                Ok(()) => return true,
                Err(CallError::Bulk(error)) => {
                    tracing::warn!(%error, "an attempt could not be recorded yet");
                }
                Err(_) => return false,
            }
            if began.elapsed() > PATIENCE {
                tracing::error!(delivery = %record.delivery, "an attempt is not recorded and will be made again");
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

impl Rules {
    async fn group(self: Arc<Self>, group: Vec<Record>) -> Result<Vec<()>, Shared> {
        let done = ::store::retry(|| self.write(&group)).await;
        done.map_err(Arc::new)?;
        Ok(group.iter().map(|_| ()).collect())
    }

    async fn write(&self, group: &[Record]) -> Result<(), StoreError> {
        let now = self.deps.clock.now();
        let mut tx = self.deps.stores.pipeline.begin().await?;
        let mine = record::deliveries(&mut tx, group, now).await?;
        let mine: Vec<Record> = group
            .iter()
            .filter(|record| mine.contains(&record.delivery))
            .cloned()
            .collect();
        record::stats(&mut tx, group).await?;
        let standing = record::standing(&mut tx, group).await?;
        let exhausted = self.tell_exhausted(&mut tx, &mine, now).await?;
        let disabled = self.disable(&mut tx, group, &standing, now).await?;
        tx.commit().await?;
        self.metrics.exhausted.inc_by(exhausted);
        for reason in disabled {
            self.metrics.disabled.with_label_values(&[reason]).inc();
        }
        Ok(())
    }

    /// Tells of deliveries that were given up; not of those that are about webhooks, which would go on for ever.
    async fn tell_exhausted(&self, tx: &mut Tx, mine: &[Record], now: Timestamp) -> Result<u64, StoreError> {
        let exhausted = mine.iter().filter(|record| record.next == Next::GivenUp);
        let told: Vec<Envelope> = exhausted
            .clone()
            .filter(|record| !is_own(&record.kind))
            .map(|record| {
                let event = WebhookDeliveryExhausted {
                    webhook_id: record.lane.1.to_string(),
                    delivery_id: record.delivery.to_string(),
                    event_id: record.event.to_string(),
                    r#type: record.kind.clone(),
                    attempts: record.number,
                    last_status: record.status,
                };
                self.envelope(record.lane, now, &event)
            })
            .collect();
        if !told.is_empty() {
            eventbus::enqueue_all(tx, &told).await?;
        }
        Ok(u64::try_from(exhausted.count()).unwrap_or(0))
    }

    /// Disables what is gone, and what fails for too long; gives the reasons.
    async fn disable(
        &self,
        tx: &mut Tx,
        group: &[Record],
        standing: &[Standing],
        now: Timestamp,
    ) -> Result<Vec<&'static str>, StoreError> {
        let since = |lane: Lane| {
            let found = standing.iter().find(|s| (s.org_id, s.webhook_id) == lane)?;
            found.failing_since.map(|at| at.to_jiff())
        };
        let mut ends: Vec<(Lane, &'static str)> = group
            .iter()
            .filter(|r| r.gone)
            .map(|r| (r.lane, "gone"))
            .collect();
        for of in standing {
            let lane = (of.org_id, of.webhook_id);
            let too_long = since(lane).is_some_and(|at| now.duration_since(at) >= self.disable_after);
            if too_long && of.failures >= FEW {
                ends.push((lane, "failing"));
            }
        }
        ends.sort_unstable();
        ends.dedup_by_key(|end| end.0);
        let mut reasons = Vec::new();
        for (lane, reason) in ends {
            let Some(url) = record::disable(tx, lane, reason, now).await? else {
                continue;
            };
            queue::hold(tx, lane.0, lane.1).await?;
            self.mail(tx, lane, &url, reason).await?;
            let event = WebhookEndpointDisabled {
                webhook_id: lane.1.to_string(),
                url,
                reason: reason.to_owned(),
                failing_since: since(lane).map(convert::timestamp),
            };
            eventbus::enqueue(tx, &self.envelope(lane, now, &event)).await?;
            tracing::info!(org = %lane.0, webhook = %lane.1, reason, "a webhook is disabled");
            reasons.push(reason);
        }
        Ok(reasons)
    }

    /// Tells the organization's owners and admins, where mail is set up.
    async fn mail(
        &self,
        tx: &mut Tx,
        (org, webhook): Lane,
        url: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let reason = match reason {
            "gone" => "it answered that it is gone (410)".to_owned(),
            _ => format!(
                "nothing was delivered for {} hours",
                self.disable_after.as_hours()
            ),
        };
        let mail = NewMail {
            template: Template::EndpointDisabled,
            to: String::new(),
            facts: json!({"url": url, "reason": reason, "endpointId": webhook.to_string()}),
            good_for: MAIL_GOOD_FOR,
        };
        self.deps.mailer.enqueue_to_admins(tx, org, &mail).await?;
        Ok(())
    }

    fn envelope<E: Event>(&self, (org, webhook): Lane, now: Timestamp, event: &E) -> Envelope {
        let id = EventId(self.deps.ids.next());
        Envelope::wrap(event, id, OrgId(org), webhook.to_string(), now)
    }
}
