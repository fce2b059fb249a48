//! The task that sends what is due. It takes no input, can be killed anywhere, and may run in several gateways at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use lifecycle::{Lifecycle, OnExit, Phase, Shutdown, TaskError};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store::StoreError;
use uuid::Uuid;

use super::Mailer;
use super::queue::{self, Claimed};
use super::template::{Rendered, Template, Templates};
use super::transport::{NotSent, Transport};
use crate::error::StartError;

/// Looked for at least so often; whoever puts one in pokes.
const EVERY: Duration = Duration::from_secs(1);
/// After a failure to read the queue.
const PAUSE: Duration = Duration::from_secs(5);
/// Tried at once.
const AT_ONCE: i64 = 8;
/// A sender that has not told by then is taken to be dead. Longer than a try may take.
const TAKEN: SignedDuration = SignedDuration::from_mins(3);
/// Between two clean-ups.
const CLEAN_EVERY: SignedDuration = SignedDuration::from_mins(10);

struct Worker {
    mailer: Mailer,
    transport: Transport,
    templates: Templates,
}

/// Starts the task `mail`.
pub(super) fn spawn(mailer: &Mailer, lifecycle: &Lifecycle) -> Result<(), StartError> {
    let worker = Arc::new(Worker {
        mailer: mailer.clone(),
        transport: Transport::new(&mailer.0.settings)?,
        templates: Templates::new()
            .map_err(|error| StartError::Descriptors(format!("a mail template: {error}")))?,
    });
    lifecycle.spawn("mail", Phase::Work, OnExit::restart(), move |shutdown| {
        run(Arc::clone(&worker), shutdown)
    });
    Ok(())
}

async fn run(worker: Arc<Worker>, shutdown: Shutdown) -> Result<(), TaskError> {
    let mut cleaned = None::<Timestamp>;
    while !shutdown.is_requested() {
        let pause = match worker.round().await {
            Ok(0) => EVERY,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "mails cannot be read");
                PAUSE
            }
        };
        let now = worker.mailer.now();
        if cleaned.is_none_or(|at| now.duration_since(at) > CLEAN_EVERY) {
            worker.clean(now).await;
            cleaned = Some(now);
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = worker.mailer.0.poke.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

impl Worker {
    /// Tries what is due; returns how many.
    async fn round(&self) -> Result<usize, StoreError> {
        let (inner, now) = (&self.mailer.0, self.mailer.now());
        let taken_until = now.checked_add(TAKEN).unwrap_or(now);
        let mails = queue::claim(&inner.stores.pipeline, now, taken_until, AT_ONCE).await?;
        let tries = mails.iter().map(|mail| async move {
            if let Err(error) = self.one(mail).await {
                // It is tried again when its time is over, under the same Message-ID.
                tracing::warn!(%error, mail = %mail.id, "what became of a mail cannot be noted");
            }
        });
        join_all(tries).await;
        Ok(mails.len())
    }

    async fn one(&self, mail: &Claimed) -> Result<(), StoreError> {
        let (db, now) = (&self.mailer.0.stores.pipeline, self.mailer.now());
        if mail.expires_at <= now {
            return self.ended(mail, "expired", None).await;
        }
        let Some(texts) = self.texts(mail).await? else {
            return self.ended(mail, "nobody", None).await;
        };
        let sent = match texts {
            Ok(texts) => self.transport.send(mail.id, &mail.to, texts).await,
            Err(error) => Err(NotSent::Never(format!("the text cannot be made: {error}"))),
        };
        match sent {
            Ok(()) => self.ended(mail, "sent", None).await,
            Err(NotSent::Never(reason)) => self.ended(mail, "refused", Some(&reason)).await,
            Err(NotSent::Later(reason)) => {
                let pauses = &self.mailer.0.settings.retry_secs;
                let tried = usize::try_from(mail.attempts).unwrap_or(1).max(1);
                let Some(pause) = pauses.get(tried - 1) else {
                    return self.ended(mail, "given_up", Some(&reason)).await;
                };
                tracing::info!(mail = %mail.id, template = mail.template.map_or("", Template::name), %reason, "a mail is put off");
                let due = now.checked_add(SignedDuration::from_secs(i64::from(*pause)));
                queue::retry(db, mail, due.unwrap_or(now), &reason).await
            }
        }
    }

    async fn ended(&self, mail: &Claimed, outcome: &str, reason: Option<&str>) -> Result<(), StoreError> {
        if let Some(reason) = reason {
            tracing::error!(mail = %mail.id, template = mail.template.map_or("", Template::name), outcome, reason, "a mail was not sent");
        }
        let (inner, now) = (&self.mailer.0, self.mailer.now());
        queue::end(&inner.stores.pipeline, mail, now, outcome, reason).await?;
        inner.ended.with_label_values(&[outcome]).inc();
        Ok(())
    }

    /// The texts; none when there is nobody to send them to.
    async fn texts(&self, mail: &Claimed) -> Result<Option<Result<Rendered, minijinja::Error>>, StoreError> {
        let Some(template) = mail.template else {
            return Ok(None);
        };
        let links = self.mailer.0.settings.links.trim_end_matches('/');
        let link = match template {
            Template::Invitation => {
                let id = mail.facts.get("invitationId").and_then(Value::as_str);
                let Some(id) = id.and_then(|id| Uuid::try_parse(id).ok()) else {
                    return Ok(None);
                };
                format!("{links}/account#invitation={}", self.mailer.token("dsi_", id))
            }
            Template::VerifyEmail | Template::PasswordReset => {
                let (prefix, purpose, word) = match template {
                    Template::VerifyEmail => ("dsv_", "verify_email", "verify"),
                    _ => ("dsp_", "password_reset", "reset"),
                };
                let token = self.mailer.token(prefix, mail.id);
                let digest = Sha256::digest(token.as_bytes()).into();
                if !queue::arm(&self.mailer.0.stores.pipeline, mail, digest, purpose).await? {
                    return Ok(None);
                }
                format!("{links}/account#{word}={token}")
            }
            Template::PasswordChanged => format!("{links}/account#forgot"),
            Template::EndpointDisabled => format!("{links}/docs"),
        };
        Ok(Some(self.templates.render(template, &mail.facts, &link)))
    }

    async fn clean(&self, now: Timestamp) {
        let inner = &self.mailer.0;
        let kept = SignedDuration::from_hours(24 * i64::from(inner.settings.keep_days));
        let before = now.checked_sub(kept).unwrap_or(now);
        if let Err(error) = queue::forget(&inner.stores.pipeline, now, before).await {
            tracing::warn!(%error, "ended mails could not be deleted; it will be tried again");
        }
    }
}
