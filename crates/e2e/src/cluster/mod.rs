//! A whole installation as separate processes: Postgres, nats-server and the five services, each of which can be killed,
//! restarted and read by itself.
//!
//! Owns: starting, ending and reaching them. Must not: judge what they do; the tests do.

mod api;
mod events;
mod folder;
mod ports;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use devsignal::secrets::Secrets;
use devsignal::wiring::{DATABASE, SERVICES, Wiring};
use local_stack::{Nats, Postgres, PostgresOptions};
use sqlx::{Connection as _, PgConnection};
use test_kit::wait_for;

pub use api::{Answer, Api};
pub use events::{Follower, Told};
pub use folder::Folder;
use process::Process;
pub use process::{Finished, run as run_binary};

/// Longest time until everything works, on a busy machine, after the last of its parts was started.
const HEALTHY: Duration = Duration::from_secs(60);

/// The installation. Everything ends when it is dropped; if that is because of a panic, the end of each log is shown.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: what uses the servers before the servers, the folder last.
    services: BTreeMap<&'static str, Process>,
    settings: Vec<(String, String)>,
    nats: Nats,
    postgres: Postgres,
    wiring: Wiring,
    folder: Folder,
}

impl Cluster {
    /// Starts all of it and waits until it is healthy. Addresses stay the same over every restart.
    ///
    /// # Errors
    /// A binary is not built, a server cannot be started, or a service ends at its start.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = Folder::create()?;
        let mut options = PostgresOptions::new(folder.path().join("postgres"));
        // A SIGKILL is survived without it.
        options.durable = false;
        let secrets = Secrets::read_or_make(folder.path())?;
        let broker = devsignal::broker::options(folder.path(), &secrets)?;
        let (postgres, nats) = tokio::join!(Postgres::start(options), Nats::start(broker));
        let (postgres, nats) = (postgres?, nats?);
        let [
            signal_ingest,
            identity_resolver,
            crm,
            scoring,
            http,
            grpc,
            admin @ ..,
        ]: [_; 6 + SERVICES.len()] = ports::free()?;
        let wiring = Wiring {
            postgres_host: "127.0.0.1".to_owned(),
            postgres_port: postgres.port(),
            nats_url: nats.address(),
            nats_system_url: nats.system_url(),
            secrets,
            signal_ingest,
            identity_resolver,
            crm,
            scoring,
            http,
            grpc,
            admin: SERVICES.iter().copied().zip(admin).collect(),
            mail: Some(folder.path().join("mail")),
        };
        let mut cluster = Self {
            services: BTreeMap::new(),
            settings: Vec::new(),
            nats,
            postgres,
            wiring,
            folder,
        };
        let admin_url = cluster.postgres.superuser_url("postgres");
        cluster
            .devsignal(&["migrate", "--admin-url", &admin_url], "")
            .await?
            .success()?;
        for service in SERVICES {
            cluster.restart(service)?;
        }
        cluster.wait_healthy().await;
        Ok(cluster)
    }

    /// SIGKILL to a service; returns when it has ended.
    ///
    /// # Errors
    /// It was not running.
    pub async fn kill(&mut self, service: &str) -> anyhow::Result<()> {
        self.take(service)?.kill().await
    }

    /// SIGTERM to a service; returns when it has ended.
    ///
    /// # Errors
    /// It was not running, takes too long, or its exit code is not 0.
    pub async fn stop(&mut self, service: &str) -> anyhow::Result<()> {
        self.take(service)?.stop().await
    }

    /// Starts a service that is not running, without waiting for it ([`Cluster::wait_healthy`] does).
    ///
    /// # Errors
    /// Its binary is not built, or it is running already.
    pub fn restart(&mut self, service: &'static str) -> anyhow::Result<()> {
        ensure!(
            !self.services.contains_key(service),
            "{service} is running already"
        );
        let mut environment = self.wiring.environment(service);
        environment.extend(self.settings.iter().cloned());
        let process = Process::spawn(service, environment, &self.log(service))?;
        self.services.insert(service, process);
        Ok(())
    }

    /// Sets a variable of the services' environment, for those that start from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.settings.push((variable.to_owned(), value.to_owned()));
    }

    /// URL of nats-server with the login that may say everything.
    #[must_use]
    pub fn nats_operator_url(&self) -> String {
        self.nats.url()
    }

    /// SIGKILL to nats-server.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill_nats(&mut self) -> anyhow::Result<()> {
        Ok(self.nats.kill().await?)
    }

    /// Starts nats-server again, at the same address.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_nats(&mut self) -> anyhow::Result<()> {
        Ok(self.nats.restart().await?)
    }

    /// Empties the store of the killed nats-server: every stream and consumer is gone.
    ///
    /// # Errors
    /// It runs.
    pub async fn wipe_nats(&mut self) -> anyhow::Result<()> {
        Ok(self.nats.wipe_store().await?)
    }

    /// SIGKILL to Postgres.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill_postgres(&mut self) -> anyhow::Result<()> {
        Ok(self.postgres.kill().await?)
    }

    /// Starts Postgres again, at the same address; it recovers.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_postgres(&mut self) -> anyhow::Result<()> {
        Ok(self.postgres.restart().await?)
    }

    /// Waits until the gateway is ready and reaches every service.
    ///
    /// # Panics
    /// Not within a minute, or a service has ended by itself.
    pub async fn wait_healthy(&mut self) {
        let http = reqwest::Client::new();
        let base = format!("http://{}", self.wiring.http);
        let services = &mut self.services;
        wait_for("all services are healthy", HEALTHY, async || {
            for process in services.values_mut() {
                process.assert_running();
            }
            let ready = http.get(format!("{base}/health")).send().await.ok()?;
            let stages = http.get(format!("{base}/health/signals")).send().await.ok()?;
            let stages: serde_json::Value = stages.json().await.ok()?;
            let reachable = stages["services"]
                .as_array()?
                .iter()
                .all(|s| s["reachable"] == true);
            (ready.status().is_success() && reachable).then_some(())
        })
        .await;
    }

    /// Base URL of a service's port for operators.
    #[must_use]
    pub fn admin(&self, service: &str) -> String {
        format!("http://{}", self.wiring.admin[service])
    }

    /// A new organization, with its first API key.
    ///
    /// # Errors
    /// `devsignal orgs create` fails.
    pub async fn create_organization(&self, name: &str) -> anyhow::Result<Api> {
        let made = self.devsignal(&["orgs", "create", name], "").await?.success()?;
        let made: serde_json::Value =
            serde_json::from_str(&made.stdout).context("orgs create prints JSON")?;
        let text = |name: &str| {
            made[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {name}: {made}"))
        };
        Api::new(
            &format!("http://{}", self.wiring.http),
            &text("apiKey")?,
            text("orgId")?.parse()?,
        )
    }

    /// Runs a command for operators to its end: the settings of all services are in its environment, and the folder of
    /// their files has none.
    ///
    /// # Errors
    /// It is not built, or does not end within a minute.
    pub async fn devsignal(&self, arguments: &[&str], input: &str) -> anyhow::Result<Finished> {
        let environment = SERVICES
            .iter()
            .flat_map(|service| self.wiring.environment(service));
        let folder = self.folder.path().to_string_lossy();
        let arguments = [arguments, &["--config-dir", &folder]].concat();
        process::run("devsignal", &arguments, environment, input).await
    }

    /// A connection as superuser: sees every row of every schema.
    ///
    /// # Errors
    /// Postgres is not there.
    pub async fn sql(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.postgres.superuser_url(DATABASE)).await?)
    }

    /// The addresses and secrets.
    #[must_use]
    pub fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    fn take(&mut self, service: &str) -> anyhow::Result<Process> {
        match self.services.remove(service) {
            Some(process) => Ok(process),
            None => bail!("{service} is not running"),
        }
    }

    /// The log of a service, over all its restarts.
    #[must_use]
    pub fn log(&self, service: &str) -> PathBuf {
        self.folder.path().join(format!("{service}.log"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let services = SERVICES.iter().map(|service| self.log(service));
            let logs = services.chain([self.nats.log_path(), self.postgres.log_path()]);
            for log in logs {
                show_tail(&log);
            }
        }
    }
}

/// The last lines of a log, among the output of a failed test.
#[expect(clippy::print_stderr, reason = "tests show it")]
pub fn show_tail(log: &Path) {
    const LINES: usize = 40;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    eprintln!(
        "--- {} ({} lines)\n{}",
        log.display(),
        lines.len(),
        tail.join("\n")
    );
}
