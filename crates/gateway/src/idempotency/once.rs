//! Running a write at most once per key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use errors::{ApiError, ErrorCode, ErrorDomain as _};
use ids::{Clock, IdGen, OrgId};
use jiff::{SignedDuration, Timestamp};
use lifecycle::{Lifecycle, OnExit, Phase};
use sha2::{Digest, Sha256};
use store::{Db, PipelineDb, StoreError, Stores};
use uuid::Uuid;

use super::records::{self, Found, Times};
use crate::config::IdempotencySettings;
use crate::secrets::Sealer;
use crate::transcode::Answer;

/// A write under a key.
#[derive(Debug, Clone)]
pub struct Try {
    /// Whose key it is: another organization's same key is another key.
    pub org: OrgId,
    /// The key.
    pub key: String,
    /// SHA-256 of the request.
    pub request_sha256: [u8; 32],
}

impl Try {
    /// The digest of a request's parts.
    #[must_use]
    pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// An answer, and whether it is one given before.
#[derive(Debug)]
pub struct Outcome {
    /// The answer.
    pub answer: Answer,
    /// Whether it was given before.
    pub replayed: bool,
}

/// Runs writes once. Cheap to clone.
#[derive(Clone)]
pub struct Idempotency {
    db: Db,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    sealer: Sealer,
    keep: SignedDuration,
    lock: SignedDuration,
}

/// Pause between two clean-ups.
const CLEAN_EVERY: Duration = Duration::from_secs(600);

impl Idempotency {
    /// Starts the clean-up of old records as a task of `lifecycle`.
    #[must_use]
    pub fn start(
        settings: &IdempotencySettings,
        stores: &Stores,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let keep = SignedDuration::from_hours(settings.keep_hours.into());
        let (pipeline, its_clock) = (stores.pipeline.clone(), Arc::clone(&clock));
        lifecycle.spawn(
            "idempotency-cleaner",
            Phase::Work,
            OnExit::restart(),
            move |shutdown| {
                let (pipeline, clock) = (pipeline.clone(), Arc::clone(&its_clock));
                async move {
                    while !shutdown.is_requested() {
                        clean(&pipeline, &*clock, keep).await?;
                        tokio::select! {
                            () = shutdown.requested() => {}
                            () = tokio::time::sleep(CLEAN_EVERY) => {}
                        }
                    }
                    Ok(())
                }
            },
        );
        let lock = SignedDuration::from_secs(settings.lock_secs.into());
        Self {
            db: stores.db.clone(),
            clock,
            ids,
            sealer,
            keep,
            lock,
        }
    }

    /// Runs `write`, unless this key has an answer already.
    ///
    /// # Errors
    /// `idempotency_key_reused`, `idempotency_in_progress`, or the write's own error if it is not to be kept.
    pub async fn once(
        &self,
        tried: &Try,
        write: impl Future<Output = Result<Answer, ApiError>>,
    ) -> Result<Outcome, ApiError> {
        let attempt = self.ids.next();
        match records::claim(&self.db, tried, attempt, self.times())
            .await
            .map_err(failed)?
        {
            Found::Ours => self.run(tried, attempt, write).await,
            Found::Answered {
                request_sha256,
                answer,
            } => {
                same_request(tried, &request_sha256)?;
                let plain = self
                    .sealer
                    .open(&answer, &place(tried))
                    .ok_or_else(ApiError::internal)?;
                let answer = serde_json::from_slice(&plain).map_err(|_| ApiError::internal())?;
                Ok(Outcome {
                    answer,
                    replayed: true,
                })
            }
            Found::Running {
                request_sha256,
                locked_until,
            } => {
                same_request(tried, &request_sha256)?;
                let left = locked_until.duration_since(self.clock.now()).as_secs();
                let wait = u64::try_from(left).unwrap_or(0).clamp(1, 5);
                Err(ApiError::new(
                    ErrorCode::IdempotencyInProgress,
                    "a request with this idempotency key is still running",
                )
                .retry_after(wait))
            }
        }
    }

    async fn run(
        &self,
        tried: &Try,
        attempt: Uuid,
        write: impl Future<Output = Result<Answer, ApiError>>,
    ) -> Result<Outcome, ApiError> {
        let result = write.await;
        let lasting = match &result {
            Ok(answer) => Some(answer.clone()),
            Err(error) => Answer::refusal(error),
        };
        let Some(answer) = lasting else {
            if let Err(error) = records::release(&self.db, tried, attempt).await {
                tracing::warn!(%error, "an idempotency key could not be given back; its lock will run out");
            }
            return Err(result.err().unwrap_or_else(ApiError::internal));
        };
        let plain = serde_json::to_vec(&answer).map_err(|_| ApiError::internal())?;
        let sealed = self
            .sealer
            .seal(&plain, &place(tried))
            .ok_or_else(ApiError::internal)?;
        let stored = records::complete(&self.db, tried, attempt, self.clock.now(), &sealed).await;
        match stored {
            Ok(true) => {}
            Ok(false) => tracing::warn!("an idempotency record was taken over while its request ran"),
            // The write is done; the client is told so. A repeat waits for the lock and writes again.
            Err(error) => tracing::error!(%error, "the answer to an idempotent request could not be stored"),
        }
        Ok(Outcome {
            answer,
            replayed: false,
        })
    }

    fn times(&self) -> Times {
        let now = self.clock.now();
        Times {
            now,
            locked_until: plus(now, self.lock),
            expired_before: plus(now, -self.keep),
        }
    }
}

fn plus(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

fn same_request(tried: &Try, other: &[u8]) -> Result<(), ApiError> {
    if other == tried.request_sha256 {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::IdempotencyKeyReused,
        "this idempotency key was used with another request; use a new key for a new request",
    ))
}

/// What a stored answer is sealed to.
fn place(tried: &Try) -> Vec<u8> {
    [tried.org.uuid().as_bytes(), tried.key.as_bytes()].concat()
}

fn failed(error: StoreError) -> ApiError {
    tracing::warn!(%error, "idempotency records cannot be reached");
    error.to_api()
}

async fn clean(db: &PipelineDb, clock: &dyn Clock, keep: SignedDuration) -> Result<(), StoreError> {
    while records::delete_before(db, plus(clock.now(), -keep)).await? > 0 {}
    Ok(())
}
