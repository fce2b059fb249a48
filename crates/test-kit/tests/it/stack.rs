//! The program `test-stack`.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use test_kit::{TestStack, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

fn start(file: &Path, temporary: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_test-stack"))
        .arg(file)
        .env("TMPDIR", temporary)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn address_of_nats(file: &Path) -> String {
    let text = wait_for("the stack's file", PATIENCE, async || {
        std::fs::read_to_string(file).ok()
    })
    .await;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let url = value["nats"].as_str().unwrap();
    url.rsplit('@').next().unwrap().to_owned()
}

fn stacks_in(directory: &Path) -> usize {
    std::fs::read_dir(directory)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count()
}

async fn stops(address: &str) {
    wait_for("nats-server stops", PATIENCE, async || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn closing_its_input_stops_the_servers_and_removes_their_data() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stack.json");
    let mut stack = start(&file, directory.path());
    let address = address_of_nats(&file).await;
    assert!(std::net::TcpStream::connect(&address).is_ok());
    assert_eq!(stacks_in(directory.path()), 1);
    drop(stack.stdin.take());
    assert!(stack.wait().unwrap().success());
    stops(&address).await;
    assert_eq!(stacks_in(directory.path()), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_killed_stack_leaves_is_removed_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stack.json");
    let mut stack = start(&file, directory.path());
    let address = address_of_nats(&file).await;
    stack.kill().unwrap();
    stack.wait().unwrap();
    stops(&address).await;
    assert_eq!(stacks_in(directory.path()), 1);

    std::fs::remove_file(&file).unwrap();
    let mut next = start(&file, directory.path());
    address_of_nats(&file).await;
    assert_eq!(stacks_in(directory.path()), 1);
    drop(next.stdin.take());
    next.wait().unwrap();
    assert_eq!(stacks_in(directory.path()), 0);
}

#[tokio::test]
async fn tests_of_one_process_share_a_stack() {
    let (one, other) = tokio::join!(TestStack::shared(), TestStack::shared());
    assert_eq!(one.nats_url(), other.nats_url());
    assert_eq!(one.postgres_url("a"), other.postgres_url("a"));
}
