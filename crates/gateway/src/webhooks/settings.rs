//! The settings of webhooks.

use std::time::Duration;

use serde::Deserialize;
use settings::SettingsError;

use super::domain::schedule::Schedule;

/// Webhooks.
#[derive(Debug, Clone, Deserialize)]
pub struct WebhookSettings {
    /// Pauses between attempts, in seconds.
    pub retry_pauses_secs: Vec<u64>,
    /// Part of itself that a pause is longer by, at most.
    pub retry_jitter: f64,
    /// Longest pause that an endpoint may ask for, in seconds.
    pub longest_retry_after_secs: u64,
    /// Time for an attempt, in milliseconds.
    pub attempt_timeout_ms: u64,
    /// A webhook that delivered nothing for so long is disabled, in hours.
    pub disable_after_hours: u32,
    /// How long deliveries are kept, in days.
    pub retention_days: u32,
    /// Webhooks of an organization.
    pub max_per_organization: u32,
    /// Attempts at the same time, in this process.
    pub max_in_flight: usize,
    /// Attempts at the same time for one organization.
    pub max_in_flight_per_organization: usize,
    /// Attempts at the same time to a webhook that fails.
    pub max_in_flight_failing: usize,
    /// Webhooks worked on at the same time.
    pub max_lanes: usize,
    /// How long a webhook is this process's without a word, in seconds.
    pub lease_secs: u64,
    /// Pause between looks for work that nobody told of, in milliseconds.
    pub poll_ms: u64,
    /// Messages that one transaction turns into deliveries.
    pub fanout_messages: usize,
    /// The HTTP client.
    pub client: outbound::Settings,
}

impl WebhookSettings {
    /// The schedule of attempts.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule {
            pauses: self
                .retry_pauses_secs
                .iter()
                .copied()
                .map(Duration::from_secs)
                .collect(),
            jitter: self.retry_jitter,
            longest_asked: Duration::from_secs(self.longest_retry_after_secs),
        }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The setting, and why.
    pub fn check(&self) -> Result<(), SettingsError> {
        let rule = |holds: bool, key: &str, reason: &str| match holds {
            true => Ok(()),
            false => Err(SettingsError::invalid(key, reason)),
        };
        rule(
            (1..=50).contains(&self.retry_pauses_secs.len()),
            "webhooks.retry_pauses_secs",
            "1 to 50 pauses",
        )?;
        rule(
            (0.0..=1.0).contains(&self.retry_jitter),
            "webhooks.retry_jitter",
            "0 to 1",
        )?;
        rule(
            (100..=60_000).contains(&self.attempt_timeout_ms),
            "webhooks.attempt_timeout_ms",
            "100 to 60000",
        )?;
        let bounds = [
            ("webhooks.max_in_flight", self.max_in_flight),
            (
                "webhooks.max_in_flight_per_organization",
                self.max_in_flight_per_organization,
            ),
            ("webhooks.max_in_flight_failing", self.max_in_flight_failing),
            ("webhooks.max_lanes", self.max_lanes),
            ("webhooks.fanout_messages", self.fanout_messages),
        ];
        for (key, bound) in bounds {
            rule((1..=100_000).contains(&bound), key, "1 to 100000")?;
        }
        rule(
            (1..=3_650).contains(&self.retention_days),
            "webhooks.retention_days",
            "1 to 3650",
        )?;
        rule(
            (1..=60_000).contains(&self.poll_ms),
            "webhooks.poll_ms",
            "1 to 60000",
        )?;
        let whole: u64 = self.retry_pauses_secs.iter().sum();
        if whole > u64::from(self.retention_days) * 86_400 {
            return Err(SettingsError::contradiction(
                "webhooks.retention_days",
                "webhooks.retry_pauses_secs",
                "what still waits for an attempt must not be dropped",
            ));
        }
        // Renewed at every third of it; an attempt in flight must not outlive two missed renewals.
        if self.lease_secs * 1_000 < 2 * self.attempt_timeout_ms {
            return Err(SettingsError::contradiction(
                "webhooks.lease_secs",
                "webhooks.attempt_timeout_ms",
                "a lease lasts for two attempts at least",
            ));
        }
        Ok(())
    }
}
