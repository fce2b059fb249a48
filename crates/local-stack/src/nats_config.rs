//! The text of `nats.conf`, written anew at every start. Must not read anything: options in, text out.

use std::path::Path;

use crate::{NatsOptions, PartnerAccess, StackError};

/// Accounts: the server's own, ours, and the partners'.
const SYSTEM: &str = "SYS";
const OWN: &str = "DEVSIGNAL";
const PARTNERS: &str = "PARTNERS";

/// The user of our services.
pub(crate) const USER: &str = "devsignal";
/// The user of the system account, where there is one.
pub(crate) const SYSTEM_USER: &str = "system";

/// What makes one server different from another.
pub(crate) struct Identity<'a> {
    pub(crate) server_name: &'a str,
    pub(crate) port: u16,
    pub(crate) password: &'a str,
    pub(crate) system_password: &'a str,
}

/// The whole of `nats.conf`.
///
/// # Errors
/// [`StackError::Setting`] when a path could break out of its line.
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
    let access = match &options.partners {
        Some(partners) => with_partners(partners, identity)?,
        None => alone(identity),
    };
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

fn alone(identity: &Identity<'_>) -> String {
    let password = identity.password;
    format!(
        "\
# Everybody has a password; there is no anonymous user.
authorization {{
  user: \"{USER}\"
  password: \"{password}\"
}}
"
    )
}

/// Partners are in an account of their own: what they ask of JetStream crosses into ours only by the three exports, and
/// what is answered crosses back under names that the server makes, so that no reply reaches a subject of ours. Who
/// they are, and which consumers each may use, is asked of the gateway.
fn with_partners(partners: &PartnerAccess, identity: &Identity<'_>) -> Result<String, StackError> {
    let plain = |name: &str, text: &str, more: &str| {
        if text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            && !text.is_empty()
        {
            return Ok(());
        }
        Err(StackError::Setting {
            name: name.to_owned(),
            reason: "only letters and digits are allowed",
        })
    };
    let PartnerAccess { issuer, stream } = partners;
    plain("issuer", issuer, "")?;
    plain("stream", stream, "*_-")?;
    let Identity {
        password,
        system_password,
        ..
    } = identity;
    // `$JS.API.>` exists in every account and would answer too, that JetStream is not there: partners ask under a
    // prefix of their own, which their clients know as a domain.
    let services = [
        (
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
            ", response_type: stream",
        ),
        (format!("$JS.API.CONSUMER.INFO.{stream}.*"), ""),
        (format!("$JS.ACK.{stream}.>"), ""),
    ];
    let exports: String = services
        .iter()
        .map(|(subject, more)| format!("      {{service: \"{subject}\"{more}, accounts: [{PARTNERS}]}}\n"))
        .collect();
    let imports: String = services
        .iter()
        .map(|(subject, _)| {
            let to = subject.replace("$JS.API.", &format!("$JS.{OWN}.API."));
            format!("      {{service: {{account: {OWN}, subject: \"{subject}\"}}, to: \"{to}\"}}\n")
        })
        .collect();
    Ok(format!(
        "\
system_account: {SYSTEM}
accounts {{
  {SYSTEM} {{
    users: [{{user: \"{SYSTEM_USER}\", password: \"{system_password}\"}}]
  }}
  {OWN} {{
    jetstream: enabled
    users: [{{user: \"{USER}\", password: \"{password}\"}}]
    exports: [
{exports}    ]
  }}
  {PARTNERS} {{
    imports: [
{imports}    ]
  }}
}}

# Everybody but our own users is asked of the gateway; there is no anonymous user.
authorization {{
  timeout: 5
  auth_callout {{
    issuer: {issuer}
    account: {OWN}
    auth_users: [\"{USER}\", \"{SYSTEM_USER}\"]
  }}
}}
"
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

    fn identity() -> Identity<'static> {
        Identity {
            server_name: "n",
            port: 1,
            password: "p",
            system_password: "s",
        }
    }

    #[test]
    fn an_issuer_or_stream_cannot_smuggle_in_a_setting() {
        for (issuer, stream) in [("A }", "EVENTS"), ("", "EVENTS"), ("AB", "E\"\n"), ("AB", "E >")] {
            let options = NatsOptions::new("/data").with_partners(issuer, stream);
            let text = render(&options, &identity(), Path::new("/a"), Path::new("/pid"));
            assert!(
                matches!(text, Err(StackError::Setting { .. })),
                "{issuer:?} {stream:?}"
            );
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
