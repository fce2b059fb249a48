//! schemathesis over the OpenAPI document and the GraphQL schema of a live system: whatever the contract allows, and what it
//! does not, gets an answer of the contract, never a 5xx, and never without the key.
//!
//! `./dev test` fetches schemathesis. Not checked: that all data that fits the document is accepted; it does not say everything
//! that the services do (control characters in names, times that are too old).

use std::path::Path;
use std::time::Duration;

use e2e::cluster::{Api, Folder};
use e2e::system::System;
use serde_json::json;
use tokio::process::Command;

use crate::support::counted;

/// Time for each of the two runs; together they stay below two minutes.
const SECONDS: &str = "45";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_of_the_contract() {
    let folder = Folder::create().unwrap();
    let system = System::start(folder.path()).await.unwrap();
    let at = &system.endpoints;
    let api = Api::new(&at.http, &at.api_key, at.org_id.parse().unwrap()).unwrap();
    let signal = json!({"type": "repo_star", "actor": {"email": "dev@acme.com", "name": "Dev"}});
    let sent = reqwest::Client::new()
        .post(format!("{}/api/v1/signals", at.http))
        .bearer_auth(&at.api_key)
        .json(&signal)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 202);
    counted(&api, "/api/v1/accounts", 1).await;

    let rest = format!("{}/api/v1/openapi.json", at.http);
    // The event stream does not end by itself, and tests of its own hold it.
    let only_rest = [
        "--exclude-path=/api/v1/events",
        // It finds the id of the key that it works with in a list, and revokes it; `people` holds what revoking does.
        "--exclude-operation-id=deleteApiKey",
        "--exclude-checks=positive_data_acceptance",
        "--phases=examples,coverage,fuzzing",
    ];
    run(folder.path(), &rest, &at.api_key, None, &only_rest).await;
    let graphql = format!("{}/graphql", at.http);
    let only_graphql = ["--checks=graphql_errors_have_codes", "--phases=fuzzing"];
    run(folder.path(), &graphql, &at.api_key, Some("hooks"), &only_graphql).await;
    system.stop().await.unwrap();
}

async fn run(folder: &Path, location: &str, key: &str, hooks: Option<&str>, more: &[&str]) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis");
    let mut command = Command::new("schemathesis");
    command
        .arg("--config-file")
        .arg(own.join("schemathesis.toml"))
        .args(["run", location, "--seed=1", "--max-examples=8", "--workers=1"])
        .args(["--warnings=off", "--no-color", "--max-time", SECONDS])
        .arg(format!("--header=Authorization: Bearer {key}"))
        .args(more)
        .envs(hooks.map(|hooks| ("SCHEMATHESIS_HOOKS", hooks)))
        .env("PYTHONPATH", &own)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .kill_on_drop(true);
    let ran = tokio::time::timeout(Duration::from_secs(150), command.output());
    let ran = ran.await.expect("schemathesis did not end");
    let ran = ran.expect("schemathesis is not on the PATH: run `./dev test`, which fetches it");
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{location}:\n{told}");
}
