//! One part of the keys of a limit: a table with open addressing, and the bucket for whoever finds no place in it.

use crate::throttle::{algorithm::Algorithm, decision::Decision};

/// The keys are known by a tag, 64 bits of a keyed hash. With its lock it fills one cache line: there are no more than [`MOST_KEYS`].
pub(super) struct Shard<S> {
    slots: Box<[Slot<S>]>,
    keys: u16,
    most_keys: u16,
    /// Where the sweep goes on.
    cursor: u16,
    /// What all who find no place spend from together.
    overflow: S,
    evicted: u64,
    overflowed: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot<S> {
    /// Zero: nobody's.
    tag: u64,
    state: S,
}

/// What was there before something was spent, to put it back.
#[derive(Clone, Copy)]
pub(super) enum Before<S> {
    Known(S),
    Unknown,
    Overflow(S),
}

/// Slots that are looked at for each new key: more than one, so that what is idle goes faster than new keys come.
const SWEEP: usize = 4;
/// The same when there is no place left.
const SWEEP_FULL: usize = 32;
/// More would take too long to be moved when the table grows.
pub(super) const MOST_KEYS: usize = 4096;
const FEWEST_SLOTS: usize = 8;

enum Place {
    Slot(usize),
    /// The one that would be taken.
    Vacant,
    Overflow,
}

impl<S: Copy + Default> Shard<S> {
    pub(super) fn new(most_keys: usize) -> Self {
        let most_keys = most_keys.min(MOST_KEYS) as u16;
        Self {
            slots: Box::default(),
            keys: 0,
            most_keys,
            cursor: 0,
            overflow: S::default(),
            evicted: 0,
            overflowed: 0,
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.keys.into()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Spends `cost` if it may.
    #[inline]
    pub(super) fn spend<A>(&mut self, a: &A, tag: u64, cost: u64, now: u64) -> (Decision, Before<S>)
    where
        A: Algorithm<State = S>,
    {
        if let Some(slot) = self.known(tag) {
            let before = slot.state;
            let (decision, after) = a.check(before, cost, now);
            // Not a write for what is refused.
            if decision.is_allowed() {
                slot.state = after;
            }
            return (decision, Before::Known(before));
        }
        self.spend_first(a, tag, cost, now)
    }

    /// The same for a key that is not known.
    #[inline(never)]
    fn spend_first<A>(&mut self, a: &A, tag: u64, cost: u64, now: u64) -> (Decision, Before<S>)
    where
        A: Algorithm<State = S>,
    {
        if !self.make_room(a, now) {
            self.overflowed += 1;
            let before = self.overflow;
            let (decision, after) = a.check(before, cost, now);
            self.overflow = after;
            return (decision, Before::Overflow(before));
        }
        let (decision, after) = a.check(S::default(), cost, now);
        if decision.is_allowed() && !a.is_idle(after, now) {
            self.insert(tag, after);
        }
        (decision, Before::Unknown)
    }

    /// What [`spend`](Self::spend) would say.
    pub(super) fn peek<A>(&mut self, a: &A, tag: u64, cost: u64, now: u64) -> Decision
    where
        A: Algorithm<State = S>,
    {
        let state = match self.place(a, tag, now) {
            Place::Slot(at) => self.slots[at].state,
            Place::Vacant => S::default(),
            Place::Overflow => self.overflow,
        };
        a.check(state, cost, now).0
    }

    /// Spends `cost` whether or not it is there.
    pub(super) fn charge<A>(&mut self, a: &A, tag: u64, cost: u64, now: u64)
    where
        A: Algorithm<State = S>,
    {
        match self.place(a, tag, now) {
            Place::Slot(at) => self.slots[at].state = a.charge(self.slots[at].state, cost, now),
            Place::Overflow => {
                self.overflowed += 1;
                self.overflow = a.charge(self.overflow, cost, now);
            }
            Place::Vacant => {
                let state = a.charge(S::default(), cost, now);
                if !a.is_idle(state, now) {
                    self.insert(tag, state);
                }
            }
        }
    }

    /// Takes back what [`spend`](Self::spend) has done, in the same lock.
    pub(super) fn restore(&mut self, tag: u64, before: Before<S>) {
        match before {
            Before::Overflow(state) => self.overflow = state,
            Before::Known(state) => {
                if let Some(slot) = self.known(tag) {
                    slot.state = state;
                }
            }
            Before::Unknown => {
                if let Some(at) = self.find(tag) {
                    self.remove(at);
                }
            }
        }
    }

    fn place<A: Algorithm<State = S>>(&mut self, a: &A, tag: u64, now: u64) -> Place {
        match self.find(tag) {
            Some(at) => Place::Slot(at),
            None if self.make_room(a, now) => Place::Vacant,
            None => Place::Overflow,
        }
    }

    #[inline]
    fn known(&mut self, tag: u64) -> Option<&mut Slot<S>> {
        let at = self.find(tag)?;
        self.slots.get_mut(at)
    }

    /// The tags are spread evenly over all numbers, so their order is a good hash.
    #[inline]
    fn home(&self, tag: u64) -> usize {
        ((u128::from(tag) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    fn find(&self, tag: u64) -> Option<usize> {
        let mut at = self.home(tag);
        // There is always an empty slot, unless there is none at all.
        loop {
            let slot = self.slots.get(at)?;
            if slot.tag == tag {
                return Some(at);
            }
            if slot.tag == 0 {
                return None;
            }
            at = self.after(at);
        }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            0
        } else {
            at + 1
        }
    }

    /// Makes sure that a key can be inserted. Each time a few slots are swept; no key is thrown out that has something to remember.
    fn make_room<A: Algorithm<State = S>>(&mut self, a: &A, now: u64) -> bool {
        let is_full = self.keys >= self.most_keys;
        self.sweep(a, if is_full { SWEEP_FULL } else { SWEEP }, now);
        if self.keys >= self.most_keys {
            return false;
        }
        let most_slots = slots_for(self.most_keys.into());
        if self.slots.len() < most_slots && slots_for(usize::from(self.keys) + 1) > self.slots.len()
        {
            self.grow((self.slots.len() * 2).clamp(FEWEST_SLOTS.min(most_slots), most_slots));
        }
        true
    }

    fn sweep<A: Algorithm<State = S>>(&mut self, a: &A, most: usize, now: u64) {
        for _ in 0..most.min(self.slots.len()) {
            let at = match usize::from(self.cursor) {
                at if at < self.slots.len() => at,
                _ => 0,
            };
            let slot = self.slots[at];
            if slot.tag != 0 && a.is_idle(slot.state, now) {
                // Another one may have moved to its place, which is next.
                self.remove(at);
                self.evicted += 1;
                self.cursor = at as u16;
            } else {
                self.cursor = at as u16 + 1;
            }
        }
    }

    fn grow(&mut self, len: usize) {
        let slots = vec![Slot::default(); len].into_boxed_slice();
        let old = std::mem::replace(&mut self.slots, slots);
        self.keys = 0;
        for slot in old.iter().filter(|slot| slot.tag != 0) {
            self.insert(slot.tag, slot.state);
        }
    }

    /// There has to be room, and no such key.
    fn insert(&mut self, tag: u64, state: S) {
        let mut at = self.home(tag);
        while self.slots[at].tag != 0 {
            at = self.after(at);
        }
        self.slots[at] = Slot { tag, state };
        self.keys += 1;
    }

    /// Empties a slot, and moves up those behind it that would not be found any more.
    fn remove(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let slot = self.slots[at];
            if slot.tag == 0 {
                break;
            }
            if self.distance(self.home(slot.tag), at) >= self.distance(hole, at) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = Slot::default();
        self.keys -= 1;
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.slots.len() - from
        }
    }
}

/// Three quarters are in use at most, and one is always empty.
fn slots_for(keys: usize) -> usize {
    keys + keys / 3 + 1
}
