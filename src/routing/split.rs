//! The weighted split of a route's requests between upstreams, as for a canary.
//!
//! Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005): each target draws a score
//! for the key, and the highest one takes it. A score depends on the key, the target's name and its weight alone, so that a key moves
//! only to a target whose weight was raised, or away from one whose weight was lowered, and no more keys move than have to. The order of
//! the targets is without influence.
//!
//! ```text
//! use tower_gateway::routing::WeightedSplit;
//!
//! let split = WeightedSplit::new([("orders", 95), ("orders-canary", 5)]).unwrap();
//! assert_eq!(split.pick(b"user-17"), split.pick(b"user-17"));
//! ```

mod sticky;

pub use sticky::StickyKey;

use std::f64::consts::{LN_2, SQRT_2};
use thiserror::Error;

/// Targets with weights. The same names, weights and key give the same target in every process, on every machine and in every version.
#[derive(Debug, Clone)]
pub struct WeightedSplit {
    targets: Box<[Target]>,
    total: u64,
}

/// A mistake in the targets of a [`WeightedSplit`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SplitError {
    /// No target, or none with a weight above zero.
    #[error("a split needs a target with a weight above 0")]
    NoWeight,
    /// Two targets of one name, which could not be told apart.
    #[error("the split has the target `{0}` twice")]
    Duplicate(String),
}

#[derive(Debug, Clone, Copy)]
struct Target {
    seed: u64,
    weight: u32,
}

impl WeightedSplit {
    /// Takes targets by name with their weights, whose sum may be anything. A target of weight 0 takes nothing.
    ///
    /// # Errors
    /// Every mistake.
    pub fn new<N: AsRef<str>>(
        targets: impl IntoIterator<Item = (N, u32)>,
    ) -> Result<Self, Vec<SplitError>> {
        let targets: Vec<(N, u32)> = targets.into_iter().collect();
        let mut errors = Vec::new();
        if targets.iter().all(|target| target.1 == 0) {
            errors.push(SplitError::NoWeight);
        }
        let mut names: Vec<&str> = targets.iter().map(|target| target.0.as_ref()).collect();
        names.sort_unstable();
        for same in names.chunk_by(|one, next| one == next) {
            if let [name, _, ..] = same {
                errors.push(SplitError::Duplicate((*name).to_owned()));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let targets: Box<[Target]> = (targets.iter())
            .map(|(name, weight)| Target {
                seed: hash(name.as_ref().as_bytes()),
                weight: *weight,
            })
            .collect();
        let total = targets.iter().map(|target| u64::from(target.weight)).sum();
        Ok(Self { targets, total })
    }

    /// The target for a key, as its index in the order given. Over many keys each target gets its weight's share. The hash is not
    /// secret: who chooses the key can choose the target.
    #[must_use]
    pub fn pick(&self, key: &[u8]) -> usize {
        let key = hash(key);
        let mut best = (0, 0.0);
        for (index, target) in self.targets.iter().enumerate() {
            let score = f64::from(target.weight) / exponential(mix(key ^ target.seed));
            if score > best.1 {
                best = (index, score);
            }
        }
        best.0
    }

    /// The target for a request without a key, as its index in the order given. `random` has to be uniform over all of `u64`.
    #[must_use]
    pub fn pick_random(&self, random: u64) -> usize {
        let scaled = (u128::from(random) * u128::from(self.total)) >> 64;
        let mut left = u64::try_from(scaled).unwrap_or(0);
        for (index, target) in self.targets.iter().enumerate() {
            match left.checked_sub(target.weight.into()) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }
}

/// FNV-1a of 64 bits with a finaliser, since FNV's high bits depend too little on the last bytes.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
    mix(fnv)
}

/// The finaliser of `SplitMix64`.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Turns a hash into a draw from the exponential distribution: `-ln(u)` of a `u` strictly between 0 and 1, so never 0 or infinite.
///
/// The logarithm is computed with the four basic operations alone, which IEEE 754 fixes to the bit. `f64::ln` may differ between
/// platforms, and with it two gateways would differ about a key.
fn exponential(hash: u64) -> f64 {
    // 53 bits, the last of them set: exact as a float. The top bit tells how often it has to be halved to lie below 1.
    let bits = (hash >> 11) | 1;
    let top = bits.ilog2();
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let mut fraction = bits as f64 / (1_u64 << top) as f64;
    let mut halvings = f64::from(53 - top);
    if fraction > SQRT_2 {
        fraction /= 2.0;
        halvings -= 1.0;
    }
    // ln(x) = 2·artanh(y) with y = (x-1)/(x+1), and |y| < 0.172 here: ten terms reach the float's precision.
    let y = (fraction - 1.0) / (fraction + 1.0);
    let square = y * y;
    let series = (0..10)
        .rev()
        .fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    halvings * LN_2 - 2.0 * y * series
}

#[cfg(test)]
mod tests;
