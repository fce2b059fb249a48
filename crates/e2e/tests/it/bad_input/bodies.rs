//! Content and JSON: what a body may be before anyone reads its meaning.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Row, Subject};

const GOOD: &str = r#"{"type":"x"}"#;

pub(super) fn content(subject: &Subject) -> Vec<Row> {
    let media = |name: &str, kind: &str| {
        let request = subject
            .api
            .request(reqwest::Method::POST, "/api/v1/signals")
            .body(GOOD);
        let request = if kind.is_empty() {
            request
        } else {
            request.header("content-type", kind)
        };
        Row::new(name, request, 415, "unsupported_media_type")
    };
    let encoded = |name: &str, encoding: &str, body: Vec<u8>, status: u16, code: &'static str| {
        Row::new(
            name,
            subject.signal(body).header("content-encoding", encoding),
            status,
            code,
        )
    };
    let body = |name: &str, body: Vec<u8>| Row::new(name, subject.signal(body), 400, "malformed_json");
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    vec![
        media("no content type", ""),
        media("text/plain", "text/plain"),
        media("a form", "application/x-www-form-urlencoded"),
        media("JSON's neighbour", "application/jsonp"),
        media("utf-16", "application/json; charset=utf-16"),
        encoded("brotli", "br", GOOD.into(), 415, "unsupported_media_type"),
        encoded(
            "an unknown encoding",
            "x-nothing",
            GOOD.into(),
            415,
            "unsupported_media_type",
        ),
        encoded(
            "gzip twice",
            "gzip, gzip",
            gzip(&gzip(GOOD.as_bytes())),
            415,
            "unsupported_media_type",
        ),
        encoded("no gzip stream", "gzip", GOOD.into(), 400, "malformed_json"),
        encoded(
            "half a gzip stream",
            "gzip",
            gzip(GOOD.as_bytes())[..12].into(),
            400,
            "malformed_json",
        ),
        encoded(
            "a gzip stream and more",
            "gzip",
            [gzip(GOOD.as_bytes()), b"x".into()].concat(),
            400,
            "malformed_json",
        ),
        encoded("a gzip bomb", "gzip", bomb, 413, "too_large"),
        body("an empty body", vec![]),
        body("white space only", b" \n\t".into()),
        body("a byte order mark", [b"\xef\xbb\xbf", GOOD.as_bytes()].concat()),
        body("UTF-16", GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        body("Latin-1", b"{\"type\":\"x\",\"anonymousId\":\"caf\xe9\"}".into()),
        body(
            "an overlong encoding",
            b"{\"type\":\"x\",\"anonymousId\":\"\xc0\xaf\"}".into(),
        ),
        body("a truncated body", GOOD.as_bytes()[..8].into()),
        body("trailing bytes", format!("{GOOD}x").into()),
        body("two documents", format!("{GOOD}{GOOD}").into()),
        body("a NUL behind the document", format!("{GOOD}\0").into()),
        Row::new(
            "more than 4 MiB",
            subject.signal(vec![b' '; 5 << 20]),
            413,
            "too_large",
        ),
        Row::new(
            "a batch of more than 4 MiB",
            subject.batch(vec![b' '; 5 << 20]),
            413,
            "too_large",
        ),
    ]
}

pub(super) fn json(subject: &Subject) -> Vec<Row> {
    let malformed = |name: &str, body: String| Row::new(name, subject.signal(body), 400, "malformed_json");
    let invalid = |name: &str, body: &str, place: &'static str| {
        Row::new(name, subject.signal(body), 400, "validation_failed").at(place)
    };
    let number = |name: &str, number: &str| {
        let body = format!(r#"{{"type":"x","metadata":{{"n":{number}}}}}"#);
        Row::new(name, subject.signal(body), 400, "validation_failed")
    };
    let text = |text: &str| format!(r#"{{"type":"x","metadata":{{"t":"{text}"}}}}"#);
    let metadata = |value: &str| format!(r#"{{"type":"x","metadata":{value}}}"#);
    vec![
        malformed("a key twice", r#"{"type":"x","type":"y"}"#.into()),
        malformed(
            "a key twice, once escaped",
            r#"{"type":"x","t\u0079pe":"y"}"#.into(),
        ),
        malformed("a key twice inside", metadata(r#"{"a":1,"a":2}"#)),
        malformed(
            "nested 100,000 deep",
            metadata(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ),
        malformed(
            "objects nested 20,000 deep",
            metadata(&format!("{}1{}", r#"{"a":"#.repeat(20_000), "}".repeat(20_000))),
        ),
        malformed("NaN", metadata(r#"{"n":NaN}"#)),
        malformed("Infinity", metadata(r#"{"n":-Infinity}"#)),
        malformed("a leading zero", metadata(r#"{"n":01}"#)),
        malformed("a leading plus", metadata(r#"{"n":+1}"#)),
        malformed("hexadecimal", metadata(r#"{"n":0x10}"#)),
        malformed("a bare point", metadata(r#"{"n":1.}"#)),
        malformed("a comment", r#"{"type":"x"/* why */}"#.into()),
        malformed("a trailing comma", r#"{"type":"x",}"#.into()),
        malformed("single quotes", "{'type':'x'}".into()),
        malformed("a lone high surrogate", text(r"\ud800")),
        malformed("a lone low surrogate", text(r"\udc00")),
        malformed("surrogates the wrong way round", text(r"\udc00\ud800")),
        malformed("a raw line break in a string", text("a\nb")),
        malformed("an unknown escape", text(r"\x41")),
        number("1e400", "1e400"),
        number("-1e400", "-1e400"),
        number("2^53+1", "9007199254740993"),
        number("an integer of 400 digits", &"9".repeat(400)),
        invalid("an array for the signal", "[]", "wrong_type "),
        invalid("a string for the signal", r#""x""#, "wrong_type "),
        invalid("null for the signal", "null", "wrong_type "),
        invalid("an empty object", "{}", "required /type"),
        invalid("null for the type", r#"{"type":null}"#, "required /type"),
        invalid("a number for the type", r#"{"type":7}"#, "wrong_type /type"),
        invalid(
            "an array for the actor",
            r#"{"type":"x","actor":["a"]}"#,
            "wrong_type /actor",
        ),
        invalid(
            "a string for the metadata",
            r#"{"type":"x","metadata":"{}"}"#,
            "wrong_type /metadata",
        ),
        invalid(
            "an object for a text",
            r#"{"type":"x","actor":{"email":{}}}"#,
            "wrong_type /actor/email",
        ),
        invalid(
            "an unknown field",
            r#"{"type":"x","typ":"y"}"#,
            "unknown_field /typ",
        ),
        invalid(
            "another case",
            r#"{"type":"x","Type":"y"}"#,
            "unknown_field /Type",
        ),
        invalid(
            "snake case",
            r#"{"type":"x","anonymous_id":"y"}"#,
            "unknown_field /anonymous_id",
        ),
        invalid(
            "__proto__",
            r#"{"type":"x","__proto__":{"a":1}}"#,
            "unknown_field /__proto__",
        ),
        invalid(
            "constructor",
            r#"{"type":"x","actor":{"constructor":1}}"#,
            "unknown_field /actor/constructor",
        ),
        invalid(
            "fields that are ours",
            r#"{"type":"x","organizationId":"y"}"#,
            "unknown_field /organizationId",
        ),
        invalid(
            "an id of one's own",
            r#"{"type":"x","id":"y"}"#,
            "unknown_field /id",
        ),
        invalid(
            "U+0000 in metadata",
            &text(r"a\u0000b"),
            "nul_character /metadata/t",
        ),
        invalid(
            "U+0000 in a key",
            &metadata(r#"{"a\u0000":1}"#),
            "nul_character /metadata/a\0",
        ),
        invalid(
            "half an employee",
            r#"{"type":"x","account":{"employees":1.5}}"#,
            "wrong_type /account/employees",
        ),
        invalid(
            "2^63 employees",
            r#"{"type":"x","account":{"employees":9223372036854775808}}"#,
            "out_of_range /account/employees",
        ),
        invalid(
            "-1 employees",
            r#"{"type":"x","account":{"employees":-1}}"#,
            "out_of_range /account/employees",
        ),
        Row::new(
            "a signal of 65 KiB",
            subject.signal(text(&"x".repeat(65 << 10))),
            413,
            "too_large",
        ),
        Row::new(
            "a million keys",
            subject.signal(metadata(&many_keys())),
            413,
            "too_large",
        ),
        Row::new(
            "a string of 10 MB",
            subject.signal(text(&"x".repeat(10_000_000))),
            413,
            "too_large",
        ),
    ]
}

fn many_keys() -> String {
    let keys: Vec<String> = (0..1_000_000).map(|n| format!("\"k{n}\":0")).collect();
    format!("{{{}}}", keys.join(","))
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
