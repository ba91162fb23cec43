//! A look at a throttle.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::shared::Shared;

/// Shows how a [`ThrottleLayer`](super::ThrottleLayer) fares, since the beginning. Clones are handles to the same one. Each figure is read by itself: while requests
/// come and go, two of them need not be of the same moment. How full its store is, a [`LocalStore`](super::LocalStore) says itself.
#[derive(Clone)]
pub struct ThrottleHandle(Arc<Shared>);

impl ThrottleHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Requests that all of their rules allowed, with those that no rule concerned: they are neither [refused](Self::refused), nor [blocked](Self::blocked), nor
    /// [exempt](Self::exempt), nor in a dry run [would have been](Self::would_refuse).
    pub fn allowed(&self) -> u64 {
        self.0.counts.allowed.load(Relaxed)
    }

    /// Requests that were answered with 429 or 503, and those [without a key](Self::without_key). In a dry run only those of a layer with
    /// mistakes are.
    pub fn refused(&self) -> u64 {
        self.0.counts.refused.load(Relaxed)
    }

    /// Requests that would have been refused or were on the block list, in a [dry run](super::ThrottleLayer::dry_run).
    pub fn would_refuse(&self) -> u64 {
        self.0.counts.would_refuse.load(Relaxed)
    }

    /// Requests that had not the key of a rule that needs it, or not the address that a [block list](super::ThrottleLayer::block) needs.
    pub fn without_key(&self) -> u64 {
        self.0.counts.without_key.load(Relaxed)
    }

    /// Requests from an address on the [block list](super::ThrottleLayer::block).
    pub fn blocked(&self) -> u64 {
        self.0.counts.blocked.load(Relaxed)
    }

    /// Requests from an address that is [exempt](super::ThrottleLayer::exempt).
    pub fn exempt(&self) -> u64 {
        self.0.counts.exempt.load(Relaxed)
    }

    /// How often the limiter could not tell, and [`OnFailure`](super::OnFailure) said what was done; or could not [charge](super::Rule::charge), so
    /// that what was to be charged is known only where it is decided meanwhile.
    pub fn failures(&self) -> u64 {
        self.0.counts.failures.load(Relaxed)
    }

    /// How many [charges](super::Rule::charge) were dropped: 1,024 others were waited for already, because the limiter is slow, or there was no tokio runtime to wait
    /// in. They are counted nowhere else.
    pub fn dropped_charges(&self) -> u64 {
        self.0.counts.charges_dropped.load(Relaxed)
    }

    /// Whether the limiter could not tell when it was asked last, or not charge since.
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Relaxed)
    }

    /// How many requests went beyond each policy, by its name, a dry run's included.
    pub fn violations(&self) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.0.counts.violated.iter();
        let policies = self.0.policies().iter();
        policies
            .zip(counts)
            .map(|(policy, count)| (policy.name(), count.load(Relaxed)))
    }
}

impl fmt::Debug for ThrottleHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleHandle")
            .field("allowed", &self.allowed())
            .field("refused", &self.refused())
            .field("is_failing", &self.is_failing())
            .finish_non_exhaustive()
    }
}
