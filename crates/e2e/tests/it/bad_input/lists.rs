//! Ids, paging, filters, and writes with fields that nobody may write.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Row, Subject};

const NOBODY: &str = "018f3c5e-0000-7000-8000-00000000abcd";

pub(super) fn ids(subject: &Subject) -> Vec<Row> {
    let mut rows = Vec::new();
    let routes = [
        "signals/{}",
        "accounts/{}",
        "accounts/{}/score",
        "accounts/{}/timeline",
        "accounts/{}/signals",
        "contacts/{}",
        "sources/{}",
    ];
    let own = [
        &subject.signal,
        &subject.account,
        &subject.account,
        &subject.account,
        &subject.account,
        &subject.contact,
        &subject.source,
    ];
    let upper = subject.account.to_uppercase();
    for (number, route) in routes.into_iter().enumerate() {
        let get = |name: &str, id: &str, status, code| {
            let path = format!("/api/v1/{}", route.replace("{}", id));
            Row::new(format!("{name}: {path}"), subject.get(&path), status, code)
        };
        for bad in [
            "1",
            "-1",
            "x",
            "018f3c5e",
            "%7B018f3c5e-0000-7000-8000-00000000abcd%7D",
            "018f3c5e00007000800000000000abcd",
            "[]",
            "%27%20OR%201=1--",
            "018f3c5e-0000-7000-8000-00000000abcg",
        ] {
            rows.push(get("no id", bad, 400, "invalid_id"));
        }
        if route == "accounts/{}/signals" {
            // Signals of an account that is not there are none: a list, not an error.
            continue;
        }
        rows.push(get("nobody's", NOBODY, 404, "not_found"));
        rows.push(get(
            "the nil id",
            "00000000-0000-0000-0000-000000000000",
            404,
            "not_found",
        ));
        rows.push(get(
            "the last id",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            404,
            "not_found",
        ));
        for other in own.into_iter().filter(|id| **id != *own[number]) {
            rows.push(get("another type's", other, 404, "not_found"));
        }
    }
    // Path segments are read once: an encoded slash makes no further segment.
    let odd = [
        (
            format!("/api/v1/accounts/{}%2Fscore", subject.account),
            404,
            "not_found",
        ),
        (
            format!("/api/v1/accounts/%2e%2e/{}", subject.account),
            404,
            "not_found",
        ),
        (format!("/api/v1/accounts/{upper}/nothing"), 404, "not_found"),
        ("/api/v1/accounts/%ff".to_owned(), 400, "invalid_parameter"),
        ("/api/v1/accounts/%00".to_owned(), 400, "invalid_parameter"),
        ("/api/v1/signals/%c0%80".to_owned(), 400, "invalid_parameter"),
        ("/api/v1/nothing".to_owned(), 404, "not_found"),
        ("/API/V1/accounts".to_owned(), 404, "not_found"),
        ("/".to_owned(), 404, "not_found"),
    ];
    rows.extend(
        odd.into_iter()
            .map(|(path, status, code)| Row::new(path.clone(), subject.get(&path), status, code)),
    );
    let list = |name: &str, query: &str| Row::new(name, subject.get(query), 400, "invalid_parameter");
    rows.push(list(
        "a filter that is no id",
        "/api/v1/signals?filter[accountId]=1",
    ));
    rows.push(list(
        "a filter that is no id",
        "/api/v1/contacts?filter[accountId]=x",
    ));
    rows
}

pub(super) async fn paging(subject: &Subject) -> Vec<Row> {
    let mut rows = Vec::new();
    let row = |path: &str, query: &str, code| {
        let path = format!("/api/v1/{path}?{query}");
        Row::new(path.clone(), subject.get(&path), 400, code)
    };
    for list in ["signals", "accounts", "contacts", "sources"] {
        for query in [
            "limit=0",
            "limit=-1",
            "limit=201",
            "limit=2147483648",
            "limit=1e2",
            "limit=x",
            "limit=",
            "limit=5&limit=5",
            "sort=password",
            "sort=--name",
            "sort=name;drop",
            "sort=org_id",
            "sort=",
            "offset=5",
            "page=2",
            "filter[orgId]=x",
            "filter[nothing]=x",
            "filter=x",
            "filter[]=x",
            "include=everything",
            "include=",
            "limit=5%00",
            "%ff=1",
        ] {
            rows.push(row(list, query, "invalid_parameter"));
        }
        for cursor in [
            "x",
            "AAAA",
            "eyJvZmZzZXQiOjEwfQ",
            "%22%22",
            "null",
            &"A".repeat(3_000),
        ] {
            rows.push(row(list, &format!("cursor={cursor}"), "invalid_cursor"));
        }
    }
    for (list, query) in [
        ("accounts", "filter[tier]=hot"),
        ("accounts", "filter[trend]=UP"),
        ("sources", "filter[status]=on"),
        ("signals", "filter[type]=%00"),
        ("signals", "filter[type]=a&filter[type]=b"),
    ] {
        rows.push(row(list, query, "invalid_parameter"));
    }
    for list in ["signals", "contacts"] {
        let page = subject
            .api
            .read(&format!("/api/v1/{list}?limit=1"))
            .await
            .unwrap();
        let cursor = page["nextCursor"]
            .as_str()
            .unwrap_or_else(|| panic!("{page}"))
            .to_owned();
        let other = if list == "signals" { "contacts" } else { "signals" };
        let sorted = if list == "signals" { "timestamp" } else { "name" };
        let filtered = if list == "signals" {
            "filter[type]=visit"
        } else {
            "filter[email]=dev1@initech.com"
        };
        rows.push(row(other, &format!("cursor={cursor}"), "invalid_cursor"));
        rows.push(row(
            list,
            &format!("limit=1&sort={sorted}&cursor={cursor}"),
            "invalid_cursor",
        ));
        rows.push(row(
            list,
            &format!("limit=1&{filtered}&cursor={cursor}"),
            "invalid_cursor",
        ));
        rows.push(row(
            list,
            &format!("limit=1&cursor={}", &cursor[..cursor.len() - 1]),
            "invalid_cursor",
        ));
        rows.push(row(list, &format!("limit=1&cursor={cursor}A"), "invalid_cursor"));
    }
    for query in ["after=x", &format!("after={}", "A".repeat(59))] {
        rows.push(row("events", query, "invalid_cursor"));
    }
    for query in ["types=nothing", "types=signals.accepted", "types=", "since=now"] {
        rows.push(row("events", query, "invalid_parameter"));
    }
    rows
}

pub(super) fn writes(subject: &Subject) -> Vec<Row> {
    let send = |method: Method, path: &str, body: &Value| subject.api.request(method, path).json(body);
    let account = format!("/api/v1/accounts/{}", subject.account);
    let source = format!("/api/v1/sources/{}", subject.source);
    let patch = |path: &str, body: Value| {
        Row::new(
            format!("PATCH {body}"),
            send(Method::PATCH, path, &body),
            400,
            "validation_failed",
        )
    };
    let post = |body: Value| {
        Row::new(
            format!("POST {body}"),
            send(Method::POST, "/api/v1/sources", &body),
            400,
            "validation_failed",
        )
    };
    let method = |method: Method, path: &str| {
        Row::new(
            format!("{method} {path}"),
            send(method, path, &json!({})),
            405,
            "method_not_allowed",
        )
    };
    vec![
        patch(&account, json!({"orgId": NOBODY})),
        patch(&account, json!({"id": NOBODY})),
        patch(&account, json!({"score": 100})),
        patch(&account, json!({"createdAt": "2026-01-01T00:00:00Z"})),
        patch(&account, json!({"name": ""})),
        patch(&account, json!({"name": "x".repeat(201)})),
        patch(&account, json!({"name": ["x"]})),
        patch(&account, json!({"employees": -5})),
        patch(&account, json!({"employees": 1e300})),
        patch(&account, json!({"country": "Germany"})),
        patch(&source, json!({"status": "error"})),
        patch(&source, json!({"type": "github"})),
        patch(&source, json!({"secret": "0123456789abcdef"})),
        post(json!({})),
        post(json!({"type": "github"})),
        post(json!({"type": "carrier_pigeon", "name": "x"})),
        post(json!({"type": "github", "name": "x".repeat(201)})),
        post(json!({"type": "github", "name": "x", "secret": "short"})),
        post(json!({"type": "github", "name": "x", "status": "active"})),
        method(Method::PUT, "/api/v1/signals"),
        method(Method::DELETE, "/api/v1/signals"),
        method(Method::DELETE, "/api/v1/accounts"),
        method(Method::PUT, &account),
        method(Method::POST, &account),
        method(Method::PATCH, "/api/v1/signals/batch"),
        method(Method::POST, "/api/v1/events"),
    ]
}
