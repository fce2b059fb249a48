//! The embedded Postgres and nats-server, and what happens when one of them ends by itself.

use std::path::Path;

use lifecycle::Lifecycle;
use local_stack::{Nats, Postgres, PostgresOptions};

use crate::broker;
use crate::secrets::Secrets;

/// Both servers, running.
#[derive(Debug)]
pub struct Stack {
    postgres: Postgres,
    nats: Nats,
}

impl Stack {
    /// Starts both, with the logins of `secrets`. Must be called from the main task: the servers
    /// end with the thread that started them.
    pub async fn start(data_dir: &Path, secrets: &Secrets, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        crate::complain("starting Postgres");
        let mut postgres = Postgres::start(PostgresOptions::new(data_dir.join("postgres"))).await?;
        if lifecycle.readiness().shutting_down {
            postgres.stop().await?;
            anyhow::bail!("stopped while starting");
        }
        crate::complain("starting nats-server");
        let nats = match Self::start_nats(data_dir, secrets).await {
            Ok(nats) => nats,
            Err(error) => {
                postgres.stop().await?;
                return Err(error);
            }
        };
        Ok(Self { postgres, nats })
    }

    async fn start_nats(data_dir: &Path, secrets: &Secrets) -> anyhow::Result<Nats> {
        Ok(Nats::start(broker::options(data_dir, secrets)?).await?)
    }

    /// URL of Postgres with the superuser's login.
    pub fn postgres_url(&self) -> String {
        self.postgres.superuser_url("devsignal")
    }

    /// The superuser's URL of the maintenance database.
    pub fn admin_url(&self) -> String {
        self.postgres.superuser_url("postgres")
    }

    /// Directory of Postgres' Unix socket: half the cost of a loopback connection.
    pub fn postgres_socket(&self) -> String {
        self.postgres.socket_dir().to_string_lossy().into_owned()
    }

    /// Port of Postgres.
    pub fn postgres_port(&self) -> u16 {
        self.postgres.port()
    }

    /// nats-server.
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Starts a server again that ended by itself, until `lifecycle` stops. The services wait meanwhile, as they would in
    /// production.
    pub async fn supervise(&mut self, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = lifecycle.stopping() => return Ok(()),
                () = self.postgres.ended() => {
                    tracing::error!(log = %self.postgres.log_path().display(), "Postgres ended, starting it again");
                    self.postgres.restart().await?;
                }
                () = self.nats.ended() => {
                    tracing::error!(log = %self.nats.log_path().display(), "nats-server ended, starting it again");
                    self.nats.restart().await?;
                }
            }
        }
    }

    /// Stops both; what cannot be stopped in order is killed, and recovers at the next start.
    pub async fn stop(&mut self) {
        if let Err(error) = self.nats.stop().await {
            tracing::warn!(%error, "nats-server was killed");
        }
        if let Err(error) = self.postgres.stop().await {
            tracing::warn!(%error, "Postgres was killed");
        }
    }
}
