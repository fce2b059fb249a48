//! Verdicts as JSON, written by hand: this runs once per ingest request.

use std::fmt::Write as _;

use contracts::signals::v1::IngestSignalsResponse;

/// `{"batchId"?, "accepted", "duplicates", "rejected", "results": [{"index", "status", "id"?, "error"?}]}`.
pub(super) fn write(verdicts: &IngestSignalsResponse) -> Vec<u8> {
    let mut out = String::with_capacity(128 + verdicts.results.len() * 88);
    out.push('{');
    if let Some(id) = &verdicts.batch_id {
        out.push_str(r#""batchId":"#);
        text(&mut out, id);
        out.push(',');
    }
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r#""accepted":{},"duplicates":{},"rejected":{},"results":["#,
        verdicts.accepted, verdicts.duplicates, verdicts.rejected
    );
    for (at, result) in verdicts.results.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let _ = write!(out, r#"{{"index":{},"status":"#, result.index);
        text(&mut out, &result.status);
        if let Some(id) = &result.id {
            out.push_str(r#","id":"#);
            text(&mut out, id);
        }
        if let Some(error) = &result.error {
            out.push_str(r#","error":{"code":"#);
            text(&mut out, &error.code);
            out.push_str(r#","pointer":"#);
            text(&mut out, &error.pointer);
            out.push_str(r#","message":"#);
            text(&mut out, &error.message);
            out.push('}');
        }
        out.push('}');
    }
    out.push_str("]}");
    out.into_bytes()
}

/// A JSON string. Ids and words need no escaping, which is worth a look.
fn text(out: &mut String, value: &str) {
    if value
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    {
        out.push('"');
        out.push_str(value);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(value).to_string());
    }
}

#[cfg(test)]
mod tests {
    use contracts::signals::v1::{IngestError, IngestResult};

    use super::*;

    #[test]
    fn verdicts_are_valid_json_whatever_they_quote() {
        let nasty = "a\"b\\c\n\u{0}\u{202e}é😀</script>";
        let verdicts = IngestSignalsResponse {
            batch_id: None,
            accepted: 1,
            duplicates: 0,
            rejected: 1,
            results: vec![
                IngestResult {
                    index: 0,
                    status: "accepted".into(),
                    id: Some("x".into()),
                    error: None,
                },
                IngestResult {
                    index: 1,
                    status: "rejected".into(),
                    id: None,
                    error: Some(IngestError {
                        code: "c".into(),
                        pointer: nasty.into(),
                        message: nasty.into(),
                    }),
                },
            ],
        };
        let read: serde_json::Value = serde_json::from_slice(&write(&verdicts)).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"accepted": 1, "duplicates": 0, "rejected": 1, "results": [
                {"index": 0, "status": "accepted", "id": "x"},
                {"index": 1, "status": "rejected", "error": {"code": "c", "pointer": nasty, "message": nasty}},
            ]})
        );
    }
}
