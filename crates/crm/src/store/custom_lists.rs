//! Filters and sorts of lists by own fields: `filter[custom.plan]=pro`, `sort=-custom.plan`.
//!
//! A definition of a list is fixed text; own fields are not. So a filter by an own field becomes one of the fixed,
//! hidden filters, whose value is field and key in one, and a sort by one becomes a list over `custom_values`.

use std::collections::BTreeMap;

use ::store::list::{Filter, Kind, ListRequest, Match, Sort, SortKind, ValueField};
use ::store::paging::invalid_parameter;
use ::store::{OrgScope, Tx};
use serde_json::Value;

use super::{Tree, custom_fields};
use crate::domain::custom::{Rule, Type};
use crate::domain::extras::Object;
use crate::error::CrmError;

const PREFIX: &str = "custom.";

/// The names of hidden filters: each can be used once.
const SLOTS: [&str; 4] = ["custom#1", "custom#2", "custom#3", "custom#4"];
const SORT_SLOT: &str = "custom#sort";

/// The hidden filters of a list over a table `t` with a column `id`. The value is 36 characters of the field's id and then
/// the key.
macro_rules! by_value {
    ($slot:literal, $table:literal) => {
        Filter {
            name: $slot,
            kind: Kind::Text,
            matches: Match::Sql(concat!(
                "t.id IN (SELECT v.record_id FROM (SELECT {}::text AS wanted) w JOIN ",
                $table,
                " v ON v.org_id = current_setting('devsignal.org_id')::uuid \
                 AND v.field_id = left(w.wanted, 36)::uuid AND v.key = substr(w.wanted, 37))",
            )),
        }
    };
}
pub(super) const CUSTOM_1: Filter = by_value!("custom#1", "custom_values");
pub(super) const CUSTOM_2: Filter = by_value!("custom#2", "custom_values");
pub(super) const CUSTOM_3: Filter = by_value!("custom#3", "custom_values");
pub(super) const CUSTOM_4: Filter = by_value!("custom#4", "custom_values");
/// The same for records of custom objects.
pub(super) const RECORD_1: Filter = by_value!("custom#1", "object_values");
pub(super) const RECORD_2: Filter = by_value!("custom#2", "object_values");
pub(super) const RECORD_3: Filter = by_value!("custom#3", "object_values");
pub(super) const RECORD_4: Filter = by_value!("custom#4", "object_values");
/// The field that a list is sorted by, for lists over [`sorted_table`].
pub(super) const SORT_FIELD: Filter = Filter {
    name: SORT_SLOT,
    kind: Kind::Uuid,
    matches: Match::Eq("sort_field"),
};
/// The sort of such a list.
pub(super) const SORT: Sort = Sort {
    name: "custom",
    column: "sort_key",
    kind: SortKind::Text,
    nullable: false,
};

/// Records joined with one own field each.
macro_rules! sorted_table {
    ($table:literal) => {
        sorted_table!($table, "custom_values")
    };
    ($table:literal, $values:literal) => {
        concat!(
            "(SELECT r.*, v.field_id AS sort_field, v.key AS sort_key FROM ",
            $values,
            " v JOIN ",
            $table,
            " r ON r.org_id = v.org_id AND r.id = v.record_id)"
        )
    };
}
pub(super) use sorted_table;

/// A list request with own fields written as hidden filters.
pub(super) struct Rewritten<'a> {
    request: ListRequest<'a>,
    sort: Option<String>,
    /// Whether the list is sorted by an own field.
    pub(super) by_custom: bool,
    /// The own fields for the full filter.
    pub(super) values: Vec<ValueField>,
}

impl Rewritten<'_> {
    /// What the list is prepared with.
    pub(super) fn request(&self) -> ListRequest<'_> {
        ListRequest {
            sort: self.sort.as_deref(),
            ..self.request.clone()
        }
    }
}

/// Rewrites what names own fields of accounts, contacts and deals.
pub(super) async fn rewrite<'a>(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    request: &ListRequest<'a>,
    tree: Tree<'_>,
) -> Result<Rewritten<'a>, CrmError> {
    let named = |name: &str| name.trim_start_matches('-').starts_with(PREFIX);
    let in_tree = tree.is_some_and(|tree| mentions(&Value::Object(tree.clone())));
    let in_list =
        named(request.sort.unwrap_or_default()) || request.filters.iter().any(|(name, _)| named(name));
    let definitions = if in_tree || in_list {
        custom_fields::definitions(tx, scope, object).await?
    } else {
        BTreeMap::new()
    };
    let rules: BTreeMap<&str, &Rule> = definitions
        .iter()
        .map(|(key, definition)| (key.as_str(), &definition.rule))
        .collect();
    let mut rewritten = rewrite_by(request, PREFIX, &rules)?;
    if in_tree {
        rewritten.values = value_fields(PREFIX, "custom_values", &rules);
    }
    Ok(rewritten)
}

/// Whether a full filter names an own field.
fn mentions(filter: &Value) -> bool {
    match filter {
        Value::Object(parts) => parts
            .iter()
            .any(|(name, part)| name.starts_with(PREFIX) || mentions(part)),
        Value::Array(parts) => parts.iter().any(mentions),
        _ => false,
    }
}

/// The fields as full filters name them.
pub(super) fn value_fields(
    prefix: &str,
    table: &'static str,
    rules: &BTreeMap<&str, &Rule>,
) -> Vec<ValueField> {
    let field = |(key, rule): (&&str, &&Rule)| {
        let held = Rule::clone(rule);
        ValueField {
            name: format!("{prefix}{key}"),
            id: rule.id,
            table,
            is_text: !matches!(rule.kind, Type::Number | Type::Bool | Type::Currency),
            expected: format!("of type {}", rule.kind.name()),
            key: Box::new(move |value| held.json_key(value)),
        }
    };
    rules.iter().map(field).collect()
}

/// Rewrites what names fields: those of `rules`, behind `prefix`.
pub(super) fn rewrite_by<'a>(
    request: &ListRequest<'a>,
    prefix: &str,
    rules: &BTreeMap<&str, &Rule>,
) -> Result<Rewritten<'a>, CrmError> {
    let mut rewritten = Rewritten {
        request: request.clone(),
        sort: request.sort.map(str::to_owned),
        by_custom: false,
        values: Vec::new(),
    };
    let hidden = |(name, _): &&(String, String)| name.contains('#');
    if let Some((name, _)) = request.filters.iter().find(hidden) {
        return Err(unknown(name));
    }
    let mut slots = SLOTS.iter();
    for (name, value) in &mut rewritten.request.filters {
        let Some(key) = name.strip_prefix(prefix) else {
            continue;
        };
        let rule = rules.get(key).ok_or_else(|| unknown(name))?;
        let key = rule.filter_key(value).ok_or_else(|| {
            let message = format!("{name} must be of type {}", rule.kind.name());
            CrmError::Api(invalid_parameter(&pointer(name), "invalid", message))
        })?;
        if key.contains('\0') {
            return Err(CrmError::Api(invalid_parameter(
                &pointer(name),
                "invalid",
                "U+0000 is not allowed".into(),
            )));
        }
        let slot = slots.next().ok_or_else(|| {
            let message = "at most 4 filters by own fields are possible".to_owned();
            CrmError::Api(invalid_parameter(&pointer(name), "too_many", message))
        })?;
        *value = format!("{}{key}", rule.id);
        (*slot).clone_into(name);
    }
    let sort = request.sort.unwrap_or_default();
    let (descending, name) = sort.strip_prefix('-').map_or((false, sort), |name| (true, name));
    // Without a prefix what is no field may be a sort that the list has anyway: their names are not those of fields.
    let key = name
        .strip_prefix(prefix)
        .filter(|key| !prefix.is_empty() || rules.contains_key(key));
    if let Some(key) = key {
        let rule = rules
            .get(key)
            .filter(|rule| rule.kind != Type::List)
            .ok_or_else(|| {
                let message = "there is no such field that can be sorted by".to_owned();
                CrmError::Api(invalid_parameter("?sort", "unknown", message))
            })?;
        rewritten
            .request
            .filters
            .push((SORT_SLOT.to_owned(), rule.id.to_string()));
        rewritten.sort = Some(if descending { "-custom" } else { "custom" }.to_owned());
        rewritten.by_custom = true;
    }
    Ok(rewritten)
}

fn pointer(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    format!("?filter[{name}]")
}

fn unknown(name: &str) -> CrmError {
    let message = "there is no such filter".to_owned();
    CrmError::Api(invalid_parameter(&pointer(name), "unknown", message))
}
