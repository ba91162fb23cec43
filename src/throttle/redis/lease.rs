//! What was taken from Redis ahead, to be spent here.
//!
//! Times are nanoseconds since the table's epoch.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::throttle::decision::Decision;

/// How leases are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The most that is held for a key.
    pub(super) batch: u64,
    /// Nanoseconds until what is unspent is lost.
    pub(super) time: u64,
}

/// A place for each of so many keys and policies; more take the places of others, and what those held is lost.
pub(super) struct Leases {
    terms: Terms,
    buckets: Box<[Mutex<[Lease; PLACES]>]>,
}

/// Places in which a key may be.
const PLACES: usize = 4;

/// Of one key and policy.
#[derive(Clone, Copy, Default)]
struct Lease {
    /// Zero: nobody's.
    tag: u64,
    /// What was taken, the older one first: while one is spent, the next one is taken.
    lots: [Lot; 2],
    /// When all of it is over.
    ends: u64,
    /// How much to take next time.
    next: u64,
    /// Somebody is taking more.
    is_growing: bool,
    /// More was asked for ahead since there was some,
    is_ahead: bool,
    /// and so much is on its way.
    pending: u64,
    /// What Redis has said last, and when all would be there again.
    remaining: u64,
    resets: u64,
    /// A cost that was refused, and until when nobody asks for as much.
    refused: u64,
    until: u64,
    /// When it is allowed.
    retries: u64,
}

/// What was taken at once.
#[derive(Clone, Copy, Default)]
struct Lot {
    /// Its own time, whatever becomes of it.
    ends: u64,
    granted: u64,
    left: u64,
}

/// What was spent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) decision: Decision,
    /// For giving it back.
    pub(super) from: From,
    /// Half of what is held is spent, and nobody has asked for more yet.
    pub(super) is_low: bool,
}

/// When lots are over, and how much is from each.
pub(super) type From = [(u64, u64); 2];

const NEVER: u64 = u64::MAX;

/// What a lease has to say to a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It was spent here.
    Spent(Spent),
    /// Redis would refuse it.
    Refused(Decision),
    /// Redis has to be asked.
    Unknown,
}

impl Leases {
    /// Bytes of a place.
    #[cfg(test)]
    pub(super) const SIZE: usize = size_of::<Lease>();

    /// With places for at least so many.
    pub(super) fn new(terms: Terms, keys: usize) -> Self {
        let bucket = |_| Mutex::new([Lease::default(); PLACES]);
        Self {
            terms,
            buckets: (0..keys.div_ceil(PLACES).max(1)).map(bucket).collect(),
        }
    }

    /// Spends it here, if it is here.
    pub(super) fn spend(&self, tag: u64, cost: u64, now: u64) -> Word {
        let mut bucket = self.bucket(tag);
        let Some(lease) = find(&mut bucket, tag) else {
            return Word::Unknown;
        };
        if now < lease.until && cost >= lease.refused {
            return Word::Refused(lease.refusal(now));
        }
        // Whether there is a debt is known to Redis alone.
        if cost == 0 || lease.left(now) < cost {
            return Word::Unknown;
        }
        let (mut from, mut rest) = (From::default(), cost);
        for (lot, from) in lease.lots.iter_mut().zip(&mut from) {
            if now < lot.ends {
                *from = (lot.ends, lot.left.min(rest));
                (lot.left, rest) = (lot.left - from.1, rest - from.1);
            }
        }
        // As much as was taken last.
        let whole = (lease.next / 2).clamp(1, self.terms.batch.max(1));
        Word::Spent(Spent {
            decision: lease.allowance(now),
            from,
            is_low: !lease.is_growing && !lease.is_ahead && lease.left(now) <= whole / 2,
        })
    }

    /// Gives back what was spent here a moment ago. It is over when it would have been.
    pub(super) fn restore(&self, tag: u64, from: From, now: u64) {
        let mut bucket = self.bucket(tag);
        let Some(lease) = find(&mut bucket, tag) else {
            return;
        };
        for (ends, cost) in from.into_iter().filter(|(ends, _)| now < *ends) {
            lease.settle(now);
            let room = self.terms.batch.saturating_sub(lease.left(now));
            let cost = cost.min(room);
            lease.add(Lot {
                ends,
                granted: cost,
                left: cost,
            });
        }
    }

    /// What it says without spending anything. Nothing is known: all of the quota is there.
    pub(super) fn peek(&self, tag: u64, cost: u64, quota: u64, now: u64) -> Decision {
        match find(&mut self.bucket(tag), tag) {
            Some(lease) if now < lease.until && cost >= lease.refused => lease.refusal(now),
            Some(lease) => lease.allowance(now),
            None => Decision::allow(quota, 1, 0),
        }
    }

    /// How much to take beside what is asked for; none if nothing is to be. After some, [`end`](Self::end) or [`abandon`](Self::abandon) is called.
    ///
    /// Nothing for a key that has not been asked for within the time of a lease; then twice as much each time, up to a batch. So what is
    /// lost when leases are over is little for those who seldom come.
    pub(super) fn begin(&self, tag: u64, now: u64) -> Option<u64> {
        let mut bucket = self.bucket(tag);
        let Some(lease) = find(&mut bucket, tag) else {
            *place(&mut bucket, now) = Lease::new(tag, now, self.terms);
            return None;
        };
        lease.settle(now);
        if now >= lease.ends {
            let is_old = now - lease.ends >= self.terms.time;
            *lease = Lease {
                is_growing: lease.is_growing,
                is_ahead: lease.pending > 0,
                pending: lease.pending,
                next: if is_old { 1 } else { lease.next },
                ..Lease::new(tag, now, self.terms)
            };
            if is_old {
                return None;
            }
        }
        if lease.is_growing {
            return None;
        }
        lease.is_growing = true;
        Some(lease.grow(self.terms))
    }

    /// The same before it is needed: once, until there is more. After some, [`end_ahead`](Self::end_ahead) is called.
    pub(super) fn begin_ahead(&self, tag: u64, now: u64) -> Option<u64> {
        let mut bucket = self.bucket(tag);
        let lease = find(&mut bucket, tag)?;
        lease.settle(now);
        if lease.is_ahead || lease.is_growing {
            return None;
        }
        (lease.is_ahead, lease.pending) = (true, lease.grow(self.terms));
        (lease.pending > 0).then_some(lease.pending)
    }

    /// Redis has allowed it, and this was taken beside it by who has begun.
    pub(super) fn end(&self, tag: u64, taken: Option<u64>, decision: &Decision, now: u64) {
        let mut bucket = self.bucket(tag);
        let Some(lease) = find(&mut bucket, tag) else {
            return;
        };
        lease.is_growing &= taken.is_none();
        self.take(lease, taken.unwrap_or(0), decision, now);
        lease.until = 0;
    }

    /// This was taken ahead; none: nothing came of it.
    pub(super) fn end_ahead(&self, tag: u64, told: Option<(u64, &Decision)>, now: u64) {
        let mut bucket = self.bucket(tag);
        let Some(lease) = find(&mut bucket, tag) else {
            return;
        };
        lease.pending = 0;
        if let Some((taken, decision)) = told {
            self.take(lease, taken, decision, now);
            if taken > 0 {
                lease.until = 0;
            }
        }
    }

    fn take(&self, lease: &mut Lease, taken: u64, decision: &Decision, now: u64) {
        lease.settle(now);
        let granted = taken.min(self.terms.batch.saturating_sub(lease.left(now)));
        if granted > 0 {
            let lot = Lot {
                ends: now.saturating_add(self.terms.time),
                granted,
                left: granted,
            };
            lease.is_ahead = false;
            lease.add(lot);
        }
        lease.remaining = decision.remaining().saturating_sub(taken);
        lease.resets = now.saturating_add(nanos(decision.reset_after()));
    }

    /// Nothing came of it.
    pub(super) fn abandon(&self, tag: u64) {
        if let Some(lease) = find(&mut self.bucket(tag), tag) {
            lease.is_growing = false;
        }
    }

    /// Redis has refused it: until it would be allowed nobody asks for as much, and for no longer than a lease is. When
    /// requests come as fast as the limit allows them, each would have to ask; so it is left alone for a hundredth of that time at least, but for
    /// no longer than half of a burst takes to come back, so that nothing is lost.
    pub(super) fn refuse(&self, tag: u64, cost: u64, decision: &Decision, window: u64, now: u64) {
        let mut bucket = self.bucket(tag);
        if find(&mut bucket, tag).is_none() {
            *place(&mut bucket, now) = Lease::new(tag, now, self.terms);
        }
        let Some(lease) = find(&mut bucket, tag) else {
            return;
        };
        let retry = decision.retry_after().map(nanos);
        let least = (self.terms.time / 100).min(window / 2);
        let pause = retry.unwrap_or(u64::MAX).max(least).min(self.terms.time);
        lease.refused = cost;
        lease.until = now.saturating_add(pause);
        lease.retries = retry.map_or(NEVER, |retry| now.saturating_add(retry));
        lease.remaining = decision.remaining();
        lease.resets = now.saturating_add(nanos(decision.reset_after()));
    }

    fn bucket(&self, tag: u64) -> MutexGuard<'_, [Lease; PLACES]> {
        let index = (u128::from(tag) * self.buckets.len() as u128) >> 64;
        // Nothing panics while it is locked.
        let bucket = self.buckets[index as usize].lock();
        bucket.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    fn new(tag: u64, now: u64, terms: Terms) -> Self {
        Self {
            tag: named(tag),
            ends: now.saturating_add(terms.time),
            next: 1,
            ..Self::default()
        }
    }

    /// What is held at this time.
    fn left(&self, now: u64) -> u64 {
        let live = self.lots.iter().filter(|lot| now < lot.ends);
        live.map(|lot| lot.left).sum()
    }

    /// Forgets what is over. If something of it is lost, the next one is as large as was needed.
    fn settle(&mut self, now: u64) {
        let (mut lost, mut spent) = (0, 0);
        for lot in self.lots.iter_mut().filter(|lot| now >= lot.ends) {
            if lot.left > 0 {
                (lost, spent) = (lost + lot.left, spent + (lot.granted - lot.left));
            }
            *lot = Lot::default();
        }
        if lost > 0 {
            self.next = spent.max(1);
        }
    }

    /// How much to take.
    fn grow(&mut self, terms: Terms) -> u64 {
        let wanted = self.next.min(terms.batch);
        self.next = wanted.saturating_mul(2);
        wanted.saturating_sub(self.left(0).saturating_add(self.pending))
    }

    /// What is added to another one is over when the first of them is.
    fn add(&mut self, lot: Lot) {
        self.ends = self.ends.max(lot.ends);
        let same = self.lots.iter().position(|other| other.ends == lot.ends);
        let free = || self.lots.iter().position(|other| other.left == 0);
        if let (None, Some(free)) = (same, free()) {
            self.lots[free] = lot;
            self.lots.sort_unstable_by_key(|lot| lot.ends);
            return;
        }
        let is_newer = lot.ends >= self.lots[1].ends;
        let other = &mut self.lots[same.unwrap_or(is_newer.into())];
        other.ends = other.ends.min(lot.ends);
        other.left += lot.left;
        other.granted = other.granted.max(other.left);
    }

    fn allowance(&self, now: u64) -> Decision {
        let remaining = self.remaining.saturating_add(self.left(now));
        Decision::allow(remaining, 1, self.resets.saturating_sub(now))
    }

    fn refusal(&self, now: u64) -> Decision {
        let reset = self.resets.saturating_sub(now);
        match self.retries {
            NEVER => Decision::never(self.remaining, 1, reset),
            retries => {
                let retry = retries.max(self.until).saturating_sub(now);
                Decision::refuse(self.remaining, 1, reset, retry)
            }
        }
    }
}

fn find(bucket: &mut [Lease; PLACES], tag: u64) -> Option<&mut Lease> {
    let tag = named(tag);
    bucket.iter_mut().find(|lease| lease.tag == tag)
}

/// One that is over, holds nothing and refuses nothing, or ends soonest, in this order.
fn place(bucket: &mut [Lease; PLACES], now: u64) -> &mut Lease {
    let worth = |lease: &Lease| {
        let is_over = now >= lease.ends && now >= lease.until;
        let is_idle = lease.left(now) == 0 && now >= lease.until;
        (!is_over, !is_idle, lease.ends)
    };
    let place = (0..PLACES).min_by_key(|index| worth(&bucket[*index]));
    &mut bucket[place.unwrap_or(0)]
}

fn named(tag: u64) -> u64 {
    tag.max(1)
}

fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
