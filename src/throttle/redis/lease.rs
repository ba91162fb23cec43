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
    /// When it is over.
    ends: u64,
    left: u64,
    /// What there was in all since it began.
    granted: u64,
    /// How much to take next time.
    next: u64,
    /// Somebody is taking more.
    is_growing: bool,
    /// What Redis has said last, and when all would be there again.
    remaining: u64,
    resets: u64,
    /// A cost that was refused, and until when nobody asks for as much.
    refused: u64,
    until: u64,
    /// When it is allowed; none: never.
    retries: Option<u64>,
}

/// What a lease has to say to a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It was spent here.
    Spent(Decision),
    /// Redis would refuse it.
    Refused(Decision),
    /// Redis has to be asked.
    Unknown,
}

impl Leases {
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
        if now >= lease.ends || lease.left < cost || cost == 0 {
            return Word::Unknown;
        }
        lease.left -= cost;
        Word::Spent(lease.allowance(now))
    }

    /// Gives back what was spent here a moment ago.
    pub(super) fn restore(&self, tag: u64, cost: u64) {
        if let Some(lease) = find(&mut self.bucket(tag), tag) {
            lease.left = lease.left.saturating_add(cost).min(self.terms.batch);
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
        if now >= lease.ends {
            let is_old = now - lease.ends >= self.terms.time;
            // As much as was needed in that time.
            let spent = lease.granted - lease.left.min(lease.granted);
            *lease = Lease {
                is_growing: lease.is_growing,
                next: if is_old { 1 } else { spent.max(1) },
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
        let wanted = lease.next.min(self.terms.batch);
        lease.next = wanted.saturating_mul(2);
        Some(wanted.saturating_sub(lease.left))
    }

    /// Redis has allowed it, and this was taken beside it by who has begun.
    pub(super) fn end(&self, tag: u64, taken: Option<u64>, decision: &Decision, now: u64) {
        let mut bucket = self.bucket(tag);
        let Some(lease) = find(&mut bucket, tag) else {
            return;
        };
        lease.is_growing &= taken.is_none();
        let taken = taken.unwrap_or(0);
        // One that is not over keeps its end, so that nothing is held for longer than that.
        if taken > 0 && (lease.left == 0 || now >= lease.ends) {
            (lease.left, lease.granted) = (0, 0);
            lease.ends = now.saturating_add(self.terms.time);
        }
        let left = lease.left.saturating_add(taken).min(self.terms.batch);
        lease.granted = lease.granted.saturating_add(left - lease.left);
        lease.left = left;
        lease.remaining = decision.remaining().saturating_sub(taken);
        lease.resets = now.saturating_add(nanos(decision.reset_after()));
        lease.until = 0;
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
        lease.retries = retry.map(|retry| now.saturating_add(retry));
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

    fn allowance(&self, now: u64) -> Decision {
        let left = match now < self.ends {
            true => self.left,
            false => 0,
        };
        let remaining = self.remaining.saturating_add(left);
        Decision::allow(remaining, 1, self.resets.saturating_sub(now))
    }

    fn refusal(&self, now: u64) -> Decision {
        let reset = self.resets.saturating_sub(now);
        match self.retries {
            Some(retries) => {
                let retry = retries.max(self.until).saturating_sub(now);
                Decision::refuse(self.remaining, 1, reset, retry)
            }
            None => Decision::never(self.remaining, 1, reset),
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
        let is_idle = lease.left == 0 && now >= lease.until;
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
