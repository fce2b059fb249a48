//! The text of `nats.conf`, written anew at every start. Must not read anything: options in, text out.

use std::path::Path;

use crate::{NatsAccess, NatsOptions, StackError};

/// What makes one server different from another.
pub(crate) struct Identity<'a> {
    pub(crate) server_name: &'a str,
    pub(crate) port: u16,
    pub(crate) access: NatsAccess<'a>,
}

/// The whole of `nats.conf`.
///
/// # Errors
/// [`StackError::Setting`] when a path or a login could break out of its line.
pub(crate) fn render(
    options: &NatsOptions,
    identity: &Identity<'_>,
    store_dir: &Path,
    pid_file: &Path,
) -> Result<String, StackError> {
    let store_dir = quoted("store_dir", store_dir)?;
    let pid_file = quoted("pid_file", pid_file)?;
    let max_file_store = options.max_file_store_bytes;
    let max_memory_store = options.max_memory_store_bytes;
    let Identity {
        server_name, port, ..
    } = identity;
    let access = identity.access.render()?;
    Ok(format!(
        "\
# Written by DevSignal at every start; edits are lost.
server_name: \"{server_name}\"
listen: \"127.0.0.1:{port}\"
pid_file: {pid_file}

# No `http` line: the monitor listens without a password, so it stays off.

# One batch of signals, compressed, fits; larger facts travel by reference.
max_payload: 1048576
# max_pending keeps its default (64 MiB per connection), as do ping_interval and write_deadline.

jetstream {{
  store_dir: {store_dir}
  # Explicit: the default is three quarters of the free disk.
  max_file_store: {max_file_store}
  max_memory_store: {max_memory_store}
  # sync_interval keeps its default (2 min): Postgres holds every fact, and the outbox repairs what
  # a power cut takes from the broker.
}}

{access}"
    ))
}

/// A path in the quotes of the configuration format, which knows escapes but none for paths' sake.
fn quoted(name: &str, path: &Path) -> Result<String, StackError> {
    let refuse = |reason| StackError::Setting {
        name: name.to_owned(),
        reason,
    };
    let text = path
        .to_str()
        .ok_or_else(|| refuse("the data directory's path is not UTF-8"))?;
    if text.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(refuse(
            "the data directory's path has a quote, a backslash or a control character",
        ));
    }
    Ok(format!("\"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Password;

    fn identity() -> Identity<'static> {
        Identity {
            server_name: "n",
            port: 1,
            access: NatsAccess {
                operator: Password::Text("p".into()),
                system: Password::Text("s".into()),
                users: &[],
                partners: None,
            },
        }
    }

    #[test]
    fn a_path_cannot_smuggle_in_a_setting() {
        let options = NatsOptions::new("/data");
        for path in ["/a\"\nhttp: 8222", "/a\\n", "/a\n"] {
            let text = render(&options, &identity(), Path::new(path), Path::new("/pid"));
            assert!(matches!(text, Err(StackError::Setting { .. })), "{path:?}");
        }
        let text = render(&options, &identity(), Path::new("/a b"), Path::new("/pid")).unwrap();
        assert!(text.contains("store_dir: \"/a b\"") && text.contains("max_file_store: 21474836480"));
    }
}
