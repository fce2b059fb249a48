//! The timeline of a record: two feeds, each newest first, merged into one, page by page.
//!
//! Owns the order (time, then id, both falling), the merge of a page, and the place from which the next page goes on.
//! Must not: fetch anything.

use std::cmp::Reverse;

use ids::ContactId;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::score::ScoreChange;

/// Kind of an entry that is a signal.
pub const SIGNAL: &str = "signal";
/// Kind of an entry that is a move of the score.
pub const SCORE_CHANGED: &str = "score_changed";

/// The place of an entry in the order of the timeline: time in whole microseconds, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When it happened.
    pub at: Timestamp,
    /// Its id.
    pub id: Uuid,
}

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place; holds its id and its time.
    pub position: Position,
    /// [`SIGNAL`], [`SCORE_CHANGED`], or what our records are called.
    pub kind: &'static str,
    /// One line for a person.
    pub title: String,
    /// Who it concerns.
    pub contact: Option<ContactId>,
    /// Details, by kind.
    pub data: Map<String, Value>,
}

impl From<ScoreChange> for Entry {
    fn from(change: ScoreChange) -> Self {
        let title = change.title();
        let mut data = Map::new();
        data.insert("score".into(), json!(change.score.points));
        data.insert("tier".into(), json!(change.score.tier.name()));
        data.insert("trend".into(), json!(change.score.trend.name()));
        if let Some(before) = change.previous_points {
            data.insert("previousScore".into(), json!(before));
        }
        if let Some(before) = change.previous_tier {
            data.insert("previousTier".into(), json!(before.name()));
        }
        data.insert("modelVersion".into(), json!(change.model_version));
        let position = Position {
            at: change.score.at,
            id: change.id.uuid(),
        };
        Self {
            position,
            kind: SCORE_CHANGED,
            title,
            contact: None,
            data,
        }
    }
}

/// Where in the list of signals the next page goes on: in the page that begins behind `cursor`, of which the first
/// `taken` were shown. The foreign cursor is never looked into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// Cursor of the signal list; `None` is its begin.
    pub cursor: Option<String>,
    /// How many signals behind it were shown already: a hint for how many to ask for.
    pub taken: usize,
}

/// One page of the signal list.
#[derive(Debug, Clone, Default)]
pub struct SignalPage {
    /// The signals, in the order of the timeline.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` on the last page.
    pub next_cursor: Option<String>,
}

/// The signals read for one page of the timeline, and what they say about how to go on.
#[derive(Debug)]
pub struct SignalFeed {
    start: Resume,
    after: Option<Position>,
    unread: Vec<Entry>,
    /// For each of `unread`: where to resume so that it comes next.
    places: Vec<Resume>,
    /// Where to resume once all of `unread` are shown.
    end: Resume,
    /// Whether there is more behind them.
    more: bool,
}

impl SignalFeed {
    /// A feed of which nothing is read yet: goes on at `start`, and leaves out what lies at or before `after`.
    #[must_use]
    pub fn new(start: Resume, after: Option<Position>) -> Self {
        Self {
            end: start.clone(),
            start,
            after,
            unread: Vec::new(),
            places: Vec::new(),
            more: true,
        }
    }

    /// A feed without any signals.
    #[must_use]
    pub fn none() -> Self {
        Self {
            more: false,
            ..Self::new(Resume::default(), None)
        }
    }

    /// What to ask the signal list for next so that `want` unread signals are at hand: a cursor, and how many signals.
    /// `None` when there are enough, or no more.
    #[must_use]
    pub fn missing(&self, want: usize) -> Option<(Option<&str>, usize)> {
        let missing = want.saturating_sub(self.unread.len());
        (self.more && missing > 0).then(|| (self.end.cursor.as_deref(), self.end.taken + missing))
    }

    /// Takes the page that was asked for with [`Self::missing`].
    pub fn take(&mut self, page: SignalPage) {
        let cursor = self.end.cursor.clone();
        let read = page.entries.len();
        for (offset, entry) in page.entries.into_iter().enumerate() {
            if self.after.is_some_and(|after| entry.position >= after) {
                continue;
            }
            self.places.push(Resume {
                cursor: cursor.clone(),
                taken: offset,
            });
            self.unread.push(entry);
        }
        self.more = page.next_cursor.is_some();
        self.end = match page.next_cursor {
            Some(next) => Resume {
                cursor: Some(next),
                taken: 0,
            },
            None => Resume { cursor, taken: read },
        };
    }

    fn resume_after(&self, shown: usize) -> Resume {
        match shown {
            0 => self.start.clone(),
            _ => self.places.get(shown).unwrap_or(&self.end).clone(),
        }
    }
}

/// One page of the timeline.
#[derive(Debug)]
pub struct TimelinePage {
    /// The entries, newest first.
    pub entries: Vec<Entry>,
    /// Whether there are more.
    pub has_more: bool,
    /// Where the signal list goes on for the next page.
    pub resume: Resume,
}

/// Merges the moves of the score with the signals. Both are in order and hold `limit` entries behind the last page, or
/// all there are; `own` may hold one more, which tells that there are more.
#[must_use]
pub fn merge(own: Vec<Entry>, signals: SignalFeed, limit: usize) -> TimelinePage {
    let own_total = own.len();
    let mut entries = Vec::with_capacity(limit);
    let (mut own, mut theirs) = (own.into_iter().peekable(), signals.unread.iter().peekable());
    let (mut own_shown, mut theirs_shown) = (0, 0);
    while entries.len() < limit {
        let key = |entry: &Entry| Reverse(entry.position);
        let own_first = match (own.peek(), theirs.peek()) {
            (Some(mine), Some(other)) => key(mine) < key(other),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        if own_first {
            entries.extend(own.next());
            own_shown += 1;
        } else {
            entries.extend(theirs.next().cloned());
            theirs_shown += 1;
        }
    }
    let has_more = own_shown < own_total || theirs_shown < signals.unread.len() || signals.more;
    TimelinePage {
        entries,
        has_more,
        resume: signals.resume_after(theirs_shown),
    }
}

/// What a signal is called: `package_install by dev@acme.com`.
#[must_use]
pub fn signal_title(kind: &str, who: Option<&str>) -> String {
    match who {
        Some(who) => format!("{kind} by {who}"),
        None => format!("{kind} by somebody unknown"),
    }
}
