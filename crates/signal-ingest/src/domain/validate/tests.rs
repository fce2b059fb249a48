//! Every rule at its edge, and that what is kept is kept unchanged.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn input() -> SignalInput {
    SignalInput {
        r#type: "page_view".into(),
        ..SignalInput::default()
    }
}

fn check(input: SignalInput) -> Result<NewSignal, Vec<FieldError>> {
    validate(input, &Limits::default(), now())
}

fn fault(input: SignalInput) -> (String, String) {
    let mut faults = check(input).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let fault = faults.remove(0);
    (fault.pointer, fault.code)
}

fn pair(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

#[test]
fn types_are_short_words() {
    let kind = |kind: &str| SignalInput {
        r#type: kind.into(),
        ..SignalInput::default()
    };
    for good in ["a", "A.b:c-d_9", &"x".repeat(100)] {
        assert!(check(kind(good)).is_ok(), "{good}");
    }
    assert_eq!(fault(kind("")), pair("/type", "required"));
    assert_eq!(fault(kind(&"x".repeat(101))), pair("/type", "too_long"));
    for bad in ["a b", "ä", "a/b", "a\0", " a"] {
        assert_eq!(fault(kind(bad)), pair("/type", "invalid_format"), "{bad}");
    }
}

#[test]
fn times_lie_between_ten_years_back_and_five_minutes_ahead() {
    let at = |offset: SignedDuration| SignalInput {
        timestamp: Some(convert::timestamp(now().checked_add(offset).unwrap())),
        ..input()
    };
    let (day, second) = (SignedDuration::from_hours(24), SignedDuration::from_secs(1));
    assert!(check(at(-day * 3_653)).is_ok());
    assert_eq!(fault(at(-day * 3_653 - second)), pair("/timestamp", "in_past"));
    assert!(check(at(second * 300)).is_ok());
    assert_eq!(fault(at(second * 301)), pair("/timestamp", "in_future"));
    let odd = SignalInput {
        timestamp: Some(prost_types::Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..input()
    };
    assert_eq!(fault(odd), pair("/timestamp", "invalid_timestamp"));
    let fine = check(at(SignedDuration::from_nanos(-1_234)))
        .unwrap()
        .occurred_at
        .unwrap();
    assert_eq!(fine.as_nanosecond() % 1_000, 0, "whole microseconds");
}

#[test]
fn keys_are_kept_as_sent_and_have_no_control_characters() {
    let key = |key: &str| SignalInput {
        idempotency_key: Some(key.into()),
        ..input()
    };
    assert_eq!(
        check(key(" é😀 ")).unwrap().idempotency_key.as_deref(),
        Some(" é😀 ")
    );
    assert!(check(key(&"é".repeat(255))).is_ok());
    assert_eq!(fault(key(&"é".repeat(256))), pair("/idempotencyKey", "too_long"));
    assert_eq!(fault(key("")), pair("/idempotencyKey", "too_short"));
    for bad in ["a\0", "a\nb", "\u{1f}x", "\u{85}"] {
        assert_eq!(fault(key(bad)), pair("/idempotencyKey", "control_character"));
    }
    let visitor = SignalInput {
        anonymous_id: Some(String::new()),
        ..input()
    };
    assert_eq!(fault(visitor), pair("/anonymousId", "too_short"));
    let source = SignalInput {
        source_id: Some("{0197e1c8-1f2a-7b3c-8d4e-5f6071829304}".into()),
        ..input()
    };
    assert_eq!(fault(source), pair("/sourceId", "invalid_id"));
}

#[test]
fn texts_of_an_actor_are_trimmed_and_empty_ones_are_absent() {
    let actor = Actor {
        email: Some(" Dev@ACME.com ".into()),
        name: Some("\u{a0} Ada  Lovelace\t".into()),
        title: Some("  ".into()),
        company: Some(String::new()),
        ip: Some("::ffff:10.0.0.1".into()),
        ..Actor::default()
    };
    let kept = check(SignalInput {
        actor: Some(actor),
        ..input()
    })
    .unwrap()
    .actor
    .unwrap();
    assert_eq!(kept.email.as_deref(), Some("Dev@acme.com"));
    assert_eq!(kept.name.as_deref(), Some("Ada  Lovelace"));
    assert_eq!((kept.title, kept.company), (None, None));
    assert_eq!(kept.ip.as_deref(), Some("10.0.0.1"));
}

#[test]
fn every_fault_is_reported_at_its_place() {
    let text = |text: &str| Some(text.to_owned());
    let signal = SignalInput {
        actor: Some(Actor {
            email: text("nobody"),
            github: text("@octo"),
            name: text("a\u{7}b"),
            avatar_url: text("ftp://x"),
            ..Actor::default()
        }),
        account: Some(AccountHint {
            domain: text("https://acme.com"),
            employees: Some(-1),
            country: text("Germany"),
            ..AccountHint::default()
        }),
        ..input()
    };
    let places: Vec<_> = check(signal)
        .unwrap_err()
        .into_iter()
        .map(|f| (f.pointer, f.code))
        .collect();
    let want = [
        pair("/actor/email", "invalid_email"),
        pair("/actor/github", "invalid_format"),
        pair("/actor/name", "control_character"),
        pair("/actor/avatarUrl", "invalid_url"),
        pair("/account/employees", "out_of_range"),
        pair("/account/domain", "invalid_domain"),
        pair("/account/country", "invalid_country"),
    ];
    assert_eq!(places, want);
}

fn nested(levels: usize, leaf: Value) -> Struct {
    let mut value = leaf;
    for _ in 1..levels {
        value = Value {
            kind: Some(Kind::StructValue(object("a", value))),
        };
    }
    object("a", value)
}

fn object(key: &str, value: Value) -> Struct {
    Struct {
        fields: [(key.to_owned(), value)].into(),
    }
}

#[test]
fn free_form_data_can_be_stored() {
    let data = |data: Struct| SignalInput {
        metadata: Some(data),
        ..input()
    };
    let null = Value {
        kind: Some(Kind::NullValue(0)),
    };
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.into())),
    };
    let number = |n: f64| Value {
        kind: Some(Kind::NumberValue(n)),
    };
    assert!(check(data(nested(31, null.clone()))).is_ok());
    let (pointer, code) = fault(data(nested(32, null)));
    assert_eq!((code.as_str(), pointer.matches("/a").count()), ("too_deep", 31));
    assert_eq!(
        fault(data(object("x", text("a\0")))),
        pair("/metadata/x", "nul_character")
    );
    assert_eq!(fault(data(object("a\0", text("")))).1, "nul_character");
    for odd in [f64::NAN, f64::INFINITY] {
        assert_eq!(
            fault(data(object("x", number(odd)))),
            pair("/metadata/x", "number_out_of_range")
        );
    }
    assert_eq!(
        fault(data(object("x", Value { kind: None }))),
        pair("/metadata/x", "required")
    );
}

proptest! {
    #[test]
    fn what_was_checked_once_is_not_changed_by_a_second_check(
        email in prop::option::of("[ a-zA-Zü0-9.@]{0,20}"),
        name in prop::option::of("\\PC{0,20}"),
        domain in prop::option::of("[A-Za-zü0-9.-]{0,12}"),
        country in prop::option::of("[a-zA-Z]{2}"),
    ) {
        let signal = SignalInput {
            actor: Some(Actor { email, name, ..Actor::default() }),
            account: Some(AccountHint { domain, country, ..AccountHint::default() }),
            ..input()
        };
        if let Ok(kept) = check(signal) {
            let again = SignalInput { actor: kept.actor.clone(), account: kept.account.clone(), ..input() };
            prop_assert_eq!(check(again), Ok(kept));
        }
    }
}
