//! Looks at processes that are not our children: those that a killed run left behind.
//! Must not signal a process that it has not recognised by its command line or working directory.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// The command line of a live process; `None` when it is gone, a zombie, or not visible.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        let text = text.trim();
        // Zombies have an empty command line.
        (!text.is_empty()).then(|| text.to_owned())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let output = std::process::Command::new("ps")
            .args(["-o", "command=", "-p", &pid.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty() && text != "<defunct>").then_some(text)
    }
}

/// True when the process lives and its command line mentions the path.
pub(crate) fn mentions(pid: u32, path: &Path) -> bool {
    command_line(pid).is_some_and(|line| line.contains(&*path.to_string_lossy()))
}

/// Sends a signal to a process that the caller has recognised.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Ends a foreign process step by step, as long as its command line mentions `path`; true when it
/// is gone at the end.
pub(crate) fn end_by(pid: u32, path: &Path, ladder: &[(Signal, Duration)]) -> bool {
    for (step, patience) in ladder {
        if !mentions(pid, path) {
            return true;
        }
        signal(pid, *step);
        let deadline = Instant::now() + *patience;
        while Instant::now() < deadline {
            if !mentions(pid, path) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    !mentions(pid, path)
}

/// Kills processes of Postgres that work in the cluster's directory, whose postmaster is gone. They
/// would end by themselves once they notice; until then no new postmaster may start (it finds their
/// shared memory in use). A killed backend costs nothing that was committed.
#[cfg(target_os = "linux")]
pub(crate) fn kill_orphans(cluster: &Path, patience: Duration) {
    let deadline = Instant::now() + patience;
    loop {
        let orphans = working_in(cluster);
        if orphans.is_empty() || Instant::now() > deadline {
            return;
        }
        tracing::warn!(?orphans, cluster = %cluster.display(), "ending backends that lost their postmaster");
        for pid in orphans {
            signal(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Not needed where there is no /proc: the backends notice the postmaster's death by themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn kill_orphans(_cluster: &Path, _patience: Duration) {}

/// Live processes named `postgres` whose working directory is the cluster (every server process of
/// Postgres changes into its data directory).
#[cfg(target_os = "linux")]
fn working_in(cluster: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster))
        .filter(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "postgres")
        })
        .collect()
}
