//! A whole installation as a child process: the real `devsignal up`, in a data folder of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use devsignal::Endpoints;
use tokio::process::{Child, Command};

/// Longest start, with an empty data folder on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A running installation; killed with everything it started when dropped.
#[derive(Debug)]
pub struct System {
    child: Child,
    /// How it is reached.
    pub endpoints: Endpoints,
    /// Its data folder.
    pub data_dir: PathBuf,
}

/// The `devsignal` binary beside the running one.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folders = here.ancestors().skip(1).take(3);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: run `cargo build` for the same profile first"))
}

impl System {
    /// Starts it and waits until it is ready.
    pub async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(data_dir.join("devsignal.log"))?;
        let mut child = Command::new(binary("devsignal")?)
            .args(["up", "--log", "warn", "--data-dir"])
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("ended at once")?;
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(data_dir.join("devsignal.log")).unwrap_or_default();
                bail!("devsignal ended with {status}:\n{log}");
            }
            match Endpoints::read(data_dir) {
                Ok(endpoints) if endpoints.pid == pid => {
                    return Ok(Self {
                        child,
                        endpoints,
                        data_dir: data_dir.to_owned(),
                    });
                }
                _ if tokio::time::Instant::now() > deadline => {
                    bail!("devsignal is not ready after {START:?}")
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// `host:port` of the HTTP server.
    #[must_use]
    pub fn host(&self) -> &str {
        self.endpoints.http.trim_start_matches("http://")
    }

    /// Resident memory of the process, in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let pid = self.child.id().context("has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// Asks it to stop and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("has ended")?;
        Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await?;
        let status = tokio::time::timeout(Duration::from_secs(40), self.child.wait()).await??;
        if !status.success() {
            bail!("devsignal ended with {status}");
        }
        Ok(())
    }
}
