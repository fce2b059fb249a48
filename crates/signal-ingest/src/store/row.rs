//! Signals as rows: what the jsonb columns hold, and the way back.
//!
//! The columns use the API's names (camelCase), so that SQL and JSON speak of the same fields.

use contracts::convert;
use contracts::signals::v1::{AccountHint, Actor, Resolution, Signal};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value as Json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use store::Ts;
use uuid::Uuid;

/// Text for a jsonb column, written straight from the wire's data.
pub(super) fn metadata_text(data: &Struct) -> Option<String> {
    serde_json::to_string(&FreeForm(data)).ok()
}

/// Text for a jsonb column.
pub(super) fn actor_text(actor: &Actor) -> String {
    object([
        ("email", &actor.email),
        ("github", &actor.github),
        ("npm", &actor.npm),
        ("pypi", &actor.pypi),
        ("twitter", &actor.twitter),
        ("linkedin", &actor.linkedin),
        ("userId", &actor.user_id),
        ("name", &actor.name),
        ("title", &actor.title),
        ("company", &actor.company),
        ("ip", &actor.ip),
        ("phone", &actor.phone),
        ("avatarUrl", &actor.avatar_url),
    ])
}

/// Text for a jsonb column.
pub(super) fn account_text(account: &AccountHint) -> String {
    let employees = account.employees.map(|count| count.to_string());
    let text = object([
        ("domain", &account.domain),
        ("name", &account.name),
        ("githubOrg", &account.github_org),
        ("industry", &account.industry),
        ("country", &account.country),
        ("fundingStage", &account.funding_stage),
    ]);
    match employees {
        None => text,
        Some(count) if text == "{}" => format!("{{\"employees\":{count}}}"),
        Some(count) => format!("{},\"employees\":{count}}}", &text[..text.len() - 1]),
    }
}

/// Text for a jsonb column.
pub(super) fn resolution_text(resolution: &Resolution) -> String {
    serde_json::json!({
        "rule": resolution.rule,
        "evidence": resolution.evidence,
        "confidence": resolution.confidence,
    })
    .to_string()
}

fn object<const N: usize>(fields: [(&str, &Option<String>); N]) -> String {
    let present: Map<String, Json> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Json::String(value.clone()?))))
        .collect();
    Json::Object(present).to_string()
}

/// The columns that [`read`] needs.
pub(super) const COLUMNS: &str = "t.org_id, t.id, t.occurred_at, t.received_at, t.batch_id, t.source_id, t.actor_id, \
     t.contact_id, t.account_id, t.type, t.idempotency_key, t.anonymous_id, t.actor::text AS actor, \
     t.account::text AS account, t.metadata::text AS metadata, t.actor_resolution::text AS actor_resolution, \
     t.account_resolution::text AS account_resolution";

/// A row as the public message.
pub(super) fn read(row: &PgRow) -> Result<Signal, sqlx::Error> {
    let id = |name| row.try_get::<Uuid, _>(name).map(|id| id.to_string());
    let optional_id = |name| {
        row.try_get::<Option<Uuid>, _>(name)
            .map(|id| id.map(|id| id.to_string()))
    };
    let time = |name| {
        row.try_get::<Ts, _>(name)
            .map(|at| Some(convert::timestamp(at.to_jiff())))
    };
    Ok(Signal {
        id: id("id")?,
        organization_id: id("org_id")?,
        source_id: optional_id("source_id")?,
        r#type: row.try_get("type")?,
        timestamp: time("occurred_at")?,
        received_at: time("received_at")?,
        idempotency_key: row.try_get("idempotency_key")?,
        anonymous_id: row.try_get("anonymous_id")?,
        actor: json(row, "actor")?.map(|mut object| read_actor(&mut object)),
        account: json(row, "account")?.map(|mut object| read_account(&mut object)),
        metadata: json(row, "metadata")?.map(convert::to_struct),
        batch_id: id("batch_id")?,
        actor_id: optional_id("actor_id")?,
        contact_id: optional_id("contact_id")?,
        account_id: optional_id("account_id")?,
        actor_resolution: json(row, "actor_resolution")?.map(|mut object| read_resolution(&mut object)),
        account_resolution: json(row, "account_resolution")?.map(|mut object| read_resolution(&mut object)),
    })
}

pub(super) fn json(row: &PgRow, name: &str) -> Result<Option<Map<String, Json>>, sqlx::Error> {
    let Some(text) = row.try_get::<Option<&str>, _>(name)? else {
        return Ok(None);
    };
    serde_json::from_str(text)
        .map(Some)
        .map_err(|source| sqlx::Error::ColumnDecode {
            index: name.to_owned(),
            source: Box::new(source),
        })
}

fn text(object: &mut Map<String, Json>, name: &str) -> Option<String> {
    match object.remove(name) {
        Some(Json::String(text)) => Some(text),
        _ => None,
    }
}

fn read_actor(object: &mut Map<String, Json>) -> Actor {
    Actor {
        email: text(object, "email"),
        github: text(object, "github"),
        npm: text(object, "npm"),
        pypi: text(object, "pypi"),
        twitter: text(object, "twitter"),
        linkedin: text(object, "linkedin"),
        user_id: text(object, "userId"),
        name: text(object, "name"),
        title: text(object, "title"),
        company: text(object, "company"),
        ip: text(object, "ip"),
        phone: text(object, "phone"),
        avatar_url: text(object, "avatarUrl"),
    }
}

fn read_account(object: &mut Map<String, Json>) -> AccountHint {
    AccountHint {
        domain: text(object, "domain"),
        name: text(object, "name"),
        github_org: text(object, "githubOrg"),
        employees: object.get("employees").and_then(Json::as_i64),
        industry: text(object, "industry"),
        country: text(object, "country"),
        funding_stage: text(object, "fundingStage"),
    }
}

pub(super) fn read_resolution(object: &mut Map<String, Json>) -> Resolution {
    Resolution {
        rule: text(object, "rule").unwrap_or_default(),
        evidence: text(object, "evidence").unwrap_or_default(),
        confidence: object
            .get("confidence")
            .and_then(Json::as_f64)
            .unwrap_or_default(),
    }
}

/// Serializes the wire's free-form data without building a second tree.
struct FreeForm<'a>(&'a Struct);

impl Serialize for FreeForm<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.fields.len()))?;
        for (key, value) in &self.0.fields {
            map.serialize_entry(key, &FreeValue(value))?;
        }
        map.end()
    }
}

struct FreeValue<'a>(&'a Value);

impl Serialize for FreeValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            None | Some(Kind::NullValue(_)) => serializer.serialize_unit(),
            Some(Kind::BoolValue(flag)) => serializer.serialize_bool(*flag),
            Some(Kind::NumberValue(number)) => convert::number(*number).serialize(serializer),
            Some(Kind::StringValue(text)) => serializer.serialize_str(text),
            Some(Kind::ListValue(ListValue { values })) => {
                serializer.collect_seq(values.iter().map(FreeValue))
            }
            Some(Kind::StructValue(data)) => FreeForm(data).serialize(serializer),
        }
    }
}
