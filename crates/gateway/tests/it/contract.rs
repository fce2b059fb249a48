//! The committed contract is the served one; the pages about it need nobody else.

use std::path::Path;

use crate::harness::Gateway;

/// Writes `docs/openapi.json` when `DEVSIGNAL_WRITE_CONTRACT` is set (`just openapi`), else compares.
#[test]
fn the_committed_openapi_document_is_the_served_one() {
    let made = gateway::openapi_document().unwrap();
    let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("DEVSIGNAL_WRITE_CONTRACT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/openapi.json is not what is served; run `just openapi`"
    );
}

#[test]
fn the_committed_asyncapi_document_is_the_served_one() {
    let made = gateway::asyncapi_document().unwrap();
    let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/asyncapi.json");
    if std::env::var_os("DEVSIGNAL_WRITE_CONTRACT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/asyncapi.json is not what is served; run `just openapi`"
    );
}

#[test]
fn every_event_is_in_the_guide() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/EVENTS.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let document = gateway::asyncapi_document().unwrap();
    let events = document["channels"]["events"]["messages"].as_object().unwrap();
    assert!(events.len() > 30);
    for name in events.keys() {
        assert!(
            guide.contains(&format!("`{name}`")),
            "{name} is not in docs/EVENTS.md"
        );
    }
}

/// The schema is npm's `@asyncapi/specs`, which the development wrapper obtains and names in the environment.
#[test]
fn the_asyncapi_document_is_one_by_its_own_schema() {
    let Some(home) = std::env::var_os("DEVSIGNAL_ASYNCAPI_SPECS") else {
        eprintln!("skipped: DEVSIGNAL_ASYNCAPI_SPECS does not name the package @asyncapi/specs");
        return;
    };
    let file = Path::new(&home).join("schemas/3.0.0-without-$id.json");
    let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let document = gateway::asyncapi_document().unwrap();
    let faults: Vec<_> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    let mut broken = document;
    broken["channels"]["events"]["messages"]["x"] = serde_json::json!(5);
    assert!(!validator.is_valid(&broken));
}

#[test]
fn the_committed_graphql_schema_is_the_served_one() {
    let settings = crate::harness::settings_alone();
    let text = gateway::graphql_schema(&settings).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema.graphql");
    if std::env::var_os("DEVSIGNAL_WRITE_CONTRACT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/schema.graphql is not what is served; run `just openapi`"
    );
}

#[test]
fn every_operation_is_described_once() {
    let document = gateway::openapi_document().unwrap();
    let mut ids = std::collections::HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(
                operation["summary"].as_str().is_some_and(|s| !s.is_empty()),
                "{method} {path} has no comment"
            );
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, of) in schema["properties"].as_object().into_iter().flatten() {
            let told = of["description"].is_string() || of["$ref"].is_string() || of["type"].is_string();
            assert!(told, "{name}.{field} is not described");
        }
    }
}

#[tokio::test]
async fn the_contract_and_its_pages_are_for_everybody_and_ask_nobody_else() {
    let gateway = Gateway::start().await;
    let get = |path: &str| gateway.client.get(format!("{}{path}", gateway.base));
    let served = get("/api/v1/openapi.json").send().await.unwrap();
    assert_eq!(served.status(), 200);
    let etag = served.headers()["etag"].clone();
    let document: serde_json::Value = served.json().await.unwrap();
    assert_eq!(document, gateway::openapi_document().unwrap());
    let again = get("/api/v1/openapi.json")
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), 304);
    let events: serde_json::Value = get("/api/v1/asyncapi.json")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(events, gateway::asyncapi_document().unwrap());
    for page in ["/docs", "/graphql"] {
        let answer = get(page).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{page}");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        let html = answer.text().await.unwrap();
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("style="));
        for linked in html.split('"').filter(|part| part.starts_with("/docs/")) {
            let file = get(linked).send().await.unwrap();
            assert_eq!(file.status(), 200, "{linked}");
        }
    }
    assert_eq!(get("/docs?x=1").send().await.unwrap().status(), 400);
}
