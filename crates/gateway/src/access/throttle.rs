//! Tries to come in, counted in Postgres over all gateways.
//!
//! Owns: the table `throttles`. The generic cell rate algorithm: a bucket's `free_at` moves ahead with every try, and a try
//! that would move it further ahead than the burst allows is refused. Must not: tell an address that has somebody from one
//! that has nobody, or let whoever guesses lock somebody out.

use std::sync::Arc;
use std::time::Duration;

use errors::{ApiError, ErrorCode, ErrorDomain as _};
use ids::{Clock, derived};
use jiff::{SignedDuration, Timestamp};
use lifecycle::{Lifecycle, OnExit, Phase};
use sqlx::Row as _;
use store::{PipelineDb, StoreError, ToSqlx, Ts};
use uuid::Uuid;

use crate::config::{AccessSettings, Rate};

/// An address that a person came in from is known for so long.
const KNOWN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Mails to one address that a stranger may ask for: five at once, then one in a minute.
const MAILS: Rate = Rate {
    per_minute: 1,
    burst: 5,
};
/// Between two clean-ups.
const CLEAN_EVERY: Duration = Duration::from_secs(600);

/// Counts tries. Cheap to clone.
#[derive(Clone)]
pub struct Throttle(Arc<Inner>);

struct Inner {
    db: PipelineDb,
    clock: Arc<dyn Clock>,
    tries: Rate,
    strangers: Rate,
}

fn bucket(what: &str, parts: &[&str]) -> Uuid {
    // Lengths tell the parts apart.
    let told: Vec<String> = parts
        .iter()
        .map(|part| format!("{}:{part}", part.len()))
        .collect();
    derived(Uuid::nil(), &format!("{what}/{}", told.concat()))
}

impl Throttle {
    /// Counters in this schema; starts the task that forgets those that are full again.
    #[must_use]
    pub fn start(
        settings: &AccessSettings,
        db: PipelineDb,
        clock: Arc<dyn Clock>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let throttle = Self(Arc::new(Inner {
            db,
            clock,
            tries: settings.logins,
            strangers: settings.strangers,
        }));
        let cleaner = throttle.clone();
        lifecycle.spawn(
            "throttle-cleaner",
            Phase::Work,
            OnExit::restart(),
            move |shutdown| {
                let throttle = cleaner.clone();
                async move {
                    while !shutdown.is_requested() {
                        throttle.clean().await?;
                        tokio::select! {
                            () = shutdown.requested() => {}
                            () = tokio::time::sleep(CLEAN_EVERY) => {}
                        }
                    }
                    Ok(())
                }
            },
        );
        throttle
    }

    /// One try from an address, as somebody (or, for what is no login, at something).
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn check(&self, address: &str, who: &str) -> Result<(), ApiError> {
        let tries = self.0.tries;
        let ten = Rate {
            per_minute: tries.per_minute.saturating_mul(10),
            burst: tries.burst.saturating_mul(10),
        };
        self.take(bucket("address", &[address]), ten).await?;
        self.take(bucket("try", &[address, who]), tries).await
    }

    /// One try to be a person whose address for mail is `email`, whether there is one or not. From where that person
    /// came in before, only the address counts.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn check_person(&self, address: &str, email: &str) -> Result<(), ApiError> {
        self.check(address, email).await?;
        if self.knows(address, email).await.map_err(failed)? {
            return Ok(());
        }
        self.take(bucket("person", &[email]), self.0.strangers).await
    }

    /// One mail that somebody unknown has sent to somebody: nobody's mailbox is filled by us.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn mail(&self, to: &str) -> Result<(), ApiError> {
        self.take(bucket("mail", &[to]), MAILS).await
    }

    /// Notes that a person came in from an address.
    pub async fn came_in(&self, address: &str, email: &str) {
        let until = plus(self.0.clock.now(), KNOWN);
        let work = async {
            let mut tx = self.0.db.begin().await?;
            sqlx::query(
                "INSERT INTO throttles (bucket, free_at) VALUES ($1, $2) \
                 ON CONFLICT (bucket) DO UPDATE SET free_at = excluded.free_at",
            )
            .bind(bucket("known", &[address, email]))
            .bind(until.to_sqlx())
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        };
        if let Err(error) = work.await {
            let error: StoreError = error;
            tracing::warn!(%error, "where a person came in from could not be noted");
        }
    }

    async fn knows(&self, address: &str, email: &str) -> Result<bool, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let known =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM throttles WHERE bucket = $1 AND free_at > $2)")
                .bind(bucket("known", &[address, email]))
                .bind(self.0.clock.now().to_sqlx())
                .fetch_one(&mut *tx)
                .await?;
        tx.rollback().await;
        Ok(known)
    }

    async fn take(&self, bucket: Uuid, rate: Rate) -> Result<(), ApiError> {
        let now = self.0.clock.now();
        let step = SignedDuration::from_micros(60_000_000 / i64::from(rate.per_minute.max(1)));
        let tolerance = step.saturating_mul(i32::try_from(rate.burst.saturating_sub(1)).unwrap_or(i32::MAX));
        let free_at = self.moved(bucket, now, step, tolerance).await.map_err(failed)?;
        let Some(free_at) = free_at else {
            return Ok(());
        };
        let wait = free_at.duration_since(plus(now, tolerance)).as_secs() + 1;
        Err(ApiError::new(ErrorCode::RateLimited, "too many tries")
            .retry_after(u64::try_from(wait).unwrap_or(1).max(1)))
    }

    /// Moves a bucket ahead; when it is too far ahead already, tells how far.
    async fn moved(
        &self,
        bucket: Uuid,
        now: Timestamp,
        step: SignedDuration,
        tolerance: SignedDuration,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut tx = self.0.db.begin().await?;
        let done = sqlx::query(
            "INSERT INTO throttles AS t (bucket, free_at) VALUES ($1, $2::timestamptz + $3 * interval '1 microsecond') \
             ON CONFLICT (bucket) DO UPDATE SET free_at = GREATEST(t.free_at, $2) + $3 * interval '1 microsecond' \
             WHERE t.free_at <= $4",
        )
        .bind(bucket)
        .bind(now.to_sqlx())
        .bind(i64::try_from(step.as_micros()).unwrap_or(i64::MAX))
        .bind(plus(now, tolerance).to_sqlx())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 1 {
            tx.commit().await?;
            return Ok(None);
        }
        let row = sqlx::query("SELECT free_at FROM throttles WHERE bucket = $1")
            .bind(bucket)
            .fetch_optional(&mut *tx)
            .await?;
        tx.rollback().await;
        let at = row.map(|row| row.try_get::<Ts, _>("free_at")).transpose()?;
        Ok(Some(at.map_or(now, Ts::to_jiff)))
    }

    async fn clean(&self) -> Result<(), StoreError> {
        loop {
            let mut tx = self.0.db.begin().await?;
            let done = sqlx::query(
                "DELETE FROM throttles WHERE bucket IN (SELECT bucket FROM throttles WHERE free_at < $1 LIMIT 1000)",
            )
            .bind(self.0.clock.now().to_sqlx())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            if done.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

fn plus(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

fn failed(error: StoreError) -> ApiError {
    tracing::warn!(%error, source = ?std::error::Error::source(&error), "tries cannot be counted");
    error.to_api()
}
