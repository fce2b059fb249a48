//! A private Postgres server: start, stop, kill, restart.
//! Must not know schemas or roles beyond the superuser.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    StackError, binaries,
    directory::Owned,
    files,
    placement::Placement,
    ports,
    postgres_cluster::{self, SUPERUSER},
    postgres_config,
    process::{Launch, Supervised},
};

const NAME: &str = "postgres";
/// Crash recovery of a full write-ahead log (4 GB) on a slow disk stays below this.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How many times another port is tried when somebody takes the chosen one.
const PORT_ATTEMPTS: usize = 5;
/// Fast shutdown with its checkpoint, then immediate shutdown, then kill.
const STOP_LADDER: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(20)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];
/// For a handle that is dropped: no checkpoint; the next start recovers.
const DROP_LADDER: [(Signal, Duration); 2] = [
    (Signal::QUIT, Duration::from_secs(3)),
    (Signal::KILL, Duration::from_secs(2)),
];

/// What to start and where.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Directory for everything of this server; made when missing.
    pub data_dir: PathBuf,
    /// TCP port on 127.0.0.1; a free one when `None`, the same one over restarts of the handle.
    pub port: Option<u16>,
    /// Most connections at a time.
    pub max_connections: u16,
    /// False switches `fsync` off: for tests only, a power cut destroys the cluster. A SIGKILL does not.
    pub durable: bool,
    /// Further settings for `postgresql.conf`, which win over ours.
    pub settings: Vec<(String, String)>,
}

impl PostgresOptions {
    /// A durable server with room for 200 connections (eight services with pools of up to 20, and tools).
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            max_connections: 200,
            durable: true,
            settings: Vec::new(),
        }
    }
}

/// A Postgres server owned by this process. Dropping it stops the server at once (recovery at the
/// next start); call [`Postgres::stop`] for a clean shutdown.
#[derive(Debug)]
pub struct Postgres {
    options: PostgresOptions,
    placement: Placement,
    bin_dir: PathBuf,
    password: String,
    port: u16,
    child: Option<Supervised>,
    _owned: Owned,
}

impl Postgres {
    /// Finds the binaries, makes the cluster at first use, stops what a killed run left over, starts
    /// the server and waits until it accepts connections.
    ///
    /// # Errors
    /// Every variant of [`StackError`]; nothing is left running.
    pub async fn start(options: PostgresOptions) -> Result<Self, StackError> {
        let mut server = files::blocking(move || Self::prepare(options)).await?;
        server.launch(server.options.port.is_none()).await?;
        Ok(server)
    }

    /// Everything that only touches files.
    fn prepare(options: PostgresOptions) -> Result<Self, StackError> {
        let found = binaries::postgres_bin_dir()?;
        let data_dir = files::ensure_directory(&options.data_dir)?;
        let owned = Owned::take(&data_dir)?;
        let placement = Placement::resolve(&data_dir)?;
        let bin_dir = placement.reachable_bin_dir(&found.path)?;
        let password = files::password(&data_dir.join("superuser.password"))?;
        postgres_cluster::stop_leftover(&placement.cluster())?;
        postgres_cluster::ensure(&placement, &bin_dir, &found, &password, options.durable)?;
        let port = match options.port {
            Some(port) => port,
            None => ports::pick(NAME)?,
        };
        Ok(Self {
            options,
            placement,
            bin_dir,
            password,
            port,
            child: None,
            _owned: owned,
        })
    }

    /// Starts the server on `self.port`, or on another free one when allowed and somebody was faster.
    async fn launch(&mut self, may_change_port: bool) -> Result<(), StackError> {
        let began = Instant::now();
        let mut attempts = if may_change_port { PORT_ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            if !may_change_port {
                ports::wait_until_free(NAME, self.port).await?;
            }
            let child = self.spawn()?;
            let outcome = self.until_ready(&child).await;
            match outcome {
                Ok(()) => {
                    tracing::info!(
                        pid = child.pid(), port = self.port, millis = began.elapsed().as_millis(),
                        data_dir = %self.placement.data_dir.display(), "postgres is ready"
                    );
                    self.child = Some(child);
                    return Ok(());
                }
                Err(error) => {
                    child.end_by(&STOP_LADDER).await;
                    if attempts == 0 || ports::is_free(self.port) {
                        return Err(error);
                    }
                    self.port = ports::pick(NAME)?;
                }
            }
        }
    }

    fn spawn(&self) -> Result<Supervised, StackError> {
        let cluster = self.placement.cluster();
        let socket_dir = self.placement.fresh_socket_dir()?;
        let settings = postgres_config::render(&self.options, self.port, &socket_dir)?;
        for (name, text) in [
            ("postgresql.conf", settings.as_str()),
            ("pg_hba.conf", postgres_config::HBA),
        ] {
            let path = cluster.join(name);
            files::write_private(&path, text)?;
            files::give(&path, self.placement.account.as_ref())?;
        }
        Supervised::spawn(Launch {
            program: self.bin_dir.join("postgres"),
            args: vec!["-D".into(), cluster.into()],
            log: files::open_log(&self.log_path())?,
            run_as: self.placement.account.clone(),
            // Fast shutdown: our death is no reason to lose the buffers.
            death_signal: "INT",
            name: "local-postgres",
        })
    }

    /// Reads the same line of `postmaster.pid` that `pg_ctl -w` does.
    async fn until_ready(&self, child: &Supervised) -> Result<(), StackError> {
        let pid_file = self.placement.cluster().join("postmaster.pid");
        let deadline = Instant::now() + START_TIMEOUT;
        let pid = child.pid().to_string();
        let reason = loop {
            if let Some(status) = child.exit_status() {
                break status.to_string();
            }
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            if lines.first() == Some(&pid.as_str()) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            if Instant::now() > deadline {
                break format!("not ready after {} s", START_TIMEOUT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Err(StackError::NotReady {
            server: NAME,
            reason,
            log: self.log_path(),
            tail: files::log_tail(&self.log_path()),
        })
    }

    /// The superuser's URL for a database, over TCP with its password.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.url_as(SUPERUSER, &self.password, database)
    }

    /// The URL of a role for a database, over TCP. Every part is percent-encoded.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{}:{}@127.0.0.1:{}/{}",
            encode(user),
            encode(password),
            self.port,
            encode(database)
        )
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().map(Supervised::pid)
    }

    /// The directory of the Unix socket, entered only by the server's user and root; it asks for
    /// the password too.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.placement.socket_dir()
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.placement.data_dir.join("postgres.log")
    }

    /// Returns when the server has ended, for whatever reason; at once when it is not running.
    pub async fn ended(&self) {
        if let Some(child) = &self.child {
            child.ended().await;
        }
    }

    /// Fast shutdown: connections are ended, everything is flushed. After 20 s it gets harsher.
    ///
    /// # Errors
    /// [`StackError::Immortal`] when not even SIGKILL helps.
    pub async fn stop(&mut self) -> Result<(), StackError> {
        self.end(&STOP_LADDER).await
    }

    /// SIGKILL of the postmaster, for fault tests; its backends end when they notice. The next
    /// [`Postgres::restart`] recovers.
    ///
    /// # Errors
    /// [`StackError::Immortal`] when the process does not end.
    pub async fn kill(&mut self) -> Result<(), StackError> {
        self.end(&[(Signal::KILL, Duration::from_secs(5))]).await
    }

    async fn end(&mut self, ladder: &[(Signal, Duration)]) -> Result<(), StackError> {
        if let Some(child) = self.child.take()
            && !child.end_by(ladder).await
        {
            let pid = child.pid();
            self.child = Some(child);
            return Err(StackError::Immortal { server: NAME, pid });
        }
        Ok(())
    }

    /// Stops the server when it runs, and starts it on the same port and data.
    ///
    /// # Errors
    /// As [`Postgres::start`]; [`StackError::PortTaken`] when somebody took the port meanwhile.
    pub async fn restart(&mut self) -> Result<(), StackError> {
        self.stop().await?;
        let cluster = self.placement.cluster();
        files::blocking(move || postgres_cluster::stop_leftover(&cluster)).await?;
        self.launch(false).await
    }

    /// Removes a data directory with everything in it, and what was kept elsewhere for it. Blocks;
    /// for commands and clean-up.
    ///
    /// # Errors
    /// [`StackError::InUse`] when a live process owns it.
    pub fn remove_data(data_dir: &Path) -> Result<(), StackError> {
        if !data_dir.exists() {
            return Ok(());
        }
        let data_dir = files::ensure_directory(data_dir)?;
        let _owned = Owned::take(&data_dir)?;
        let placement = Placement::existing(&data_dir);
        postgres_cluster::stop_leftover(&placement.cluster())?;
        placement.remove_outside()?;
        files::remove_tree(&data_dir)
    }

    fn running(&self) -> Option<&Supervised> {
        self.child.as_ref().filter(|child| child.exit_status().is_none())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(child) = self.running() {
            child.end_by_blocking(&DROP_LADDER);
        }
        // Of no use without the server, and in /tmp when the data directory's path is long.
        let _ = files::remove_tree(&self.placement.socket_dir());
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, 2.3).
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_parts_are_percent_encoded() {
        assert_eq!(encode("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(encode("p@s:/ é"), "p%40s%3A%2F%20%C3%A9");
    }
}
