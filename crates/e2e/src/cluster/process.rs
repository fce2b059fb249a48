//! One process of ours: a service that runs until it is ended, or a command that runs to its end.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::system::binary;

/// Longer than every phase of a clean shutdown together.
const STOP: Duration = Duration::from_secs(40);
/// Commands are quick; the slowest is `migrate` on an empty database.
const COMMAND: Duration = Duration::from_secs(60);

/// A running service; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    service: &'static str,
    child: Child,
    log: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Process {
    /// Starts the service's own binary; its output is appended to `log`.
    pub(super) fn spawn(
        service: &'static str,
        environment: Vec<(String, String)>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = append(log)?;
        let child = Command::new(binary(service)?)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {service}"))?;
        Ok(Self {
            service,
            child,
            log: log.to_owned(),
        })
    }

    /// SIGKILL.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.service))
    }

    /// SIGTERM, and a clean end.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        signal(&self.child, Signal::TERM)?;
        let ended = tokio::time::timeout(STOP, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} does not stop", self.service))??;
        if !status.success() {
            bail!("{} ended with {status}", self.service);
        }
        Ok(())
    }

    /// # Panics
    /// It has ended by itself.
    pub(super) fn assert_running(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!(
                "{} ended by itself with {status}; see {}",
                self.service,
                self.log.display()
            );
        }
    }
}

/// Sends a signal to a child that was not waited for.
///
/// # Errors
/// It has ended.
pub fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    Ok(kill_process(pid.context("the process has ended")?, signal)?)
}

/// Runs one of our binaries to its end.
///
/// # Errors
/// It is not built, or does not end within a minute.
pub async fn run(
    name: &str,
    arguments: &[&str],
    environment: impl Iterator<Item = (String, String)>,
    input: &str,
) -> anyhow::Result<Finished> {
    let mut child = Command::new(binary(name)?)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let write = async {
        // A command that fails early does not read all of it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ended = tokio::time::timeout(COMMAND, async { tokio::join!(write, child.wait_with_output()).1 });
    let output = ended
        .await
        .with_context(|| format!("{name} {arguments:?} does not end"))??;
    Ok(Finished {
        status: output.status,
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Finished {
    /// Itself, if the exit code is 0.
    ///
    /// # Errors
    /// It is not; the error tells what was printed.
    pub fn success(self) -> anyhow::Result<Self> {
        if !self.status.success() {
            bail!("ended with {}:\n{}{}", self.status, self.stdout, self.stderr);
        }
        Ok(self)
    }
}

fn append(log: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("cannot open {}", log.display()))
}
