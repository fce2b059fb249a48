//! Holds the books against what the system has: its tables (as superuser), and what the event stream told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context;
use ids::OrgId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::signal::{Names, Person};
use super::{Books, Signals};
use crate::cluster::Told;

/// Examples shown of each kind of violation.
const EXAMPLES: usize = 5;

/// The violations found; none is what is wanted.
#[derive(Debug, Default)]
pub struct Violations(Vec<String>);

impl Violations {
    /// # Panics
    /// There are violations; the message lists them.
    pub fn assert_none(&self) {
        assert!(
            self.0.is_empty(),
            "{} violations:\n{}",
            self.0.len(),
            self.0.join("\n")
        );
    }

    /// The violations, each as a sentence with examples.
    #[must_use]
    pub fn list(&self) -> &[String] {
        &self.0
    }

    fn add(&mut self, what: &str, cases: Vec<String>) {
        if !cases.is_empty() {
            let shown = cases
                .iter()
                .take(EXAMPLES)
                .cloned()
                .collect::<Vec<_>>()
                .join("; ");
            self.0.push(format!("{what}: {} ({shown})", cases.len()));
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, wanted: T) {
        if found != wanted {
            self.0.push(format!("{what}: {found:?}, not {wanted:?}"));
        }
    }
}

/// A recorded signal.
struct Recorded {
    id: String,
    contact: Option<Uuid>,
    account: Option<Uuid>,
}

/// Waits until nothing is under way any more: every acknowledged signal is recorded and counted, and every outbox is
/// empty. Does not judge: after `patience` the check goes on with what is there, and tells what is missing.
///
/// # Errors
/// The database cannot be read.
pub async fn settle(
    sql: &mut PgConnection,
    org: OrgId,
    books: &Books,
    patience: Duration,
) -> anyhow::Result<()> {
    let wanted = i64::try_from(books.acknowledged())?;
    let deadline = tokio::time::Instant::now() + patience;
    // Settled twice in a row: a message between two stages is in no outbox.
    let mut calm = 0;
    while calm < 4 && tokio::time::Instant::now() < deadline {
        let recorded: i64 = scalar(
            sql,
            "SELECT count(*) FROM signal_ingest.signals WHERE org_id = $1",
            org,
        )
        .await?;
        let counted = counted(sql, org).await?;
        let waiting = waiting(sql, org).await?;
        let scored: i64 = scalar(
            sql,
            "SELECT count(*) FROM scoring.scores s JOIN crm.accounts a ON a.org_id = s.org_id AND a.id = s.account_id \
             WHERE s.org_id = $1 AND a.score IS DISTINCT FROM s.score",
            org,
        )
        .await?;
        calm = if recorded >= wanted && counted >= wanted && waiting == 0 && scored == 0 {
            calm + 1
        } else {
            0
        };
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// Checks every promise about the signals of the books, which must be all that `org` ever sent.
///
/// # Errors
/// The database cannot be read.
pub async fn check(
    sql: &mut PgConnection,
    org: OrgId,
    signals: &Signals,
    books: &Books,
    told: &Told,
) -> anyhow::Result<Violations> {
    let mut violations = Violations::default();
    violations.add("unexpected answers", books.faults.clone());
    let twice = books
        .entries
        .iter()
        .filter(|(_, entry)| entry.accepted > 1 || entry.ids.len() > 1);
    violations.add(
        "keys answered as different signals",
        twice.map(|(n, e)| format!("{n}: {e:?}")).collect(),
    );
    let recorded = recorded(sql, org, signals, books, &mut violations).await?;
    people(sql, org, signals, &recorded, &mut violations).await?;
    let total = i64::try_from(recorded.len())?;
    violations.same("signals counted in the roll-ups", counted(sql, org).await?, total);
    violations.same("signals accepted into batches", accepted(sql, org).await?, total);
    events(told, &recorded, &mut violations);
    dead_letters(sql, &mut violations).await?;
    Ok(violations)
}

/// Every acknowledged key has exactly one row, with the id that was answered; nothing else is there.
#[expect(clippy::type_complexity, reason = "one query's row")]
async fn recorded(
    sql: &mut PgConnection,
    org: OrgId,
    signals: &Signals,
    books: &Books,
    violations: &mut Violations,
) -> anyhow::Result<BTreeMap<u64, Recorded>> {
    let rows: Vec<(Uuid, Option<String>, Option<Uuid>, Option<Uuid>)> = sqlx::query_as(
        "SELECT id, idempotency_key, contact_id, account_id FROM signal_ingest.signals WHERE org_id = $1",
    )
    .bind(org.uuid())
    .fetch_all(&mut *sql)
    .await?;
    let mut found: BTreeMap<u64, Recorded> = BTreeMap::new();
    let (mut strangers, mut doubled) = (Vec::new(), Vec::new());
    for (id, key, contact, account) in rows {
        let number = key
            .as_deref()
            .and_then(|key| signals.number(key))
            .filter(|n| books.entries.contains_key(n));
        let Some(number) = number else {
            strangers.push(format!("{id} {key:?}"));
            continue;
        };
        let row = Recorded {
            id: id.to_string(),
            contact,
            account,
        };
        if let Some(before) = found.insert(number, row) {
            doubled.push(format!("{number}: {} and {id}", before.id));
        }
    }
    violations.add("recorded but never attempted", strangers);
    violations.add("recorded twice", doubled);
    let acknowledged = books.entries.iter().filter(|(_, entry)| !entry.ids.is_empty());
    let (mut lost, mut renamed) = (Vec::new(), Vec::new());
    for (number, entry) in acknowledged {
        match found.get(number) {
            None => lost.push(format!("{number} {:?}", entry.ids)),
            Some(row) if !entry.ids.contains(&row.id) => {
                renamed.push(format!("{number}: {} for {:?}", row.id, entry.ids))
            }
            Some(_) => {}
        }
    }
    violations.add("LOST: acknowledged but not recorded", lost);
    violations.add("recorded under another id than answered", renamed);
    Ok(found)
}

/// Accounts and contacts are those of the recorded signals, and every signal is attributed to its person, also those that
/// named only a browser that turned out to be theirs. The roll-ups agree person by person.
async fn people(
    sql: &mut PgConnection,
    org: OrgId,
    signals: &Signals,
    recorded: &BTreeMap<u64, Recorded>,
    violations: &mut Violations,
) -> anyhow::Result<()> {
    let named = |names: &[Names]| -> BTreeSet<Person> {
        recorded
            .keys()
            .filter(|n| names.contains(&Signals::names(**n)))
            .map(|n| signals.person(*n))
            .collect()
    };
    let (known, stitched) = (named(&[Names::Person, Names::Both]), named(&[Names::Both]));
    let contacts = by_text(
        sql,
        "SELECT email, id FROM crm.contacts WHERE org_id = $1 AND recorded",
        org,
    )
    .await?;
    let accounts = by_text(
        sql,
        "SELECT domain, id FROM crm.accounts WHERE org_id = $1 AND recorded",
        org,
    )
    .await?;
    let emails: BTreeSet<&str> = known.iter().map(|person| &*person.email).collect();
    let domains: BTreeSet<&str> = known.iter().map(|person| &*person.domain).collect();
    violations.same("contacts", contacts.keys().map(|k| &**k).collect(), emails);
    violations.same("accounts", accounts.keys().map(|k| &**k).collect(), domains);
    let (mut wrong, mut sums) = (Vec::new(), HashMap::<Uuid, i64>::new());
    for (number, row) in recorded {
        let person = signals.person(*number);
        let is_known = Signals::names(*number) != Names::Visitor || stitched.contains(&person);
        let contact = contacts.get(&person.email).copied().filter(|_| is_known);
        let account = accounts.get(&person.domain).copied().filter(|_| is_known);
        if (row.contact, row.account) != (contact, account) {
            wrong.push(format!(
                "{number} {:?}: {:?}, not {:?}",
                row.id,
                (row.contact, row.account),
                (contact, account)
            ));
        }
        *sums.entry(contact.unwrap_or_default()).or_default() += 1;
    }
    violations.add("signals attributed wrongly", wrong);
    let counted: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT c.id, sum(a.signals)::bigint FROM scoring.activity a \
         JOIN crm.contacts c ON c.org_id = a.org_id AND c.id = a.actor_id AND c.recorded \
         WHERE a.org_id = $1 AND c.account_id = a.account_id GROUP BY c.id",
    )
    .bind(org.uuid())
    .fetch_all(sql)
    .await?;
    sums.remove(&Uuid::nil());
    let differ = |counted: &HashMap<Uuid, i64>| {
        sums.iter()
            .filter(|(id, sum)| counted.get(id) != Some(sum))
            .map(|(id, sum)| format!("{id}: {sum}"))
            .collect()
    };
    violations.add(
        "persons whose signals are not all counted at their account",
        differ(&counted.into_iter().collect()),
    );
    Ok(())
}

/// Every recorded signal was told, under one event id, and nothing else was.
fn events(told: &Told, recorded: &BTreeMap<u64, Recorded>, violations: &mut Violations) {
    violations.add("faults of the event stream", told.faults.clone());
    let mut times: HashMap<&str, u32> = HashMap::new();
    for signal in told.signals() {
        *times.entry(signal).or_default() += 1;
    }
    let doubled = times
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|(id, _)| (*id).to_owned());
    violations.add("signals told under several event ids", doubled.collect());
    let ids: BTreeSet<&str> = recorded.values().map(|row| &*row.id).collect();
    let untold = ids
        .iter()
        .filter(|id| !times.contains_key(**id))
        .map(|id| (*id).to_owned());
    violations.add("recorded but never told", untold.collect());
    let strangers = times
        .keys()
        .filter(|id| !ids.contains(**id))
        .map(|id| (*id).to_owned());
    violations.add("told but not recorded", strangers.collect());
}

async fn dead_letters(sql: &mut PgConnection, violations: &mut Violations) -> anyhow::Result<()> {
    for schema in devsignal::wiring::SCHEMAS {
        let query = format!("SELECT consumer || ': ' || reason FROM {schema}.dead_letters");
        let letters: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut *sql)
            .await?;
        violations.add(&format!("dead letters of {schema}"), letters);
    }
    Ok(())
}

/// Signals that the roll-ups know of.
async fn counted(sql: &mut PgConnection, org: OrgId) -> anyhow::Result<i64> {
    scalar(
        sql,
        "SELECT coalesce(sum(signals), 0)::bigint FROM scoring.activity WHERE org_id = $1",
        org,
    )
    .await
}

/// Signals in accepted batches.
async fn accepted(sql: &mut PgConnection, org: OrgId) -> anyhow::Result<i64> {
    scalar(
        sql,
        "SELECT coalesce(sum(signal_count), 0)::bigint FROM signal_ingest.batches WHERE org_id = $1",
        org,
    )
    .await
}

/// Events that are not published yet.
async fn waiting(sql: &mut PgConnection, org: OrgId) -> anyhow::Result<i64> {
    let mut sum = 0;
    for schema in devsignal::wiring::SCHEMAS {
        let query =
            format!("SELECT count(*) FROM {schema}.outbox WHERE org_id = $1 AND published_at IS NULL");
        sum += sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(query))
            .bind(org.uuid())
            .fetch_one(&mut *sql)
            .await?;
    }
    Ok(sum)
}

async fn scalar(sql: &mut PgConnection, query: &'static str, org: OrgId) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(query).bind(org.uuid()).fetch_one(sql).await?)
}

async fn by_text(
    sql: &mut PgConnection,
    query: &'static str,
    org: OrgId,
) -> anyhow::Result<BTreeMap<String, Uuid>> {
    let rows: Vec<(Option<String>, Uuid)> = sqlx::query_as(query).bind(org.uuid()).fetch_all(sql).await?;
    let named = rows
        .into_iter()
        .map(|(text, id)| Ok((text.with_context(|| format!("{id} has no name"))?, id)));
    named.collect()
}
