//! The deterministic demo: the same companies, people and signals on every machine, placed in the 90 days before now.
//!
//! Owns what is told, not how it is sent: everything goes through the public API, with idempotency keys, so that a second
//! run adds nothing.

mod companies;
mod people;
mod signals;

pub use companies::COMPANIES;
pub use people::people;
pub use signals::signals;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn the_demo_is_as_large_as_promised_and_repeats_exactly() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        assert!(COMPANIES.len() >= 50);
        assert_eq!(people().len(), 300);
        let (a, b) = (signals(20_000, now), signals(20_000, now));
        assert_eq!(a.len(), 20_000);
        assert_eq!(a, b);
        let keys: HashSet<_> = a
            .iter()
            .map(|s| s["idempotencyKey"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(keys.len(), 20_000);
    }

    #[test]
    fn every_time_lies_in_the_last_ninety_days() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        for signal in signals(5_000, now) {
            let at: Timestamp = signal["timestamp"].as_str().unwrap().parse().unwrap();
            assert!(at <= now && now.duration_since(at).as_hours() <= 90 * 24);
        }
    }
}
