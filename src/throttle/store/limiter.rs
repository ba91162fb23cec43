//! What a store has for one policy: its limit, its keys, and the locks of those.

use super::{
    stripe::{Locked, Stripe},
    sync::{Mutex, Ordering, unpoisoned},
    table::{LOCKED, NEAR, Place, Search, Spot, Table, Words},
};
use crate::throttle::{
    algorithm::Algorithm, decision::Decision, gcra::Gcra, policy::Limit, window::Window,
};

pub(super) struct Limiter {
    /// Of the policy.
    pub(super) id: u64,
    keys: Keys,
    stripes: Box<[Line]>,
    pages_of_stripe: usize,
}

enum Keys {
    Rate(Gcra, Table<1>),
    Window(Window, Table<2>),
}

/// In a cache line of its own: two cores do not fight over neighbours.
#[repr(align(64))]
struct Line(Mutex<Stripe>);

/// With 1,024 slots to a page: one stripe for 4,096.
const MOST_PAGES_OF_STRIPE: usize = 4;
/// As long as they do not get too small: so that cores seldom meet.
const WANTED_STRIPES: usize = 64;

impl Limiter {
    pub(super) fn new(id: u64, limit: Limit, most_keys: usize) -> Self {
        let keys = match limit {
            Limit::Rate(gcra) => Keys::Rate(gcra, Table::new(most_keys)),
            Limit::Window(window) => Keys::Window(window, Table::new(most_keys)),
        };
        let pages = match &keys {
            Keys::Rate(_, table) => table.pages(),
            Keys::Window(_, table) => table.pages(),
        };
        let pages_of_stripe = (pages / WANTED_STRIPES).clamp(1, MOST_PAGES_OF_STRIPE);
        let line = |_| Line(Mutex::new(Stripe::default()));
        Self {
            id,
            keys,
            stripes: (0..pages.div_ceil(pages_of_stripe)).map(line).collect(),
            pages_of_stripe,
        }
    }

    /// Spends `cost` of one key if it may.
    #[inline]
    pub(super) fn spend(&self, hash: u64, cost: u64, now: u64) -> Decision {
        if let Keys::Rate(gcra, table) = &self.keys
            && let Some(decision) = spend_known(gcra, table, hash, cost, now)
        {
            return decision;
        }
        self.spend_locked(hash, cost, now)
    }

    #[inline(never)]
    fn spend_locked(&self, hash: u64, cost: u64, now: u64) -> Decision {
        let spot = self.spot(hash);
        let mut locked = self.lock(self.stripe(spot));
        // Of a rate it has been looked for.
        let known = match &self.keys {
            Keys::Rate(..) => None,
            Keys::Window(..) => locked.hold_known(spot, now),
        };
        let mut held = known.unwrap_or_else(|| locked.hold(spot, now));
        locked.count(&held);
        let decision = held.spend(self, cost);
        locked.release(held);
        decision
    }

    /// What [`spend`](Self::spend) would say.
    pub(super) fn peek(&self, hash: u64, cost: u64, now: u64) -> Decision {
        let spot = self.spot(hash);
        let mut locked = self.lock(self.stripe(spot));
        let held = locked.hold(spot, now);
        let decision = held.peek(self, cost);
        locked.release(held);
        decision
    }

    /// Spends `cost` whether or not it is there.
    pub(super) fn charge(&self, hash: u64, cost: u64, now: u64) {
        let spot = self.spot(hash);
        let mut locked = self.lock(self.stripe(spot));
        let mut held = locked.hold(spot, now);
        locked.count(&held);
        held.charge(self, cost);
        locked.release(held);
    }

    /// Whether it was known.
    pub(super) fn forget(&self, hash: u64) -> bool {
        let spot = self.spot(hash);
        let mut locked = self.lock(self.stripe(spot));
        locked.forget(spot)
    }

    pub(super) fn spot(&self, hash: u64) -> Spot {
        match &self.keys {
            Keys::Rate(_, table) => table.spot(hash),
            Keys::Window(_, table) => table.spot(hash),
        }
    }

    pub(super) fn stripe(&self, spot: Spot) -> usize {
        spot.page / self.pages_of_stripe
    }

    pub(super) fn lock(&self, stripe: usize) -> Locked<'_> {
        let guard = unpoisoned(self.stripes[stripe].0.lock());
        Locked::new(self, guard)
    }

    /// One stripe after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = Locked<'_>> {
        (0..self.stripes.len()).map(|stripe| self.lock(stripe))
    }

    pub(super) fn find(&self, spot: Spot, lines: usize) -> Option<Place<'_>> {
        match &self.keys {
            Keys::Rate(_, table) => Some(table.find(spot, lines)?.place()),
            Keys::Window(_, table) => Some(table.find(spot, lines)?.place()),
        }
    }

    /// The place of a key, or one that it may have: nobody's, or that of somebody to whom all has come back.
    pub(super) fn search(&self, spot: Spot, now: u64) -> Search<'_> {
        // As copies they need not be read again for each slot.
        match &self.keys {
            Keys::Rate(gcra, table) => {
                let gcra = *gcra;
                table.search(spot, move |[state, _]| gcra.is_idle(state, now))
            }
            Keys::Window(window, table) => {
                let window = *window;
                table.search(spot, move |state| window.is_idle(state, now))
            }
        }
    }

    pub(super) fn check(&self, state: Words, cost: u64, now: u64) -> (Decision, Words) {
        match &self.keys {
            Keys::Rate(gcra, _) => {
                let (decision, next) = gcra.check(state[0], cost, now);
                (decision, [next, 0])
            }
            Keys::Window(window, _) => window.check(state, cost, now),
        }
    }

    pub(super) fn after_charge(&self, state: Words, cost: u64, now: u64) -> Words {
        match &self.keys {
            Keys::Rate(gcra, _) => [gcra.charge(state[0], cost, now), 0],
            Keys::Window(window, _) => window.charge(state, cost, now),
        }
    }

    pub(super) fn is_idle(&self, state: Words, now: u64) -> bool {
        match &self.keys {
            Keys::Rate(gcra, _) => gcra.is_idle(state[0], now),
            Keys::Window(window, _) => window.is_idle(state, now),
        }
    }
}

/// Without a lock, for a key that has a place; `None`: nothing was done, and it has to be done with the lock.
#[inline]
fn spend_known(gcra: &Gcra, table: &Table<1>, hash: u64, cost: u64, now: u64) -> Option<Decision> {
    let spot = table.spot(hash);
    let slot = table.find(spot, NEAR)?;
    let [word] = &slot.state;
    loop {
        let state = word.load(Ordering::Acquire);
        // Read after the state: while that stays the same, so does this.
        if state == LOCKED || slot.tag.load(Ordering::Acquire) != spot.tag {
            return None;
        }
        let (decision, next) = gcra.check(state, cost, now);
        let is_same = if decision.is_allowed() && cost > 0 {
            let done = word.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed);
            done.is_ok()
        } else {
            // Not a write for what spends nothing.
            word.load(Ordering::Acquire) == state
        };
        if is_same {
            return Some(decision);
        }
    }
}
