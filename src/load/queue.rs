//! Who waits for a permit, in which order, and for about how long.
//!
//! One list for each priority, linked through one slab: whoever leaves the queue, from wherever in it, is out at once.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use super::priority::Priority;

/// Those who wait. The places of a slab are used again, so that a queue in use does not allocate.
pub(crate) struct Queue {
    places: Vec<Option<Waiter>>,
    free: Vec<u32>,
    lines: [Line; 3],
    /// Since when someone has been waiting all the time, if someone is.
    since: Option<Instant>,
    /// When the last permit was given to one who waited, or when the queue began.
    last: Option<Instant>,
    /// The time between two permits, smoothed; unknown before the first one since the queue began.
    gap: Option<Duration>,
}

/// A place in the queue, held until whoever waits has seen what became of it.
#[derive(Debug)]
pub(crate) struct Key(u32);

/// What became of one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Waiting,
    Admitted,
    Shed,
}

struct Waiter {
    turn: Turn,
    waker: Option<Waker>,
    priority: Priority,
    before: Option<u32>,
    after: Option<u32>,
}

#[derive(Clone, Copy, Default)]
struct Line {
    first: Option<u32>,
    last: Option<u32>,
    len: u32,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            lines: [Line::default(); 3],
            since: None,
            last: None,
            gap: None,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.lines.iter().map(|line| line.len).sum()
    }

    /// The greatest priority of those who wait.
    pub(crate) fn top(&self) -> Option<Priority> {
        let waits = |priority: &Priority| self.line(*priority).len > 0;
        Priority::ALL.into_iter().rfind(waits)
    }

    /// Joins the end of its line.
    pub(crate) fn push(&mut self, priority: Priority, now: Instant) -> Key {
        if self.len() == 0 {
            (self.since, self.last, self.gap) = (Some(now), Some(now), None);
        }
        let before = self.line(priority).last;
        let waiter = Waiter {
            turn: Turn::Waiting,
            waker: None,
            priority,
            before,
            after: None,
        };
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(None);
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(empty) = self.places.get_mut(place as usize) {
            *empty = Some(waiter);
        }
        match before.and_then(|before| self.waiter(before)) {
            Some(before) => before.after = Some(place),
            None => self.lines[priority as usize].first = Some(place),
        }
        let line = &mut self.lines[priority as usize];
        line.last = Some(place);
        line.len += 1;
        Key(place)
    }

    /// Gives a permit to whoever is next: of the greatest priority the first, or the last when the queue has not been
    /// empty for longer than `lifo_after`.
    pub(crate) fn admit(&mut self, lifo_after: Duration, now: Instant) -> Option<Waker> {
        let line = *self.line(self.top()?);
        let next = if self.is_lifo(lifo_after, now) {
            line.last
        } else {
            line.first
        };
        if let Some(last) = self.last.replace(now) {
            let gap = now.saturating_duration_since(last);
            self.gap = Some(self.gap.map_or(gap, |known| (known * 3 + gap) / 4));
        }
        self.settle(next?, Turn::Admitted)
    }

    /// Sheds the last of the least that waits, if that is less than `priority`. Says whether it did; the waker is of
    /// one who has asked for its turn already.
    pub(crate) fn displace(&mut self, priority: Priority) -> Option<Option<Waker>> {
        let waits = |least: &Priority| self.line(*least).len > 0;
        let least = Priority::ALL.into_iter().find(waits)?;
        let last = self.line(least).last.filter(|_| least < priority)?;
        Some(self.settle(last, Turn::Shed))
    }

    /// What became of a waiter. While it waits, `waker` replaces the one that is given back.
    pub(crate) fn poll(&mut self, key: &Key, waker: &Waker) -> (Turn, Option<Waker>) {
        let Some(waiter) = self.waiter(key.0) else {
            return (Turn::Shed, None);
        };
        match &waiter.waker {
            _ if waiter.turn != Turn::Waiting => (waiter.turn, None),
            Some(known) if known.will_wake(waker) => (Turn::Waiting, None),
            _ => (Turn::Waiting, waiter.waker.replace(waker.clone())),
        }
    }

    /// Gives up a place, and says what had become of it.
    pub(crate) fn remove(&mut self, key: Key) -> (Turn, Option<Waker>) {
        let Some(turn) = self.waiter(key.0).map(|waiter| waiter.turn) else {
            return (Turn::Shed, None);
        };
        let waker = match turn {
            Turn::Waiting => self.settle(key.0, Turn::Shed),
            Turn::Admitted | Turn::Shed => None,
        };
        if let Some(place) = self.places.get_mut(key.0 as usize) {
            *place = None;
        }
        self.free.push(key.0);
        if self.free.len() == self.places.len() && self.places.len() > KEPT {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
        (turn, waker)
    }

    /// How long one who joins now will wait, as far as permits go on being given at the rate at which they have been
    /// since the queue began. `None`: nothing is known of that, or nobody is before it.
    pub(crate) fn expected_wait(
        &self,
        priority: Priority,
        lifo_after: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let lifo = self.is_lifo(lifo_after, now);
        let greater = |other: &Priority| *other > priority || *other == priority && !lifo;
        let ahead = Priority::ALL.into_iter().filter(greater);
        let ahead: u32 = ahead.map(|other| self.line(other).len).sum();
        let idle = now.saturating_duration_since(self.last?);
        let gap = self.gap?.max(idle);
        (self.len() > 0).then(|| gap.saturating_mul(ahead + 1))
    }

    fn is_lifo(&self, lifo_after: Duration, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.saturating_duration_since(since) > lifo_after)
    }

    /// Takes one who waits out of its line.
    fn settle(&mut self, place: u32, turn: Turn) -> Option<Waker> {
        let waiter = self.waiter(place)?;
        waiter.turn = turn;
        let waker = waiter.waker.take();
        let (priority, before, after) = (waiter.priority, waiter.before, waiter.after);
        match before.and_then(|before| self.waiter(before)) {
            Some(before) => before.after = after,
            None => self.lines[priority as usize].first = after,
        }
        match after.and_then(|after| self.waiter(after)) {
            Some(after) => after.before = before,
            None => self.lines[priority as usize].last = before,
        }
        self.lines[priority as usize].len -= 1;
        waker
    }

    fn line(&self, priority: Priority) -> &Line {
        &self.lines[priority as usize]
    }

    fn waiter(&mut self, place: u32) -> Option<&mut Waiter> {
        self.places.get_mut(place as usize)?.as_mut()
    }
}

/// So many places are kept when nobody waits any more.
const KEPT: usize = 1024;
