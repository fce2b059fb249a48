//! The consumers of docs/NATS.md, in Rust, JavaScript and Python, against a whole installation.
//!
//! `./dev test` fetches the libraries of the last two.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::cluster::{Api, Folder};
use e2e::system::{System, binary};
use serde_json::{Value, json};
use tokio::process::Command;

const VARIABLE: &str = "DEVSIGNAL_NATS_CLIENTS";
const LONG: Duration = Duration::from_secs(60);

/// A program that reads events, and the variables that it is given.
struct Client {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<PathBuf>,
    variables: Vec<(&'static str, PathBuf)>,
}

fn clients() -> Vec<Client> {
    let program = binary("examples/nats_consumer").expect("run `cargo build -p eventbus --examples` first");
    let mut all = vec![Client {
        name: "rust",
        program,
        arguments: Vec::new(),
        variables: Vec::new(),
    }];
    let fetched = std::env::var_os(VARIABLE).map(PathBuf::from);
    let fetched = fetched.expect("the libraries of the JavaScript and Python consumers are missing: run `./dev test`, which fetches them");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/nats");
    // Modules are looked for beside the script.
    let script = fetched.join("node/consumer.mjs");
    std::fs::copy(examples.join("node/consumer.mjs"), &script).unwrap();
    all.push(Client {
        name: "node",
        program: "node".into(),
        arguments: vec![script],
        variables: Vec::new(),
    });
    all.push(Client {
        name: "python",
        program: "python3".into(),
        arguments: vec![examples.join("python/consumer.py")],
        variables: vec![
            ("PYTHONPATH", fetched.join("python")),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ],
    });
    all
}

async fn made(api: &Api, path: &str, body: &Value) -> Value {
    api.post(path, body).await.unwrap().json(201).unwrap()
}

async fn run(client: &Client, credential: &Value, consumer: &Value, stop_after: usize) -> Vec<Value> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let output = Command::new(&client.program)
        .args(&client.arguments)
        .envs(client.variables.iter().map(|(name, value)| (name, value)))
        .env("NATS_URL", text(&credential["url"]))
        .env("NATS_USER", text(&credential["id"]))
        .env("NATS_PASSWORD", text(&credential["password"]))
        .env("NATS_STREAM", text(&credential["stream"]))
        .env("NATS_CONSUMER", text(&consumer["name"]))
        .env("STOP_AFTER", stop_after.to_string())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONG, output)
        .await
        .expect("it did not end")
        .unwrap();
    let (told, complaints) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}: {told}\n{complaints}", client.name);
    told.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_in_three_languages_read_the_same_events_and_go_on_where_they_were() {
    let folder = Folder::create().unwrap();
    let system = System::start(folder.path()).await.unwrap();
    let at = &system.endpoints;
    let api = Api::new(&at.http, &at.api_key, at.org_id.parse().unwrap()).unwrap();
    let credential = made(&api, "/api/v1/nats/credentials", &json!({"name": "warehouse"})).await;
    let mut consumers = Vec::new();
    for client in clients() {
        let body =
            json!({"credentialId": credential["id"], "eventTypes": ["account.created"], "ordered": true});
        consumers.push((client, made(&api, "/api/v1/nats/consumers", &body).await));
    }
    for n in 0..5 {
        made(
            &api,
            "/api/v1/accounts",
            &json!({"domain": format!("company-{n}.com"), "name": "A"}),
        )
        .await;
    }
    let mut read = BTreeMap::new();
    for (client, consumer) in &consumers {
        // Ended after two, started again: the other three, and none of the first.
        let mut events = run(client, &credential, consumer, 2).await;
        events.extend(run(client, &credential, consumer, 3).await);
        assert!(
            events
                .iter()
                .all(|event| event["type"] == "account.created" && event["bytes"].as_u64() > Some(0))
        );
        let ids: Vec<String> = events
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect();
        println!("{}: {ids:?}", client.name);
        read.insert(client.name, ids);
    }
    let first = &read["rust"];
    let mut distinct = first.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 5, "five events, none twice: {first:?}");
    assert!(read.values().all(|ids| ids == first), "in one order: {read:?}");
    system.stop().await.unwrap();
}
