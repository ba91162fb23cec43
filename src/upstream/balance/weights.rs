//! Draws and turns by weight.

/// The longest turn: weights are scaled down to it.
const TURN: u64 = 1024;

/// The weights of some endpoints, prepared for draws.
#[derive(Debug)]
pub(super) struct Weights {
    /// The sums up to and with each endpoint; none when all weigh the same.
    sums: Box<[u64]>,
    count: usize,
}

impl Weights {
    /// A weight of 0 is drawn only when there is no other.
    pub(super) fn new(weights: &[u32]) -> Self {
        let is_equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        let sums = if is_equal {
            Box::default()
        } else {
            weights
                .iter()
                .scan(0, |sum: &mut u64, weight| {
                    *sum += u64::from(*weight);
                    Some(*sum)
                })
                .collect()
        };
        Self {
            sums,
            count: weights.len(),
        }
    }

    /// One of them; `random` is uniform over all of `u32`.
    pub(super) fn draw(&self, random: u32) -> usize {
        let Some(total) = self.sums.last() else {
            return scale(random, self.count as u64) as usize;
        };
        let at = scale(random, *total);
        self.sums.partition_point(|sum| *sum <= at)
    }

    /// Another one than `first`, if there are several.
    pub(super) fn draw_other(&self, random: u32, first: usize) -> usize {
        let Some(total) = self.sums.last() else {
            let step = scale(random, self.count.saturating_sub(1) as u64) as usize;
            return (first + 1 + step) % self.count.max(1);
        };
        let before = first.checked_sub(1).map_or(0, |at| self.sums[at]);
        let own = self.sums[first] - before;
        if *total == own {
            // All the others weigh nothing.
            return (first + 1) % self.count;
        }
        let at = scale(random, total - own);
        let at = if at < before { at } else { at + own };
        self.sums.partition_point(|sum| *sum <= at)
    }
}

/// A number below `count`, which is far below 2^32 times itself.
fn scale(random: u32, count: u64) -> u64 {
    let scaled = (u128::from(random) * u128::from(count)) >> 32;
    u64::try_from(scaled).unwrap_or(0)
}

/// The order in which endpoints have their turn: as often as they weigh, and spread out (smooth weighted round robin). Empty
/// when all weigh the same.
pub(super) fn turns(weights: &[u32]) -> Box<[u32]> {
    if weights.windows(2).all(|pair| pair[0] == pair[1]) {
        return Box::default();
    }
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
    let reduced: Vec<u64> = weights.iter().map(|w| u64::from(*w) / divisor).collect();
    let total: u64 = reduced.iter().sum();
    let limit = TURN.max(weights.len() as u64);
    let scaled: Vec<i64> = reduced
        .iter()
        .map(|weight| match total {
            _ if *weight == 0 => 0,
            total if total <= limit => *weight,
            // Rounded to the nearest, and never to nothing.
            total => {
                let part = u128::from(*weight) * u128::from(limit) + u128::from(total / 2);
                u64::try_from(part / u128::from(total))
                    .unwrap_or(limit)
                    .max(1)
            }
        })
        .map(|weight| i64::try_from(weight).unwrap_or(0))
        .collect();
    let total: i64 = scaled.iter().sum();
    let mut current = vec![0_i64; scaled.len()];
    (0..total)
        .map(|_| {
            let mut best = 0;
            for at in 0..scaled.len() {
                current[at] += scaled[at];
                if current[at] > current[best] {
                    best = at;
                }
            }
            current[best] -= total;
            u32::try_from(best).unwrap_or(0)
        })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn turns_are_spread_out() {
        let cases: [(&[u32], &[u32]); 4] = [
            (&[1, 1, 1], &[]),
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]),
            (&[20, 10], &[0, 1, 0]),
            (&[0, 1], &[1]),
        ];
        for (weights, expected) in cases {
            assert_eq!(&*turns(weights), expected, "{weights:?}");
        }
        assert_eq!(
            turns(&[u32::MAX, 1]).len(),
            1025,
            "scaled, and nobody left out"
        );
    }

    proptest! {
        #[test]
        fn draws_follow_the_weights(weights in prop::collection::vec(0_u32..9, 1..8)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let prepared = Weights::new(&weights);
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let mut counts = vec![0_u64; weights.len()];
            // Each share of the numbers once, in its middle.
            for share in 0..total {
                let random = ((2 * share + 1) << 31) / total;
                counts[prepared.draw(u32::try_from(random).unwrap())] += 1;
            }
            let expected: Vec<u64> = weights.iter().map(|weight| u64::from(*weight)).collect();
            prop_assert_eq!(counts, expected);
        }

        #[test]
        fn another_one_is_another_one(
            weights in prop::collection::vec(0_u32..9, 2..8), random: u32, first: prop::sample::Index,
        ) {
            let first = first.index(weights.len());
            let other = Weights::new(&weights).draw_other(random, first);
            prop_assert!(other < weights.len());
            prop_assert_ne!(other, first);
            let is_choice = |at: usize| at != first && weights[at] > 0;
            prop_assert!(weights[other] > 0 || !(0..weights.len()).any(is_choice));
        }

        #[test]
        fn turns_are_as_many_as_the_weights(weights in prop::collection::vec(0_u32..100, 1..9)) {
            let order = turns(&weights);
            for (at, weight) in weights.iter().enumerate() {
                let count = order.iter().filter(|turn| **turn as usize == at).count() as u64;
                let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
                if !order.is_empty() {
                    prop_assert_eq!(count * total, u64::from(*weight) * order.len() as u64);
                }
            }
        }
    }
}
