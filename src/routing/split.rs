//! The weighted split of a route's requests between upstreams, as for a canary.
//!
//! A key keeps its target: see [`rendezvous`](crate::rendezvous).
//!
//! ```text
//! use tower_gateway::routing::WeightedSplit;
//!
//! let split = WeightedSplit::new([("orders", 95), ("orders-canary", 5)]).unwrap();
//! assert_eq!(split.pick(b"user-17", |_| true), split.pick(b"user-17", |_| true));
//! ```

use thiserror::Error;

use crate::rendezvous::{hash, score};

/// Targets with weights. The same names, weights and key give the same target in every process, on every machine and in every version.
#[derive(Debug, Clone)]
pub struct WeightedSplit {
    targets: Box<[Target]>,
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
        Ok(Self { targets })
    }

    /// The target for a key among those that are there, as its index in the order given; `None` if none of them takes anything. Over
    /// many keys each gets its weight's share, and what another one would have had when it is not there. The hash is not secret: who
    /// chooses the key can choose the target.
    #[must_use]
    pub fn pick(&self, key: &[u8], is_there: impl Fn(usize) -> bool) -> Option<usize> {
        let key = hash(key);
        let mut best = (None, 0.0);
        for (index, target) in self.targets.iter().enumerate() {
            let score = score(key, target.seed, target.weight);
            if score > best.1 && is_there(index) {
                best = (Some(index), score);
            }
        }
        best.0
    }

    /// The target for a request without a key, in the same way. `random` has to be uniform over all of `u64`.
    #[must_use]
    pub fn pick_random(&self, random: u64, is_there: impl Fn(usize) -> bool) -> Option<usize> {
        let weights = || {
            let targets = self.targets.iter().enumerate();
            let there = targets.filter(|(index, _)| is_there(*index));
            there.map(|(index, target)| (index, u64::from(target.weight)))
        };
        let total: u64 = weights().map(|(_, weight)| weight).sum();
        let scaled = (u128::from(random) * u128::from(total)) >> 64;
        let mut left = u64::try_from(scaled).unwrap_or(0);
        for (index, weight) in weights() {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return Some(index),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
