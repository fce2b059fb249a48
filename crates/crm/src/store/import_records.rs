//! Rows of accounts and deals become records: row by row, by the very operations of changes by hand, each undone by itself when it is
//! refused.

use ::store::{Tx, retry};
use errors::ErrorDomain as _;
use ids::AccountId;
use uuid::Uuid;

use super::import_lane::Lane;
use super::{AccountDraft, Did, ImportRow, Records, Write, account_rows, hand_account, import_turns};
use crate::domain::extras::{ExtrasEdit, tag_key};
use crate::domain::text;
use crate::domain::transfer::result::{Outcome, Problem, RowResult};
use crate::domain::transfer::rows::{AccountRow, DealRow};
use crate::domain::transfer::snapshot;
use crate::error::CrmError;

/// Rows of one kind.
#[derive(Debug)]
pub enum RecordRows<'a> {
    /// Accounts.
    Accounts(&'a [ImportRow<AccountRow>]),
    /// Deals.
    Deals(&'a [ImportRow<DealRow>]),
}

/// Why a row came to nothing.
pub(super) enum Refusal {
    Ambiguous(Problem),
    Problem(Problem),
    Error(CrmError),
}

impl<E: Into<CrmError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Records {
    /// Writes a lane's rows. `None` when the turn is over.
    ///
    /// # Errors
    /// Of the database; nothing is stored then.
    pub async fn import_records(
        &self,
        lane: &Lane<'_>,
        rows: &RecordRows<'_>,
    ) -> Result<Option<Vec<RowResult>>, CrmError> {
        retry(|| self.import_records_once(lane, rows)).await
    }

    async fn import_records_once(
        &self,
        lane: &Lane<'_>,
        rows: &RecordRows<'_>,
    ) -> Result<Option<Vec<RowResult>>, CrmError> {
        let mut tx = self.db.begin(lane.scope).await?;
        let done = self.import_records_in(&mut tx, lane, rows).await;
        import_turns::settle(lane.turn, tx, done).await
    }

    async fn import_records_in(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        rows: &RecordRows<'_>,
    ) -> Result<Option<Vec<RowResult>>, CrmError> {
        match lane.begin(tx).await? {
            None => return Ok(None),
            Some(false) => return Ok(Some(Vec::new())),
            Some(true) => {}
        }
        super::lock_keys(tx, &locks(lane, rows)).await?;
        let write = Write {
            scope: *lane.scope,
            by: lane.by(),
            dry_run: false,
        };
        let mut results = Vec::new();
        match rows {
            RecordRows::Accounts(rows) => {
                for (number, row) in *rows {
                    results.push(match row {
                        Err(problems) => RowResult::refused(*number, problems.clone()),
                        Ok(row) => {
                            sqlx::query("SAVEPOINT row").execute(&mut **tx).await?;
                            let done = self.one_account(tx, &write, *number, row).await;
                            settled(tx, *number, done).await?
                        }
                    });
                }
            }
            RecordRows::Deals(rows) => {
                for (number, row) in *rows {
                    results.push(match row {
                        Err(problems) => RowResult::refused(*number, problems.clone()),
                        Ok(row) => {
                            sqlx::query("SAVEPOINT row").execute(&mut **tx).await?;
                            let done = self.one_deal(tx, lane, &write, *number, row).await;
                            settled(tx, *number, done).await?
                        }
                    });
                }
            }
        }
        if lane.turn.is_some() {
            lane.end(tx, &results, &[]).await?;
        }
        Ok(Some(results))
    }

    async fn one_account(
        &self,
        tx: &mut Tx,
        write: &Write,
        number: i64,
        row: &AccountRow,
    ) -> Result<RowResult, Refusal> {
        let scope = &write.scope;
        let mut draft = AccountDraft {
            edit: row.edit.clone(),
            extras: row.common.extras.clone(),
        };
        let by_id = match row.common.id {
            Some(id) => account_rows::lock(tx, scope, AccountId(id))
                .await?
                .filter(|account| account.recorded),
            None => None,
        };
        let mut unseen = None;
        let target = match (by_id, &row.edit.domain) {
            (Some(account), _) => Some(account.id),
            (None, Some(_)) => {
                let found = hand_account::known_by(tx, scope, &draft).await?;
                let recorded: Vec<AccountId> = found.iter().filter(|row| row.1).map(|row| row.0).collect();
                unseen = found.first().filter(|row| !row.1).map(|row| row.0);
                one_of(&recorded, "domain")?
            }
            (None, None) => one_of(
                &accounts_named(tx, write, row.edit.name.as_deref()).await?,
                "name",
            )?,
        };
        let Some(target) = target else {
            let id = unseen.unwrap_or_else(|| AccountId::new(&*self.ids));
            let before = account_rows::lock(tx, scope, id).await?;
            let account = self.record_account(tx, write, &draft, id).await?;
            let after = snapshot::of_account(&account);
            let mut result = RowResult::done(number, Outcome::Created, id.uuid());
            match before {
                None => result.mark = Some(snapshot::mark(&after)),
                Some(before) => {
                    result.changes = snapshot::differences(&snapshot::of_account(&before), &after)
                }
            }
            return Ok(result);
        };
        let before = account_rows::lock(tx, scope, target)
            .await?
            .ok_or(CrmError::NotFound("account"))?;
        draft.extras = added(draft.extras, &before.extras.tags);
        if let Some(Some(domain)) = &draft.edit.domain
            && before.profile.domain.as_ref() != Some(domain)
            && hand_account::known_by(tx, scope, &draft)
                .await?
                .iter()
                .any(|row| row.1 && row.0 != target)
        {
            return Err(Refusal::Problem(Problem::new(
                "domain",
                "conflict",
                "another account has this domain",
            )));
        }
        let (account, did) = self.change_account(tx, write, &before, &draft).await?;
        let outcome = if did == Did::Updated {
            Outcome::Updated
        } else {
            Outcome::Noop
        };
        let mut result = RowResult::done(number, outcome, target.uuid());
        result.changes =
            snapshot::differences(&snapshot::of_account(&before), &snapshot::of_account(&account));
        Ok(result)
    }
}

/// The locks by which rows of one natural key wait for each other.
fn locks(lane: &Lane<'_>, rows: &RecordRows<'_>) -> Vec<String> {
    let org = lane.scope.org();
    let mut keys: Vec<String> = match rows {
        RecordRows::Accounts(rows) => rows
            .iter()
            .filter_map(|(_, row)| row.as_ref().ok()?.edit.domain.clone().flatten())
            .map(|domain| format!("crm.domain {org} {domain}"))
            .collect(),
        RecordRows::Deals(rows) => rows
            .iter()
            .filter_map(|(_, row)| row.as_ref().ok()?.name.as_deref())
            .map(|name| format!("crm.deal {org} {}", text::sort_key(name)))
            .collect(),
    };
    keys.sort();
    keys.dedup();
    keys
}

/// Keeps a row's work, or takes it back and tells why. What is our fault ends the transaction.
async fn settled(tx: &mut Tx, number: i64, done: Result<RowResult, Refusal>) -> Result<RowResult, CrmError> {
    let refused = match done {
        Ok(result) => {
            sqlx::query("RELEASE SAVEPOINT row").execute(&mut **tx).await?;
            return Ok(result);
        }
        Err(Refusal::Error(error)) => {
            let told = error.to_api();
            if told.code.http_status() >= 500 {
                return Err(error);
            }
            let mut problems: Vec<Problem> = told.fields.into_iter().map(Problem::from).collect();
            if problems.is_empty() {
                problems.push(Problem::new("", told.code.as_str(), told.detail));
            }
            RowResult::refused(number, problems)
        }
        Err(Refusal::Ambiguous(problem)) => RowResult::ambiguous(number, problem),
        Err(Refusal::Problem(problem)) => RowResult::refused(number, vec![problem]),
    };
    sqlx::query("ROLLBACK TO SAVEPOINT row")
        .execute(&mut **tx)
        .await?;
    Ok(refused)
}

pub(super) fn one_of<T: Copy>(found: &[T], field: &str) -> Result<Option<T>, Refusal> {
    match found {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        many => {
            let message = format!("{} records have this {field}", many.len());
            Err(Refusal::Ambiguous(Problem::new(
                field,
                "ambiguous_match",
                message,
            )))
        }
    }
}

/// Tags are added to those that the record has.
pub(super) fn added(mut edit: ExtrasEdit, held: &[String]) -> ExtrasEdit {
    if let Some(given) = edit.tags.take() {
        let mut all = held.to_vec();
        for name in given {
            if all.iter().all(|known| tag_key(known) != tag_key(&name)) {
                all.push(name);
            }
        }
        edit.tags = Some(all);
    }
    edit
}

async fn accounts_named(tx: &mut Tx, write: &Write, name: Option<&str>) -> Result<Vec<AccountId>, CrmError> {
    let Some(name) = name else { return Ok(Vec::new()) };
    let rows: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM accounts WHERE org_id = $1 AND name_key = $2 AND lower(name) = lower($3) AND recorded LIMIT 10",
    )
    .bind(write.scope.uuid())
    .bind(text::sort_key(name))
    .bind(name)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(AccountId).collect())
}
