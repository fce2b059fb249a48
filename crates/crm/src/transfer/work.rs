//! Working through imports: a task that takes a turn at whatever waits, chunk by chunk, and can be ended anywhere.
//!
//! Contract: what is done is known from the database alone (results of lanes, written with their effect), so a worker that is killed is
//! followed by another that goes on where it ended, once its lease is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::OrgScope;
use lifecycle::{Lifecycle, OnExit, Phase, Shutdown, TaskError};
use tokio::sync::Notify;
use uuid::Uuid;

use super::chunk::{Rows, Whole, at_once, named, read, split};
use crate::config::ImportSettings;
use crate::domain::extras::Object;
use crate::domain::transfer::mapping::Mapping;
use crate::domain::transfer::result::RowResult;
use crate::domain::transfer::rows::RowReader;
use crate::error::CrmError;
use crate::metrics::ImportMetrics;
use crate::store::{Accounts, Import, Lane, Place, RecordRows, Records, Turn};

/// Rows of accounts and deals in one transaction: they are written one by one.
const RECORDS_AT_ONCE: usize = 100;

/// Contacts are made searchable so many times before the next import gets its turn.
const INDEX_TURNS: usize = 20;

/// Transactions at once that do so: they share the connections of the consumers.
const INDEX_LANES: usize = 2;

/// Works through imports, and makes searchable what they wrote. Cheap to clone.
#[derive(Clone)]
pub struct ImportWorker {
    records: Records,
    settings: ImportSettings,
    metrics: ImportMetrics,
    poke: Arc<Notify>,
}

/// Before the first that waits to be made searchable.
pub const START: Place = (Uuid::nil(), Uuid::nil());

/// Starts the tasks `crm-imports-<n>`, and the one that forgets uploads that nobody ended.
pub fn spawn(worker: &ImportWorker, lifecycle: &Lifecycle) {
    for _ in 0..worker.settings.workers {
        let worker = worker.clone();
        lifecycle.spawn("crm-imports", Phase::Base, OnExit::restart(), move |shutdown| {
            worker.clone().run(shutdown)
        });
    }
}

impl ImportWorker {
    /// A worker on these records.
    #[must_use]
    pub fn new(records: Records, settings: ImportSettings, metrics: ImportMetrics) -> Self {
        Self {
            records,
            settings,
            metrics,
            poke: Arc::new(Notify::new()),
        }
    }

    /// Tells the worker of this process that there is something to do. Those of others look for themselves.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    async fn run(self, shutdown: Shutdown) -> Result<(), TaskError> {
        let pause = Duration::from_millis(self.settings.poll_ms);
        let mut cleaned: Option<Instant> = None;
        loop {
            let more = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                more = self.turn() => more,
            };
            match more {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(
                    error = %format!("{:#}", anyhow::Error::new(error)),
                    "an import could not go on; it will be tried again"
                ),
            }
            if cleaned.is_none_or(|at| at.elapsed() > Duration::from_secs(600)) {
                cleaned = Some(Instant::now());
                self.clean().await;
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = self.poke.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// A turn at an import, then a while of making contacts searchable; whether there may be more of either.
    async fn turn(&self) -> Result<bool, CrmError> {
        let more = self.work().await?;
        let Some(mut place) = self.records.index_waiting(START).await? else {
            return Ok(more);
        };
        for _ in 0..INDEX_TURNS {
            match self.index(place).await? {
                Some(reached) => place = reached,
                None => break,
            }
        }
        Ok(true)
    }

    /// Makes contacts searchable that wait behind `after`, some in each of several transactions at once; gives how far that came,
    /// or `None` when none waits there.
    ///
    /// # Errors
    /// Of the database; it goes on later.
    pub async fn index(&self, after: Place) -> Result<Option<Place>, CrmError> {
        let work = (0..INDEX_LANES).map(|_| {
            let records = self.records.clone();
            async move { records.index_waiting(after).await }
        });
        Ok(at_once(work).await?.into_iter().flatten().max())
    }

    async fn clean(&self) {
        let Ok(before) = self
            .records
            .now()
            .checked_sub(jiff::SignedDuration::from_hours(6))
        else {
            return;
        };
        if let Err(error) = self.records.forget_uploads(before).await {
            tracing::warn!(error = %format!("{:#}", anyhow::Error::new(error)), "old uploads could not be forgotten");
        }
    }

    /// Works on one import until it is done or the turn is over; false when none waits.
    ///
    /// # Errors
    /// Of the database; the import goes on later.
    pub async fn work(&self) -> Result<bool, CrmError> {
        let Some(turn) = self.records.take_turn(self.settings.lease_secs).await? else {
            return Ok(false);
        };
        let import = self.records.import(&turn.scope, turn.import).await?;
        let done = if turn.state == "undoing" {
            self.undo(&turn, &import).await
        } else {
            self.commit(&turn, &import).await
        };
        match done {
            Ok(true) => {
                let to = if turn.state == "undoing" {
                    "undone"
                } else {
                    "committed"
                };
                self.records.end_turn(&turn, to, None).await?;
            }
            Ok(false) => {}
            // A row that this release cannot read will not be readable later.
            Err(error @ (CrmError::Corrupt(_) | CrmError::Invalid(_) | CrmError::NotFound(_))) => {
                let reason = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(import = %turn.import, error = reason, "an import failed");
                self.records.end_turn(&turn, "failed", Some(&reason)).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    async fn commit(&self, turn: &Turn, import: &Import) -> Result<bool, CrmError> {
        let records = self.records.importing(import.options.tell_events);
        let reader = Arc::new(reader(&records, &turn.scope, import).await?);
        for chunk in import.chunks_done..import.chunks {
            let started = Instant::now();
            let rows = records.chunk_rows(&turn.scope, turn.import, chunk).await?;
            let count = i64::try_from(rows.len()).unwrap_or(0);
            let rows = read(import.object, &reader, &rows);
            let named = named(&rows);
            let nothing = Accounts::new();
            let lane = Lane {
                turn: Some(turn),
                scope: &turn.scope,
                import: turn.import,
                chunk,
                lane: 0,
                reader: &reader,
                accounts: &nothing,
            };
            let accounts = if named.is_empty() {
                Accounts::new()
            } else {
                match records.name_accounts(&lane, &named).await? {
                    Some(accounts) => accounts,
                    None => return Ok(false),
                }
            };
            let whole = Whole {
                turn: turn.clone(),
                chunk,
                reader: Arc::clone(&reader),
                accounts,
            };
            let Some(results) = self.lanes(&records, Arc::new(whole), rows).await? else {
                return Ok(false);
            };
            self.metrics.rows(&results, started.elapsed());
            if !self
                .records
                .keep_turn(turn, chunk + 1, count, self.settings.lease_secs)
                .await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The chunk's transactions. Rows of contacts go to lanes by the stripe of their address, and lanes run at once; others run one
    /// after the other.
    async fn lanes(
        &self,
        records: &Records,
        whole: Arc<Whole>,
        rows: Rows,
    ) -> Result<Option<Vec<RowResult>>, CrmError> {
        let mut results = Vec::new();
        match rows {
            Rows::Contacts(rows) => {
                let lanes = split(rows, self.settings.lanes).into_iter().enumerate();
                let work = lanes.map(|(number, rows)| {
                    let (records, whole) = (records.clone(), Arc::clone(&whole));
                    async move { records.import_contacts(&whole.lane(number), &rows).await }
                });
                for done in at_once(work).await? {
                    let Some(done) = done else { return Ok(None) };
                    results.extend(done);
                }
            }
            Rows::Accounts(rows) => {
                for (number, rows) in rows.chunks(RECORDS_AT_ONCE).enumerate() {
                    let rows = RecordRows::Accounts(rows);
                    let done = records.import_records(&whole.lane(number), &rows).await?;
                    let Some(done) = done else { return Ok(None) };
                    results.extend(done);
                }
            }
            Rows::Deals(rows) => {
                for (number, rows) in rows.chunks(RECORDS_AT_ONCE).enumerate() {
                    let rows = RecordRows::Deals(rows);
                    let done = records.import_records(&whole.lane(number), &rows).await?;
                    let Some(done) = done else { return Ok(None) };
                    results.extend(done);
                }
            }
        }
        Ok(Some(results))
    }

    async fn undo(&self, turn: &Turn, import: &Import) -> Result<bool, CrmError> {
        let records = self.records.importing(import.options.tell_events);
        for chunk in (0..import.chunks_done).rev() {
            let lanes = records.lanes_of(&turn.scope, turn.import, chunk).await?;
            let (rows, relations): (Vec<i16>, Vec<i16>) = lanes.into_iter().partition(|lane| *lane >= 0);
            if import.object == Object::Contact {
                let work = rows.into_iter().map(|lane| {
                    let (records, turn, object) = (records.clone(), turn.clone(), import.object);
                    async move { records.undo_lane(&turn, object, chunk, lane).await }
                });
                if at_once(work).await?.iter().any(Option::is_none) {
                    return Ok(false);
                }
            } else {
                for lane in rows {
                    if records
                        .undo_lane(turn, import.object, chunk, lane)
                        .await?
                        .is_none()
                    {
                        return Ok(false);
                    }
                }
            }
            for lane in relations {
                if records
                    .undo_lane(turn, Object::Account, chunk, lane)
                    .await?
                    .is_none()
                {
                    return Ok(false);
                }
            }
            let rows = i64::try_from(self.settings.chunk_rows).unwrap_or(0);
            if !self
                .records
                .keep_turn(turn, chunk, rows, self.settings.lease_secs)
                .await?
            {
                return Ok(false);
            }
        }
        records.end_undo(turn).await?;
        Ok(true)
    }
}

async fn reader(records: &Records, scope: &OrgScope, import: &Import) -> Result<RowReader, CrmError> {
    let own = records.own_fields(scope, import.object).await?;
    Ok(RowReader::new(Mapping::new(&import.columns, import.options), own))
}

/// What would become of some rows now; nothing is stored.
///
/// # Errors
/// Of the database.
pub async fn judge(
    records: &Records,
    scope: &OrgScope,
    import: &Import,
    rows: &[(i64, csv::StringRecord)],
) -> Result<Vec<RowResult>, CrmError> {
    let records = records.importing(false);
    let reader = reader(&records, scope, import).await?;
    let rows = read(import.object, &reader, rows);
    let nothing = Accounts::new();
    let lane = Lane {
        turn: None,
        scope,
        import: import.id,
        chunk: 0,
        lane: 0,
        reader: &reader,
        accounts: &nothing,
    };
    let accounts = records
        .name_accounts(&lane, &named(&rows))
        .await?
        .unwrap_or_default();
    let lane = Lane {
        accounts: &accounts,
        ..lane
    };
    let judged = match &rows {
        Rows::Contacts(rows) => records.import_contacts(&lane, rows).await?,
        Rows::Accounts(rows) => records.import_records(&lane, &RecordRows::Accounts(rows)).await?,
        Rows::Deals(rows) => records.import_records(&lane, &RecordRows::Deals(rows)).await?,
    };
    Ok(judged.unwrap_or_default())
}
