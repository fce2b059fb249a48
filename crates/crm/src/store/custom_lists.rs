//! Filters and sorts of lists by own fields: `filter[custom.plan]=pro`, `sort=-custom.plan`.
//!
//! A definition of a list is fixed text; own fields are not. So a filter by an own field becomes one of the fixed,
//! hidden filters, whose value is field and key in one, and a sort by one becomes a list over `custom_values`.

use ::store::list::{Filter, Kind, ListRequest, Match, Sort, SortKind};
use ::store::paging::invalid_parameter;
use ::store::{OrgScope, Tx};

use super::custom_fields;
use crate::domain::custom::Type;
use crate::domain::extras::Object;
use crate::error::CrmError;

const PREFIX: &str = "custom.";

/// The names of hidden filters: each can be used once.
const SLOTS: [&str; 4] = ["custom#1", "custom#2", "custom#3", "custom#4"];
const SORT_SLOT: &str = "custom#sort";

/// The hidden filters of a list over a table `t` with a column `id`. The value is 36 characters of the field's id and then
/// the key.
macro_rules! by_custom_value {
    ($slot:literal) => {
        Filter {
            name: $slot,
            kind: Kind::Text,
            matches: Match::Sql(
                "t.id IN (SELECT v.record_id FROM (SELECT {}::text AS wanted) w JOIN custom_values v \
                 ON v.org_id = current_setting('devsignal.org_id')::uuid \
                 AND v.field_id = left(w.wanted, 36)::uuid AND v.key = substr(w.wanted, 37))",
            ),
        }
    };
}
pub(super) const CUSTOM_1: Filter = by_custom_value!("custom#1");
pub(super) const CUSTOM_2: Filter = by_custom_value!("custom#2");
pub(super) const CUSTOM_3: Filter = by_custom_value!("custom#3");
pub(super) const CUSTOM_4: Filter = by_custom_value!("custom#4");
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
        concat!(
            "(SELECT r.*, v.field_id AS sort_field, v.key AS sort_key FROM custom_values v JOIN ",
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

/// Rewrites what names own fields.
pub(super) async fn rewrite<'a>(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    request: &ListRequest<'a>,
) -> Result<Rewritten<'a>, CrmError> {
    let mut rewritten = Rewritten {
        request: request.clone(),
        sort: request.sort.map(str::to_owned),
        by_custom: false,
    };
    let sort = request.sort.unwrap_or_default();
    let (descending, name) = sort.strip_prefix('-').map_or((false, sort), |name| (true, name));
    let sort_key = name.strip_prefix(PREFIX);
    let hidden = |(name, _): &&(String, String)| name.contains('#');
    if let Some((name, _)) = request.filters.iter().find(hidden) {
        return Err(unknown(name));
    }
    let uses = sort_key.is_some() || request.filters.iter().any(|(name, _)| name.starts_with(PREFIX));
    if !uses {
        return Ok(rewritten);
    }
    let definitions = custom_fields::definitions(tx, scope, object).await?;
    let mut slots = SLOTS.iter();
    for (name, value) in &mut rewritten.request.filters {
        let Some(key) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let definition = definitions.get(key).ok_or_else(|| unknown(name))?;
        let key = definition.filter_key(value).ok_or_else(|| {
            let message = format!("{name} must be of type {}", definition.kind.name());
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
        *value = format!("{}{key}", definition.id);
        (*slot).clone_into(name);
    }
    if let Some(key) = sort_key {
        let definition = definitions
            .get(key)
            .filter(|definition| definition.kind != Type::List)
            .ok_or_else(|| {
                let message = "there is no such field that can be sorted by".to_owned();
                CrmError::Api(invalid_parameter("?sort", "unknown", message))
            })?;
        rewritten
            .request
            .filters
            .push((SORT_SLOT.to_owned(), definition.id.to_string()));
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
