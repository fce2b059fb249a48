//! The command line against a running `devsignal up`, as a person uses it.

use std::process::Stdio;

use e2e::cluster::{Api, Finished, Folder, run_binary};
use e2e::system::{System, binary};
use serde_json::{Value, json};
use test_kit::wait_for;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{SOON, listed};

struct Cli<'a> {
    data_dir: &'a str,
}

impl Cli<'_> {
    async fn run(&self, arguments: &[&str], input: &str) -> Finished {
        let arguments = [arguments, &["--data-dir", self.data_dir]].concat();
        run_binary("devsignal", &arguments, std::iter::empty(), input)
            .await
            .unwrap()
    }

    async fn succeeds(&self, arguments: &[&str]) -> String {
        self.run(arguments, "").await.success().unwrap().stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_what_it_says() {
    let folder = Folder::create().unwrap();
    let system = System::start(folder.path()).await.unwrap();
    let at = &system.endpoints;
    let api = Api::new(&at.http, &at.api_key, at.org_id.parse().unwrap()).unwrap();
    let cli = Cli {
        data_dir: folder.path().to_str().unwrap(),
    };

    assert!(cli.succeeds(&["top"]).await.contains("No accounts yet"));
    bad_lines_are_named_and_good_ones_are_taken(&cli, &api).await;
    a_second_seed_adds_none(&cli).await;
    top_shows_accounts_by_score(&cli, &api).await;
    tail_shows_events_as_json(&cli, &api).await;
    a_new_organization_has_a_key_that_works(&cli, &api).await;
    let doctor = cli.succeeds(&["doctor"]).await;
    assert!(
        doctor.contains("Postgres") && doctor.contains("nats-server") && doctor.contains("200 OK"),
        "{doctor}"
    );
    assert_eq!(
        cli.succeeds(&["dead-letters", "list"]).await.trim(),
        "no dead letters"
    );
    system.stop().await.unwrap();
    let after = cli.run(&["top"], "").await;
    assert_eq!(after.status.code(), Some(1));
    assert!(
        after.stderr.contains("devsignal up"),
        "it says what to do: {}",
        after.stderr
    );
}

async fn bad_lines_are_named_and_good_ones_are_taken(cli: &Cli<'_>, api: &Api) {
    let lines = [
        r#"{"type":"a","idempotencyKey":"line-1","actor":{"email":"dev@lines.example"}}"#,
        "",
        r#"{"type":"b","idempotencyKey":"line-3""#,
        r#"{"type":"c","idempotencyKey":"line-4","timestamp":"yesterday"}"#,
        "not json at all",
        r#"{"type":"a","idempotencyKey":"line-1"}"#,
        r#"{"type":"g","idempotencyKey":"line-7"}"#,
    ];
    let done = cli.run(&["ingest", "-", "--batch", "2"], &lines.join("\n")).await;
    assert_eq!(
        done.status.code(),
        Some(1),
        "refused lines are a failure: {}",
        done.stderr
    );
    assert_eq!(done.stdout.trim(), "2 accepted, 1 duplicates, 3 rejected");
    for line in [
        "line 3: not JSON",
        "line 4: invalid_timestamp at /timestamp",
        "line 5: not JSON",
    ] {
        assert!(done.stderr.contains(line), "no {line:?} in {}", done.stderr);
    }
    listed(api, "/api/v1/accounts", |a| a["domain"] == "lines.example").await;
    let none = cli.run(&["ingest", "missing.ndjson"], "").await;
    assert!(
        none.status.code() == Some(1) && none.stderr.contains("missing.ndjson"),
        "{}",
        none.stderr
    );
}

async fn a_second_seed_adds_none(cli: &Cli<'_>) {
    let seed = ["seed", "--signals", "2000"];
    let first = cli.succeeds(&seed).await;
    assert!(
        first.contains("2000 signals accepted, 0 known already"),
        "{first}"
    );
    let second = cli.succeeds(&seed).await;
    assert!(
        second.contains("0 signals accepted, 2000 known already"),
        "{second}"
    );
}

async fn top_shows_accounts_by_score(cli: &Cli<'_>, api: &Api) {
    wait_for("fifty scored accounts", SOON, async || {
        let accounts = api.list("/api/v1/accounts").await.ok()?;
        (accounts.iter().filter(|a| a["score"].is_i64()).count() >= 50).then_some(())
    })
    .await;
    // Scores still move for a moment.
    wait_for("the table to show what the API does", SOON, async || {
        let top = cli.succeeds(&["top", "-n", "5"]).await;
        let best = api.read("/api/v1/accounts?limit=5").await.unwrap();
        let shows = |account: &serde_json::Value| {
            let (name, score) = (account["name"].as_str().unwrap(), account["score"].to_string());
            top.lines()
                .any(|line| line.contains(name) && line.contains(&score))
        };
        best["data"].as_array().unwrap().iter().all(shows).then_some(())
    })
    .await;
    assert!(cli.succeeds(&["top", "--tier", "hot"]).await.lines().count() > 0);
}

async fn tail_shows_events_as_json(cli: &Cli<'_>, api: &Api) {
    let mut tail = Command::new(binary("devsignal").unwrap())
        .args([
            "tail",
            "--json",
            "--types",
            "signal.received",
            "--data-dir",
            cli.data_dir,
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // It says nothing when it is connected: signals are sent until one is seen.
    let mut next = std::pin::pin!(lines.next_line());
    let line = wait_for("a line of tail", SOON, async || {
        api.accept(&[json!({"type": "tailed"})]).await.ok()?;
        tokio::select! {
            line = &mut next => Some(line.unwrap().expect("tail goes on")),
            () = tokio::time::sleep(SOON / 100) => None,
        }
    })
    .await;
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["signal"]["type"]),
        (&json!("signal.received"), &json!("tailed"))
    );
    tail.kill().await.unwrap();
}

async fn a_new_organization_has_a_key_that_works(cli: &Cli<'_>, api: &Api) {
    let made: Value = serde_json::from_str(&cli.succeeds(&["orgs", "create", "Second"]).await).unwrap();
    let mut second = api.with_key(made["apiKey"].as_str().unwrap());
    second.org = made["orgId"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        second.list("/api/v1/accounts").await.unwrap(),
        Vec::<Value>::new()
    );
    second.accept(&[json!({"type": "x"})]).await.unwrap();
}
