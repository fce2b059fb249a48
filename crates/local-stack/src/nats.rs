//! A private nats-server with JetStream: start, stop, kill, restart, wipe.
//! Must not know streams or subjects; `eventbus` is the only one who talks to it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    StackError, binaries,
    directory::Owned,
    files,
    nats_access::{NatsAccess, NatsUser, OPERATOR, PartnerAccess, Password, SYSTEM_USER},
    nats_config::{self, Identity},
    ports, proc_table,
    process::{Launch, Supervised},
};

const NAME: &str = "nats-server";
/// Recovery of a 20 GB store stays below this.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How many times another port is tried when somebody takes the chosen one.
const PORT_ATTEMPTS: usize = 5;
/// A local server sends its INFO line at once.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Clean shutdown writes consumer and stream state, then kill.
const STOP_LADDER: [(Signal, Duration); 2] = [
    (Signal::TERM, Duration::from_secs(15)),
    (Signal::KILL, Duration::from_secs(5)),
];
/// For a handle that is dropped.
const DROP_LADDER: [(Signal, Duration); 2] = [
    (Signal::TERM, Duration::from_secs(3)),
    (Signal::KILL, Duration::from_secs(2)),
];

/// What to start and where.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// Directory for everything of this server; made when missing.
    pub data_dir: PathBuf,
    /// TCP port on 127.0.0.1; a free one when `None`, the same one over restarts of the handle.
    pub port: Option<u16>,
    /// Most bytes of all file streams together.
    pub max_file_store_bytes: u64,
    /// Most bytes of all memory streams together.
    pub max_memory_store_bytes: u64,
    /// Logins beside the one that may say everything.
    pub users: Vec<NatsUser>,
    /// Lets partners in, whom somebody else vouches for; `None` knows our own users only.
    pub partners: Option<PartnerAccess>,
}

impl NatsOptions {
    /// 20 GiB on disk: weeks of a busy laptop; 256 MiB in memory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            max_file_store_bytes: 20 * 1024 * 1024 * 1024,
            max_memory_store_bytes: 256 * 1024 * 1024,
            users: Vec::new(),
            partners: None,
        }
    }

    /// With these logins.
    #[must_use]
    pub fn with_users(mut self, users: Vec<NatsUser>) -> Self {
        self.users = users;
        self
    }

    /// With partners, whom the holder of `issuer` answers for and who read `stream`.
    #[must_use]
    pub fn with_partners(mut self, issuer: &str, stream: &str) -> Self {
        self.partners = Some(PartnerAccess {
            issuer: issuer.to_owned(),
            stream: stream.to_owned(),
        });
        self
    }
}

/// A nats-server owned by this process. Dropping it stops the server; call [`Nats::stop`] to wait
/// for that without blocking.
#[derive(Debug)]
pub struct Nats {
    options: NatsOptions,
    data_dir: PathBuf,
    executable: PathBuf,
    password: String,
    system_password: String,
    port: u16,
    child: Option<Supervised>,
    _owned: Owned,
}

impl Nats {
    /// Finds the binary, stops what a killed run left over, starts the server and waits until it
    /// accepts clients with JetStream on.
    ///
    /// # Errors
    /// Every variant of [`StackError`]; nothing is left running.
    pub async fn start(options: NatsOptions) -> Result<Self, StackError> {
        let mut server = files::blocking(move || Self::prepare(options)).await?;
        server.launch(server.options.port.is_none()).await?;
        Ok(server)
    }

    /// Everything that only touches files.
    fn prepare(options: NatsOptions) -> Result<Self, StackError> {
        let found = binaries::nats_server()?;
        let data_dir = files::ensure_directory(&options.data_dir)?;
        let owned = Owned::take(&data_dir)?;
        let password = files::password(&data_dir.join("nats.password"))?;
        let system_password = files::password(&data_dir.join("nats-system.password"))?;
        stop_leftover(&data_dir)?;
        let port = match options.port {
            Some(port) => port,
            None => ports::pick(NAME)?,
        };
        Ok(Self {
            options,
            data_dir,
            executable: found.path,
            password,
            system_password,
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
                        data_dir = %self.data_dir.display(), "nats-server is ready"
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

    /// Unlike any other server's name on this machine, so that readiness cannot mistake a stranger
    /// who was faster on the port for ours.
    fn server_name(&self) -> String {
        format!("devsignal-{}-{}", std::process::id(), self.port)
    }

    fn spawn(&self) -> Result<Supervised, StackError> {
        let config = config_path(&self.data_dir);
        let text = nats_config::render(
            &self.options,
            &Identity {
                server_name: &self.server_name(),
                port: self.port,
                access: NatsAccess {
                    operator: Password::Text(self.password.clone()),
                    system: Password::Text(self.system_password.clone()),
                    users: &self.options.users,
                    partners: self.options.partners.as_ref(),
                },
            },
            &self.store_dir(),
            &pid_path(&self.data_dir),
        )?;
        // Holds the password.
        files::write_private(&config, &text)?;
        Supervised::spawn(Launch {
            program: self.executable.clone(),
            args: vec!["--config".into(), config.into()],
            log: files::open_log(&self.log_path())?,
            run_as: None,
            death_signal: "TERM",
            name: "local-nats",
        })
    }

    async fn until_ready(&self, child: &Supervised) -> Result<(), StackError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let reason = loop {
            if let Some(status) = child.exit_status() {
                break status.to_string();
            }
            let (port, name) = (self.port, self.server_name());
            if files::blocking(move || Ok(greets(port, &name))).await? {
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

    /// The URL without a login.
    #[must_use]
    pub fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The URL with the login that may say everything in our account.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{OPERATOR}:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// The URL with the login of the system account.
    #[must_use]
    pub fn system_url(&self) -> String {
        format!(
            "nats://{SYSTEM_USER}:{}@127.0.0.1:{}",
            self.system_password, self.port
        )
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().map(Supervised::pid)
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.data_dir.join("nats.log")
    }

    /// Returns when the server has ended, for whatever reason; at once when it is not running.
    pub async fn ended(&self) {
        if let Some(child) = &self.child {
            child.ended().await;
        }
    }

    /// Clean shutdown; SIGKILL after 15 s.
    ///
    /// # Errors
    /// [`StackError::Immortal`] when not even SIGKILL helps.
    pub async fn stop(&mut self) -> Result<(), StackError> {
        self.end(&STOP_LADDER).await
    }

    /// SIGKILL, for fault tests.
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

    /// Stops the server when it runs, and starts it on the same port and store.
    ///
    /// # Errors
    /// As [`Nats::start`]; [`StackError::PortTaken`] when somebody took the port meanwhile.
    pub async fn restart(&mut self) -> Result<(), StackError> {
        self.stop().await?;
        self.launch(false).await
    }

    /// Removes every stream and consumer, for fault tests: the broker comes back empty.
    ///
    /// # Errors
    /// [`StackError::StillRunning`] unless stopped or killed before.
    pub async fn wipe_store(&mut self) -> Result<(), StackError> {
        if self.running().is_some() {
            return Err(StackError::StillRunning {
                server: NAME,
                action: "its store is wiped",
            });
        }
        let store = self.store_dir();
        files::blocking(move || files::remove_tree(&store)).await
    }

    /// Removes a data directory with everything in it. Blocks; for commands and clean-up.
    ///
    /// # Errors
    /// [`StackError::InUse`] when a live process owns it.
    pub fn remove_data(data_dir: &Path) -> Result<(), StackError> {
        if !data_dir.exists() {
            return Ok(());
        }
        let data_dir = files::ensure_directory(data_dir)?;
        let _owned = Owned::take(&data_dir)?;
        stop_leftover(&data_dir)?;
        files::remove_tree(&data_dir)
    }

    fn store_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    fn running(&self) -> Option<&Supervised> {
        self.child.as_ref().filter(|child| child.exit_status().is_none())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if let Some(child) = self.running() {
            child.end_by_blocking(&DROP_LADDER);
        }
    }
}

fn config_path(data_dir: &Path) -> PathBuf {
    data_dir.join("nats.conf")
}

fn pid_path(data_dir: &Path) -> PathBuf {
    data_dir.join("nats.pid")
}

/// Ends a server that a killed run left behind; its command line names our configuration file.
fn stop_leftover(data_dir: &Path) -> Result<(), StackError> {
    let (pid_file, config) = (pid_path(data_dir), config_path(data_dir));
    let Some(pid) = files::read_pid(&pid_file) else {
        return Ok(());
    };
    if proc_table::mentions(pid, &config) {
        tracing::warn!(pid, data_dir = %data_dir.display(), "stopping a nats-server left over by a killed run");
        if !proc_table::end_by(pid, &config, &STOP_LADDER) {
            return Err(StackError::Immortal { server: NAME, pid });
        }
    }
    match fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StackError::file("remove", &pid_file)(error))
        }
        _ => Ok(()),
    }
}

/// True when our server greets on the port with JetStream on. The server speaks first:
/// `INFO {json}\r\n`, and JetStream has recovered by then.
fn greets(port: u16, server_name: &str) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(stream) = TcpStream::connect_timeout(&address, PROBE_TIMEOUT) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(PROBE_TIMEOUT));
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting).is_ok()
        && greeting.starts_with("INFO ")
        && greeting.contains(&format!("\"server_name\":\"{server_name}\""))
        && greeting.contains("\"jetstream\":true")
}
