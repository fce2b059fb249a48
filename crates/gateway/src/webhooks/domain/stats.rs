//! Attempts by duration: fixed buckets, and quantiles from them.

/// Upper bounds in milliseconds; one more bucket takes what is above.
pub const BOUNDS_MS: [i64; 14] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 15_000,
];

/// How many buckets there are.
pub const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// The bucket of a duration.
#[must_use]
pub fn bucket(took_ms: i64) -> usize {
    BOUNDS_MS
        .iter()
        .position(|bound| took_ms <= *bound)
        .unwrap_or(BOUNDS_MS.len())
}

/// The bound below which this part of the attempts is (what is above the last bound counts as it); `None` without attempts.
#[must_use]
pub fn quantile(buckets: &[i64], percent: i64) -> Option<i64> {
    let all: i64 = buckets.iter().sum();
    let needed = (all * percent + 99) / 100;
    let mut seen = 0;
    for (at, count) in buckets.iter().enumerate() {
        seen += count;
        if all > 0 && seen >= needed {
            let last = BOUNDS_MS.len() - 1;
            return Some(BOUNDS_MS[at.min(last)]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let mut buckets = vec![0; BUCKETS];
        assert_eq!(quantile(&buckets, 50), None);
        for took in [3, 4, 20, 90, 100_000] {
            buckets[bucket(took)] += 1;
        }
        assert_eq!(quantile(&buckets, 50), Some(25));
        assert_eq!(quantile(&buckets, 95), Some(15_000));
        assert_eq!(quantile(&buckets, 1), Some(5));
    }
}
