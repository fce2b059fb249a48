//! When an attempt that failed is made again: data from the settings, and a pure function.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The pauses between attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The pause after the first attempt, the second, …; after the one that follows the last, a delivery is given up.
    pub pauses: Vec<Duration>,
    /// A pause is longer by up to this part of itself, so that what failed together does not come back together.
    pub jitter: f64,
    /// The longest pause that an endpoint may ask for by `Retry-After`.
    pub longest_asked: Duration,
}

impl Schedule {
    /// How many attempts there are.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.pauses.len() + 1
    }

    /// The pause after attempt number `step` (from 1) failed; `None` when it was the last. `chance` is from 0 to 1. What the
    /// endpoint asks for makes the pause longer, never shorter.
    #[must_use]
    pub fn pause(&self, step: usize, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        let base = *self.pauses.get(step.checked_sub(1)?)?;
        let own = base.mul_f64(1.0 + self.jitter * chance.clamp(0.0, 1.0));
        let asked = asked.unwrap_or_default().min(self.longest_asked);
        Some(own.max(asked))
    }
}

/// What a `Retry-After` asks for: seconds or an HTTP date (RFC 9110, 10.2.3). What is neither, or in the past, asks for
/// nothing.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number has are as good as for ever; the bound is the schedule's.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let at = DateTimeParser::new().parse_timestamp(value).ok()?;
    let left = at.duration_since(now);
    Duration::try_from(left).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usual() -> Schedule {
        crate::config::Settings::load(
            None,
            std::iter::empty(),
            Some(serde_json::json!({"security": {
                "signing_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                "secret_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}})),
        )
        .unwrap()
        .webhooks
        .schedule()
    }

    #[test]
    fn the_usual_schedule_has_twelve_attempts_over_three_days_at_least() {
        let schedule = usual();
        assert_eq!(schedule.attempts(), 12);
        let least: Duration = (1..12).filter_map(|step| schedule.pause(step, None, 0.0)).sum();
        assert!(least >= Duration::from_secs(75 * 3600), "{least:?}");
        assert_eq!(schedule.pause(12, None, 0.5), None);
        assert_eq!(schedule.pause(0, None, 0.5), None);
    }

    #[test]
    fn what_failed_in_one_second_does_not_come_back_in_one() {
        let schedule = usual();
        for (step, base) in schedule.pauses.clone().into_iter().enumerate() {
            if base < Duration::from_secs(300) {
                continue;
            }
            let mut seconds = std::collections::HashMap::<u64, usize>::new();
            for n in 0..1000_u32 {
                let pause = schedule
                    .pause(step + 1, None, f64::from(n * 7919 % 1000) / 1000.0)
                    .unwrap();
                *seconds.entry(pause.as_secs()).or_default() += 1;
            }
            assert!(
                seconds.values().all(|n| *n <= 50),
                "{base:?}: {:?}",
                seconds.values().max()
            );
        }
    }

    #[test]
    fn an_endpoint_may_ask_for_a_later_attempt_within_bounds() {
        let schedule = usual();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let day = Duration::from_secs(86_400);
        for (value, asked) in [
            ("120", Some(Duration::from_secs(120))),
            (" 120 ", Some(Duration::from_secs(120))),
            ("0", Some(Duration::ZERO)),
            ("Thu, 01 Jan 2026 00:05:00 GMT", Some(Duration::from_secs(300))),
            ("Wed, 31 Dec 2025 00:00:00 GMT", None),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("1e3", None),
            (
                "99999999999999999999999",
                Some(Duration::from_secs(u64::from(u32::MAX))),
            ),
            ("315360000", Some(10 * 365 * day)),
        ] {
            assert_eq!(retry_after(value, now), asked, "{value:?}");
            let pause = schedule.pause(1, asked, 0.0).unwrap();
            assert!(
                pause >= schedule.pauses[0] && pause <= day,
                "{value:?}: {pause:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_shorter_than_planned_nor_longer_than_its_jitter(step in 1_usize..12, chance in 0.0_f64..1.0) {
            let schedule = usual();
            let base = schedule.pauses[step - 1];
            let pause = schedule.pause(step, None, chance).unwrap();
            prop_assert!(pause >= base && pause <= base.mul_f64(1.0 + schedule.jitter + 1e-6));
        }
    }
}
