//! Finds Postgres and nats-server and checks that they are new enough.
//! Must not download anything: that is the job of `./dev`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::StackError;

/// Names the directory that holds `postgres` and `initdb`; wins over every other place.
const POSTGRES_VARIABLE: &str = "DEVSIGNAL_POSTGRES_BIN_DIR";
/// Names the nats-server executable; wins over every other place.
const NATS_VARIABLE: &str = "DEVSIGNAL_NATS_SERVER";

/// Oldest Postgres that the migrations and queries are written for.
const POSTGRES_OLDEST: (u32, u32) = (15, 0);
/// Oldest nats-server with the stream-loss fixes and the consumer features that we use.
const NATS_OLDEST: (u32, u32) = (2, 12);

/// A usable binary (nats-server) or directory of binaries (Postgres).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The executable, or for Postgres the directory of `postgres` and `initdb`.
    pub path: PathBuf,
    /// Major and minor version.
    pub version: (u32, u32),
}

/// Where to look. A value, so that tests need not touch the environment.
struct Search {
    explicit: Option<PathBuf>,
    path: Vec<PathBuf>,
    /// Root of versioned Postgres installations, as Debian lays them out.
    system: PathBuf,
    /// Where `./dev` keeps what it fetched.
    dev: Option<PathBuf>,
}

impl Search {
    fn from_environment(variable: &str) -> Self {
        Self {
            explicit: env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
            path: env::var_os("PATH")
                .map(|path| env::split_paths(&path).collect())
                .unwrap_or_default(),
            system: PathBuf::from("/usr/lib/postgresql"),
            dev: dev_directory(),
        }
    }
}

/// The `.dev` of the checkout that we run in, from any directory below it.
fn dev_directory() -> Option<PathBuf> {
    env::current_dir()
        .ok()?
        .ancestors()
        .map(|ancestor| ancestor.join(".dev"))
        .find(|candidate| candidate.is_dir())
}

/// Finds the directory of a Postgres >= 15: `DEVSIGNAL_POSTGRES_BIN_DIR`, `PATH`, the newest below
/// `/usr/lib/postgresql`, then what `./dev` fetched.
///
/// # Errors
/// [`StackError::BinaryMissing`] or [`StackError::BinaryRefused`], each saying what to do.
pub fn postgres_bin_dir() -> Result<Found, StackError> {
    find_postgres(&Search::from_environment(POSTGRES_VARIABLE))
}

/// Finds a nats-server >= 2.12: `DEVSIGNAL_NATS_SERVER`, `PATH`, then what `./dev` fetched.
///
/// # Errors
/// [`StackError::BinaryMissing`] or [`StackError::BinaryRefused`], each saying what to do.
pub fn nats_server() -> Result<Found, StackError> {
    find_nats(&Search::from_environment(NATS_VARIABLE))
}

fn find_postgres(search: &Search) -> Result<Found, StackError> {
    if let Some(explicit) = &search.explicit {
        return try_postgres(explicit).map_err(|reason| StackError::BinaryRefused {
            variable: POSTGRES_VARIABLE,
            path: explicit.clone(),
            reason,
        });
    }
    let mut candidates: Vec<PathBuf> = search
        .path
        .iter()
        .filter(|directory| directory.join("postgres").is_file())
        .cloned()
        .collect();
    candidates.extend(system_installations(&search.system));
    candidates.extend(search.dev.iter().map(|dev| dev.join("postgres/bin")));
    first_usable(&candidates, try_postgres).map_err(|searched| StackError::BinaryMissing {
        wanted: "Postgres >= 15",
        searched,
        remedy: format!(
            "run `./dev doctor`, which fetches one, install the package `postgresql`, or set {POSTGRES_VARIABLE}"
        ),
    })
}

fn find_nats(search: &Search) -> Result<Found, StackError> {
    if let Some(explicit) = &search.explicit {
        return try_nats(explicit).map_err(|reason| StackError::BinaryRefused {
            variable: NATS_VARIABLE,
            path: explicit.clone(),
            reason,
        });
    }
    let candidates: Vec<PathBuf> = search
        .path
        .iter()
        .map(|directory| directory.join("nats-server"))
        .filter(|candidate| candidate.is_file())
        .chain(search.dev.iter().map(|dev| dev.join("bin/nats-server")))
        .collect();
    first_usable(&candidates, try_nats).map_err(|searched| StackError::BinaryMissing {
        wanted: "nats-server >= 2.12",
        searched,
        remedy: format!("run `./dev doctor`, which fetches one, or set {NATS_VARIABLE}"),
    })
}

fn first_usable(
    candidates: &[PathBuf],
    check: impl Fn(&Path) -> Result<Found, String>,
) -> Result<Found, String> {
    let mut refused = Vec::new();
    for candidate in candidates {
        match check(candidate) {
            Ok(found) => return Ok(found),
            Err(reason) => refused.push(format!("{}: {reason}", candidate.display())),
        }
    }
    Err(if refused.is_empty() {
        "PATH, the system's directories and .dev, none has it".to_owned()
    } else {
        refused.join("; ")
    })
}

/// `<root>/<version>/bin`, newest first.
fn system_installations(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, path)| path).collect()
}

fn try_postgres(directory: &Path) -> Result<Found, String> {
    // A link in /usr/local/bin leads to the installation, which also holds what `postgres` needs.
    let directory = fs::canonicalize(directory.join("postgres"))
        .ok()
        .and_then(|postgres| postgres.parent().map(Path::to_path_buf))
        .filter(|real| real.join("initdb").is_file())
        .unwrap_or_else(|| directory.to_path_buf());
    if !directory.join("initdb").is_file() {
        return Err("has no initdb".to_owned());
    }
    let version = version_of(&directory.join("postgres"), POSTGRES_OLDEST)?;
    Ok(Found {
        path: directory,
        version,
    })
}

fn try_nats(executable: &Path) -> Result<Found, String> {
    Ok(Found {
        path: fs::canonicalize(executable).map_err(|error| error.to_string())?,
        version: version_of(executable, NATS_OLDEST)?,
    })
}

fn version_of(executable: &Path, oldest: (u32, u32)) -> Result<(u32, u32), String> {
    let output = Command::new(executable)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = parse_version(&text).ok_or_else(|| format!("answers --version with {:?}", text.trim()))?;
    if version < oldest {
        return Err(format!(
            "is version {}.{}, at least {}.{} is needed",
            version.0, version.1, oldest.0, oldest.1
        ));
    }
    Ok(version)
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`, `… 19beta1` and `nats-server: v2.15.1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .and_then(|word| {
            let mut numbers = word.split(|c: char| !c.is_ascii_digit());
            let major = numbers.next()?.parse().ok()?;
            let minor = numbers.next().and_then(|minor| minor.parse().ok());
            Some((major, minor.unwrap_or(0)))
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake(directory: &Path, name: &str, answer: &str) {
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn search(root: &Path) -> Search {
        Search {
            explicit: None,
            path: vec![root.join("path")],
            system: root.join("system"),
            dev: Some(root.join("dev")),
        }
    }

    #[test]
    fn versions_of_both_servers_are_read() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some((15, 18)));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta1"), Some((19, 0)));
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("no digits"), None);
    }

    #[test]
    fn an_old_postgres_on_the_path_is_passed_over_for_the_newest_of_the_system() {
        let root = tempfile::tempdir().unwrap();
        for (place, version) in [
            ("path", "13.2"),
            ("system/16/bin", "16.1"),
            ("system/9/bin", "9.6"),
        ] {
            let directory = root.path().join(place);
            fake(
                &directory,
                "postgres",
                &format!("postgres (PostgreSQL) {version}"),
            );
            fake(&directory, "initdb", "initdb");
        }
        let found = find_postgres(&search(root.path())).unwrap();
        assert_eq!(found.version, (16, 1));
        assert!(found.path.ends_with("system/16/bin"));
    }

    #[test]
    fn an_explicit_binary_that_is_too_old_is_refused_and_nothing_else_tried() {
        let root = tempfile::tempdir().unwrap();
        fake(&root.path().join("old"), "nats-server", "nats-server: v2.9.10");
        fake(&root.path().join("path"), "nats-server", "nats-server: v2.15.1");
        let mut search = search(root.path());
        assert_eq!(find_nats(&search).unwrap().version, (2, 15));
        search.explicit = Some(root.path().join("old/nats-server"));
        let message = find_nats(&search).unwrap_err().to_string();
        assert!(
            message.starts_with("DEVSIGNAL_NATS_SERVER=")
                && message.contains("is version 2.9, at least 2.12 is needed"),
            "{message}"
        );
    }

    #[test]
    fn a_missing_server_names_what_was_refused_and_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        fake(
            &root.path().join("path"),
            "postgres",
            "postgres (PostgreSQL) 17.0",
        );
        let message = find_postgres(&search(root.path())).unwrap_err().to_string();
        assert!(
            message.contains("has no initdb") && message.contains("./dev doctor"),
            "{message}"
        );
    }
}
