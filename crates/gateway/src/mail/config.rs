//! How mail leaves.

use std::path::PathBuf;

use lettre::message::Mailbox;
use serde::Deserialize;
use settings::{Secret, SettingsError};

/// Mail.
#[derive(Debug, Clone, Deserialize)]
pub struct MailSettings {
    /// `none`, `smtp` or `directory`.
    pub transport: String,
    /// `Name <address>` of the sender.
    pub from: String,
    /// Base of the links in mails.
    pub links: String,
    /// For `directory`: where mails are written, one file each.
    pub directory: PathBuf,
    /// Pauses between tries, in seconds; after the last, a mail is given up.
    pub retry_secs: Vec<u32>,
    /// How long ended mails are kept, in days.
    pub keep_days: u32,
    /// For `smtp`.
    pub smtp: SmtpSettings,
}

/// The mail server.
#[derive(Debug, Clone, Deserialize)]
pub struct SmtpSettings {
    /// Name of the server.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Login; empty for none.
    pub username: String,
    /// Password.
    pub password: Secret<String>,
    /// A file with certificates to trust beside the system's, in PEM; empty for none.
    pub ca_file: PathBuf,
    /// Time for one mail, in milliseconds.
    pub timeout_ms: u64,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// Begins in the clear and must be upgraded.
    Starttls,
    /// TLS from the start.
    Tls,
    /// In the clear.
    None,
}

/// The way out.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// Nothing that needs mail can be done.
    None,
    /// A mail server.
    Smtp(SmtpSettings),
    /// Files.
    Directory(PathBuf),
}

fn bad(key: &str, reason: &str) -> SettingsError {
    SettingsError::invalid(key, reason)
}

impl MailSettings {
    /// Checks them.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.sender()?;
        if !(self.links.starts_with("http://") || self.links.starts_with("https://")) {
            return Err(bad("mail.links", "it must be an http or https URL"));
        }
        if self.retry_secs.is_empty() || self.retry_secs.contains(&0) {
            return Err(bad("mail.retry_secs", "at least one pause, each above zero"));
        }
        self.way().map(drop)
    }

    pub(super) fn sender(&self) -> Result<Mailbox, SettingsError> {
        self.from
            .parse()
            .map_err(|_| bad("mail.from", "it must be an address, or `Name <address>`"))
    }

    pub(super) fn way(&self) -> Result<Way, SettingsError> {
        match self.transport.as_str() {
            "none" => Ok(Way::None),
            "directory" if self.directory.as_os_str().is_empty() => Err(SettingsError::contradiction(
                "mail.transport",
                "mail.directory",
                "`directory` needs the directory",
            )),
            "directory" => Ok(Way::Directory(self.directory.clone())),
            "smtp" => {
                let smtp = &self.smtp;
                if smtp.host.is_empty() {
                    return Err(SettingsError::contradiction(
                        "mail.transport",
                        "mail.smtp.host",
                        "`smtp` needs the server's name",
                    ));
                }
                if smtp.tls == SmtpTls::None && !smtp.username.is_empty() {
                    return Err(SettingsError::contradiction(
                        "mail.smtp.tls",
                        "mail.smtp.username",
                        "a password is not sent in the clear",
                    ));
                }
                if !(1_000..=60_000).contains(&smtp.timeout_ms) {
                    return Err(bad("mail.smtp.timeout_ms", "1000 to 60000"));
                }
                Ok(Way::Smtp(smtp.clone()))
            }
            _ => Err(bad("mail.transport", "it must be none, smtp or directory")),
        }
    }
}
