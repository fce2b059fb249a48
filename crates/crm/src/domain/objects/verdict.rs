//! What a change of fields means for records that are there and programs that know the fields.
//!
//! Contract: after a change that is judged compatible every record and every request that fitted before fits; after one that
//! needs a backfill, once the backfill is made. There is a property test of it.

use serde_json::{Map, Value};

use super::schema::Field;
use crate::domain::custom::Type;

/// How grave a change is, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything that fitted fits.
    Compatible,
    /// Records that are there lack something.
    NeedsBackfill,
    /// Something that fitted does not fit any more.
    Breaking,
}

impl Verdict {
    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::NeedsBackfill => "needs_backfill",
            Self::Breaking => "breaking",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The field's key.
    pub field: String,
    /// What changes.
    pub what: &'static str,
    /// How grave it is.
    pub verdict: Verdict,
    /// The same for persons.
    pub detail: String,
}

/// What to do with records that do not fit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Fields that may break.
    pub drop: Vec<String>,
    /// Values for records that lack one.
    pub backfill: Map<String, Value>,
}

/// The gravest of the changes.
#[must_use]
pub fn gravest(changes: &[Change]) -> Verdict {
    changes
        .iter()
        .map(|change| change.verdict)
        .max()
        .unwrap_or(Verdict::Compatible)
}

/// The changes from fields to fields, those that are gone first.
#[must_use]
pub fn compare(before: &[Field], after: &[Field]) -> Vec<Change> {
    let find = |fields: &[Field], key: &str| fields.iter().any(|field| field.rule.key == key);
    let mut changes = Vec::new();
    for field in before.iter().filter(|field| !find(after, &field.rule.key)) {
        push(
            &mut changes,
            field,
            "removed",
            Verdict::Breaking,
            "the field and its values are removed",
        );
    }
    for field in after {
        let old = before.iter().find(|old| old.rule.key == field.rule.key);
        match old {
            Some(old) => differences(&mut changes, old, field),
            None if field.rule.required => {
                let detail = "a new field that records need";
                push(
                    &mut changes,
                    field,
                    "added_required",
                    Verdict::NeedsBackfill,
                    detail,
                );
            }
            None => push(&mut changes, field, "added", Verdict::Compatible, "a new field"),
        }
    }
    changes
}

fn push(changes: &mut Vec<Change>, field: &Field, what: &'static str, verdict: Verdict, detail: &str) {
    changes.push(Change {
        field: field.rule.key.clone(),
        what,
        verdict,
        detail: detail.to_owned(),
    });
}

fn differences(changes: &mut Vec<Change>, old: &Field, new: &Field) {
    use Verdict::{Breaking, Compatible, NeedsBackfill};
    let (before, after) = (&old.rule, &new.rule);
    let mut note = |what, verdict, detail: &str| push(changes, new, what, verdict, detail);
    if before.kind != after.kind {
        let widened = after.kind == Type::Text
            && after.pattern.is_none()
            && matches!(before.kind, Type::Enum | Type::Date | Type::Url | Type::Email);
        if widened {
            note("type_widened", Compatible, "every value is a text already");
        } else {
            note(
                "type_changed",
                Breaking,
                "values of the old type do not fit the new one",
            );
        }
    }
    if old.target != new.target && before.kind == after.kind {
        note(
            "target_changed",
            Breaking,
            "references to the old kind of records do not fit",
        );
    }
    match (before.required, after.required) {
        (false, true) => note(
            "became_required",
            NeedsBackfill,
            "records without a value need one",
        ),
        (true, false) => note("became_optional", Compatible, "records can be without a value"),
        _ => {}
    }
    match (before.unique, after.unique) {
        (false, true) => note(
            "became_unique",
            Breaking,
            "records with the same value are not allowed any more",
        ),
        (true, false) => note("became_common", Compatible, "records can have the same value"),
        _ => {}
    }
    narrowing(changes, old, new);
}

/// Changes of what values of the same type can be, and of names.
fn narrowing(changes: &mut Vec<Change>, old: &Field, new: &Field) {
    use Verdict::{Breaking, Compatible};
    let (before, after) = (&old.rule, &new.rule);
    let mut note = |what, verdict, detail: &str| push(changes, new, what, verdict, detail);
    match (&before.pattern, &after.pattern) {
        (old, new) if old == new => {}
        (_, None) => note("pattern_removed", Compatible, "any text fits"),
        _ => note(
            "pattern_changed",
            Breaking,
            "texts that fitted may not match the pattern",
        ),
    }
    let narrowed = !after.options.is_empty()
        && (before.options.is_empty()
            || before
                .options
                .iter()
                .any(|option| !after.options.contains(option)));
    if before.options != after.options
        && matches!(after.kind, Type::Enum | Type::List)
        && before.kind == after.kind
    {
        if narrowed {
            note(
                "options_removed",
                Breaking,
                "values that are no option any more do not fit",
            );
        } else {
            note(
                "options_changed",
                Compatible,
                "everything that was an option still is",
            );
        }
    }
    if before.default != after.default {
        note("default_changed", Compatible, "new records get another value");
    }
    if before.label != after.label {
        note("label_changed", Compatible, "another name for people");
    }
}
