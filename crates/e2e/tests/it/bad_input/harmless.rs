//! What looks bad and is good: it is taken, and comes back as it was sent.

use serde_json::{Value, json};

use super::Subject;
use crate::support::{counted, listed};

const TEXTS: [&str; 18] = [
    "' OR 1=1--",
    "\"; DROP TABLE signals; --",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    "../../etc/passwd",
    "%00%0d%0a",
    "line one\r\nline two\ttab",
    "\u{202e}desrever",
    "zero\u{200b}width",
    "caf\u{e9} and cafe\u{301}",
    "👩‍👩‍👧‍👦 🏳️‍🌈 𝔘𝔫𝔦",
    "null",
    "\u{feff}mark",
];

pub(super) async fn strange_but_good_texts_are_kept_as_sent(subject: &Subject) {
    let numbers = json!([
        0,
        -1,
        1.5,
        1e300,
        5e-324,
        9_007_199_254_740_992_u64,
        -9_007_199_254_740_992_i64
    ]);
    let metadata = json!({"texts": TEXTS, "numbers": numbers, "empty": {}, "none": null, "": [[]], "__proto__": {"a": true}});
    let ids = subject
        .api
        .accept(&[json!({"type": "strange", "metadata": metadata})])
        .await
        .unwrap();
    let read = listed(&subject.api, "/api/v1/signals?filter[type]=strange", |s| {
        s["id"] == *ids[0]
    })
    .await;
    let same = |wanted: &Value, found: &Value| match (wanted.as_f64(), found.as_f64()) {
        (Some(wanted), Some(found)) => wanted.to_bits() == found.to_bits(),
        _ => wanted == found,
    };
    for (name, wanted) in metadata.as_object().unwrap() {
        let found = &read["metadata"][name];
        let equal = match wanted.as_array() {
            Some(items) => items.iter().enumerate().all(|(at, item)| same(item, &found[at])),
            None => wanted == found,
        };
        assert!(equal, "{name:?}: {found}, not {wanted}");
    }
    // Two spellings of one text are two keys: a key is kept exactly as sent.
    let keys = ["caf\u{e9}", "cafe\u{301}", "Café", "' OR 1=1--", "a b", "👩‍👩‍👧‍👦"];
    let signals = keys.map(|key| json!({"type": "keyed", "idempotencyKey": key}));
    subject.api.accept(&signals).await.unwrap();
    let recorded = counted(&subject.api, "/api/v1/signals?filter[type]=keyed", keys.len()).await;
    for key in keys {
        assert!(recorded.iter().any(|s| s["idempotencyKey"] == key), "{key}");
    }
    uuids_are_read_in_capitals_too(subject).await;
}

async fn uuids_are_read_in_capitals_too(subject: &Subject) {
    let upper = format!("/api/v1/accounts/{}", subject.account.to_uppercase());
    assert_eq!(subject.api.read(&upper).await.unwrap()["id"], subject.account);
}

pub(super) async fn one_bad_item_harms_no_other(subject: &Subject) {
    let mut signals: Vec<Value> = (0..1_000)
        .map(|n| json!({"type": "many", "idempotencyKey": format!("many-{n}")}))
        .collect();
    signals[500] = json!({"type": "many", "timestamp": "tomorrow", "typo": 1});
    signals[501]["idempotencyKey"] = json!("many-0");
    let answer = subject
        .api
        .post("/api/v1/signals/batch", &json!({ "signals": signals }))
        .await
        .unwrap();
    let verdicts = answer.json(202).unwrap();
    let sums = ["accepted", "duplicates", "rejected"].map(|name| verdicts[name].as_i64().unwrap());
    assert_eq!(sums, [998, 1, 1]);
    let results = verdicts["results"].as_array().unwrap();
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index);
        let wanted = match index {
            500 => "rejected",
            501 => "duplicate",
            _ => "accepted",
        };
        assert_eq!(result["status"], wanted, "{index}");
        assert_eq!(result["id"].is_string(), index != 500);
    }
    assert_eq!(results[501]["id"], results[0]["id"]);
    let error = &results[500]["error"];
    assert!(
        error["code"].is_string() && error["message"].is_string(),
        "{error}"
    );
    assert!(
        ["/timestamp", "/typo"].contains(&error["pointer"].as_str().unwrap()),
        "{error}"
    );
    counted(&subject.api, "/api/v1/signals?filter[type]=many", 998).await;

    let all_bad = json!({"signals": [{"type": ""}, {"type": "a b"}]});
    let verdicts = subject
        .api
        .post("/api/v1/signals/batch", &all_bad)
        .await
        .unwrap()
        .json(202)
        .unwrap();
    assert_eq!(
        (&verdicts["rejected"], &verdicts["batchId"]),
        (&json!(2), &Value::Null)
    );
}

pub(super) async fn repeats_are_recognised_whatever_they_say(subject: &Subject) {
    let first = subject
        .api
        .accept(&[json!({"type": "said", "idempotencyKey": "said"})])
        .await
        .unwrap();
    let other = json!({"type": "unsaid", "idempotencyKey": "said", "metadata": {"other": true}});
    let verdicts = subject
        .api
        .post("/api/v1/signals", &other)
        .await
        .unwrap()
        .json(202)
        .unwrap();
    assert_eq!(
        (&verdicts["duplicates"], &verdicts["results"][0]["id"]),
        (&json!(1), &json!(first[0]))
    );
    counted(&subject.api, "/api/v1/signals?filter[type]=said", 1).await;
    assert!(
        subject
            .api
            .list("/api/v1/signals?filter[type]=unsaid")
            .await
            .unwrap()
            .is_empty()
    );
}
