//! Signals, in a real process: the test starts itself as the child.

use std::{
    future::pending,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use lifecycle::{Lifecycle, OnExit, Phase};

const ROLE: &str = "LIFECYCLE_TEST_ROLE";

struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::child", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Reads on until the child says this.
    fn expect(&mut self, line: &str) {
        for said in self.output.by_ref().lines() {
            if said.unwrap().ends_with(line) {
                return;
            }
        }
        panic!("the child ended without saying {line:?}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what the child process does.
#[test]
#[ignore = "run by the tests of this module as a child process"]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async {
        let lifecycle = Lifecycle::new();
        if role == "stubborn" {
            lifecycle.spawn("stuck", Phase::Edge, OnExit::Shutdown, |shutdown| async move {
                shutdown.requested().await;
                println!("asked to stop");
                pending().await
            });
        }
        lifecycle.watch_signals().unwrap();
        println!("watching");
        lifecycle.run(Duration::from_secs(60)).await
    });
    std::process::exit(if ended.is_ok() { 7 } else { 8 });
}

#[test]
fn either_signal_shuts_down_in_order() {
    for signal in ["INT", "TERM"] {
        let mut process = Process::start("obedient");
        process.expect("watching");
        process.signal(signal);
        assert_eq!(process.exit_code(), Some(7), "{signal}");
    }
}

#[test]
fn second_signal_exits_at_once() {
    let mut process = Process::start("stubborn");
    process.expect("watching");
    process.signal("TERM");
    process.expect("asked to stop");
    process.signal("INT");
    assert_eq!(process.exit_code(), Some(130));
}
