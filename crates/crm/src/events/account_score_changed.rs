//! `account.score_changed`: score, tier or trend of an account moved.

use contracts::{convert, events::v1 as events, scores::v1 as scores};
use eventbus::HandlerError;
use ids::EventId;
use prost::Message as _;

use super::together::{Frequent, Together};
use super::{id, unreadable};
use crate::domain::score::{Score, ScoreChange, Tier, Trend};
use crate::domain::{self, text};
use crate::error::CrmError;
use crate::store::{Delivered, Outcome, Records};

/// Longest name of a model, in characters.
const MAX_MODEL: usize = 200;

/// Keeps the score, and the move for the timeline.
pub type AccountScoreChanged = Together<events::AccountScoreChanged>;

impl Frequent for events::AccountScoreChanged {
    const CONSUMER: &'static str = "crm_account_score_changed";
    const LANE: &'static str = "scores";
    type Fact = ScoreChange;

    fn read(self, delivered: &Delivered) -> Result<ScoreChange, HandlerError> {
        change(self, delivered.event)
    }

    async fn learn(records: &Records, moves: &[(Delivered, ScoreChange)]) -> Result<Vec<Outcome>, CrmError> {
        records.rate_accounts(moves).await
    }
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
