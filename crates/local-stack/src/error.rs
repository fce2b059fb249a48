//! What can go wrong, each message saying what to do about it.
//! Must not wrap errors of other crates' domains: everything here is about processes and files.

use std::{io, path::PathBuf};

/// Why a server could not be found, started, stopped or cleaned up.
///
/// `Display` never repeats the source; log the chain.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No usable binary in any of the places searched.
    #[error("no {wanted} found (searched: {searched}); {remedy}")]
    BinaryMissing {
        /// What was looked for, with the oldest version that will do.
        wanted: &'static str,
        /// The places looked at and why each was refused.
        searched: String,
        /// What the reader can do.
        remedy: String,
    },
    /// An environment variable names a binary that cannot be used.
    #[error("{variable}={path} cannot be used: {reason}", path = path.display())]
    BinaryRefused {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// Why it is refused.
        reason: String,
    },
    /// A file or directory operation failed.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// The verb, for example `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another live process owns the directory.
    #[error("{path} is in use by process {owner}; stop that one first, or choose another data directory", path = path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The owner's process id as it wrote it, or `unknown`.
        owner: String,
    },
    /// The directory exists, but what is in it cannot be used safely.
    #[error("{path}: {reason}", path = path.display())]
    Directory {
        /// The offending path.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The port that was asked for is taken by somebody else.
    #[error("{server}: port {port} on 127.0.0.1 is taken by another program; stop it or choose another port")]
    PortTaken {
        /// `postgres` or `nats-server`.
        server: &'static str,
        /// The port.
        port: u16,
    },
    /// A helper program (initdb, chown-like steps, a version query) failed.
    #[error("{program} failed: {output}", program = program.display())]
    Tool {
        /// The program.
        program: PathBuf,
        /// Its exit status and the end of what it wrote.
        output: String,
    },
    /// The server ended, or was not ready in time.
    #[error("{server} did not start: {reason}; end of {log}:\n{tail}", log = log.display())]
    NotReady {
        /// `postgres` or `nats-server`.
        server: &'static str,
        /// What was observed.
        reason: String,
        /// The server's log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// A setting's name or value cannot be written into a configuration file.
    #[error("setting {name:?} is refused: {reason}")]
    Setting {
        /// The setting's name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A process that must end did not, even on SIGKILL.
    #[error("process {pid} of {server} did not end, even on SIGKILL")]
    Immortal {
        /// `postgres` or `nats-server`.
        server: &'static str,
        /// Its process id.
        pid: u32,
    },
    /// The operation needs the server to be stopped first.
    #[error("{server} must be stopped before {action}")]
    StillRunning {
        /// `postgres` or `nats-server`.
        server: &'static str,
        /// What was asked for.
        action: &'static str,
    },
}

impl StackError {
    /// Gives an [`io::Error`] the verb and the path that it lacks.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
