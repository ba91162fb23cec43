//! The local store: what each key has spent, in this process.

mod hash;
mod limiter;
mod several;
mod stripe;
mod sync;
mod table;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use self::{hash::Secret, limiter::Limiter, table::FEWEST_SLOTS};
use super::{
    decision::Decision,
    limiter::{Ask, Decisions, RateLimiter},
    policy::Policy,
};
use crate::{clock, error::BoxError};

/// Keeps what each key has spent in the memory of this process, exactly and within a bound. Clones share it.
///
/// A key is known by 64 bits of a hash with a key of its own in each process, so nobody can choose keys that share their
/// state: two of a million clients do by chance once in 37 million processes. A rate keeps 8 bytes for a key beside these, a sliding window 16.
///
/// # When there are too many keys
///
/// Each policy has [`max_keys`](Self::max_keys) places, in pages of a thousand. A key takes one in its page when it spends something, and keeps it; when all has come back to
/// it, the next new key may have the place. When there is none left for a new key, those who are known keep theirs with all that is known of them, and
/// whoever is new spends from **one bucket together with all others who are new**: it has the limit of one client. So a flood of made-up keys can neither push
/// out a client nor pass unlimited: it passes as much as one client for each 4,096 places or so, where there are many, and for each page, where there are few. Chance fills pages unevenly, so the first are full before all places are in use.
///
/// # Exactness
///
/// Whoever is new, and several limits at once, are decided under a lock of their pages, always taken in the same order. A known key of a rate needs none:
/// its state is one number, that changes only if it is still the one that was looked at. So the answers are those of one check after the other: there is no
/// span in which more is let through than the policy allows, and nothing is refused that was there.
///
/// Nothing is allocated by a check, but for a page's first keys, and for more than four policies at once. Nothing runs in the background, and nothing is moved.
#[derive(Clone)]
pub struct LocalStore {
    limiters: Arc<[OnceLock<Limiter>]>,
    max_keys: usize,
    epoch: Instant,
    keys: Secret,
}

/// How full a [`LocalStore`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreFigures {
    /// Keys that have a place. Among them are some to whom all has come back, and whose place has not been looked at since.
    pub keys: usize,
    /// How many places were freed, because all had come back to their keys.
    pub evictions: u64,
    /// How many checks and charges there were for keys that found no place.
    pub overflows: u64,
}

/// Of one store.
const MOST_POLICIES: usize = 64;
const MAX_KEYS: usize = 1_500_000;
/// After more than five centuries time stands still.
const LAST_SECOND: u64 = u64::MAX / 1_000_000_000 - 1;
/// Far below what a 64-bit hash tells apart.
const MOST_KEYS: usize = 1 << 30;

impl LocalStore {
    /// An empty store.
    pub fn new() -> Self {
        Self {
            limiters: (0..MOST_POLICIES).map(|_| OnceLock::new()).collect(),
            max_keys: MAX_KEYS,
            epoch: clock::now(),
            keys: Secret::new(),
        }
    }

    /// How many keys have a place, for each policy: 1 to 2^30, and what is beyond counts as the nearest of these. Default: 1,500,000, which take 24 MB for a rate and
    /// 36 MB for a window when all pages are in use, as they are with some thousand keys. Fewer than 3 count as 3. Forgets what was spent.
    pub fn max_keys(self, max_keys: usize) -> Self {
        Self {
            max_keys: max_keys.clamp(FEWEST_SLOTS, MOST_KEYS),
            ..Self::new()
        }
    }

    /// Spends, if there is enough. A policy that is wrong, and any after the first 64 of a store, allow nothing.
    #[inline]
    pub fn check(&self, ask: &Ask<'_>, now: Instant) -> Decision {
        let Some((_, limiter)) = self.limiter(ask.policy) else {
            return Decision::never(0, 1, 0);
        };
        limiter.spend(self.hash(ask.key), ask.cost, self.nanos(now))
    }

    /// Spends all of it if there is enough for all, and nothing otherwise. What is asked twice has to be there twice.
    ///
    /// A limit that would have allowed its part when another one refused says so, and what it has left.
    pub fn check_all(&self, asks: &[Ask<'_>], now: Instant) -> Decisions {
        several::check_all(self, asks, self.nanos(now))
    }

    /// What [`check`](Self::check) would say; spends nothing.
    pub fn peek(&self, ask: &Ask<'_>, now: Instant) -> Decision {
        let Some((_, limiter)) = self.limiter(ask.policy) else {
            return Decision::never(0, 1, 0);
        };
        limiter.peek(self.hash(ask.key), ask.cost, self.nanos(now))
    }

    /// Spends whether or not there is enough: for a cost that is known afterwards. What is owed has to come back before anything else is allowed.
    pub fn charge(&self, ask: &Ask<'_>, now: Instant) {
        if let Some((_, limiter)) = self.limiter(ask.policy) {
            limiter.charge(self.hash(ask.key), ask.cost, self.nanos(now));
        }
    }

    /// How full it is, of all policies together. It looks at one shard after the other, so it is not for each request.
    pub fn figures(&self) -> StoreFigures {
        let mut figures = StoreFigures::default();
        let limiters = self.limiters.iter().filter_map(OnceLock::get);
        for stripe in limiters.flat_map(Limiter::all) {
            let (keys, evicted, overflowed) = stripe.figures();
            figures.keys += keys;
            figures.evictions += evicted;
            figures.overflows += overflowed;
        }
        figures
    }

    /// What there is for the policy, and its place, which never changes.
    #[inline]
    fn limiter(&self, policy: &Policy) -> Option<(usize, &Limiter)> {
        for (order, place) in self.limiters.iter().enumerate() {
            let limiter = match place.get() {
                Some(limiter) => limiter,
                None => self.add(place, policy)?,
            };
            if limiter.id == policy.id() {
                return Some((order, limiter));
            }
        }
        None
    }

    /// Whoever is first takes the place.
    #[cold]
    fn add<'a>(&self, place: &'a OnceLock<Limiter>, policy: &Policy) -> Option<&'a Limiter> {
        let limit = policy.limit().ok()?;
        Some(place.get_or_init(|| Limiter::new(policy.id(), limit, self.max_keys)))
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        self.keys.hash(key)
    }

    #[inline]
    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        since.as_secs().min(LAST_SECOND) * 1_000_000_000 + u64::from(since.subsec_nanos())
    }
}

impl RateLimiter for LocalStore {
    fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions> {
        let now = clock::now();
        Some(match asks {
            [ask] => Decisions::from_iter([self.check(ask, now)]),
            asks => self.check_all(asks, now),
        })
    }

    async fn acquire(&self, asks: &[Ask<'_>]) -> Result<Decisions, BoxError> {
        Ok(self.check_all(asks, clock::now()))
    }

    async fn charge(&self, asks: &[Ask<'_>]) -> Result<(), BoxError> {
        let now = clock::now();
        asks.iter().for_each(|ask| Self::charge(self, ask, now));
        Ok(())
    }

    fn mistakes(&self, policies: &[Policy]) -> Vec<String> {
        if policies.len() <= MOST_POLICIES {
            return Vec::new();
        }
        let given = policies.len();
        vec![format!(
            "throttle: {given} policies are more than a local store has room for, {MOST_POLICIES}"
        )]
    }
}

impl Default for LocalStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore")
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
