//! Whole lists as files: page by page, each a transaction of its own, in the order of the list.
//!
//! Contract: memory is that of one page, and the next page is read when the last was taken, so a slow reader holds nothing. A record that is
//! made, moved or removed meanwhile is in the file or not, as when somebody pages through the list.

use std::collections::BTreeMap;

use ::store::OrgScope;
use ::store::list::ListRequest;
use futures::{Stream, stream};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::custom::{Definition, Type};
use crate::domain::deal::Deal;
use crate::domain::extras::{Extras, Object};
use crate::domain::identity::Identity;
use crate::domain::transfer::cells::write_line;
use crate::error::CrmError;
use crate::store::Records;

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportQuery {
    /// Of what.
    pub object: Object,
    /// JSON lines instead of CSV.
    pub ndjson: bool,
    /// Simple filters.
    pub filters: Vec<(String, String)>,
    /// The full filter.
    pub tree: Option<Map<String, Value>>,
    /// The order.
    pub sort: Option<String>,
}

struct State {
    records: Records,
    scope: OrgScope,
    query: ExportQuery,
    own: BTreeMap<String, Definition>,
    cursor: Option<String>,
    begun: bool,
    ended: bool,
}

/// Parts of the file. The first page is read before it answers, so that what is wrong with the request is told as an error.
///
/// # Errors
/// A request that is not valid, or of the database.
pub async fn export(
    records: Records,
    scope: OrgScope,
    query: ExportQuery,
) -> Result<impl Stream<Item = Result<Vec<u8>, CrmError>> + Send + 'static, CrmError> {
    let own = records.own_fields(&scope, query.object).await?;
    let mut state = State {
        records,
        scope,
        query,
        own,
        cursor: None,
        begun: false,
        ended: false,
    };
    let first = state.part().await?;
    let rest = stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        let part = state.part().await;
        state.ended |= part.is_err();
        Some((part, state))
    });
    Ok(futures::StreamExt::chain(stream::iter([Ok(first)]), rest))
}

impl State {
    async fn part(&mut self) -> Result<Vec<u8>, CrmError> {
        let request = ListRequest {
            limit: Some(200),
            cursor: self.cursor.as_deref(),
            sort: self.query.sort.as_deref(),
            filters: self.query.filters.clone(),
            include: None,
        };
        let tree = self.query.tree.as_ref();
        let (rows, next): (Vec<Row>, Option<String>) = match self.query.object {
            Object::Contact => {
                let page = self.records.list_contacts(&self.scope, &request, tree).await?;
                let accounts: Vec<ids::AccountId> =
                    page.items.iter().filter_map(Contact::account_id).collect();
                let known = self.records.domains_of(&self.scope, &accounts).await?;
                let rows = page.items.iter().map(|one| contact(one, &known));
                (rows.collect(), page.next_cursor)
            }
            Object::Account => {
                let page = self.records.list_accounts(&self.scope, &request, tree).await?;
                (page.items.iter().map(account).collect(), page.next_cursor)
            }
            Object::Deal => {
                let page = self.records.list_deals(&self.scope, &request, tree).await?;
                (page.items.iter().map(deal).collect(), page.next_cursor)
            }
        };
        let mut part = Vec::new();
        if !self.begun && !self.query.ndjson {
            let columns = columns(self.query.object).iter().map(|name| (*name).to_owned());
            let own = self.own.keys().map(|key| format!("custom.{key}"));
            write_line(&mut part, columns.chain(own));
        }
        self.begun = true;
        for row in rows {
            self.write(&mut part, row);
        }
        self.ended = next.is_none();
        self.cursor = next;
        Ok(part)
    }

    fn write(&self, into: &mut Vec<u8>, row: Row) {
        let Row { mut fields, extras } = row;
        if self.query.ndjson {
            fields.insert("customFields".to_owned(), Value::Object(extras.custom));
            fields.retain(|_, value| !value.is_null());
            into.extend_from_slice(Value::Object(fields).to_string().as_bytes());
            into.push(b'\n');
            return;
        }
        let cells = columns(self.query.object)
            .iter()
            .map(|name| fields.get(*name).map(text).unwrap_or_default());
        let own = self.own.values().map(|field| {
            extras
                .custom
                .get(&field.key)
                .map(|value| own_text(field, value))
                .unwrap_or_default()
        });
        write_line(into, cells.chain(own));
    }
}

struct Row {
    fields: Map<String, Value>,
    extras: Extras,
}

/// Columns besides own fields: those that can be imported by name, and what else is known.
#[must_use]
pub fn columns(object: Object) -> &'static [&'static str] {
    match object {
        Object::Contact => &[
            "id",
            "email",
            "name",
            "github",
            "phone",
            "title",
            "company",
            "accountId",
            "accountDomain",
            "ownerId",
            "tags",
            "firstSeenAt",
            "lastSeenAt",
            "createdAt",
            "updatedAt",
            "version",
        ],
        Object::Account => &[
            "id",
            "name",
            "domain",
            "githubOrg",
            "employees",
            "industry",
            "country",
            "fundingStage",
            "score",
            "contactCount",
            "ownerId",
            "tags",
            "createdAt",
            "updatedAt",
            "version",
        ],
        Object::Deal => &[
            "id",
            "name",
            "accountId",
            "pipeline",
            "stage",
            "status",
            "amount",
            "expectedCloseOn",
            "closeReason",
            "contactIds",
            "ownerId",
            "tags",
            "createdAt",
            "updatedAt",
            "version",
        ],
    }
}

/// A value as one cell.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// A value of an own field as a cell that can be read again.
fn own_text(field: &Definition, value: &Value) -> String {
    if field.kind != Type::Currency {
        return text(value);
    }
    let part = |name: &str| value.get(name).and_then(Value::as_i64).unwrap_or(0);
    let currency = value.get("currency").and_then(Value::as_str).unwrap_or_default();
    money(currency, part("units"), part("nanos"))
}

fn money(currency: &str, units: i64, nanos: i64) -> String {
    format!("{currency} {units}.{nanos:09}")
}

fn row(extras: &Extras, values: impl IntoIterator<Item = (&'static str, Value)>) -> Row {
    let mut fields: Map<String, Value> = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    fields.insert("ownerId".to_owned(), extras.owner.map(|id| id.to_string()).into());
    fields.insert("tags".to_owned(), extras.tags.clone().into());
    Row {
        fields,
        extras: extras.clone(),
    }
}

fn contact(contact: &Contact, domains: &BTreeMap<Uuid, String>) -> Row {
    let identities = contact.visible_identities();
    let of = |kind: &str| {
        let found = identities
            .iter()
            .find(|identity: &&Identity| identity.kind == kind);
        Value::from(found.map(|identity| identity.value.clone()))
    };
    let account = contact.account_id();
    let domain = account.and_then(|id| domains.get(&id.uuid()).cloned());
    row(
        &contact.extras,
        [
            ("id", contact.id.to_string().into()),
            ("email", contact.email.clone().into()),
            ("name", contact.name.clone().into()),
            ("github", of("github")),
            ("phone", of("phone")),
            ("title", contact.title.clone().into()),
            ("company", contact.company.clone().into()),
            ("accountId", account.map(|id| id.to_string()).into()),
            ("accountDomain", domain.into()),
            (
                "firstSeenAt",
                contact.first_seen_at.map(|at| at.to_string()).into(),
            ),
            ("lastSeenAt", contact.last_seen_at.map(|at| at.to_string()).into()),
            ("createdAt", contact.created_at.to_string().into()),
            ("updatedAt", contact.updated_at.to_string().into()),
            ("version", contact.version.into()),
        ],
    )
}

fn account(account: &Account) -> Row {
    let profile = &account.profile;
    row(
        &account.extras,
        [
            ("id", account.id.to_string().into()),
            ("name", profile.name.clone().into()),
            ("domain", profile.domain.clone().into()),
            ("githubOrg", profile.github_org.clone().into()),
            ("employees", profile.employees.into()),
            ("industry", profile.industry.clone().into()),
            ("country", profile.country.clone().into()),
            ("fundingStage", profile.funding_stage.clone().into()),
            ("score", account.score.map(|score| score.points).into()),
            ("contactCount", account.contact_count.into()),
            ("createdAt", account.created_at.to_string().into()),
            ("updatedAt", account.updated_at.to_string().into()),
            ("version", account.version.into()),
        ],
    )
}

fn deal(deal: &Deal) -> Row {
    let amount = deal
        .amount
        .as_ref()
        .map(|m| money(&m.currency, m.units, i64::from(m.nanos)));
    let contacts: Vec<String> = deal.contacts.iter().map(ToString::to_string).collect();
    row(
        &deal.extras,
        [
            ("id", deal.id.to_string().into()),
            ("name", deal.name.clone().into()),
            ("accountId", deal.account.map(|id| id.to_string()).into()),
            ("pipeline", deal.pipeline.to_string().into()),
            ("stage", deal.stage_key.clone().into()),
            ("status", deal.status.name().into()),
            ("amount", amount.into()),
            ("expectedCloseOn", deal.expected_close_on.clone().into()),
            ("closeReason", deal.close_reason.clone().into()),
            ("contactIds", contacts.into()),
            ("createdAt", deal.created_at.to_string().into()),
            ("updatedAt", deal.updated_at.to_string().into()),
            ("version", deal.version.into()),
        ],
    )
}
