//! The keys of one limit, spread over shards.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::shard::{Before, MOST_KEYS, Shard};
use crate::throttle::{
    algorithm::Algorithm,
    decision::Decision,
    gcra::Gcra,
    policy::{Limit, Policy},
    window::Window,
};

/// What a store has for a policy.
pub(super) struct Limiter {
    pub(super) id: u64,
    keyed: Keyed,
}

enum Keyed {
    Rate(Shards<Gcra>),
    Window(Shards<Window>),
}

struct Shards<A: Algorithm> {
    algorithm: A,
    shards: Box<[Line<A::State>]>,
}

/// In cache lines of its own: two cores do not fight over neighbours.
#[repr(align(64))]
struct Line<S>(Mutex<Shard<S>>);

/// A shard that is locked.
pub(super) enum Locked<'a> {
    Rate(&'a Gcra, MutexGuard<'a, Shard<u64>>),
    Window(&'a Window, MutexGuard<'a, Shard<[u64; 2]>>),
}

#[derive(Clone, Copy)]
pub(super) enum Undo {
    Rate(Before<u64>),
    Window(Before<[u64; 2]>),
}

/// Where a key is.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) shard: usize,
    pub(super) tag: u64,
}

const _: () = assert!(size_of::<Line<u64>>() == 64 && size_of::<Line<[u64; 2]>>() == 64);

/// Fewer would fill too unevenly.
const FEWEST_KEYS_OF_SHARD: usize = 256;
/// As long as the shards do not get too small: so that cores seldom meet.
const WANTED_SHARDS: usize = 64;

impl Limiter {
    pub(super) fn new(policy: &Policy, limit: Limit, most_keys: usize) -> Self {
        let keyed = match limit {
            Limit::Rate(gcra) => Keyed::Rate(Shards::new(gcra, most_keys)),
            Limit::Window(window) => Keyed::Window(Shards::new(window, most_keys)),
        };
        Self {
            id: policy.id(),
            keyed,
        }
    }

    /// Spends `cost` of one key if it may: the way of most requests, with one look at what kind it is.
    #[inline]
    pub(super) fn spend(&self, hash: u64, cost: u64, now: u64) -> Decision {
        match &self.keyed {
            Keyed::Rate(shards) => shards.spend(hash, cost, now),
            Keyed::Window(shards) => shards.spend(hash, cost, now),
        }
    }

    #[inline]
    pub(super) fn spot(&self, hash: u64) -> Spot {
        match &self.keyed {
            Keyed::Rate(shards) => shards.spot(hash),
            Keyed::Window(shards) => shards.spot(hash),
        }
    }

    #[inline]
    pub(super) fn lock(&self, shard: usize) -> Locked<'_> {
        match &self.keyed {
            Keyed::Rate(shards) => Locked::Rate(&shards.algorithm, shards.lock(shard)),
            Keyed::Window(shards) => Locked::Window(&shards.algorithm, shards.lock(shard)),
        }
    }

    /// One shard after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = Locked<'_>> {
        let count = match &self.keyed {
            Keyed::Rate(shards) => shards.shards.len(),
            Keyed::Window(shards) => shards.shards.len(),
        };
        (0..count).map(|shard| self.lock(shard))
    }
}

impl<A: Algorithm> Shards<A> {
    fn new(algorithm: A, most_keys: usize) -> Self {
        let wanted = WANTED_SHARDS.min(most_keys / FEWEST_KEYS_OF_SHARD);
        let count = most_keys.div_ceil(MOST_KEYS).max(wanted).max(1);
        let line = |_| Line(Mutex::new(Shard::new(most_keys / count)));
        Self {
            algorithm,
            shards: (0..count).map(line).collect(),
        }
    }

    /// The upper part of the product says which shard, and the lower one, which is different for all hashes of a shard, is the tag.
    #[inline]
    fn spot(&self, hash: u64) -> Spot {
        let product = u128::from(hash) * self.shards.len() as u128;
        Spot {
            shard: (product >> 64) as usize,
            tag: (product as u64).max(1),
        }
    }

    #[inline]
    fn spend(&self, hash: u64, cost: u64, now: u64) -> Decision {
        let Spot { shard, tag } = self.spot(hash);
        let mut shard = self.lock(shard);
        shard.spend(&self.algorithm, tag, cost, now).0
    }

    #[inline]
    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard<A::State>> {
        // Nothing panics while it is locked.
        self.shards[shard]
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for both kinds of state.
macro_rules! each {
    ($locked:expr, $algorithm:ident, $shard:ident => $value:expr) => {
        match $locked {
            Locked::Rate($algorithm, $shard) => $value,
            Locked::Window($algorithm, $shard) => $value,
        }
    };
}

impl Locked<'_> {
    #[inline]
    pub(super) fn spend(&mut self, tag: u64, cost: u64, now: u64) -> (Decision, Undo) {
        match self {
            Self::Rate(gcra, shard) => {
                let (decision, before) = shard.spend(*gcra, tag, cost, now);
                (decision, Undo::Rate(before))
            }
            Self::Window(window, shard) => {
                let (decision, before) = shard.spend(*window, tag, cost, now);
                (decision, Undo::Window(before))
            }
        }
    }

    pub(super) fn restore(&mut self, tag: u64, undo: Undo) {
        match (self, undo) {
            (Self::Rate(_, shard), Undo::Rate(before)) => shard.restore(tag, before),
            (Self::Window(_, shard), Undo::Window(before)) => shard.restore(tag, before),
            _ => {}
        }
    }

    pub(super) fn peek(&mut self, tag: u64, cost: u64, now: u64) -> Decision {
        each!(self, algorithm, shard => shard.peek(*algorithm, tag, cost, now))
    }

    pub(super) fn charge(&mut self, tag: u64, cost: u64, now: u64) {
        each!(self, algorithm, shard => shard.charge(*algorithm, tag, cost, now));
    }

    /// Keys, those that were forgotten, and how often there was no place.
    pub(super) fn figures(&self) -> (usize, u64, u64) {
        each!(self, _algorithm, shard => (shard.keys(), shard.evicted(), shard.overflowed()))
    }
}
