//! What is malformed, what is wrong with an item, and what is read.

use errors::{ApiError, ErrorCode};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::limits::Limits;

fn single(body: &str) -> Result<Item, ApiError> {
    read_single(body.as_bytes(), &Limits::default())
}

fn codes(body: &str) -> Vec<(String, String)> {
    let faults = single(body).unwrap().unwrap_err();
    faults.into_iter().map(|f| (f.pointer, f.code)).collect()
}

#[test]
fn every_field_is_read() {
    let body = json!({
        "type": "package_install", "timestamp": "2026-01-02T03:04:05.678Z",
        "sourceId": "0197e1c8-1f2a-7b3c-8d4e-5f6071829304", "idempotencyKey": "k", "anonymousId": "a",
        "actor": {"email": "e", "github": "g", "npm": "n", "pypi": "p", "twitter": "t", "linkedin": "l",
                  "userId": "u", "name": "N\u{e9}", "title": "T", "company": "C", "ip": "i", "phone": "ph",
                  "avatarUrl": "av"},
        "account": {"domain": "d", "name": "n", "githubOrg": "o", "employees": 12, "industry": "i", "country": "c",
                    "fundingStage": "f"},
        "metadata": {"a": [1, 2.5, true, null, "x", {"b": {}}]},
    });
    let signal = single(&body.to_string()).unwrap().unwrap();
    assert_eq!(signal.r#type, "package_install");
    assert_eq!(signal.timestamp.unwrap().nanos, 678_000_000);
    assert_eq!(signal.idempotency_key.as_deref(), Some("k"));
    assert_eq!(signal.anonymous_id.as_deref(), Some("a"));
    let actor = signal.actor.unwrap();
    assert_eq!(actor.name.as_deref(), Some("Né"));
    assert_eq!(actor.user_id.as_deref(), Some("u"));
    assert_eq!(actor.avatar_url.as_deref(), Some("av"));
    let account = signal.account.unwrap();
    assert_eq!(
        (account.employees, account.github_org.as_deref()),
        (Some(12), Some("o"))
    );
    assert_eq!(account.funding_stage.as_deref(), Some("f"));
    let metadata = contracts::convert::from_struct(&signal.metadata.unwrap());
    assert_eq!(serde_json::Value::Object(metadata), body["metadata"]);
}

#[test]
fn null_counts_as_absent() {
    let body = r#"{"type":"t","timestamp":null,"sourceId":null,"idempotencyKey":null,"anonymousId":null,
        "actor":{"email":null},"account":null,"metadata":null}"#;
    let signal = single(body).unwrap().unwrap();
    let want = contracts::signals::v1::SignalInput {
        r#type: "t".into(),
        actor: Some(contracts::signals::v1::Actor::default()),
        ..Default::default()
    };
    assert_eq!(signal, want);
}

#[test]
fn documents_without_one_meaning_are_malformed() {
    let deep = format!(r#"{{"metadata":{{"a":{}1{}}}}}"#, "[".repeat(31), "]".repeat(31));
    for body in [
        "",
        " ",
        "{",
        "}",
        "nul",
        "{\"type\":\"t\"",
        "{\"type\":\"t\"}x",
        "{\"type\":\"t\"}{}",
        "{'type':1}",
        "{\"type\":\"t\",}",
        "{\"type\" \"t\"}",
        "{type:1}",
        "[1,]",
        "\u{feff}{\"type\":\"t\"}",
        "{\"type\":NaN}",
        "{\"metadata\":{\"a\":Infinity}}",
        "{\"metadata\":{\"a\":-Infinity}}",
        "{\"metadata\":{\"a\":01}}",
        "{\"metadata\":{\"a\":1.}}",
        "{\"metadata\":{\"a\":+1}}",
        "{\"metadata\":{\"a\":.5}}",
        "{\"metadata\":{\"a\":0x1}}",
        "{\"type\":\"a\tb\"}",
        "{\"type\":\"\\ud800\"}",
        "{\"type\":\"\\udc00x\"}",
        "{\"type\":\"\\ud800\\u0041\"}",
        "{\"type\":\"\\x\"}",
        "{\"type\":\"t\",\"type\":\"t\"}",
        "{\"ty\\u0070e\":\"t\",\"type\":\"t\"}",
        "{\"metadata\":{\"a\":1,\"a\":1}}",
        "{\"metadata\":{\"x\":[{\"a\":1,\"\\u0061\":2}]}}",
        "{\"foo\":{\"a\":1,\"a\":1}}",
        "{\"foo\":1,\"foo\":1}",
        "{\"actor\":{\"email\":\"a\",\"email\":\"b\"}}",
        "{\"type\":{\"a\":1,\"a\":1}}",
        "// c\n{}",
        &deep,
    ] {
        assert_eq!(single(body).unwrap_err().code, ErrorCode::MalformedJson, "{body}");
    }
    for body in [
        &b"{\"type\":\"\xff\"}"[..],
        b"{\"type\":\"\xc3\x28\"}",
        b"\xff\xfe{\0}\0",
        b"{\"\xed\xa0\x80\":1}",
    ] {
        let error = read_single(body, &Limits::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::MalformedJson);
    }
    let error = single("{\n  \"type\": nope}").unwrap_err();
    assert!(error.detail.contains("line 2"), "{}", error.detail);
}

#[test]
fn thirty_two_levels_are_allowed() {
    let body = format!(
        r#"{{"type":"t","metadata":{{"a":{}1{}}}}}"#,
        "[".repeat(30),
        "]".repeat(30)
    );
    let signal = single(&body).unwrap().unwrap();
    let encoded = prost::Message::encode_to_vec(&signal);
    assert!(<contracts::signals::v1::SignalInput as prost::Message>::decode(&encoded[..]).is_ok());
    let objects = format!(
        r#"{{"type":"t","metadata":{}1{}}}"#,
        r#"{"a":"#.repeat(31),
        "}".repeat(31)
    );
    assert!(single(&objects).unwrap().is_ok());
    assert!(single(&objects.replace(":1}", ":[]}")).is_err());
}

#[test]
fn faults_of_an_item_name_their_place() {
    assert_eq!(codes(r#"{"type":1}"#), [("/type".into(), "wrong_type".into())]);
    assert_eq!(codes("[]"), [(String::new(), "wrong_type".into())]);
    assert_eq!(codes("null"), [(String::new(), "wrong_type".into())]);
    assert_eq!(
        codes(r#"{"actor":{"emial":"x"}}"#),
        [("/actor/emial".into(), "unknown_field".into())]
    );
    assert_eq!(
        codes(r#"{"a/b~c":1}"#),
        [("/a~1b~0c".into(), "unknown_field".into())]
    );
    assert_eq!(codes(r#"{"actor":[]}"#), [("/actor".into(), "wrong_type".into())]);
    assert_eq!(
        codes(r#"{"actor":{"email":{"x":[1]}}}"#),
        [("/actor/email".into(), "wrong_type".into())]
    );
    assert_eq!(
        codes(r#"{"account":{"employees":1.5}}"#),
        [("/account/employees".into(), "wrong_type".into())]
    );
    assert_eq!(
        codes(r#"{"account":{"employees":"1"}}"#),
        [("/account/employees".into(), "wrong_type".into())]
    );
    let huge = r#"{"account":{"employees":99999999999999999999}}"#;
    assert_eq!(
        codes(huge),
        [("/account/employees".into(), "out_of_range".into())]
    );
    assert_eq!(
        codes(r#"{"timestamp":1700000000}"#),
        [("/timestamp".into(), "wrong_type".into())]
    );
    assert_eq!(
        codes(r#"{"timestamp":"yesterday"}"#),
        [("/timestamp".into(), "invalid_timestamp".into())]
    );
    assert_eq!(
        codes(r#"{"metadata":[]}"#),
        [("/metadata".into(), "wrong_type".into())]
    );
    let inexact = r#"{"metadata":{"ok":1,"a":[0,{"b/c":9007199254740993}],"z":1e400}}"#;
    assert_eq!(
        codes(inexact),
        [("/metadata/a/1/b~1c".into(), "number_not_exact".into())]
    );
    assert_eq!(
        codes(r#"{"metadata":{"z":1e400}}"#),
        [("/metadata/z".into(), "number_out_of_range".into())]
    );
    let both = codes(r#"{"type":1,"nope":2,"actor":{"x":1,"email":2}}"#);
    assert_eq!(both.len(), 4);
    let message = single(r#"{"nope":1}"#).unwrap().unwrap_err().remove(0).message;
    assert!(message.contains("idempotencyKey"), "{message}");
}

#[test]
fn envelopes_are_checked() {
    let batch = |body: &str| read_batch(body.as_bytes(), &Limits::default());
    let fields = |body: &str| -> Vec<(String, String)> {
        let error = batch(body).unwrap_err();
        assert_eq!(error.code, ErrorCode::ValidationFailed, "{body}");
        error.fields.into_iter().map(|f| (f.pointer, f.code)).collect()
    };
    let required = [("/signals".to_owned(), "required".to_owned())];
    assert_eq!(fields("{}"), required);
    assert_eq!(fields(r#"{"signals":[]}"#), required);
    assert_eq!(fields(r#"{"signals":null}"#), required);
    assert_eq!(
        fields(r#"{"signals":{}}"#),
        [("/signals".into(), "wrong_type".into())]
    );
    assert_eq!(fields("[]"), [(String::new(), "wrong_type".into())]);
    assert_eq!(
        fields(r#"{"signals":[{"type":"t"}],"foo":1}"#),
        [("/foo".into(), "unknown_field".into())]
    );
    for body in [
        r#"{"signals":[],"signals":[{"type":"t"}]}"#,
        r#"{"signals":[{"type":"t"}]"#,
        r#"{"a":1,"a":2}"#,
        "[1",
    ] {
        assert_eq!(batch(body).unwrap_err().code, ErrorCode::MalformedJson, "{body}");
    }
    let items = batch(r#"{"signals":[{"type":"a"},7,{"type":"b","x":1},{"type":"c"}]}"#).unwrap();
    let outcomes: Vec<bool> = items.iter().map(Result::is_ok).collect();
    assert_eq!(outcomes, [true, false, false, true]);
}

#[test]
fn sizes_are_limited() {
    let limits = Limits {
        max_items: 2,
        max_body_bytes: 300,
        max_signal_bytes: 100,
        ..Limits::default()
    };
    let item = r#"{"type":"t"}"#;
    let batch = |n: usize| format!("{{\"signals\":[{}]}}", vec![item; n].join(","));
    assert_eq!(read_batch(batch(2).as_bytes(), &limits).unwrap().len(), 2);
    assert_eq!(
        read_batch(batch(3).as_bytes(), &limits).unwrap_err().code,
        ErrorCode::TooLarge
    );
    let padded = format!("{item}{}", " ".repeat(300));
    assert_eq!(
        read_single(padded.as_bytes(), &limits).unwrap_err().code,
        ErrorCode::TooLarge
    );
    let large = format!(r#"{{"type":"t","anonymousId":"{}"}}"#, "x".repeat(100));
    let fault = read_single(large.as_bytes(), &limits)
        .unwrap()
        .unwrap_err()
        .remove(0);
    assert_eq!((fault.pointer.as_str(), fault.code.as_str()), ("", "too_large"));
}

#[test]
fn many_unknown_keys_are_read_in_linear_time() {
    let keys: Vec<String> = (0..200_000).map(|n| format!("\"k{n}\":1")).collect();
    let body = format!("{{{}}}", keys.join(","));
    let faults = single(&body).unwrap().unwrap_err();
    assert!(faults.len() <= 20);
}

/// Any JSON value of at most a few levels.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        proptest::num::f64::NORMAL.prop_map(Into::into),
        "\\PC{0,8}".prop_map(Into::into),
        "[\\x00-\\x20\"\\\\]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec(("[a-z]{1,4}", inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn metadata_is_read_as_serde_json_reads_it(value in any_json()) {
        let body = json!({"type": "t", "metadata": {"v": value}});
        let signal = single(&body.to_string()).unwrap().unwrap();
        let metadata = contracts::convert::from_struct(&signal.metadata.unwrap());
        let read = serde_json::Value::Object(metadata);
        // Numbers are compared as doubles: serde_json tells 1.0 from 1, the wire does not.
        prop_assert_eq!(normal(read), normal(body["metadata"].clone()));
    }

    #[test]
    fn a_damaged_document_is_malformed_exactly_when_serde_json_says_so(
        value in any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>(),
    ) {
        let mut body = json!({"type": "t", "metadata": {"v": value}}).to_string().into_bytes();
        let index = at.index(body.len());
        if insert { body.insert(index, byte) } else { body[index] = byte }
        let ours = !matches!(read_single(&body, &Limits::default()), Err(e) if e.code == ErrorCode::MalformedJson);
        match serde_json::from_slice::<Unique>(&body) {
            Ok(_) => prop_assert!(ours, "{}", String::from_utf8_lossy(&body)),
            // serde_json takes a number that is too large for a syntax error.
            Err(e) if e.to_string().contains("out of range") => {}
            Err(_) => prop_assert!(!ours, "{}", String::from_utf8_lossy(&body)),
        }
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read_single(&body, &Limits::default()), read_batch(&body, &Limits::default()));
    }
}

fn normal(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(n) => json!(n.as_f64()),
        serde_json::Value::Array(items) => items.into_iter().map(normal).collect(),
        serde_json::Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().map(|(k, v)| (k, normal(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.into_iter().collect::<serde_json::Map<_, _>>().into()
        }
        other => other,
    }
}

/// A document that serde_json reads and in which no key stands twice.
struct Unique;

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Unique;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
                while seq.next_element::<Unique>()?.is_some() {}
                Ok(Unique)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut keys = std::collections::HashSet::new();
                while let Some((key, Unique)) = map.next_entry::<String, Unique>()? {
                    if !keys.insert(key) {
                        return Err(serde::de::Error::custom("twice"));
                    }
                }
                Ok(Unique)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
