//! A chunk of an import: its rows as they are read, and what its transactions have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::domain::extras::Object;
use crate::domain::transfer::rows::{AccountRef, AccountRow, ContactRow, DealRow, RowReader};
use crate::error::CrmError;
use crate::store::{Accounts, ImportRow, Lane, Turn, keys_of, stripe_of};

/// Rows of one kind, read.
pub(super) enum Rows {
    Contacts(Vec<ImportRow<ContactRow>>),
    Accounts(Vec<ImportRow<AccountRow>>),
    Deals(Vec<ImportRow<DealRow>>),
}

/// What the transactions of a chunk have in common.
pub(super) struct Whole {
    pub(super) turn: Turn,
    pub(super) chunk: i32,
    pub(super) reader: Arc<RowReader>,
    pub(super) accounts: Accounts,
}

impl Whole {
    pub(super) fn lane(&self, number: usize) -> Lane<'_> {
        Lane {
            turn: Some(&self.turn),
            scope: &self.turn.scope,
            import: self.turn.import,
            chunk: self.chunk,
            lane: i16::try_from(number).unwrap_or(i16::MAX),
            reader: &self.reader,
            accounts: &self.accounts,
        }
    }
}

/// Runs transactions of a chunk at once, each on a task of its own; gives what came of them, in no order. The first failure ends
/// the others, whose transactions then roll back.
pub(super) async fn at_once<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = Result<T, CrmError>> + Send + 'static>,
) -> Result<Vec<T>, CrmError> {
    let mut tasks: JoinSet<Result<T, CrmError>> = work.collect();
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(done) => all.push(done?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(all)
}

pub(super) fn read(object: Object, reader: &RowReader, rows: &[(i64, csv::StringRecord)]) -> Rows {
    match object {
        Object::Contact => Rows::Contacts(rows.iter().map(|(n, row)| (*n, reader.contact(row))).collect()),
        Object::Account => Rows::Accounts(rows.iter().map(|(n, row)| (*n, reader.account(row))).collect()),
        Object::Deal => Rows::Deals(rows.iter().map(|(n, row)| (*n, reader.deal(row))).collect()),
    }
}

/// The accounts that rows name.
pub(super) fn named(rows: &Rows) -> BTreeSet<AccountRef> {
    match rows {
        Rows::Contacts(rows) => rows
            .iter()
            .filter_map(|(_, row)| Some(row.as_ref().ok()?.account.as_ref()?.0.clone()))
            .collect(),
        Rows::Deals(rows) => rows
            .iter()
            .filter_map(|(_, row)| Some(row.as_ref().ok()?.account.as_ref()?.0.clone()))
            .collect(),
        Rows::Accounts(_) => BTreeSet::new(),
    }
}

/// Rows of one address into one lane, in their order; rows without one, and rows that cannot be used, anywhere.
pub(super) fn split(rows: Vec<ImportRow<ContactRow>>, lanes: usize) -> Vec<Vec<ImportRow<ContactRow>>> {
    let mut split: Vec<Vec<_>> = (0..lanes).map(|_| Vec::new()).collect();
    for (place, row) in rows.into_iter().enumerate() {
        let key = row
            .1
            .as_ref()
            .ok()
            .and_then(|row| keys_of(row).next().map(|(k, v)| stripe_of(k, v)));
        let stripe = key.map_or(place, |stripe| usize::try_from(stripe).unwrap_or(0));
        if let Some(lane) = split.get_mut(stripe % lanes) {
            lane.push(row);
        }
    }
    split.retain(|lane| !lane.is_empty());
    split
}
