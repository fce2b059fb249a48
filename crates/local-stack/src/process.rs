//! One supervised child process: spawned, signalled and reaped without races.
//!
//! The thread that forks the child lives exactly as long as the child. That matters twice: the
//! kernel sends the parent-death signal when the forking *thread* ends (prctl(2), PR_SET_PDEATHSIG),
//! so a runtime's worker or a test's thread must never be the one; and the same thread reaps, so
//! that a signal is only ever sent while the process id still is the child's.
//!
//! Must not know what the child is.

use std::{
    ffi::OsString,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};
use tokio::sync::watch;

use crate::{StackError, account::Account};

/// How to run a child.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Where standard output and error go.
    pub(crate) log: File,
    /// `None` keeps the present user.
    pub(crate) run_as: Option<Account>,
    /// What the kernel sends when we die; a graceful one, since nobody is in a hurry then.
    pub(crate) death_signal: &'static str,
    /// Thread name, for debuggers.
    pub(crate) name: &'static str,
}

/// A running or ended child.
#[derive(Debug)]
pub(crate) struct Supervised {
    pid: u32,
    /// True until just before the child is reaped; signals are sent under this lock.
    signalable: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Supervised {
    /// Starts the child in a process group of its own: Ctrl-C in the terminal reaches us alone, and
    /// we stop the servers after the services that use them.
    pub(crate) fn spawn(launch: Launch) -> Result<Self, StackError> {
        let stderr = launch
            .log
            .try_clone()
            .map_err(StackError::file("duplicate the log of", &launch.program))?;
        let mut command = command(
            &launch.program,
            &launch.args,
            launch.run_as.as_ref(),
            launch.death_signal,
        );
        command
            .stdin(Stdio::null())
            .stdout(launch.log)
            .stderr(stderr)
            .process_group(0);

        let signalable = Arc::new(Mutex::new(true));
        let (started, wait_started) = mpsc::channel();
        let (ended, exit) = watch::channel(None);
        let flag = Arc::clone(&signalable);
        thread::Builder::new()
            .name(launch.name.to_owned())
            .spawn(move || own_child(command, &started, &flag, &ended))
            .map_err(StackError::file("start a thread for", &launch.program))?;
        let pid = wait_started
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the supervising thread died")))
            .map_err(StackError::file("run", &launch.program))?;
        Ok(Self {
            pid,
            signalable,
            exit,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The exit status once the child has ended.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Sends a signal; false when the child has already ended.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let running = self.signalable.lock().unwrap_or_else(PoisonError::into_inner);
        *running
            && i32::try_from(self.pid)
                .ok()
                .and_then(Pid::from_raw)
                .is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Waits until the child has ended and was reaped.
    pub(crate) async fn ended(&self) {
        let mut exit = self.exit.clone();
        // An error means that the supervising thread is gone, and with it the child.
        let _ = exit.wait_for(Option::is_some).await;
    }

    /// Sends each signal in turn and gives the child its time; true when it has ended.
    pub(crate) async fn end_by(&self, ladder: &[(Signal, Duration)]) -> bool {
        for (signal, patience) in ladder {
            self.signal(*signal);
            if tokio::time::timeout(*patience, self.ended()).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// As [`Self::end_by`], for `Drop`, which cannot await.
    pub(crate) fn end_by_blocking(&self, ladder: &[(Signal, Duration)]) {
        for (signal, patience) in ladder {
            self.signal(*signal);
            let deadline = Instant::now() + *patience;
            while Instant::now() < deadline {
                if self.exit_status().is_some() {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Body of the supervising thread.
fn own_child(
    mut command: Command,
    started: &mpsc::Sender<std::io::Result<u32>>,
    signalable: &Mutex<bool>,
    ended: &watch::Sender<Option<ExitStatus>>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    drop(command); // its copies of the log's descriptor
    let _ = started.send(Ok(child.id()));
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // NOWAIT leaves the zombie in place, so that the id cannot be given to another process
        // before the flag is down.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
    }
    let mut running = signalable.lock().unwrap_or_else(PoisonError::into_inner);
    let status = child.wait();
    *running = false;
    drop(running);
    let _ = ended.send(status.ok());
}

/// Builds a command that runs as `run_as` and, where `setpriv` can do it, dies with us.
pub(crate) fn command(
    program: &Path,
    args: &[OsString],
    run_as: Option<&Account>,
    death_signal: &str,
) -> Command {
    let mut command = match setpriv() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            if let Some(account) = run_as {
                command
                    .arg(format!("--reuid={}", account.uid))
                    .arg(format!("--regid={}", account.gid))
                    .arg("--clear-groups");
            }
            // setpriv sets the death signal last: changing credentials would clear it.
            command.args(["--pdeathsig", death_signal, "--"]).arg(program);
            command
        }
        None => {
            let mut command = Command::new(program);
            if let Some(account) = run_as {
                // As root, std also drops the supplementary groups.
                command.uid(account.uid).gid(account.gid);
            }
            command
        }
    };
    command.args(args);
    // The unprivileged user may not be able to read our working directory, and Postgres insists.
    command.current_dir("/");
    // Not ours to inherit: they would redirect or relocate the private servers.
    for variable in [
        "PGDATA",
        "PGPORT",
        "PGHOST",
        "PGUSER",
        "PGDATABASE",
        "PGOPTIONS",
        "PGSYSCONFDIR",
    ] {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C");
    command
}

/// The `setpriv` of util-linux. BusyBox has one that knows no `--pdeathsig`, so it is tried out.
fn setpriv() -> Option<&'static Path> {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    SETPRIV
        .get_or_init(|| {
            if !cfg!(target_os = "linux") {
                return None;
            }
            let works = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "--", "true"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            if !works {
                tracing::info!(
                    "no setpriv with --pdeathsig: servers left over by a killed run are stopped at the next start instead"
                );
            }
            works.then(|| PathBuf::from("setpriv"))
        })
        .as_deref()
}
