//! The Postgres and the nats-server that tests use.
//!
//! `./dev test` starts one pair for the whole run (the program `test-stack`) and names its file in
//! `DEVSIGNAL_TEST_STACK`. Without it, each test process starts a pair of its own: slower, just as
//! correct, and gone afterwards.
//!
//! Must not know schemas or streams: a test makes its own database and its own prefix.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use anyhow::{Context, Result};
use local_stack::{Nats, NatsOptions, Postgres, PostgresOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// Names the JSON file of a running stack.
pub const STACK_VARIABLE: &str = "DEVSIGNAL_TEST_STACK";

/// Streams reserve what they may hold at most, and a run has those of hundreds of tests. None of it is used up.
const MAX_FILE_STORE: u64 = 1 << 40;

/// Begins the name of every private stack's directory.
const DIRECTORY_PREFIX: &str = "devsignal-test-";
/// Locked while the directory's owner lives.
const ALIVE_FILE: &str = "alive.lock";

/// A test's pools are small, but eight services times several tests at a time have many of them.
const MAX_CONNECTIONS: u16 = 500;

/// Copying a template writes every page of it to the log: uncompressed is several times faster.
/// Torn pages need a power cut, which `fsync = off` does not survive anyway.
const SETTINGS: [(&str, &str); 3] = [
    ("wal_compression", "off"),
    ("full_page_writes", "off"),
    // A test that is killed while it connects leaves no slot taken for the usual minute.
    ("authentication_timeout", "3s"),
];

/// Where the servers are.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Addresses {
    /// The superuser's URL, without a database.
    postgres: String,
    nats: String,
}

/// Postgres and NATS as a test sees them.
#[derive(Debug)]
pub struct TestStack {
    addresses: Addresses,
    /// Present when this process started them.
    servers: Option<Servers>,
}

/// The private stack of this process while any test uses it; the last one to let go stops it.
static PRIVATE: Mutex<Weak<TestStack>> = Mutex::const_new(Weak::new());

impl TestStack {
    /// The stack of this test run; keep it as long as you use the servers.
    ///
    /// # Panics
    /// When the servers cannot be started or the named file cannot be read.
    pub async fn shared() -> Arc<Self> {
        match Self::try_shared().await {
            Ok(stack) => stack,
            Err(error) => panic!("no test stack: {error:#}"),
        }
    }

    async fn try_shared() -> Result<Arc<Self>> {
        if let Some(path) = std::env::var_os(STACK_VARIABLE) {
            return Ok(Arc::new(Self::from_file(Path::new(&path))?));
        }
        let mut private = PRIVATE.lock().await;
        if let Some(stack) = private.upgrade() {
            return Ok(stack);
        }
        let servers = Servers::start().await?;
        let stack = Arc::new(Self {
            addresses: servers.addresses(),
            servers: Some(servers),
        });
        *private = Arc::downgrade(&stack);
        Ok(stack)
    }

    fn from_file(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("{STACK_VARIABLE} names {}", path.display()))?;
        Ok(Self {
            addresses: serde_json::from_str(&text)
                .with_context(|| format!("{} is not a test stack's file", path.display()))?,
            servers: None,
        })
    }

    /// The superuser's URL for a database.
    #[must_use]
    pub fn postgres_url(&self, database: &str) -> String {
        format!("{}{database}", self.addresses.postgres)
    }

    /// The NATS URL, with user and password. Use a [`unique_prefix`] for every name on it.
    #[must_use]
    pub fn nats_url(&self) -> &str {
        &self.addresses.nats
    }

    /// True when the servers and all they hold end with this process.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.servers.is_some()
    }
}

/// A name that no other test has, usable in NATS subjects, stream names and SQL identifiers:
/// a letter, then 16 hexadecimal digits.
#[must_use]
pub fn unique_prefix() -> String {
    format!("t{:016x}", random())
}

/// Different in every call and process.
fn random() -> u64 {
    RandomState::new().hash_one((std::process::id(), std::thread::current().id()))
}

/// A pair of servers owned by this process, with their directory.
#[derive(Debug)]
pub struct Servers {
    // Dropped in this order: servers before their directory.
    postgres: Postgres,
    nats: Nats,
    _directory: Directory,
}

impl Servers {
    /// Removes what killed runs left, and starts both in a new directory. Nothing survives a power
    /// cut there (`fsync` is off); a SIGKILL is survived as in production.
    ///
    /// # Errors
    /// When a server cannot be started; nothing is left running.
    pub async fn start() -> Result<Self> {
        let temporary = std::env::temp_dir();
        sweep(&temporary);
        let directory = Directory::create(&temporary)?;
        let mut options = PostgresOptions::new(directory.path.join("postgres"));
        options.durable = false;
        options.max_connections = MAX_CONNECTIONS;
        options.settings = SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let mut broker = NatsOptions::new(directory.path.join("nats"));
        broker.max_file_store_bytes = MAX_FILE_STORE;
        let (postgres, nats) = tokio::join!(Postgres::start(options), Nats::start(broker));
        Ok(Self {
            postgres: postgres?,
            nats: nats?,
            _directory: directory,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            postgres: self.postgres.superuser_url(""),
            nats: self.nats.url(),
        }
    }

    /// Writes the file that `DEVSIGNAL_TEST_STACK` names, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_file(&self, path: &Path) -> Result<()> {
        let unfinished = path.with_extension("tmp");
        fs::write(&unfinished, serde_json::to_vec(&self.addresses())?)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns when either server has ended by itself, with its name.
    pub async fn either_ended(&self) -> &'static str {
        tokio::select! {
            () = self.postgres.ended() => "postgres",
            () = self.nats.ended() => "nats-server",
        }
    }
}

/// A directory that is removed with its owner, or by the next run when the owner was killed.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Held under a lock; the kernel lets go when this process ends in whatever way.
    _alive: File,
}

impl Directory {
    /// Makes it under another name and renames it once locked, so that no sweep finds it unlocked.
    fn create(parent: &Path) -> Result<Self> {
        let name = format!("{DIRECTORY_PREFIX}{:016x}", random());
        let unfinished = parent.join(format!(".{name}"));
        let create = || -> std::io::Result<Self> {
            fs::create_dir(&unfinished)?;
            let alive = File::create_new(unfinished.join(ALIVE_FILE))?;
            alive.try_lock()?;
            let path = parent.join(&name);
            fs::rename(&unfinished, &path)?;
            Ok(Self { path, _alive: alive })
        };
        create().with_context(|| format!("cannot make {}", unfinished.display()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Best effort: what stays is tried again by the next run.
fn remove(directory: &Path) {
    let _ = Postgres::remove_data(&directory.join("postgres"));
    let _ = Nats::remove_data(&directory.join("nats"));
    let _ = fs::remove_dir_all(directory);
}

/// Removes directories whose owner is gone.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(DIRECTORY_PREFIX) {
            continue;
        }
        let alive = OpenOptions::new().write(true).open(entry.path().join(ALIVE_FILE));
        if let Ok(alive) = alive
            && alive.try_lock().is_ok()
        {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_without_a_living_owner_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let kept = Directory::create(parent.path()).unwrap();
        let orphan = Directory::create(parent.path()).unwrap();
        let orphan_path = orphan.path.clone();
        let Directory { path: _, _alive } = &orphan;
        _alive.unlock().unwrap();
        fs::create_dir(parent.path().join("somebody-elses")).unwrap();

        sweep(parent.path());
        assert!(kept.path.exists());
        assert!(!orphan_path.exists());
        assert!(parent.path().join("somebody-elses").exists());
    }

    #[test]
    fn prefixes_differ() {
        let mut prefixes: Vec<String> = (0..1000).map(|_| unique_prefix()).collect();
        prefixes.sort();
        prefixes.dedup();
        assert_eq!(prefixes.len(), 1000);
    }
}
