//! Mail: what is to be sent is put into a queue with the change that it tells of, and sent afterwards.
//!
//! Owns: the tables `mails` and `mail_tokens`, the templates, the way out (SMTP, or a directory in development). A mail keeps
//! its Message-ID however often it is tried, so that a receiver that knows it drops a repeat. Must not: decide who gets
//! mail, hold a secret in the database, or let a request wait for a mail server.

mod config;
mod queue;
mod template;
mod transport;
mod worker;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use errors::{ApiError, ErrorCode};
use ids::{Clock, IdGen};
use jiff::{SignedDuration, Timestamp};
use lifecycle::Lifecycle;
use serde_json::Value;
use store::{StoreError, Stores, Tx};
use telemetry::{IntCounterVec, Metrics};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::StartError;
use crate::secrets::Marker;

use config::Way;
pub use config::{MailSettings, SmtpSettings, SmtpTls};
pub use template::Template;

/// A mail to be sent.
#[derive(Debug, Clone)]
pub struct NewMail {
    /// The text.
    pub template: Template,
    /// Whom to.
    pub to: String,
    /// What the text is filled with; see the templates. Must hold no secret.
    pub facts: Value,
    /// How long it is worth sending.
    pub good_for: SignedDuration,
}

/// Puts mails in. Cheap to clone.
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    stores: Stores,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    marker: Marker,
    way: Way,
    settings: MailSettings,
    poke: Notify,
    ended: IntCounterVec,
}

impl Mailer {
    /// Starts the task `mail` that sends, unless no mail is set up.
    ///
    /// # Errors
    /// A setting or a metric cannot be used.
    pub fn start(
        settings: &MailSettings,
        stores: &Stores,
        secret: &[u8; 32],
        (clock, ids): (&Arc<dyn Clock>, &Arc<dyn IdGen>),
        metrics: &Metrics,
        lifecycle: &Lifecycle,
    ) -> Result<Self, StartError> {
        let way = settings.way()?;
        let ended = metrics.counter_vec("mails_total", "Mails by what became of them", &["outcome"])?;
        let mailer = Self(Arc::new(Inner {
            stores: stores.clone(),
            clock: Arc::clone(clock),
            ids: Arc::clone(ids),
            marker: Marker::new(secret, "mail-token"),
            settings: settings.clone(),
            way,
            poke: Notify::new(),
            ended,
        }));
        if mailer.sends() {
            worker::spawn(&mailer, lifecycle)?;
        }
        Ok(mailer)
    }

    /// Whether mail is set up.
    #[must_use]
    pub fn sends(&self) -> bool {
        !matches!(self.0.way, Way::None)
    }

    /// Refuses what cannot be done without mail.
    ///
    /// # Errors
    /// `unimplemented`.
    pub fn needed(&self) -> Result<(), ApiError> {
        if self.sends() {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::Unimplemented,
            "no mail is set up in this installation",
        ))
    }

    /// Puts a mail into the queue, within the transaction that makes what it tells of true; `None` where no mail is set up.
    /// Any role of the schema may do so.
    ///
    /// # Errors
    /// As any statement.
    pub async fn enqueue(&self, tx: &mut Tx, mail: &NewMail) -> Result<Option<Uuid>, StoreError> {
        if !self.sends() {
            return Ok(None);
        }
        let (id, now) = (self.0.ids.next(), self.0.clock.now());
        queue::put(tx, id, mail, now).await?;
        // Before the commit this may be too early; the worker looks again by itself.
        self.0.poke.notify_one();
        Ok(Some(id))
    }

    /// The same mail to every OWNER and ADMIN of an organization, with its name as the fact `organization`; `mail.to` is not
    /// used. For the pipeline role, or the organization's own transaction.
    ///
    /// # Errors
    /// As any statement.
    pub async fn enqueue_to_admins(&self, tx: &mut Tx, org: Uuid, mail: &NewMail) -> Result<u64, StoreError> {
        if !self.sends() {
            return Ok(0);
        }
        let mut count = 0;
        let mut mail = mail.clone();
        mail.facts["organization"] = Value::from(queue::organization(tx, org).await?);
        for to in queue::admins(tx, org).await? {
            let mail = NewMail { to, ..mail.clone() };
            count += u64::from(self.enqueue(tx, &mail).await?.is_some());
        }
        Ok(count)
    }

    /// Asks the worker to look at once: after a commit.
    pub fn poke(&self) {
        self.0.poke.notify_one();
    }

    /// The token that goes out with something of this id: the same in every try, and in no database.
    #[must_use]
    pub fn token(&self, prefix: &str, id: Uuid) -> String {
        let mark = |half: u8| self.0.marker.mark(&[&[half], id.as_bytes()]);
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode([mark(1), mark(2)].concat()))
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}
