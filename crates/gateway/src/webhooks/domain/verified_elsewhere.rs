//! Signatures, verified by the reference implementations in Rust, Python and JavaScript. The latter two come from their
//! registries, pinned in `tests/verifiers`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::HeaderMap;
use ids::Clock as _;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::signature::{Scheme, SecretBytes, header};

const BODIES: usize = 10_000;

fn verifiers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifiers")
}

fn run(command: &mut Command, input: Option<&str>) -> String {
    let stdin = if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        pipe.write_all(input.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Ten thousand deliveries with random bodies and secrets.
fn deliveries() -> Vec<Value> {
    let mut runner = TestRunner::deterministic();
    let texts = proptest::collection::hash_map(any::<String>(), any::<String>(), 0..6);
    let secrets = proptest::collection::vec(any::<u8>(), 24..=64);
    let now = ids::SystemClock.now().as_second();
    let made = (0..BODIES).map(|n| {
        let fields = texts.new_tree(&mut runner).unwrap().current();
        let secret = SecretBytes::new(secrets.new_tree(&mut runner).unwrap().current());
        let older = SecretBytes::new(vec![9; 32]);
        let id = format!("event-{n}");
        let body = json!({"id": id, "data": fields}).to_string();
        // The newest secret first, and one that is on its way out.
        let signed = header(Scheme::Hmac, &[secret.clone(), older], &id, now, &body).unwrap();
        json!({
            "secret": secret.text(),
            "body": body,
            "headers": {"webhook-id": id, "webhook-timestamp": now.to_string(), "webhook-signature": signed},
        })
    });
    made.collect()
}

#[test]
fn ten_thousand_random_bodies_are_verified_by_three_implementations() {
    let deliveries = deliveries();
    for delivery in &deliveries {
        let mut headers = HeaderMap::new();
        for (name, value) in delivery["headers"].as_object().unwrap() {
            let name: http::HeaderName = name.parse().unwrap();
            headers.insert(name, value.as_str().unwrap().parse().unwrap());
        }
        let webhook = standardwebhooks::Webhook::new(delivery["secret"].as_str().unwrap()).unwrap();
        webhook
            .verify(delivery["body"].as_str().unwrap().as_bytes(), &headers)
            .unwrap();
    }
    let lines: String = deliveries
        .iter()
        .map(|delivery| format!("{delivery}\n"))
        .collect();
    let home = tempfile::tempdir().unwrap();

    let python = home.path().join("python/bin/python");
    let venv = home.path().join("python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv), None);
    let requirements = verifiers().join("requirements.txt");
    let pip = [
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--requirement",
    ];
    run(Command::new(&python).args(pip).arg(requirements), None);
    let counted = run(
        Command::new(&python).arg(verifiers().join("verify.py")),
        Some(&lines),
    );
    assert_eq!(counted, BODIES.to_string(), "PyPI standardwebhooks");

    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(verifiers().join(file), home.path().join(file)).unwrap();
    }
    let npm = ["ci", "--ignore-scripts", "--silent", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(npm).current_dir(home.path()), None);
    let mut node = Command::new("node");
    let counted = run(
        node.arg(verifiers().join("verify.mjs")).current_dir(home.path()),
        Some(&lines),
    );
    assert_eq!(counted, BODIES.to_string(), "npm standardwebhooks");
}
