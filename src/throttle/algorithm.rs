//! What the store needs of a limit.

use super::decision::Decision;

/// A limit on what one key may spend. Times are nanoseconds since the store's epoch.
pub(super) trait Algorithm {
    /// What is kept for a key. The default is that of a key which has never been seen.
    type State: Copy + Default + Send;

    /// Whether `cost` may be spent now, and the state if it is.
    fn check(&self, state: Self::State, cost: u64, now: u64) -> (Decision, Self::State);

    /// The state after `cost` was spent, whether or not there was enough.
    fn charge(&self, state: Self::State, cost: u64, now: u64) -> Self::State;

    /// Whether the state says no more than that of a key which has never been seen.
    fn is_idle(&self, state: Self::State, now: u64) -> bool;
}

/// A hundred years of 365.25 days, in nanoseconds: no period and no burst takes longer. So sums of times fit into 64 bits.
pub(super) const CENTURY: u64 = 36_525 * 86_400 * 1_000_000_000;

/// For mistakes.
pub(super) const CENTURY_SAID: &str = "at most 100 years";
