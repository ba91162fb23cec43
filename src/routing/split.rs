//! The weighted split of a route's requests between upstreams, as for a canary.
//!
//! A key keeps its target: see [`rendezvous`](crate::rendezvous).
//!
//! ```text
//! use tower_gateway::routing::WeightedSplit;
//!
//! let split = WeightedSplit::new([("orders", 95), ("orders-canary", 5)]).unwrap();
//! assert_eq!(split.pick(b"user-17"), split.pick(b"user-17"));
//! ```

use thiserror::Error;

use crate::rendezvous::{hash, score};

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
            let score = score(key, target.seed, target.weight);
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

#[cfg(test)]
mod tests;
