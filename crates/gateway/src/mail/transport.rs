//! The way out: a mail server, or a directory.

use std::path::Path;
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use settings::SettingsError;
use uuid::Uuid;

use super::config::{MailSettings, SmtpSettings, SmtpTls, Way};
use super::template::Rendered;

/// Why a mail did not leave.
#[derive(Debug)]
pub(super) enum NotSent {
    /// It may leave later.
    Later(String),
    /// It never will.
    Never(String),
}

/// Answers of 5xx that are about our login, not about the mail.
const ABOUT_US: [&str; 5] = ["421", "530", "534", "535", "538"];
/// Longest reason that is kept.
const MAX_REASON: usize = 500;

enum Open {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>, Duration),
    Directory(std::path::PathBuf),
}

/// Sends.
pub(super) struct Transport {
    from: Mailbox,
    open: Open,
}

impl Transport {
    /// Ready to send; connects for each mail.
    pub(super) fn new(settings: &MailSettings) -> Result<Self, SettingsError> {
        let open = match settings.way()? {
            Way::Smtp(smtp) => Open::Smtp(Box::new(server(&smtp)?), Duration::from_millis(smtp.timeout_ms)),
            Way::Directory(directory) => Open::Directory(directory),
            Way::None => return Err(SettingsError::invalid("mail.transport", "no mail is set up")),
        };
        Ok(Self {
            from: settings.sender()?,
            open,
        })
    }

    /// Sends one mail under the Message-ID of its id.
    pub(super) async fn send(&self, id: Uuid, to: &str, texts: Rendered) -> Result<(), NotSent> {
        let to = to
            .parse::<lettre::Address>()
            .map_err(|error| NotSent::Never(format!("the address cannot be used: {error}")))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(texts.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            // RFC 3834: no out-of-office answers.
            .header(AutoSubmitted)
            .multipart(MultiPart::alternative_plain_html(texts.text, texts.html))
            .map_err(|error| NotSent::Never(format!("the mail cannot be made: {error}")))?;
        match &self.open {
            Open::Smtp(server, timeout) => match tokio::time::timeout(*timeout, server.send(message)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(judged(&error)),
                Err(_) => Err(NotSent::Later("the server took too long".to_owned())),
            },
            Open::Directory(directory) => write(directory, id, &message.formatted())
                .await
                .map_err(|error| NotSent::Later(format!("the file cannot be written: {error}"))),
        }
    }
}

fn server(smtp: &SmtpSettings) -> Result<AsyncSmtpTransport<Tokio1Executor>, SettingsError> {
    let tls = match smtp.tls {
        SmtpTls::None => Tls::None,
        SmtpTls::Starttls => Tls::Required(parameters(smtp)?),
        SmtpTls::Tls => Tls::Wrapper(parameters(smtp)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .tls(tls)
        .timeout(Some(Duration::from_millis(smtp.timeout_ms)));
    if !smtp.username.is_empty() {
        let password = smtp.password.expose().clone();
        builder = builder.credentials(Credentials::new(smtp.username.clone(), password));
    }
    Ok(builder.build())
}

fn parameters(smtp: &SmtpSettings) -> Result<TlsParameters, SettingsError> {
    let bad = |what: &str| SettingsError::invalid("mail.smtp.ca_file", what.to_owned());
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if !smtp.ca_file.as_os_str().is_empty() {
        let pem = std::fs::read(&smtp.ca_file).map_err(|_| bad("it cannot be read"))?;
        let certificate = Certificate::from_pem(&pem).map_err(|_| bad("it holds no certificate in PEM"))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|_| bad("TLS cannot be set up with these certificates"))
}

fn judged(error: &lettre::transport::smtp::Error) -> NotSent {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let text: String = text.chars().take(MAX_REASON).collect();
    let about_us = error
        .status()
        .is_some_and(|code| ABOUT_US.contains(&code.to_string().as_str()));
    if error.is_permanent() && !about_us {
        NotSent::Never(text)
    } else {
        NotSent::Later(text)
    }
}

/// One file per mail, complete or not there. Mails hold tokens: only we may read them.
async fn write(directory: &Path, id: Uuid, mail: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    tokio::fs::create_dir_all(directory).await?;
    let unfinished = directory.join(format!(".{id}"));
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(&unfinished).await?;
    file.write_all(mail).await?;
    file.sync_all().await?;
    tokio::fs::rename(unfinished, directory.join(format!("{id}.eml"))).await
}

/// `Auto-Submitted: auto-generated`.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
