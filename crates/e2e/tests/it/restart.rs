//! `devsignal up` on the same data folder again: after a kill, after Ctrl-C, and while it runs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use devsignal::Endpoints;
use e2e::cluster::{Api, Folder, show_tail};
use e2e::system::binary;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use test_kit::wait_for;
use tokio::process::{Child, Command};

use crate::support::listed;

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_installation_comes_back_with_its_data_and_ends_cleanly() {
    let folder = Folder::create().unwrap();
    let (mut first, api) = up(folder.path()).await;
    let ids = api
        .accept(&[json!({"type": "x", "actor": {"email": "dev@initech.com"}})])
        .await
        .unwrap();
    let account = listed(&api, "/api/v1/accounts", |a| a["score"].is_i64()).await;
    a_second_one_is_refused(folder.path()).await;
    // Accepted, and killed before it can be worked on.
    let late = api
        .accept(&[json!({"type": "late", "actor": {"email": "late@hooli.com"}})])
        .await
        .unwrap();
    first.kill().await.unwrap();

    let (mut second, api) = up(folder.path()).await;
    assert_eq!(
        api.read(&format!("/api/v1/signals/{}", ids[0])).await.unwrap()["type"],
        "x"
    );
    listed(&api, "/api/v1/accounts", |a| {
        a["id"] == account["id"] && a["score"].is_i64()
    })
    .await;
    let read = listed(&api, "/api/v1/signals", |s| s["id"] == *late[0]).await;
    assert_eq!(read["type"], "late");
    listed(&api, "/api/v1/accounts", |a| {
        a["domain"] == "hooli.com" && a["score"].is_i64()
    })
    .await;

    interrupt(&second);
    let status = tokio::time::timeout(STOP, second.wait())
        .await
        .expect("it stops")
        .unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        Endpoints::read(folder.path()).is_err(),
        "a stopped installation has no endpoints"
    );
}

/// Starts it, and waits until it can be reached. It keeps its organization and key.
async fn up(data_dir: &Path) -> (Child, Api) {
    let log = data_dir.join("devsignal.log");
    let output = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        .unwrap();
    let mut child = Command::new(binary("devsignal").unwrap())
        .args(["up", "--data-dir"])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::from(output.try_clone().unwrap()))
        .stderr(Stdio::from(output))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let endpoints = wait_for("devsignal is up", START, async || {
        if let Ok(Some(status)) = child.try_wait() {
            show_tail(&log);
            panic!("devsignal ended with {status}");
        }
        Endpoints::read(data_dir)
            .ok()
            .filter(|endpoints| endpoints.pid == pid)
    })
    .await;
    (
        child,
        Api::new(
            &endpoints.http,
            &endpoints.api_key,
            endpoints.org_id.parse().unwrap(),
        )
        .unwrap(),
    )
}

async fn a_second_one_is_refused(data_dir: &Path) {
    let child = Command::new(binary("devsignal").unwrap())
        .args(["up", "--data-dir"])
        .arg(data_dir)
        .output();
    let output = tokio::time::timeout(STOP, child).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("is in use by process") && said.contains("--data-dir"),
        "{said}"
    );
    assert!(
        Endpoints::read(data_dir).is_ok(),
        "the first one's endpoints are still there"
    );
}

fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
}
