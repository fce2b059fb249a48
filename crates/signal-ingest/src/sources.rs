//! Which sources exist and which are paused, for the hot path; and when signals last came through them.
//!
//! Looks into the database once per source and time to live, never per signal. Must not hold a secret.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::store::PipelineDb;
use ids::{OrgId, SourceId};
use jiff::Timestamp;
use lifecycle::{Shutdown, TaskError};
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::error::IngestError;
use crate::store::sources;

/// Sources whose state is remembered; more than any installation uses at the same time.
const CAPACITY: u64 = 100_000;

/// What a source means to a signal that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its signals are taken.
    Open,
    /// Its signals are refused.
    Paused,
    /// The organization has no such source.
    Unknown,
}

/// The states of all sources. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    db: PipelineDb,
    states: Cache<(OrgId, SourceId), State>,
}

impl Directory {
    /// A directory that looks again after `time_to_live`: so long another replica may go on with what was.
    #[must_use]
    pub fn new(db: PipelineDb, time_to_live: Duration) -> Self {
        let states = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(time_to_live)
            .build();
        Self { db, states }
    }

    /// The states of these sources; one query for those that are not remembered.
    ///
    /// # Errors
    /// The database failed.
    pub async fn states(
        &self,
        keys: &BTreeSet<(OrgId, SourceId)>,
    ) -> Result<HashMap<(OrgId, SourceId), State>, IngestError> {
        let mut found = HashMap::with_capacity(keys.len());
        let mut missing = Vec::new();
        for key in keys {
            match self.states.get(key) {
                Some(state) => {
                    found.insert(*key, state);
                }
                None => missing.push(*key),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        found.extend(missing.iter().map(|key| (*key, State::Unknown)));
        for (org, id, paused) in sources::states(&self.db, &missing).await? {
            found.insert((org, id), if paused { State::Paused } else { State::Open });
        }
        for key in missing {
            self.states.insert(key, found[&key]);
        }
        Ok(found)
    }

    /// Forgets a source that was changed here.
    pub fn forget(&self, org: OrgId, id: SourceId) {
        self.states.invalidate(&(org, id));
    }
}

/// When signals last came, gathered in memory and written now and then: a source's row is never written by the
/// accepting transactions, which would all wait for it. What is lost with the process is seconds of "last seen".
#[derive(Clone, Default)]
pub struct LastSeen {
    seen: Arc<Mutex<HashMap<(OrgId, SourceId), Timestamp>>>,
}

impl LastSeen {
    /// Notes that signals came through a source.
    pub fn note(&self, org: OrgId, id: SourceId, at: Timestamp) {
        let mut seen = self.seen.lock();
        let latest = seen.entry((org, id)).or_insert(at);
        *latest = (*latest).max(at);
    }

    /// Writes what was noted, every `pause` and once more at the end.
    ///
    /// # Errors
    /// Never: a failure is logged, and what was noted is written the next time.
    pub async fn keep(self, db: PipelineDb, pause: Duration, shutdown: Shutdown) -> Result<(), TaskError> {
        loop {
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = self.flush(&db).await {
                tracing::warn!(error = %error, "the times of last signals could not be written");
            }
            if shutdown.is_requested() {
                return Ok(());
            }
        }
    }

    /// Writes what was noted since the last time.
    ///
    /// # Errors
    /// The database failed; what was noted is kept.
    pub async fn flush(&self, db: &PipelineDb) -> Result<(), IngestError> {
        let seen = std::mem::take(&mut *self.seen.lock());
        if seen.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = seen.iter().map(|((org, id), at)| (*org, *id, *at)).collect();
        let outcome = sources::touch(db, &rows).await;
        if outcome.is_err() {
            for (org, id, at) in rows {
                self.note(org, id, at);
            }
        }
        outcome
    }
}
