//! A page of a timeline: our own entries and the signals of signal-ingest, merged at read.
//!
//! The cursor is bound to organization and record. It holds the place of the last entry shown, which both feeds go on
//! behind, and where signal-ingest's own list goes on, so that a page deep in a long timeline (or among many signals of
//! one instant) costs no more than the first.

use ::store::OrgScope;
use ::store::paging::{Cursor, Fingerprint, MAX_LIMIT, PageRequest, invalid_cursor};
use contracts::convert::{self, timestamp};
use contracts::crm::v1 as crm;
use jiff::Timestamp;
use rpc::Caller;
use serde_json::json;

use crate::domain::timeline::{Entry, Position, Resume, SignalFeed, merge};
use crate::error::CrmError;
use crate::signals::SignalSource;
use crate::store::{About, Records};

/// Largest page of `ListSignals`.
const MAX_SIGNALS: usize = MAX_LIMIT as usize;

/// A page of a timeline.
pub(super) struct TimelinePage {
    /// The entries.
    pub(super) data: Vec<crm::TimelineEntry>,
    /// Where the next page begins.
    pub(super) next_cursor: Option<String>,
    /// Whether there is one.
    pub(super) has_more: bool,
}

/// Reads a page of the timeline of a record.
pub(super) async fn page(
    records: &Records,
    signals: &dyn SignalSource,
    (caller, scope): (Caller, OrgScope),
    about: About,
    limit: Option<i32>,
    cursor: Option<String>,
) -> Result<TimelinePage, CrmError> {
    let (method, filter) = match about {
        About::Account(_) => ("ListAccountTimeline", "accountId"),
        About::Contact(_) => ("ListContactTimeline", "contactId"),
        About::Deal(_) => ("ListDealTimeline", "dealId"),
    };
    let filters = [(filter.to_owned(), about.uuid().to_string())];
    let fingerprint = Fingerprint::new(scope.org(), method, "-timestamp", &filters);
    let page = PageRequest::parse(limit, cursor.as_deref(), fingerprint)?;
    let limit = usize::try_from(page.limit).unwrap_or(MAX_SIGNALS);
    let place = page
        .after
        .as_ref()
        .map(Place::read)
        .transpose()?
        .unwrap_or_default();

    let own = records
        .own_timeline(&scope, about, place.after, page.fetch_limit())
        .await?;
    let mut feed = match about {
        About::Account(_) | About::Contact(_) => SignalFeed::new(place.resume, place.after),
        // A deal has signals of its account, in a list of their own.
        About::Deal(_) => SignalFeed::none(),
    };
    while let Some((cursor, wanted)) = feed.missing(limit) {
        let read = signals
            .page(&caller, about, cursor, wanted.min(MAX_SIGNALS))
            .await?;
        feed.take(read);
    }
    let merged = merge(own, feed, limit);

    let last = merged.entries.last().map(|entry| entry.position);
    let next = last.filter(|_| merged.has_more).map(|last| Place {
        after: Some(last),
        resume: merged.resume,
    });
    Ok(TimelinePage {
        data: merged.entries.into_iter().map(message).collect(),
        has_more: next.is_some(),
        next_cursor: next.map(|place| place.cursor().encode(fingerprint)),
    })
}

/// Where a page ended.
#[derive(Debug, Default, PartialEq)]
struct Place {
    after: Option<Position>,
    resume: Resume,
}

impl Place {
    fn cursor(&self) -> Cursor {
        let (at, id) = match self.after {
            Some(Position { at, id }) => (json!(at.as_microsecond()), json!(id)),
            None => (json!(null), json!(null)),
        };
        Cursor(vec![at, id, json!(self.resume.cursor), json!(self.resume.taken)])
    }

    /// The tag of a cursor has no secret, so what it holds is checked like anything else that a caller sends.
    fn read(cursor: &Cursor) -> Result<Self, CrmError> {
        Self::parse(cursor).ok_or_else(|| CrmError::Api(invalid_cursor()))
    }

    fn parse(cursor: &Cursor) -> Option<Self> {
        let [at, id, signals, taken] = cursor.0.as_slice() else {
            return None;
        };
        let at = Timestamp::from_microsecond(at.as_i64()?).ok()?;
        let after = Position {
            at,
            id: id.as_str()?.parse().ok()?,
        };
        let signals = match signals {
            serde_json::Value::Null => None,
            other => Some(other.as_str()?.to_owned()),
        };
        let taken = usize::try_from(taken.as_u64()?)
            .ok()
            .filter(|taken| *taken <= MAX_SIGNALS)?;
        Some(Self {
            after: Some(after),
            resume: Resume {
                cursor: signals,
                taken,
            },
        })
    }
}

fn message(entry: Entry) -> crm::TimelineEntry {
    crm::TimelineEntry {
        id: entry.position.id.to_string(),
        kind: entry.kind.to_owned(),
        timestamp: Some(timestamp(entry.position.at)),
        title: entry.title,
        contact_id: entry.contact.map(|contact| contact.to_string()),
        data: (!entry.data.is_empty()).then(|| convert::to_struct(entry.data)),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_place_survives_its_cursor_and_nothing_else_is_read() {
        let place = Place {
            after: Some(Position {
                at: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
                id: Uuid::from_u128(7),
            }),
            resume: Resume {
                cursor: Some("abc".into()),
                taken: 3,
            },
        };
        assert_eq!(Place::parse(&place.cursor()), Some(place));
        let id = json!(Uuid::nil());
        for bad in [
            vec![],
            vec![json!(1), id.clone(), json!(null)],
            vec![json!("1"), id.clone(), json!(null), json!(0)],
            vec![json!(i64::MAX), id.clone(), json!(null), json!(0)],
            vec![json!(1), json!("x"), json!(null), json!(0)],
            vec![json!(1), id.clone(), json!(5), json!(0)],
            vec![json!(1), id.clone(), json!(null), json!(-1)],
            vec![json!(1), id, json!(null), json!(201)],
        ] {
            assert_eq!(Place::parse(&Cursor(bad)), None);
        }
    }
}
