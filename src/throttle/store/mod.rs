//! The local store: what each key has spent, in this process.
//!
//! | file | what is in it |
//! |---|---|
//! | `hash.rs` | what keys are known by |
//! | `table.rs` | the slots, and where a key is looked for |
//! | `stripe.rs` | locks of a part of the slots, and states that are held |
//! | `limiter.rs` | all of one policy, and the check of a known key without a lock |
//! | `several.rs` | several limits at once |
//!
//! # Why it is exact without a lock
//!
//! A slot is a tag, which says whose it is, and a state. It is given from key to key and never becomes empty again, so a key is always found on its way. These
//! change it:
//!
//! * The **lock of its stripe** is needed to give it away, to hold it for several limits, to charge, and for all that a window does. Whoever has the lock *takes* the state first:
//!   swaps it for `LOCKED`. Then the slot is theirs alone, until they put a state back, and with it all becomes visible at once.
//! * **A known key of a rate** spends without the lock: it reads the state, then the tag, then swaps the state it has read for the next one. If it reads `LOCKED` or
//!   another key's tag, it takes the lock and begins again there, so nobody spins.
//!
//! The swap must not succeed on another key's state. The states of a slot only grow: spending and charges add to them; what is undone was never visible, and is put back as it was; and
//! a slot is given away only if its state is idle, to a key whose state is not, which is more. So a state that is there before and after the tag was read
//! was there all the time, while the slot was one key's; which one, the tag says. For what spends nothing, a refusal or a cost of zero, the state is read once more
//! in the place of the swap. (An empty slot, of which nobody can have read the tag, may also be given to a key that has spent nothing: another may have gone past it meanwhile.)
//!
//! Two threads can not give a key two slots: all that it may have are of one stripe, and it is looked for again with the lock. Nobody waits in a circle, since several
//! locks are taken in one order, and nothing is waited for without one. `tests/models` runs this through the orders in which threads can come.
//!
//! A key that is *forgotten* leaves its slot behind, with the state in it, to a tag that no key has; so that state only grows, too, and the slot is given away when it is idle.
//!
//! A key that lost its slot had all of its limit at that time. A thread that read the clock before, and comes after, would find all of it a little
//! too early; so a stripe remembers the latest time at which it gave a slot away, and new keys are decided then or later.

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
/// A key is known by 64 bits of a hash with a secret of each store's own, so nobody can choose keys that share their
/// state: two of a million clients do by chance once in 37 million processes. A rate keeps 8 bytes for a key beside these, a sliding window 16.
///
/// # When there are too many keys
///
/// Each policy has [`max_keys`](Self::max_keys) places. A key takes one when it spends something, and keeps it until all has come back to it and somebody new needs
/// the place. Each key may have some of the places only, which the hash chooses. When those are all of clients who have spent something, these keep them with all that is
/// known of them, and whoever is new spends from **one bucket together with all others who are new**: it has the limit of one client. So a flood of
/// made-up keys can neither push out a client nor pass unlimited: it passes as much as one client for each bucket, of which there is one for 4,096 places, and up to four with
/// fewer than 260,000 places. Who gets a place after it has spent from the bucket begins with all of its limit.
///
/// Chance decides who finds none: of a million clients that are there at once, about 20 in the 1,500,000 places of the default, of 1,200,000 one in 800, and of 1,350,000 one in
/// 100.
///
/// # Exactness
///
/// The answers are those of one check after the other, whatever threads ask at once: there is no span in which more is let through than the policy
/// allows, and nothing is refused that was there. A known key is checked against a rate without a lock; new keys, sliding windows and several limits at once lock a part of the
/// places.
///
/// Nothing is allocated by a check, but to make room for new keys, and for more than four at once. Nothing runs in the background.
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
    /// Keys that have a place. Among them are those to whom all has come back, and whose place nobody has needed since.
    pub keys: usize,
    /// How many places were given to another key, because all had come back to the one before.
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

    /// How many keys have a place, for each policy: 3 to 2^30, and what is beyond counts as the nearest of these; a few less, so that they fill whole lines. Default:
    /// 1,500,000, which is room for a million clients at the same time. All of it takes 24.5 MB for a rate and 36.6 MB for a sliding window, from fifty thousand keys
    /// on; ten thousand take 0.7 MB and 0.9 MB, a thousand 0.2 MB. Forgets what was spent.
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

    /// Spends whether or not there is enough: for a cost that is known afterwards. What is owed has to come back before anything else is allowed; of a rate
    /// that is a whole [quota](Policy::quota) at most, however much is charged.
    pub fn charge(&self, ask: &Ask<'_>, now: Instant) {
        if let Some((_, limiter)) = self.limiter(ask.policy) {
            limiter.charge(self.hash(ask.key), ask.cost, self.nanos(now));
        }
    }

    /// Forgets what a key has spent of a policy, so that it has all of its limit again: for the support desk. Whether anything was known of it; a key that found no place, and
    /// spends together with others, is not. What a layer counts by is said by [`Key::of`](super::Key::of).
    ///
    /// ```
    /// use std::time::Instant;
    /// use tower_gateway::throttle::{Ask, Key, LocalStore, Policy};
    ///
    /// let (store, policy) = (LocalStore::new(), Policy::per_hour(1).named("export"));
    /// let head = http::Request::get("/").header("x-tenant", "acme").body(()).unwrap().into_parts().0;
    /// let key = Key::header(http::HeaderName::from_static("x-tenant")).of(&head).unwrap();
    /// let ask = Ask { policy: &policy, key: &key, cost: 1 };
    /// let allowed = || store.check(&ask, Instant::now()).is_allowed();
    /// assert!(allowed() && !allowed());
    /// assert!(store.forget(&policy, &key) && allowed());
    /// ```
    pub fn forget(&self, policy: &Policy, key: &[u8]) -> bool {
        let limiter = self.limiters.iter().map_while(OnceLock::get);
        let limiter = limiter
            .into_iter()
            .find(|limiter| limiter.id == policy.id());
        limiter.is_some_and(|limiter| limiter.forget(self.hash(key)))
    }

    /// How full it is, of all policies together. It locks one part after the other, so it is not for each request.
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

    /// Whether they are clones of each other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.limiters, &other.limiters)
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

    /// Itself: it is never asked in its own place, for it never fails.
    fn fallback(&self) -> Option<LocalStore> {
        Some(self.clone())
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
