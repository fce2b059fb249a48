//! The rules of the workspace that no compiler holds: who may use whom, how long a file may be, where versions stand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::unnecessary_operation,
    reason = "tests fail by panicking, and tables of cases are long"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

const SERVICES: &[&str] = &["gateway", "signal-ingest", "identity-resolver", "crm", "scoring"];
const MAX_FILE_LINES: usize = 400;
/// Tests may be longer: they are read case by case.
const MAX_TEST_FILE_LINES: usize = 600;

/// What a shared crate may use of this workspace. A service may use all of these and never another service.
fn shared() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("ids", &[] as &[_]),
        ("errors", &[]),
        ("coalesce", &[]),
        ("local-stack", &[]),
        ("outbound", &[]),
        ("contracts", &["ids", "errors"]),
        ("settings", &["ids", "errors"]),
        ("telemetry", &["ids", "errors"]),
        ("lifecycle", &["ids", "errors"]),
        ("store", &["ids", "errors", "settings", "telemetry", "lifecycle"]),
        ("admin", &["telemetry", "lifecycle"]),
        (
            "rpc",
            &["ids", "errors", "contracts", "settings", "telemetry", "lifecycle"],
        ),
        (
            "eventbus",
            &[
                "ids",
                "errors",
                "contracts",
                "settings",
                "telemetry",
                "lifecycle",
                "coalesce",
                "store",
            ],
        ),
    ])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

#[test]
fn crates_use_only_what_they_may() {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let names: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let shared = shared();
    let mut violations = Vec::new();
    for package in &metadata.packages {
        let name = package.name.to_string();
        let normal = package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal);
        for used in normal.map(|d| d.name.clone()).filter(|d| names.contains(d)) {
            let allowed = match name.as_str() {
                "devsignal" => used != "e2e" && used != "test-kit",
                "e2e" => true,
                "test-kit" => !SERVICES.contains(&used.as_str()) && used != "devsignal" && used != "e2e",
                service if SERVICES.contains(&service) => shared.contains_key(used.as_str()),
                crate_name => shared
                    .get(crate_name)
                    .is_some_and(|may| may.contains(&used.as_str())),
            };
            if !allowed {
                violations.push(format!("{name} must not use {used}"));
            }
        }
        // A service that spoke HTTP by itself would go around the judgement of addresses.
        let speaks_http = ["reqwest", "hyper-util", "hickory-resolver", "tokio-rustls"];
        for foreign in package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal)
        {
            let serves = SERVICES.contains(&name.as_str()) || shared.contains_key(name.as_str());
            if serves && name != "outbound" && speaks_http.contains(&foreign.name.as_str()) {
                violations.push(format!(
                    "{name} must not use {}: only outbound makes requests",
                    foreign.name
                ));
            }
        }
        for foreign in package.dependencies.iter().filter(|d| d.name == "async-nats") {
            if name != "eventbus" {
                violations.push(format!(
                    "{name} must not use {}: only eventbus talks to NATS",
                    foreign.name
                ));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn versions_and_lints_stand_in_one_place() {
    let mut violations = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        if !text.contains("[lints]\nworkspace = true") {
            violations.push(format!("{}: no `[lints] workspace = true`", manifest.display()));
        }
        let mut dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                dependencies = line.ends_with("dependencies]");
            } else if dependencies && line.contains('=') && !line.contains("workspace = true") {
                violations.push(format!("{}: {line}", manifest.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let mut violations = Vec::new();
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    assert!(files.len() > 100, "the walk found only {} files", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        let is_test = file.components().any(|part| part.as_os_str() == "tests");
        if lines
            > if is_test {
                MAX_TEST_FILE_LINES
            } else {
                MAX_FILE_LINES
            }
        {
            violations.push(format!("{}: {lines} lines", file.display()));
        }
        if !text.starts_with("//!") {
            violations.push(format!("{}: does not open with //!", file.display()));
        }
        if !is_compiled(&file) {
            violations.push(format!("{}: no module names it", file.display()));
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Whether a file is the root of a target, or a module that its neighbours or the file above name.
fn is_compiled(file: &Path) -> bool {
    let (folder, stem) = (
        file.parent().unwrap(),
        file.file_stem().unwrap().to_str().unwrap(),
    );
    let in_folder = |name: &str| folder.ends_with(name);
    if ["lib", "main", "build"].contains(&stem)
        || ["bin", "tests", "examples", "benches"]
            .iter()
            .any(|f| in_folder(f))
    {
        return true;
    }
    let (named, beside) = if stem == "mod" {
        (
            folder.file_name().unwrap().to_str().unwrap(),
            folder.parent().unwrap(),
        )
    } else {
        (stem, folder)
    };
    let words = [format!("mod {named};"), format!("\"{named}.rs\"")];
    let mut above: Vec<PathBuf> = std::fs::read_dir(beside)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    above.push(beside.with_extension("rs"));
    let mut texts = above.iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    texts.any(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        words.iter().any(|word| text.contains(word))
    })
}

/// The catalogue must not promise what never happens, and name who tells it.
#[test]
fn every_public_event_is_told_by_its_service() {
    let mut sources: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for service in SERVICES {
        let mut files = Vec::new();
        rust_files(&root().join("crates").join(service).join("src"), &mut files);
        let texts = files.iter().map(|f| std::fs::read_to_string(f).unwrap());
        sources.insert(service, texts.collect());
    }
    let (mut events, mut silent) = (0, Vec::new());
    for entry in std::fs::read_dir(root().join("proto/devsignal/events/v1")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for message in text.split("\nmessage ").skip(1) {
            let name = message.split_whitespace().next().unwrap();
            let body = message.split("\n}").next().unwrap();
            if !body.contains("EVENT_CARRIAGE_PUBLIC") {
                continue;
            }
            events += 1;
            // By its message, or by its type where the message is made from the descriptor.
            let made = format!("{name} {{");
            let typed = body.split("type: ").nth(1).unwrap().lines().next().unwrap();
            let source = body
                .split("source: \"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap();
            if !sources[source]
                .iter()
                .any(|s| s.contains(&made) || s.contains(typed))
            {
                silent.push(name.to_owned());
            }
        }
    }
    assert!(events > 25, "only {events} events were found");
    assert!(silent.is_empty(), "nobody tells {silent:?}");
}

#[test]
fn entry_points_only_dispatch() {
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let main = entry.unwrap().path().join("src/main.rs");
        if let Ok(text) = std::fs::read_to_string(&main) {
            assert!(
                text.lines().count() <= 60,
                "{} is longer than 60 lines",
                main.display()
            );
        }
    }
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_none_or(|n| n != "target") {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
