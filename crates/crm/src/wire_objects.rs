//! Between custom objects and the messages of the contract. Must not: decide anything.

use contracts::convert::{self, timestamp};
use contracts::crm::v1 as crm;

use crate::domain::objects::{CustomObject, Field, Record, Schema, gravest};
use crate::store::Judged;

/// A custom object.
#[must_use]
pub fn object(object: &CustomObject) -> crm::CustomObject {
    crm::CustomObject {
        id: object.id.to_string(),
        key: object.key.clone(),
        label: object.label.clone(),
        description: object.description.clone(),
        fields: object.fields.iter().map(field).collect(),
        schema_version: object.schema_version,
        created_at: Some(timestamp(object.created_at)),
        updated_at: Some(timestamp(object.updated_at)),
        version: object.version,
    }
}

fn field(Field { rule, target }: &Field) -> crm::ObjectField {
    crm::ObjectField {
        key: rule.key.clone(),
        label: Some(rule.label.clone()),
        r#type: rule.kind.name().to_owned(),
        required: Some(rule.required),
        unique: Some(rule.unique),
        pattern: rule.pattern.clone(),
        options: rule.options.clone(),
        reference_object: target.clone().map(String::from),
        default_value: rule.default.clone().map(convert::to_value),
    }
}

/// What a change of fields means.
#[must_use]
pub fn verdict(judged: &Judged) -> crm::SchemaVerdict {
    let changes = judged.changes.iter().map(|change| crm::SchemaChange {
        field: change.field.clone(),
        change: change.what.to_owned(),
        verdict: change.verdict.name().to_owned(),
        detail: change.detail.clone(),
    });
    crm::SchemaVerdict {
        verdict: gravest(&judged.changes).name().to_owned(),
        changes: changes.collect(),
        records_changed: judged.records,
    }
}

/// A version of an object's fields.
#[must_use]
pub fn object_schema(schema: &Schema) -> crm::ObjectSchema {
    crm::ObjectSchema {
        schema_version: schema.version,
        fields: schema.fields.iter().map(field).collect(),
        verdict: schema.verdict.clone(),
        changed_by: schema.by.clone(),
        created_at: Some(timestamp(schema.at)),
    }
}

/// A record of the object of this key.
#[must_use]
pub fn record(object: &str, record: &Record) -> crm::ObjectRecord {
    crm::ObjectRecord {
        id: record.id.to_string(),
        object: object.to_owned(),
        values: Some(convert::to_struct(record.values.clone())),
        created_by: record.by.clone(),
        created_at: Some(timestamp(record.created_at)),
        updated_at: Some(timestamp(record.updated_at)),
        version: record.version,
    }
}
