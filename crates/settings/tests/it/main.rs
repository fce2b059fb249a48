//! The contract of `settings`: the order of layers, what is refused and how it is named.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{error::Error as _, io::Write as _};

use serde::Deserialize;
use serde_json::json;
use settings::{Secret, SettingsError, Validate, load};

const DEFAULTS: &str = r#"
# How requests come in.
[http]
port = 8080
min_workers = 1
max_workers = 4
# Refuse bodies above this.
body_bytes = 4194304
origins = ["http://localhost"]

[database]
password = "default"
"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    http: Http,
    database: Database,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    port: u16,
    min_workers: usize,
    max_workers: usize,
    body_bytes: u64,
    origins: Vec<String>,
    banner: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Database {
    password: Secret<String>,
}

impl Validate for Strict {
    fn validate(&self) -> Result<(), SettingsError> {
        if self.http.min_workers > self.http.max_workers {
            return Err(SettingsError::contradiction(
                "http.min_workers",
                "http.max_workers",
                "the least must not exceed the most",
            ));
        }
        Ok(())
    }
}

/// A caller that forgot `deny_unknown_fields`.
#[derive(Debug, Deserialize)]
struct Lenient {
    http: LenientHttp,
}

#[derive(Debug, Deserialize)]
struct LenientHttp {
    port: u16,
}

impl Validate for Lenient {
    fn validate(&self) -> Result<(), SettingsError> {
        Ok(())
    }
}

fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> = pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    owned.into_iter()
}

fn load_env(pairs: &[(&str, &str)]) -> Result<Strict, SettingsError> {
    load("signal-ingest", DEFAULTS, None, env(pairs), None)
}

/// The message with its causes, as an operator sees it.
fn told(error: &SettingsError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn defaults_alone_are_enough() {
    let settings = load_env(&[]).unwrap();
    assert_eq!(settings.http.port, 8080);
    assert_eq!(settings.http.body_bytes, 4 * 1024 * 1024);
    assert_eq!(settings.http.banner, None);
}

#[test]
fn later_layers_win_key_by_key() {
    let file = file("[http]\nport = 1\nmin_workers = 2\nmax_workers = 9\n");
    let settings: Strict = load(
        "signal-ingest",
        DEFAULTS,
        Some(file.path()),
        env(&[
            ("DEVSIGNAL_SIGNAL_INGEST__HTTP__PORT", "2"),
            ("DEVSIGNAL_SIGNAL_INGEST__HTTP__MIN_WORKERS", "3"),
        ]),
        Some(json!({"http": {"port": 3, "banner": "hi"}})),
    )
    .unwrap();
    assert_eq!(settings.http.port, 3);
    assert_eq!(settings.http.min_workers, 3);
    assert_eq!(settings.http.max_workers, 9);
    assert_eq!(settings.http.body_bytes, 4 * 1024 * 1024);
    assert_eq!(settings.http.banner.as_deref(), Some("hi"));
}

#[test]
fn environment_text_takes_the_type_of_the_setting() {
    let settings = load_env(&[
        ("DEVSIGNAL_SIGNAL_INGEST__HTTP__BANNER", "[1, 2]"),
        ("DEVSIGNAL_SIGNAL_INGEST__HTTP__ORIGINS", r#"["a", "b"]"#),
        ("DEVSIGNAL_SIGNAL_INGEST__DATABASE__PASSWORD", "00123e4"),
    ])
    .unwrap();
    assert_eq!(settings.http.banner.as_deref(), Some("[1, 2]"));
    assert_eq!(settings.http.origins, ["a", "b"]);
    assert_eq!(settings.database.password.expose(), "00123e4");
}

#[test]
fn other_services_variables_are_not_ours() {
    load_env(&[
        ("DEVSIGNAL_CRM__HTTP__NONSENSE", "1"),
        ("PATH", "/bin"),
        ("DEVSIGNAL_SIGNAL_INGESTION", "1"),
    ])
    .unwrap();
}

#[test]
fn unknown_variable_is_refused_by_name_with_strict_structs() {
    let error = load_env(&[("DEVSIGNAL_SIGNAL_INGEST__HTTP__PROT", "1")]).unwrap_err();
    let told = told(&error);
    assert!(told.contains("DEVSIGNAL_SIGNAL_INGEST__HTTP__PROT"), "{told}");
    assert!(told.contains("unknown field `prot`"), "{told}");
}

#[test]
fn unknown_variable_is_refused_by_name_with_lenient_structs() {
    let error = load::<Lenient>(
        "crm",
        "[http]\nport = 1",
        None,
        env(&[("DEVSIGNAL_CRM__SCHEDULE__EVERY_SECS", "1")]),
        None,
    )
    .unwrap_err();
    let told = told(&error);
    assert!(told.contains("DEVSIGNAL_CRM__SCHEDULE__EVERY_SECS"), "{told}");
    let settings: Lenient = load("crm", "[http]\nport = 1", None, env(&[]), None).unwrap();
    assert_eq!(settings.http.port, 1);
}

#[test]
fn unknown_keys_of_file_and_overrides_are_refused_with_their_origin() {
    let file = file("[http]\nprot = 1\n");
    let error = load::<Strict>("crm", DEFAULTS, Some(file.path()), env(&[]), None).unwrap_err();
    let path = file.path().display().to_string();
    assert!(told(&error).contains(&path), "{}", told(&error));

    let overrides = Some(json!({"htpp": {"port": 1}}));
    let error = load::<Strict>("crm", DEFAULTS, None, env(&[]), overrides).unwrap_err();
    assert!(told(&error).contains("`htpp`"), "{}", told(&error));
    assert!(told(&error).contains("overrides"), "{}", told(&error));
}

#[test]
fn wrong_type_names_variable_and_key() {
    let error = load_env(&[("DEVSIGNAL_SIGNAL_INGEST__HTTP__PORT", "70000")]).unwrap_err();
    let told = told(&error);
    assert!(told.contains("http.port"), "{told}");
    assert!(told.contains("DEVSIGNAL_SIGNAL_INGEST__HTTP__PORT"), "{told}");
}

#[test]
fn variable_below_a_plain_setting_is_named() {
    let error = load_env(&[("DEVSIGNAL_SIGNAL_INGEST__HTTP__PORT__X", "1")]).unwrap_err();
    let told = told(&error);
    assert!(told.contains("DEVSIGNAL_SIGNAL_INGEST__HTTP__PORT__X"), "{told}");
}

#[test]
fn misspelt_variables_are_refused() {
    for name in [
        "DEVSIGNAL_SIGNAL_INGEST_HTTP__PORT",
        "DEVSIGNAL_SIGNAL_INGEST__",
        "DEVSIGNAL_SIGNAL_INGEST__HTTP____PORT",
    ] {
        let error = load_env(&[(name, "1")]).unwrap_err();
        assert!(
            matches!(error, SettingsError::Environment { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
    let twice = load_env(&[
        ("DEVSIGNAL_SIGNAL_INGEST__HTTP__PORT", "1"),
        ("DEVSIGNAL_SIGNAL_INGEST__http__port", "2"),
    ])
    .unwrap_err();
    assert!(twice.to_string().contains("same setting"), "{twice}");
}

#[test]
fn list_variable_that_is_no_list_is_refused() {
    for text in ["a,b", "[1", "1", "[\"a\"]\nother = 1"] {
        let error = load_env(&[("DEVSIGNAL_SIGNAL_INGEST__HTTP__ORIGINS", text)]).unwrap_err();
        assert!(error.to_string().contains("HTTP__ORIGINS"), "{error}");
    }
}

#[test]
fn contradiction_names_both_keys() {
    let error = load_env(&[("DEVSIGNAL_SIGNAL_INGEST__HTTP__MIN_WORKERS", "5")]).unwrap_err();
    let told = told(&error);
    assert!(
        told.contains("http.min_workers") && told.contains("http.max_workers"),
        "{told}"
    );
}

#[test]
fn missing_and_broken_files_are_refused_with_their_path() {
    let missing = std::path::Path::new("/nowhere/settings.toml");
    let error = load::<Strict>("crm", DEFAULTS, Some(missing), env(&[]), None).unwrap_err();
    assert!(error.to_string().contains("/nowhere/settings.toml"), "{error}");
    let broken = file("[http\nport");
    let error = load::<Strict>("crm", DEFAULTS, Some(broken.path()), env(&[]), None).unwrap_err();
    assert!(matches!(error, SettingsError::File { .. }), "{error:?}");
}

#[test]
fn missing_setting_is_named() {
    let error = load::<Strict>("crm", "[http]\nport = 1", None, env(&[]), None).unwrap_err();
    let told = told(&error);
    assert!(told.contains("missing"), "{told}");
}

#[test]
fn overrides_must_be_sections() {
    let error = load::<Strict>("crm", DEFAULTS, None, env(&[]), Some(json!([1]))).unwrap_err();
    assert!(matches!(error, SettingsError::Overrides { .. }), "{error:?}");
}

#[test]
fn secret_shows_nowhere() {
    let settings = load_env(&[("DEVSIGNAL_SIGNAL_INGEST__DATABASE__PASSWORD", "hunter2")]).unwrap();
    let password = &settings.database.password;
    let shown = format!(
        "{settings:?} {password} {password:?} {}",
        serde_json::to_string(password).unwrap()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(password.expose(), "hunter2");
}

#[test]
fn secret_of_the_wrong_type_is_not_quoted() {
    #[derive(Debug, Deserialize)]
    struct Pin {
        #[expect(dead_code, reason = "only its reading is tested")]
        pin: Secret<u32>,
    }
    impl Validate for Pin {
        fn validate(&self) -> Result<(), SettingsError> {
            Ok(())
        }
    }
    let error = load::<Pin>("crm", "", None, env(&[("DEVSIGNAL_CRM__PIN", "hunter2")]), None).unwrap_err();
    let told = format!("{} {error:?}", told(&error));
    assert!(told.contains("DEVSIGNAL_CRM__PIN"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
