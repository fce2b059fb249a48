//! What an import can change of a record, as plain values: what differs between two moments, whether a record is as it was left,
//! and how fields get their earlier values back.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::domain::account::{Account, AccountField};
use crate::domain::contact::{Contact, ContactField, ToldAccount};
use crate::domain::deal::{Deal, Money, Status};
use crate::domain::extras::Extras;
use crate::domain::identity::Identity;

/// The changeable values of a record, by field.
pub type Snapshot = Map<String, Value>;

/// Name of the field of an own field's value.
fn custom_field(key: &str) -> String {
    format!("custom.{key}")
}

fn put_extras(into: &mut Snapshot, extras: &Extras) {
    into.insert("ownerId".into(), json!(extras.owner));
    into.insert("tags".into(), json!(extras.tags));
    for (key, value) in &extras.custom {
        into.insert(custom_field(key), value.clone());
    }
}

/// A contact's.
#[must_use]
pub fn of_contact(contact: &Contact) -> Snapshot {
    let by = contact.stated_by();
    let stated = contact.identities.iter().filter(|told| told.told_by == by);
    let stated: Vec<Value> = stated
        .map(|told| json!([told.identity.kind, told.identity.value, told.identity.confidence]))
        .collect();
    let told = contact
        .account
        .map(|told| json!([told.account, told.at, told.by]));
    let edited: Vec<&str> = contact.edited.iter().map(|field| field.name()).collect();
    let mut snapshot = Map::new();
    snapshot.insert("recorded".into(), json!(contact.recorded));
    snapshot.insert("deletedAt".into(), json!(contact.deleted_at));
    snapshot.insert("createdAt".into(), json!(contact.created_at));
    snapshot.insert("name".into(), json!(contact.name));
    snapshot.insert("email".into(), json!(contact.email));
    snapshot.insert("title".into(), json!(contact.title));
    snapshot.insert("company".into(), json!(contact.company));
    snapshot.insert("accountId".into(), json!(told));
    snapshot.insert("identities".into(), json!(stated));
    snapshot.insert("edited".into(), json!(edited));
    put_extras(&mut snapshot, &contact.extras);
    snapshot
}

/// An account's.
#[must_use]
pub fn of_account(account: &Account) -> Snapshot {
    let profile = &account.profile;
    let edited: Vec<&str> = account.edited.iter().map(|field| field.name()).collect();
    let mut snapshot = Map::new();
    snapshot.insert("recorded".into(), json!(account.recorded));
    snapshot.insert("deletedAt".into(), json!(account.deleted_at));
    snapshot.insert("createdAt".into(), json!(account.created_at));
    snapshot.insert("name".into(), json!(profile.name));
    snapshot.insert("domain".into(), json!(profile.domain));
    snapshot.insert("githubOrg".into(), json!(profile.github_org));
    snapshot.insert("employees".into(), json!(profile.employees));
    snapshot.insert("industry".into(), json!(profile.industry));
    snapshot.insert("country".into(), json!(profile.country));
    snapshot.insert("fundingStage".into(), json!(profile.funding_stage));
    snapshot.insert("edited".into(), json!(edited));
    put_extras(&mut snapshot, &account.extras);
    snapshot
}

/// A deal's.
#[must_use]
pub fn of_deal(deal: &Deal) -> Snapshot {
    let amount = deal
        .amount
        .as_ref()
        .map(|m| json!([m.currency, m.units, m.nanos]));
    let stage = json!([
        deal.pipeline,
        deal.stage,
        deal.stage_key,
        deal.status as i16,
        deal.stage_since,
        deal.closed_at
    ]);
    let mut snapshot = Map::new();
    snapshot.insert("name".into(), json!(deal.name));
    snapshot.insert("accountId".into(), json!(deal.account));
    snapshot.insert("stage".into(), stage);
    snapshot.insert("amount".into(), json!(amount));
    snapshot.insert("expectedCloseOn".into(), json!(deal.expected_close_on));
    snapshot.insert("closeReason".into(), json!(deal.close_reason));
    snapshot.insert("contactIds".into(), json!(deal.contacts));
    put_extras(&mut snapshot, &deal.extras);
    snapshot
}

/// What differs: of each field what it was and what it is; null where it is absent.
#[must_use]
pub fn differences(before: &Snapshot, after: &Snapshot) -> Map<String, Value> {
    let mut changes = Map::new();
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    for key in after.keys().chain(gone) {
        let (was, is) = (before.get(key), after.get(key));
        if was != is {
            changes.insert(key.clone(), json!([was, is]));
        }
    }
    changes
}

/// What tells whether a record was changed.
#[must_use]
pub fn mark(snapshot: &Snapshot) -> u64 {
    let digest = Sha256::digest(Value::Object(snapshot.clone()).to_string());
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// What to set so that the changes are taken back, and the fields that are not as the changes left them and so stay.
#[must_use]
pub fn reversal(now: &Snapshot, changes: &Map<String, Value>) -> (Snapshot, Vec<String>) {
    let mut back = Map::new();
    let mut kept = Vec::new();
    for (field, change) in changes {
        let (was, is) = (change.get(0), change.get(1));
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        let held = now.get(field).unwrap_or(&Value::Null);
        if field == "edited" {
            continue;
        }
        if held == is {
            back.insert(field.clone(), was.clone());
        } else if held != was {
            kept.push(field.clone());
        }
    }
    // Who set a field is taken back with the field.
    let words = |value: Option<&Value>| -> Vec<Value> {
        value.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    if let Some(change) = changes.get("edited") {
        let (was, is) = (words(change.get(0)), words(change.get(1)));
        let stays = |field: &Value| {
            let added = is.contains(field) && !was.contains(field);
            !added || field.as_str().is_some_and(|name| kept.iter().any(|k| k == name))
        };
        let edited: Vec<Value> = words(now.get("edited")).into_iter().filter(stays).collect();
        back.insert("edited".into(), Value::Array(edited));
    }
    (back, kept)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn set_extras(extras: &mut Extras, field: &str, value: &Value) {
    match field {
        "ownerId" => extras.owner = value.as_str().and_then(|id| id.parse().ok()),
        "tags" => {
            let names = value.as_array().map(Vec::as_slice).unwrap_or_default();
            extras.tags = names.iter().filter_map(text).collect();
        }
        _ => {
            if let Some(key) = field.strip_prefix("custom.") {
                if value.is_null() {
                    extras.custom.shift_remove(key);
                } else {
                    extras.custom.insert(key.to_owned(), value.clone());
                }
            }
        }
    }
}

fn parsed<T: std::str::FromStr>(value: Option<&Value>) -> Option<T> {
    value?.as_str()?.parse().ok()
}

/// Sets fields of a contact. What follows from identities is worked out by the caller.
pub fn set_contact(contact: &mut Contact, back: &Snapshot) {
    for (field, value) in back {
        match field.as_str() {
            "recorded" => contact.recorded = value.as_bool().unwrap_or(false),
            "deletedAt" => contact.deleted_at = parsed(Some(value)),
            "createdAt" => contact.created_at = parsed(Some(value)).unwrap_or(contact.created_at),
            "name" => contact.name = text(value).unwrap_or_default(),
            "email" => contact.email = text(value),
            "title" => contact.title = text(value),
            "company" => contact.company = text(value),
            "accountId" => {
                let told = (parsed(value.get(0)), parsed(value.get(1)), parsed(value.get(2)));
                contact.account = match told {
                    (Some(account), Some(at), Some(by)) => Some(ToldAccount { at, by, account }),
                    _ => None,
                };
            }
            "identities" => {
                let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let identity = |item: &Value| {
                    Some(Identity {
                        kind: text(item.get(0)?)?,
                        value: text(item.get(1)?)?,
                        verified: false,
                        confidence: item.get(2)?.as_f64()?,
                    })
                };
                let by = contact.stated_by();
                contact.replace_identities(by, list.iter().filter_map(identity).collect());
            }
            "edited" => {
                let names = value.as_array().map(Vec::as_slice).unwrap_or_default();
                contact.edited = names
                    .iter()
                    .filter_map(|name| ContactField::parse(name.as_str()?))
                    .collect();
            }
            _ => set_extras(&mut contact.extras, field, value),
        }
    }
}

/// Sets fields of an account.
pub fn set_account(account: &mut Account, back: &Snapshot) {
    for (field, value) in back {
        let profile = &mut account.profile;
        match field.as_str() {
            "recorded" => account.recorded = value.as_bool().unwrap_or(false),
            "deletedAt" => account.deleted_at = parsed(Some(value)),
            "createdAt" => account.created_at = parsed(Some(value)).unwrap_or(account.created_at),
            "name" => profile.name = text(value).unwrap_or_default(),
            "domain" => profile.domain = text(value),
            "githubOrg" => profile.github_org = text(value),
            "employees" => profile.employees = value.as_i64(),
            "industry" => profile.industry = text(value),
            "country" => profile.country = text(value),
            "fundingStage" => profile.funding_stage = text(value),
            "edited" => {
                let names = value.as_array().map(Vec::as_slice).unwrap_or_default();
                account.edited = names
                    .iter()
                    .filter_map(|name| AccountField::parse(name.as_str()?))
                    .collect();
            }
            _ => set_extras(&mut account.extras, field, value),
        }
    }
}

/// Sets fields of a deal.
pub fn set_deal(deal: &mut Deal, back: &Snapshot) {
    for (field, value) in back {
        match field.as_str() {
            "name" => deal.name = text(value).unwrap_or_default(),
            "accountId" => deal.account = parsed(Some(value)),
            "stage" => set_stage(deal, value),
            "amount" => {
                let nanos = value
                    .get(2)
                    .and_then(Value::as_i64)
                    .and_then(|n| i32::try_from(n).ok());
                let parts = (
                    value.get(0).and_then(text),
                    value.get(1).and_then(Value::as_i64),
                    nanos,
                );
                deal.amount = match parts {
                    (Some(currency), Some(units), Some(nanos)) => Some(Money {
                        currency,
                        units,
                        nanos,
                    }),
                    _ => None,
                };
            }
            "expectedCloseOn" => deal.expected_close_on = text(value),
            "closeReason" => deal.close_reason = text(value),
            "contactIds" => {
                let ids = value.as_array().map(Vec::as_slice).unwrap_or_default();
                deal.contacts = ids.iter().filter_map(|id| parsed(Some(id))).collect();
            }
            _ => set_extras(&mut deal.extras, field, value),
        }
    }
}

fn set_stage(deal: &mut Deal, value: &Value) {
    let status = value.get(3).and_then(Value::as_i64);
    let status = status.and_then(|n| Status::from_number(i16::try_from(n).ok()?));
    if let (Some(pipeline), Some(stage), Some(key), Some(status), Some(since)) = (
        parsed(value.get(0)),
        parsed(value.get(1)),
        value.get(2).and_then(text),
        status,
        parsed(value.get(4)),
    ) {
        deal.pipeline = pipeline;
        deal.stage = stage;
        deal.stage_key = key;
        deal.status = status;
        deal.stage_since = since;
        deal.closed_at = parsed(value.get(5));
    }
}
