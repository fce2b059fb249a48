//! Starts and supervises a private Postgres and a private nats-server as child processes.
//!
//! Owns: finding the binaries and checking their versions, making and repairing the data
//! directories, ports, passwords, start, stop, kill and restart. Used by `devsignal up`, the test
//! kit, the end-to-end tests and the benchmarks.
//!
//! Must not: know schemas, roles, streams or any service; talk SQL or the NATS protocol beyond what
//! readiness needs; be used in production, where both servers are operated by somebody.
//!
//! # Promises
//!
//! * Servers listen on 127.0.0.1 only and always ask for a password.
//! * Children do not outlive their owner: each is forked by a thread that lives as long as the child
//!   and, on Linux, gets a parent-death signal. What survives all the same (no `setpriv`, macOS) is
//!   found and stopped by the next start on the same directory.
//! * One owner per directory, held by a file lock that the kernel releases when the owner dies.
//! * A start after a SIGKILL of the server or of its owner recovers; nothing is deleted to get there.

mod account;
mod binaries;
mod directory;
mod error;
mod files;
mod nats;
mod nats_access;
mod nats_config;
mod placement;
mod ports;
mod postgres;
mod postgres_cluster;
mod postgres_config;
mod proc_table;
mod process;

pub use binaries::{Found, nats_server, postgres_bin_dir};
pub use error::StackError;
pub use nats::{Nats, NatsOptions};
pub use nats_access::{NatsAccess, NatsUser, PartnerAccess, Password};
pub use postgres::{Postgres, PostgresOptions};
