//! The text of `postgresql.conf` and `pg_hba.conf`, written anew at every start.
//! Must not read anything: options in, text out.

use std::{fmt::Write as _, path::Path};

use crate::{PostgresOptions, StackError};

/// Passwords for everybody, on the socket too; nobody from elsewhere.
pub(crate) const HBA: &str = "\
# Written by DevSignal at every start; edits are lost.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
";

/// Settings with their reasons. Anything not named keeps Postgres' default.
const TUNED: &str = "\
# --- durability: an answer means committed and flushed ---
full_page_writes = on              # torn pages after a power cut
synchronous_commit = on

# --- a laptop: 8 to 32 GB of memory, an SSD, other work going on ---
shared_buffers = 256MB             # the working set of a demo; the page cache holds the rest
maintenance_work_mem = 128MB       # index builds of migrations and seeds
work_mem = 8MB                     # sorts of list endpoints stay in memory, times 200 connections
random_page_cost = 1.1             # SSD: an index read costs about what a sequential one does
jit = off                          # short queries; compiling costs more than it saves

# --- write-ahead log: few, spread checkpoints under ingest load ---
max_wal_size = 4GB                 # a load test does not force checkpoints
min_wal_size = 512MB               # recycled segments instead of new files
checkpoint_timeout = 15min         # fewer full-page images; recovery stays below seconds per GB
wal_compression = on               # full-page images shrink to a third
wal_level = replica
max_wal_senders = 0                # nothing replicates a private server

# --- connections that die or hang must not hold locks or snapshots ---
idle_in_transaction_session_timeout = 10s
tcp_keepalives_idle = 30s          # a silent peer is noticed after a minute
tcp_keepalives_interval = 10s
tcp_keepalives_count = 3
password_encryption = scram-sha-256

# --- log: standard error, which goes to postgres.log ---
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_lock_waits = on
log_min_duration_statement = 1s    # what a developer wants to see
log_checkpoints = off
lc_messages = 'C'                  # messages as documented
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The whole of `postgresql.conf`.
///
/// # Errors
/// [`StackError::Setting`] when an extra setting could break out of its line.
pub(crate) fn render(options: &PostgresOptions, port: u16, socket_dir: &Path) -> Result<String, StackError> {
    let mut text = String::from("# Written by DevSignal at every start; edits are lost.\n\n");
    line(&mut text, "listen_addresses", "127.0.0.1")?;
    line(&mut text, "port", &port.to_string())?;
    line(
        &mut text,
        "unix_socket_directories",
        &socket_dir.to_string_lossy(),
    )?;
    line(&mut text, "unix_socket_permissions", "0700")?;
    line(&mut text, "max_connections", &options.max_connections.to_string())?;
    line(&mut text, "fsync", if options.durable { "on" } else { "off" })?;
    if cfg!(target_os = "linux") {
        // Read-ahead of bitmap scans; refused where posix_fadvise is missing (macOS).
        line(&mut text, "effective_io_concurrency", "100")?;
    }
    text.push('\n');
    text.push_str(TUNED);
    if !options.settings.is_empty() {
        text.push_str("\n# --- asked for by the caller; the last one wins ---\n");
        for (name, value) in &options.settings {
            line(&mut text, name, value)?;
        }
    }
    Ok(text)
}

fn line(text: &mut String, name: &str, value: &str) -> Result<(), StackError> {
    let refuse = |reason| StackError::Setting {
        name: name.to_owned(),
        reason,
    };
    let named = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
    if name.is_empty() || !named {
        return Err(refuse("a name has letters, digits, dots and underscores"));
    }
    if value.chars().any(char::is_control) {
        return Err(refuse("a value has no control characters"));
    }
    // Postgres reads \ as an escape inside quotes.
    let quoted = value.replace('\\', "\\\\").replace('\'', "''");
    writeln!(text, "{name} = '{quoted}'").map_err(|_| refuse("it cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(settings: &[(&str, &str)]) -> PostgresOptions {
        let mut options = PostgresOptions::new("/data");
        options.settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        options
    }

    #[test]
    fn extra_settings_come_last_and_quoted() {
        let text = render(&options(&[("work_mem", "1'\\MB")]), 5, Path::new("/s")).unwrap();
        assert!(text.ends_with("work_mem = '1''\\\\MB'\n"), "{text}");
        assert!(text.contains("fsync = 'on'"));
    }

    #[test]
    fn a_setting_cannot_smuggle_in_another_line() {
        for (name, value) in [("a b", "1"), ("", "1"), ("a", "1'\nfsync = off"), ("a#", "1")] {
            let error = render(&options(&[(name, value)]), 5, Path::new("/s")).unwrap_err();
            assert!(matches!(error, StackError::Setting { .. }), "{name} {value}");
        }
    }
}
