//! The id seam: all new identifiers come from [`IdGen`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

/// Makes new UUIDv7 values. Ids made by one generator in one process are strictly increasing.
pub trait IdGen: Send + Sync + std::fmt::Debug + 'static {
    /// A new UUIDv7 of the current time.
    fn next(&self) -> Uuid;
}

/// UUIDv7 from the operating system's clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl SystemIds {
    /// A shared handle.
    #[must_use]
    pub fn shared() -> Arc<dyn IdGen> {
        Arc::new(Self)
    }
}

impl IdGen for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Reproducible ids for tests and for the deterministic demo data: same start, same sequence.
#[derive(Debug)]
pub struct SeededIds {
    start: Timestamp,
    counter: AtomicU64,
}

impl SeededIds {
    /// Ids that count upward in milliseconds from `start`.
    #[must_use]
    pub fn from(start: Timestamp) -> Self {
        Self {
            start,
            counter: AtomicU64::new(0),
        }
    }
}

impl IdGen for SeededIds {
    fn next(&self) -> Uuid {
        let n = self.counter.fetch_add(1, Ordering::SeqCst);
        let millis = u64::try_from(self.start.as_millisecond())
            .unwrap_or(0)
            .saturating_add(n);
        let stamp = uuid::Timestamp::from_unix(
            NoContext,
            millis / 1000,
            u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000,
        );
        let (secs, nanos) = stamp.to_unix();
        uuid::Builder::from_unix_timestamp_millis(secs * 1000 + u64::from(nanos / 1_000_000), &seed_bytes(n))
            .into_uuid()
    }
}

fn seed_bytes(n: u64) -> [u8; 10] {
    let mut bytes = [0_u8; 10];
    bytes[2..].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_ids_increase() {
        let ids = SystemIds;
        let mut last = ids.next();
        for _ in 0..10_000 {
            let next = ids.next();
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn seeded_ids_repeat_and_increase() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let (a, b) = (SeededIds::from(start), SeededIds::from(start));
        let xs: Vec<_> = (0..100).map(|_| a.next()).collect();
        let ys: Vec<_> = (0..100).map(|_| b.next()).collect();
        assert_eq!(xs, ys);
        assert!(xs.is_sorted());
        assert_eq!(xs[0].get_version_num(), 7);
    }
}
