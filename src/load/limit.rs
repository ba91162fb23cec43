//! The permits: how many are out, how many there may be, and who waits for one.
//!
//! Everything that is counted stands in one atomic: the permits in use in its lower half, those who wait in its upper half.
//! Who takes or gives back a permit while nobody waits needs nothing else. Whoever has to wait, and whoever gives back a
//! permit while someone does, takes the lock. No wake-up is lost: one who joins the queue counts itself first and looks for
//! a free permit then, so that a permit that comes back is seen by it, or whoever brings it back sees it waiting.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{
    priority::Priority,
    queue::{Key, Queue, Turn},
    sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, unpoisoned},
};

/// More permits than this are not counted.
pub(crate) const MOST: u32 = 1 << 30;

/// One who waits, in the upper half of the state.
const WAITER: u64 = 1 << 32;
const IN_FLIGHT: u64 = WAITER - 1;

/// The permits of one limit, and the queue in front of them.
pub(crate) struct Limit {
    state: AtomicU64,
    /// Changed under the lock only.
    limit: AtomicU32,
    room: u32,
    lifo_after: Duration,
    queue: Mutex<Queue>,
}

/// What one gets who could not have a permit at once.
#[derive(Debug)]
pub(crate) enum Entry {
    Admitted,
    Waiting(Key),
    Shed,
}

impl Limit {
    pub(crate) fn new(limit: u32, room: u32, lifo_after: Duration) -> Self {
        Self {
            state: AtomicU64::new(0),
            limit: AtomicU32::new(limit.clamp(1, MOST)),
            room: room.min(MOST),
            lifo_after,
            queue: Mutex::new(Queue::new()),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        in_flight(self.state.load(Ordering::Relaxed)) as u32
    }

    pub(crate) fn waiting(&self) -> u32 {
        (self.state.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Takes a permit if there is one and nobody waits.
    #[inline]
    pub(crate) fn try_acquire(&self, priority: Priority) -> bool {
        let most = self.most(priority);
        // With a waiter, the state is greater than any limit.
        let take = |state| (state < most).then_some(state + 1);
        self.update(take)
    }

    /// For one who could not have a permit at once: takes one after all, or a place in the queue. There is none for one
    /// whose deadline comes before its turn.
    pub(crate) fn enter(
        &self,
        priority: Priority,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Entry {
        if self.room == 0 {
            return Entry::Shed;
        }
        let mut queue = self.lock();
        if queue.top().is_none_or(|top| top < priority) && self.admit(priority, 0) {
            return Entry::Admitted;
        }
        if let Some(deadline) = deadline {
            let wait = queue.expected_wait(priority, self.lifo_after, now);
            if deadline.saturating_duration_since(now) <= wait.unwrap_or(Duration::ZERO) {
                return Entry::Shed;
            }
        }
        let mut woken = Wakers::new();
        if queue.len() < priority.share_of_queue(self.room) {
            self.state.fetch_add(WAITER, Ordering::AcqRel);
        } else if let Some(displaced) = queue.displace(priority) {
            // One goes for one that comes: the count is never too low, and no newcomer slips in between.
            woken.extend(displaced);
        } else {
            return Entry::Shed;
        }
        let key = queue.push(priority, now);
        self.hand_on(queue, woken, now);
        Entry::Waiting(key)
    }

    /// What became of one who waits; `waker` is told when that changes.
    pub(crate) fn poll(&self, key: &Key, waker: &Waker) -> Turn {
        let (turn, old) = self.lock().poll(key, waker);
        // Dropped without the lock: nobody knows what is dropped with it.
        drop(old);
        turn
    }

    /// One who waited takes its permit, or leaves. A permit that it leaves behind goes on to the next one.
    pub(crate) fn leave(&self, key: Key, takes_permit: bool, now: impl FnOnce() -> Instant) {
        let mut queue = self.lock();
        let (turn, waker) = queue.remove(key);
        if turn == Turn::Waiting {
            self.state.fetch_sub(WAITER, Ordering::Relaxed);
        }
        drop(queue);
        drop(waker);
        if turn == Turn::Admitted && !takes_permit {
            self.release(now);
        }
    }

    /// Gives back a permit. The time is asked for only when someone waits.
    #[inline]
    pub(crate) fn release(&self, now: impl FnOnce() -> Instant) {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        if before >= WAITER {
            self.hand_on(self.lock(), Wakers::new(), now());
        }
    }

    /// Changes the limit. Permits that are out stay out; those who wait and fit in now get theirs.
    pub(crate) fn set(&self, limit: u32, now: Instant) {
        let queue = self.lock();
        self.limit.store(limit.clamp(1, MOST), Ordering::Relaxed);
        self.hand_on(queue, Wakers::new(), now);
    }

    /// Gives the permits that are free to those who wait, and wakes them when the lock is free again.
    fn hand_on(&self, mut queue: MutexGuard<'_, Queue>, mut woken: Wakers, now: Instant) {
        // Who is greater may have a permit whenever one who is less may.
        while queue.top().is_some_and(|top| self.admit(top, WAITER)) {
            woken.extend(queue.admit(self.lifo_after, now));
        }
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Takes a permit, whoever waits, and counts off `waiter`.
    fn admit(&self, priority: Priority, waiter: u64) -> bool {
        let most = self.most(priority);
        self.update(|state| (in_flight(state) < most).then(|| state + 1 - waiter))
    }

    #[inline]
    fn update(&self, change: impl FnMut(u64) -> Option<u64>) -> bool {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.fetch_update(set, fetch, change).is_ok()
    }

    #[inline]
    fn most(&self, priority: Priority) -> u64 {
        u64::from(priority.share_of_limit(self.limit()))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        unpoisoned(self.queue.lock())
    }
}

type Wakers = SmallVec<[Waker; 4]>;

#[inline]
fn in_flight(state: u64) -> u64 {
    state & IN_FLIGHT
}
