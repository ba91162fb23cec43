//! Some pages of a limit, locked: whoever is new gets a place, and states are held while several are decided together.

use super::{
    limiter::Limiter,
    sync::MutexGuard,
    table::{Place, Search, Spot, WINDOW, Words},
};
use crate::throttle::decision::Decision;

/// What there is once for some pages.
#[derive(Default)]
pub(super) struct Stripe {
    /// What all who find no place spend from together.
    overflow: Words,
    keys: usize,
    evicted: u64,
    overflowed: u64,
    /// The latest time at which a key lost its place, and what it had spent was forgotten.
    forgotten: u64,
}

/// A stripe that is locked.
pub(super) struct Locked<'a> {
    limiter: &'a Limiter,
    stripe: MutexGuard<'a, Stripe>,
}

/// The state of a key, which nobody else can change until it is [released](Locked::release).
pub(super) struct Held<'a> {
    bucket: Bucket<'a>,
    before: Words,
    after: Words,
    now: u64,
    keeps: bool,
}

enum Bucket<'a> {
    Known(Place<'a>),
    /// A place for a new key: it is given to it if it has spent something.
    Vacant(Place<'a>, u64),
    Overflow,
}

impl<'a> Locked<'a> {
    pub(super) fn new(limiter: &'a Limiter, stripe: MutexGuard<'a, Stripe>) -> Self {
        Self { limiter, stripe }
    }

    /// Of a key that has a place. It must not be held already.
    pub(super) fn hold_known(&mut self, spot: Spot, now: u64) -> Option<Held<'a>> {
        let place = self.limiter.find(spot, WINDOW)?;
        Some(Held::new(Bucket::Known(place), place.take()?, now))
    }

    /// The same of any key: if it is new it gets a place, or else it is what those share who have none.
    pub(super) fn hold(&mut self, spot: Spot, now: u64) -> Held<'a> {
        // A thread that was late must not find a key with all that it had not yet when it lost its place.
        let then = now.max(self.stripe.forgotten);
        let limiter: &'a Limiter = self.limiter;
        match limiter.search(spot, then) {
            Search::Known(place) => match place.take() {
                Some(state) => Held::new(Bucket::Known(place), state, now),
                None => Held::new(Bucket::Overflow, self.stripe.overflow, now),
            },
            Search::Vacant(place, state) => Held {
                after: Words::default(),
                ..Held::new(Bucket::Vacant(place, spot.tag), state, then)
            },
            Search::Full => Held::new(Bucket::Overflow, self.stripe.overflow, now),
        }
    }

    /// Leaves the place of a key to nobody, until its state is idle. Whether it had one.
    pub(super) fn forget(&mut self, spot: Spot) -> bool {
        let place = self.limiter.find(spot, WINDOW);
        let Some((place, state)) = place.and_then(|place| Some((place, place.take()?))) else {
            return false;
        };
        // A key with this hash is looked for elsewhere, but with one in 2^64.
        place.give((!spot.tag).max(1));
        place.put(state);
        true
    }

    /// Something is asked of it.
    pub(super) fn count(&mut self, held: &Held<'_>) {
        self.stripe.overflowed += u64::from(held.is_overflow());
    }

    /// Puts it back with what has become of it.
    pub(super) fn release(&mut self, held: Held<'_>) {
        match held.bucket {
            Bucket::Known(place) => place.put(held.after),
            Bucket::Overflow => self.stripe.overflow = held.after,
            Bucket::Vacant(place, _)
                if self.limiter.is_idle(held.after, held.now)
                    && !(held.keeps && place.tag() == 0) =>
            {
                place.put(held.before);
            }
            Bucket::Vacant(place, tag) => {
                if place.tag() == 0 {
                    self.stripe.keys += 1;
                } else {
                    self.stripe.evicted += 1;
                    self.stripe.forgotten = held.now;
                }
                place.give(tag);
                place.put(held.after);
            }
        }
    }

    /// Keys, those that were forgotten, and how often there was no place.
    pub(super) fn figures(&self) -> (usize, u64, u64) {
        let stripe = &self.stripe;
        (stripe.keys, stripe.evicted, stripe.overflowed)
    }
}

impl<'a> Held<'a> {
    fn new(bucket: Bucket<'a>, state: Words, now: u64) -> Self {
        let (before, after) = (state, state);
        Self {
            bucket,
            before,
            after,
            now,
            keeps: false,
        }
    }

    pub(super) fn is_new(&self) -> bool {
        matches!(self.bucket, Bucket::Vacant(..))
    }

    /// Even if it has spent nothing, it is given the place that nobody had: another key may have gone past it, and would not be found behind an
    /// empty one.
    pub(super) fn keep(&mut self) {
        self.keeps = true;
    }

    pub(super) fn is_overflow(&self) -> bool {
        matches!(self.bucket, Bucket::Overflow)
    }

    /// Spends `cost` if it may.
    pub(super) fn spend(&mut self, limiter: &Limiter, cost: u64) -> Decision {
        let (decision, after) = limiter.check(self.after, cost, self.now);
        if decision.is_allowed() && cost > 0 {
            self.after = after;
        }
        decision
    }

    /// What [`spend`](Self::spend) would say.
    pub(super) fn peek(&self, limiter: &Limiter, cost: u64) -> Decision {
        limiter.check(self.after, cost, self.now).0
    }

    /// Spends `cost` whether or not it is there.
    pub(super) fn charge(&mut self, limiter: &Limiter, cost: u64) {
        if cost > 0 {
            self.after = limiter.after_charge(self.after, cost, self.now);
        }
    }

    /// Takes back what was spent.
    pub(super) fn undo(&mut self) {
        self.after = match self.bucket {
            Bucket::Vacant(..) => Words::default(),
            Bucket::Known(_) | Bucket::Overflow => self.before,
        };
    }
}
