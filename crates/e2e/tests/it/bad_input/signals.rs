//! Strings, times and batches: values that a signal must not have.

use serde_json::{Value, json};

use super::{Row, Subject};

pub(super) fn strings(subject: &Subject) -> Vec<Row> {
    let row = |name: &str, signal: Value, place: &'static str| {
        Row::new(name, subject.signal(signal.to_string()), 400, "validation_failed").at(place)
    };
    let kind = |name: &str, text: &str, place| row(name, json!({ "type": text }), place);
    let actor = |name: &str, field: &str, text: &str, place| {
        row(name, json!({"type": "x", "actor": {field: text}}), place)
    };
    let account = |name: &str, field: &str, text: &str, place| {
        row(name, json!({"type": "x", "account": {field: text}}), place)
    };
    let key = |name: &str, text: &str, place| row(name, json!({"type": "x", "idempotencyKey": text}), place);
    let long = "x".repeat(256);
    vec![
        kind("an empty type", "", "required /type"),
        kind("a type of 101 characters", &"x".repeat(101), "too_long /type"),
        kind("a type with white space", "a b", "invalid_format /type"),
        kind("a type with the bus's wildcard", "a.>", "invalid_format /type"),
        kind(
            "a type with a line break",
            "a\r\nX-Evil: 1",
            "invalid_format /type",
        ),
        kind("a type in Cyrillic", "раге_view", "invalid_format /type"),
        kind("SQL in the type", "x' OR 1=1--", "invalid_format /type"),
        key("an empty key", "", "too_short /idempotencyKey"),
        key("a key of 256 characters", &long, "too_long /idempotencyKey"),
        key(
            "a key with a line break",
            "a\nb",
            "control_character /idempotencyKey",
        ),
        key("a key with U+0000", "a\0b", "control_character /idempotencyKey"),
        row(
            "an empty anonymous id",
            json!({"type": "x", "anonymousId": ""}),
            "too_short /anonymousId",
        ),
        row(
            "a long anonymous id",
            json!({"type": "x", "anonymousId": long}),
            "too_long /anonymousId",
        ),
        actor("no address", "email", "dev", "invalid_email /actor/email"),
        actor(
            "two addresses",
            "email",
            "a@b.com,c@d.com",
            "invalid_email /actor/email",
        ),
        actor(
            "an address with a header",
            "email",
            "a@b.com\r\nBcc: c@d.com",
            "control_character /actor/email",
        ),
        actor(
            "an address with a name",
            "email",
            "Ada <ada@b.com>",
            "invalid_email /actor/email",
        ),
        actor(
            "an address at an IP address",
            "email",
            "a@[127.0.0.1]",
            "invalid_email /actor/email",
        ),
        actor(
            "an address of 255 characters",
            "email",
            &format!("a@{}com", "b.".repeat(126)),
            "too_long /actor/email",
        ),
        actor(
            "a login with a slash",
            "github",
            "a/b",
            "invalid_format /actor/github",
        ),
        actor(
            "a login with a zero-width space",
            "github",
            "a\u{200b}b",
            "invalid_format /actor/github",
        ),
        actor(
            "a handle with @",
            "twitter",
            "@a",
            "invalid_format /actor/twitter",
        ),
        actor(
            "a name with an escape sequence",
            "name",
            "\u{1b}[31mred",
            "control_character /actor/name",
        ),
        actor("a name of 256 characters", "name", &long, "too_long /actor/name"),
        actor("no IP address", "ip", "999.1.1.1", "invalid_ip /actor/ip"),
        actor(
            "an IP address in octal",
            "ip",
            "0177.0.0.1",
            "invalid_ip /actor/ip",
        ),
        account(
            "no domain",
            "domain",
            "localhost",
            "invalid_domain /account/domain",
        ),
        account(
            "a URL for a domain",
            "domain",
            "https://acme.com/x",
            "invalid_domain /account/domain",
        ),
        account(
            "a domain with two dots",
            "domain",
            "acme..com",
            "invalid_domain /account/domain",
        ),
        account("no country", "country", "GER", "invalid_country /account/country"),
        row(
            "a source that is no id",
            json!({"type": "x", "sourceId": "1"}),
            "invalid_id /sourceId",
        ),
        row(
            "a source that is not there",
            json!({"type": "x", "sourceId": "018f3c5e-0000-7000-8000-00000000abcd"}),
            "unknown_source /sourceId",
        ),
    ]
}

pub(super) fn time(subject: &Subject) -> Vec<Row> {
    let rows = [
        ("words", "yesterday", "invalid_timestamp"),
        ("nothing", "", "invalid_timestamp"),
        ("a date", "2026-01-01", "invalid_timestamp"),
        ("no offset", "2026-01-01T00:00:00", "invalid_timestamp"),
        ("seconds since 1970", "1767225600", "invalid_timestamp"),
        ("24:00", "2026-01-01T24:00:00Z", "invalid_timestamp"),
        ("a leap second", "2016-12-31T23:59:60Z", "invalid_timestamp"),
        ("30 February", "2026-02-30T00:00:00Z", "invalid_timestamp"),
        (
            "29 February of a common year",
            "2025-02-29T00:00:00Z",
            "invalid_timestamp",
        ),
        (
            "an offset of 24 hours",
            "2026-01-01T00:00:00+24:00",
            "invalid_timestamp",
        ),
        (
            "a zone's name",
            "2026-01-01T00:00:00[Europe/Berlin]",
            "invalid_timestamp",
        ),
        ("year 10000", "10000-01-01T00:00:00Z", "invalid_timestamp"),
        ("year 9999", "9999-12-30T12:00:00Z", "in_future"),
        (
            "the last second of year 9999",
            "9999-12-31T23:59:59Z",
            "invalid_timestamp",
        ),
        ("next century", "2126-01-01T00:00:00Z", "in_future"),
        ("year 0", "0000-01-01T00:00:00Z", "in_past"),
        ("year 1", "0001-01-01T00:00:00Z", "in_past"),
        ("1970", "1970-01-01T00:00:00Z", "in_past"),
        ("over ten years ago", "2010-06-01T00:00:00+14:00", "in_past"),
    ];
    let place = |code| match code {
        "in_future" => "in_future /timestamp",
        "in_past" => "in_past /timestamp",
        _ => "invalid_timestamp /timestamp",
    };
    let text = rows.into_iter().map(|(name, text, code)| {
        let signal = json!({"type": "x", "timestamp": text}).to_string();
        Row::new(name, subject.signal(signal), 400, "validation_failed").at(place(code))
    });
    let number = |name: &str, number: Value| {
        let signal = json!({"type": "x", "timestamp": number}).to_string();
        Row::new(name, subject.signal(signal), 400, "validation_failed").at("wrong_type /timestamp")
    };
    let query = |name: &str, query: &str| {
        Row::new(
            name,
            subject.get(&format!("/api/v1/signals?{query}")),
            400,
            "invalid_parameter",
        )
    };
    text.chain([
        number("a number of seconds", json!(1_767_225_600)),
        number("a number of milliseconds", json!(1_767_225_600_000_u64)),
        query("from: words", "from=yesterday"),
        query("from: no offset", "from=2026-01-01T00:00:00"),
        query("to: seconds since 1970", "to=1767225600"),
        query("to: 24:00", "to=2026-01-01T24:00:00Z"),
        query(
            "from after to",
            "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        ),
    ])
    .collect()
}

pub(super) fn batch(subject: &Subject) -> Vec<Row> {
    let whole = |name: &str, body: &str, place: &'static str| {
        Row::new(name, subject.batch(body), 400, "validation_failed").at(place)
    };
    let items = |count: usize| json!({"signals": vec![json!({"type": "x"}); count]}).to_string();
    let with_key = |name: &str, key: &[u8]| {
        let header = reqwest::header::HeaderValue::from_bytes(key).unwrap();
        Row::new(
            name,
            subject
                .signal(r#"{"type":"x"}"#)
                .header("idempotency-key", header),
            400,
            "invalid_parameter",
        )
    };
    vec![
        whole("no signals", r#"{"signals":[]}"#, "required /signals"),
        whole("an empty object", "{}", "required /signals"),
        whole("null", r#"{"signals":null}"#, "required /signals"),
        whole(
            "an object for the signals",
            r#"{"signals":{"0":{"type":"x"}}}"#,
            "wrong_type /signals",
        ),
        whole("a bare array", r#"[{"type":"x"}]"#, "wrong_type "),
        whole(
            "an unknown field beside",
            r#"{"signals":[{"type":"x"}],"dryRun":true}"#,
            "unknown_field /dryRun",
        ),
        Row::new("1,001 signals", subject.batch(items(1_001)), 413, "too_large"),
        Row::new("100,000 signals", subject.batch(items(100_000)), 413, "too_large"),
        Row::new(
            "the signals twice",
            subject.batch(r#"{"signals":[{"type":"x"}],"signals":[]}"#),
            400,
            "malformed_json",
        ),
        Row::new(
            "a broken item",
            subject.batch(r#"{"signals":[{"type":"x"},{"type":}]}"#),
            400,
            "malformed_json",
        ),
        with_key("an empty request key", b""),
        with_key("a request key of 256 characters", &[b'k'; 256]),
        with_key("a request key with white space", b"a b"),
        with_key("a request key that is not ASCII", "schlüssel".as_bytes()),
        Row::new(
            "two request keys",
            subject
                .signal(r#"{"type":"x"}"#)
                .header("idempotency-key", "a")
                .header("idempotency-key", "b"),
            400,
            "invalid_parameter",
        ),
        Row::new(
            "a parameter",
            subject.post("/api/v1/signals?dryRun=true", r#"{"type":"x"}"#),
            400,
            "invalid_parameter",
        ),
    ]
}
