//! The cluster's files: made whole or not at all, checked, and freed of what a killed run left.
//! Must not keep a server running; must never remove a finished cluster.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::{StackError, binaries::Found, files, placement::Placement, proc_table, process};

/// The superuser of every cluster made here.
pub(crate) const SUPERUSER: &str = "postgres";

/// How a server that a killed run left behind is ended: fast shutdown, immediate shutdown, kill.
const LEFTOVER_LADDER: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(15)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];
/// Backends die within milliseconds of SIGKILL unless stuck in the kernel.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);

/// Ends whatever still runs on the cluster and removes its pid file. The caller owns the directory,
/// so that nothing running there has a living owner.
///
/// # Errors
/// [`StackError::Immortal`] when the server survives SIGKILL.
pub(crate) fn stop_leftover(cluster: &Path) -> Result<(), StackError> {
    let pid_file = cluster.join("postmaster.pid");
    if let Some(pid) = files::read_pid(&pid_file)
        && proc_table::mentions(pid, cluster)
    {
        tracing::warn!(pid, cluster = %cluster.display(), "stopping a Postgres left over by a killed run");
        if !proc_table::end_by(pid, cluster, &LEFTOVER_LADDER) {
            return Err(StackError::Immortal {
                server: "postgres",
                pid,
            });
        }
    }
    proc_table::kill_orphans(cluster, ORPHAN_PATIENCE);
    // Postgres refuses to start when the recorded id belongs to any process, and after a SIGKILL
    // that may by now be an unrelated one, or a zombie that nobody reaps.
    match fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StackError::file("remove", &pid_file)(error))
        }
        _ => Ok(()),
    }
}

/// Makes the cluster when there is none, and checks that the binaries fit one that is there.
/// `durable: false` lets initdb skip its syncs.
pub(crate) fn ensure(
    placement: &Placement,
    bin_dir: &Path,
    found: &Found,
    password: &str,
    durable: bool,
) -> Result<(), StackError> {
    let cluster = placement.cluster();
    if cluster.exists() {
        check_version(&cluster, found)?;
        // Only root can repair ownership, for example after a copy made by root.
        return files::give_tree(&cluster, placement.account.as_ref());
    }
    // A killed initdb leaves half a cluster, so it works beside and is renamed when done.
    let unfinished = placement.root.join("pgdata.unfinished");
    files::remove_tree(&unfinished)?;
    fs::create_dir(&unfinished).map_err(StackError::file("create", &unfinished))?;
    files::set_mode(&unfinished, 0o700)?;
    files::give(&unfinished, placement.account.as_ref())?;
    let password_file = placement.root.join("initdb.password");
    files::write_private(&password_file, password)?;
    files::give(&password_file, placement.account.as_ref())?;
    let outcome = initdb(placement, bin_dir, &unfinished, &password_file, durable);
    fs::remove_file(&password_file).map_err(StackError::file("remove", &password_file))?;
    outcome?;
    fs::rename(&unfinished, &cluster).map_err(StackError::file("rename", &unfinished))
}

fn initdb(
    placement: &Placement,
    bin_dir: &Path,
    target: &Path,
    password_file: &Path,
    durable: bool,
) -> Result<(), StackError> {
    let program = bin_dir.join("initdb");
    // Byte order for sorting (fast, the same everywhere), Unicode for upper and lower case.
    let character_type = if cfg!(target_os = "macos") {
        "en_US.UTF-8"
    } else {
        "C.UTF-8"
    };
    let mut args: Vec<OsString> = [
        "--encoding=UTF8",
        "--locale=C",
        "--auth=scram-sha-256",
        // A development machine's disk also goes bad; the cost is a few per cent of CPU on reads.
        "--data-checksums",
        "--no-instructions",
    ]
    .map(OsString::from)
    .to_vec();
    args.push(format!("--lc-ctype={character_type}").into());
    args.push(format!("--username={SUPERUSER}").into());
    args.push("--pwfile".into());
    args.push(password_file.into());
    args.push("--pgdata".into());
    args.push(target.into());
    if !durable {
        args.push("--no-sync".into());
    }
    let command = process::command(&program, &args, placement.account.as_ref(), "KILL");
    run(command, &program)
}

fn run(mut command: Command, program: &Path) -> Result<(), StackError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(StackError::file("run", program))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(StackError::Tool {
        program: program.to_path_buf(),
        output: format!("{}: {}", output.status, text.trim()),
    })
}

/// Refuses binaries of another major version before they refuse the cluster less clearly.
fn check_version(cluster: &Path, found: &Found) -> Result<(), StackError> {
    let file = cluster.join("PG_VERSION");
    let text = fs::read_to_string(&file).map_err(StackError::file("read", &file))?;
    if text.trim() == found.version.0.to_string() {
        return Ok(());
    }
    Err(StackError::Directory {
        path: cluster.to_path_buf(),
        reason: format!(
            "was made by Postgres {}, and the Postgres found is {} ({}); set DEVSIGNAL_POSTGRES_BIN_DIR to one of the same major version, or run `./dev reset` to start afresh",
            text.trim(),
            found.version.0,
            found.path.display()
        ),
    })
}
