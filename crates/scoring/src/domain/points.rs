//! Whole points that sum to the score.
//!
//! Owns the rounding: largest remainder, in integers, so that nothing is lost or invented. Must not know factors.

/// Parts of a point in which values are counted.
const PART: u64 = 1_000_000;

/// A value between 0 and 1 in whole millionths, rounded down: from here on all arithmetic is exact.
#[must_use]
pub fn millionths(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped to 0..=1000000; NaN becomes 0"
    )]
    let parts = (value.clamp(0.0, 1.0) * PART as f64) as u64;
    parts
}

/// Distributes the rounded sum of `weight * value` over the parts: each gets its whole points, then those with the
/// largest remainders (the first of equals) one more. Returns the sum and the points; no part gets more than its
/// weight, and a part of nothing gets nothing.
#[must_use]
pub fn distribute(parts: &[(u32, u64)]) -> (u32, Vec<u32>) {
    let exact: Vec<u64> = parts
        .iter()
        .map(|(weight, value)| u64::from(*weight) * (*value).min(PART))
        .collect();
    let sum = (exact.iter().sum::<u64>() + PART / 2) / PART;
    let mut points: Vec<u64> = exact.iter().map(|exact| exact / PART).collect();
    let missing = usize::try_from(sum - points.iter().sum::<u64>()).unwrap_or(0);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(exact[i] % PART));
    for &i in order.iter().take(missing) {
        points[i] += 1;
    }
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (small(sum), points.into_iter().map(small).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn points_sum_to_the_score_and_none_exceeds_its_weight(
            parts in proptest::collection::vec((0_u32..=40, 0_u64..=1_000_000), 0..12),
        ) {
            let (sum, points) = distribute(&parts);
            prop_assert_eq!(points.iter().sum::<u32>(), sum);
            for ((weight, value), points) in parts.iter().zip(&points) {
                prop_assert!(points <= weight);
                let exact = u64::from(*weight) * value;
                prop_assert!(u64::from(*points) * PART < exact + PART && exact < (u64::from(*points) + 1) * PART);
            }
        }

        #[test]
        fn a_smaller_value_never_gives_a_larger_sum(
            parts in proptest::collection::vec((0_u32..=40, 0_u64..=1_000_000, 0_u64..=1_000_000), 1..9),
        ) {
            let larger: Vec<_> = parts.iter().map(|(w, a, b)| (*w, *a.max(b))).collect();
            let smaller: Vec<_> = parts.iter().map(|(w, a, b)| (*w, *a.min(b))).collect();
            prop_assert!(distribute(&smaller).0 <= distribute(&larger).0);
        }
    }

    #[test]
    fn values_out_of_range_are_clamped() {
        assert_eq!(
            [f64::NAN, -1.0, 0.5, 2.0].map(millionths),
            [0, 0, 500_000, 1_000_000]
        );
    }
}
