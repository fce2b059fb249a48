//! Laws of schema changes.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::domain::custom::{Rule, Type};

fn field(key: &str, kind: Type) -> Field {
    Field {
        rule: Rule {
            id: Uuid::nil(),
            key: key.to_owned(),
            label: key.to_owned(),
            kind,
            required: false,
            unique: false,
            pattern: None,
            options: Vec::new(),
            default: None,
        },
        target: None,
    }
}

fn object(fields: Vec<Field>) -> CustomObject {
    CustomObject {
        id: Uuid::nil(),
        key: "thing".into(),
        label: "thing".into(),
        description: None,
        fields,
        schema_version: 1,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        version: 1,
    }
}

fn verdict(before: &Field, after: &Field) -> (&'static str, Verdict) {
    let changes = compare(std::slice::from_ref(before), std::slice::from_ref(after));
    assert_eq!(changes.len(), 1, "{changes:?}");
    (changes[0].what, changes[0].verdict)
}

#[test]
fn every_change_has_its_verdict() {
    let text = field("a", Type::Text);
    let with = |change: &dyn Fn(&mut Rule)| {
        let mut field = text.clone();
        change(&mut field.rule);
        field
    };
    let required = with(&|rule| rule.required = true);
    let unique = with(&|rule| rule.unique = true);
    let pattern = with(&|rule| rule.pattern = Some("x+".into()));
    let number = field("a", Type::Number);
    let date = field("a", Type::Date);
    use Verdict::{Breaking, Compatible, NeedsBackfill};
    assert_eq!(verdict(&text, &required), ("became_required", NeedsBackfill));
    assert_eq!(verdict(&required, &text), ("became_optional", Compatible));
    assert_eq!(verdict(&text, &unique), ("became_unique", Breaking));
    assert_eq!(verdict(&unique, &text), ("became_common", Compatible));
    assert_eq!(verdict(&text, &pattern), ("pattern_changed", Breaking));
    assert_eq!(verdict(&pattern, &text), ("pattern_removed", Compatible));
    assert_eq!(verdict(&text, &number), ("type_changed", Breaking));
    assert_eq!(verdict(&date, &text), ("type_widened", Compatible));
    let options = |options: &[&str]| {
        let mut field = field("a", Type::Enum);
        field.rule.options = options.iter().map(|option| (*option).to_owned()).collect();
        field
    };
    assert_eq!(
        verdict(&options(&["x"]), &options(&["y", "x"])),
        ("options_changed", Compatible)
    );
    assert_eq!(
        verdict(&options(&["x", "y"]), &options(&["x"])),
        ("options_removed", Breaking)
    );
    assert_eq!(compare(&[], std::slice::from_ref(&text))[0].verdict, Compatible);
    assert_eq!(compare(&[], &[required])[0].verdict, NeedsBackfill);
    assert_eq!(compare(&[text], &[])[0].verdict, Breaking);
}

#[test]
fn values_that_do_not_fit_are_told_where_they_stand() {
    let mut seats = field("seats", Type::Number);
    seats.rule.required = true;
    let mut plan = field("plan", Type::Enum);
    plan.rule.options = vec!["free".into(), "pro".into()];
    plan.rule.default = Some(json!("free"));
    let object = object(vec![seats, plan, field("links", Type::List)]);
    let told = |held: Option<&Map<String, Value>>, given: Value| match apply(
        &object,
        held,
        given.as_object().unwrap(),
    ) {
        Ok(after) => Ok(Value::Object(after.values)),
        Err(problems) => Err(problems
            .into_iter()
            .map(|p| (p.pointer, p.code))
            .collect::<Vec<_>>()),
    };
    assert_eq!(
        told(None, json!({"seats": 5})),
        Ok(json!({"seats": 5, "plan": "free"}))
    );
    let bad = told(None, json!({"plan": "x", "links": ["a", 1], "n/o": 1}));
    let expected = [
        ("/values/plan", "unknown_option"),
        ("/values/links/1", "not_a_string"),
        ("/values/n~1o", "unknown_field"),
        ("/values/seats", "required"),
    ];
    let mut bad = bad.unwrap_err();
    let mut expected = expected.map(|(p, c)| (p.to_owned(), c.to_owned())).to_vec();
    bad.sort();
    expected.sort();
    assert_eq!(bad, expected);
    let held = json!({"seats": 5, "plan": "pro"});
    let held = held.as_object();
    assert_eq!(told(held, json!({"plan": null})), Ok(json!({"seats": 5})));
    assert_eq!(
        told(held, json!({"seats": null})),
        Err(vec![("/values/seats".into(), "required".into())])
    );
}

fn any_field() -> impl Strategy<Value = Field> {
    let kinds = prop_oneof![
        Just(Type::Text),
        Just(Type::Enum),
        Just(Type::Number),
        Just(Type::Date),
        Just(Type::List)
    ];
    let options = prop::collection::btree_set("[a-c]", 1..3);
    (kinds, any::<bool>(), prop::option::of("[a-c]{1,2}"), options).prop_map(
        |(kind, required, pattern, options)| {
            let mut field = field("a", kind);
            field.rule.required = required;
            field.rule.pattern = pattern.filter(|_| kind == Type::Text);
            if matches!(kind, Type::Enum | Type::List) {
                field.rule.options = options.into_iter().collect();
            }
            field
        },
    )
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-c]{1,2}".prop_map(Value::from),
        Just(json!("2026-01-31")),
        any::<i32>().prop_map(Value::from),
        Just(json!(["a"])),
        Just(json!(["a", "b"])),
    ]
}

proptest! {
    #[test]
    fn what_is_compatible_keeps_every_record_and_a_backfill_keeps_the_rest(
        before in any_field(), after in any_field(), value in prop::option::of(any_value()), filled in any_value()
    ) {
        let (old, new) = (object(vec![before]), vec![after.clone()]);
        let given: Map<String, Value> = value.into_iter().map(|value| ("a".to_owned(), value)).collect();
        let verdict = gravest(&compare(&old.fields, &new));
        if let Ok(held) = apply(&old, None, &given) {
            let fits = fit(&new, &held.values, &[], &Map::new());
            match verdict {
                Verdict::Compatible => prop_assert_eq!(fits.as_ref(), Ok(&held.values)),
                Verdict::NeedsBackfill => {
                    if let Ok(filled) = after.rule.check(&filled) {
                        let backfill = Map::from_iter([("a".to_owned(), filled)]);
                        prop_assert!(fit(&new, &held.values, &[], &backfill).is_ok());
                    }
                }
                Verdict::Breaking => {}
            }
        }
    }
}
