//! `account.score_changed`: score, tier or trend of an account moved.

use std::sync::Arc;
use std::time::Duration;

use ::store::Class;
use coalesce::{CallError, Coalescer, Lane, Options};
use contracts::{Envelope, Event as _, convert, events::v1 as events, scores::v1 as scores};
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::EventId;
use lifecycle::{Lifecycle, OnExit, Phase};
use prost::Message as _;

use super::{Desk, delivered, id, unreadable};
use crate::config::ScoreSettings;
use crate::domain::score::{Score, ScoreChange, Tier, Trend};
use crate::domain::{self, text};
use crate::error::CrmError;
use crate::store::{Delivered, Outcome, Records};

pub(super) const EVENT: &str = events::AccountScoreChanged::TYPE;
const CONSUMER: &str = "crm_account_score_changed";

/// Longest name of a model, in characters.
const MAX_MODEL: usize = 200;

/// Keeps the score, and the move for the timeline. Moves that arrive while a transaction runs, or within a breath after
/// it, share the next one: where many accounts are scored again and again, each move by itself would cost a transaction.
pub struct AccountScoreChanged {
    desk: Desk,
    moves: Coalescer<Move, Verdict, SharedError>,
}

type Move = (Delivered, ScoreChange);
type SharedError = Arc<CrmError>;
type Verdict = Result<Outcome, SharedError>;

impl AccountScoreChanged {
    /// Starts the lane.
    #[must_use]
    pub fn start(desk: Desk, settings: &ScoreSettings, lifecycle: &Lifecycle) -> Self {
        let (moves, lanes) = Coalescer::new(Options {
            lanes: 1,
            max_items: settings.group_moves,
            max_weight: usize::MAX,
            // Never reached: no more are in hand than the consumer handles at once.
            max_queued_items: settings.group_moves.saturating_mul(4),
            max_queued_weight: usize::MAX,
            breath: Duration::from_millis(settings.breath_ms),
        });
        for lane in lanes {
            let records = desk.records.clone();
            // Stopped after the consumer, which hands over what it has in hand until then.
            lifecycle.spawn("score-lane", Phase::Base, OnExit::restart(), move |shutdown| {
                let (records, lane): (Records, Lane<_, _, _>) = (records.clone(), lane.clone());
                async move {
                    lane.run(|group| rate(records.clone(), group), shutdown.requested_owned())
                        .await;
                    Ok(())
                }
            });
        }
        Self { desk, moves }
    }
}

impl Handler for AccountScoreChanged {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let change = change(envelope.read()?, envelope.id)?;
        let outcome = match self.moves.call((delivered(&envelope, CONSUMER), change), 1).await {
            Ok(outcome) => outcome,
            Err(CallError::Bulk(error)) => Err(error),
            Err(error) => return Err(HandlerError::retry(error)),
        };
        self.desk.settle_shared(EVENT, outcome)
    }
}

/// One transaction for the group; if that fails for a reason that may be one move's, one for each, so that it does not
/// harm its neighbours.
async fn rate(records: Records, group: Vec<Move>) -> Result<Vec<Verdict>, SharedError> {
    let error = match records.rate_accounts(&group).await {
        Ok(outcomes) => return Ok(outcomes.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    let away = matches!(&error, CrmError::Store(error) if matches!(error.class(), Class::Unavailable));
    if group.len() == 1 || away {
        return Err(Arc::new(error));
    }
    let mut verdicts = Vec::with_capacity(group.len());
    for one in &group {
        let outcome = records.rate_accounts(std::slice::from_ref(one)).await;
        verdicts.push(match outcome {
            Ok(outcomes) => Ok(outcomes.first().copied().unwrap_or(Outcome::Repeated)),
            Err(error) => Err(Arc::new(error)),
        });
    }
    Ok(verdicts)
}

fn change(event: events::AccountScoreChanged, id_of_event: EventId) -> Result<ScoreChange, HandlerError> {
    let mut told: scores::AccountScore = event.score.ok_or_else(|| unreadable("the score is missing"))?;
    let at = told.computed_at.as_ref().and_then(convert::from_timestamp);
    let score = Score {
        points: points(told.score)?,
        tier: Tier::from_number(told.tier).ok_or_else(|| unreadable("the tier is unknown"))?,
        trend: Trend::from_number(told.trend).ok_or_else(|| unreadable("the trend is unknown"))?,
        at: domain::micros(at.ok_or_else(|| unreadable("the time of the score is missing"))?),
    };
    for factor in &mut told.factors {
        if let Some(evidence) = &mut factor.evidence {
            // Most of what a score is in bytes; the timeline has the signals.
            evidence.signal_ids.clear();
        }
    }
    Ok(ScoreChange {
        detail: told.encode_to_vec(),
        id: id_of_event,
        account: id("score.account_id", &told.account_id)?,
        revision: event.revision,
        score,
        previous_points: event.previous_score.map(points).transpose()?,
        previous_tier: Tier::from_number(event.previous_tier),
        model_version: text::learnt(Some(&told.model_version), MAX_MODEL).unwrap_or_default(),
    })
}

fn points(score: i32) -> Result<i16, HandlerError> {
    let fits = i16::try_from(score)
        .ok()
        .filter(|points| (0..=100).contains(points));
    fits.ok_or_else(|| unreadable("a score is not from 0 to 100"))
}
