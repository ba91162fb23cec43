//! The shared store: what each key has spent, in Redis.

mod calls;
mod figures;
mod lease;
mod leasing;
mod limit;
mod rate;
mod script;
#[cfg(test)]
mod tests;

use std::{fmt, hash::RandomState, sync::Arc, time::Duration};

pub use figures::RedisFigures;
use tokio::sync::Semaphore;

use self::{
    figures::Counters,
    lease::{Leases, Terms},
    leasing::{MOST_AHEAD, Table},
    limit::Shared,
};
use super::{
    limiter::{Ask, Decisions, RateLimiter},
    policy::Policy,
    store::LocalStore,
};
use crate::{clock, error::BoxError, redis::Redis};

/// Keeps what each key has spent in Redis or Valkey (from version 5 on), so that any number of gateways share each limit exactly. Clones share all of
/// it; of several limiters, those that have the same Redis and the same [`key_prefix`](Redis::key_prefix) share what is spent.
///
/// ```
/// use std::time::Duration;
/// use tower_gateway::{redis::Redis, throttle::RedisLimiter};
///
/// let redis = Redis::new("redis://redis.internal").key_prefix("shop:");
/// let limiter = RedisLimiter::new(redis.clone()).timeout(Duration::from_millis(10));
/// // For logs: connected, connecting or down, and why.
/// let status = redis.status();
/// # let _ = (limiter, status);
/// ```
///
/// All that a request asks for is asked in one round trip, over the one connection that many requests use at once. A script decides, by
/// the clock of Redis: all of it is spent, or nothing. A call takes [`timeout`](Self::timeout) at most, with connecting, and fails at once while Redis is known
/// to be away (see [`Redis`]); what happens then is for who asks to say.
///
/// # Exactness
///
/// A rate is decided in exact fractions of the microseconds of Redis's clock, a sliding window in segments of whole microseconds: as
/// [`LocalStore`](super::LocalStore) does in nanoseconds. Some rates of more than a million a second have a burst that can not be counted so: they
/// are among the mistakes. A debt is a burst at most. A policy that is wrong allows nothing.
///
/// When Redis loses its data, or fails over to a replica that has not heard of the last writes, what they spent can be spent again. So can what it evicts
/// when memory is short: with the `maxmemory-policy` `noeviction` calls fail instead, as if Redis were away. When its clock is set back, what was
/// spent before stays spent from then on: for as long as the policy has it, and no longer.
///
/// Nobody else should write to its keys. What is there and is not what this limiter writes (another type, text, numbers out of range) counts as if all
/// was just spent, and what is of a time to come as of now; both are written anew when they are found. So neither is an error for ever, and neither
/// gives more than the policy does or locks a client out for longer. Only a debt, from a [charge](RateLimiter::charge), lasts as long as it takes to pay.
///
/// # What is kept
///
/// A key for each client and policy, which goes by itself when everything has come back. Its name is the prefix, `{throttle}:`, the policy's name and
/// settings, and the first half of the SHA-256 of the client's key: of fixed length, and telling nothing of a secret that nobody can guess.
///
/// In a cluster all of it is in one slot, so on one node, because a request may ask for any keys together. See [`spread_keys`](Self::spread_keys).
///
/// A user of Redis with few rights needs `PING`, `EVAL`, `EVALSHA`, `GET`, `SET`, `DEL` and `TIME`, in a database that is not 0 `SELECT`, and in a cluster
/// `CLUSTER SLOTS` and `ASKING`.
///
/// | setting | default |
/// |---|---|
/// | [`timeout`](Self::timeout) | 5 ms |
/// | [`spread_keys`](Self::spread_keys) | no |
/// | [`lease`](Self::lease) | none |
/// | [`lease_time`](Self::lease_time) | 1 s |
/// | [`lease_keys`](Self::lease_keys) | 16,384 |
#[derive(Clone)]
pub struct RedisLimiter {
    redis: Redis,
    spread: bool,
    /// The batch; none: there are no leases.
    batch: Option<u64>,
    lease_time: Duration,
    lease_keys: usize,
    table: Option<Arc<Table>>,
    counters: Arc<Counters>,
    /// What decides while Redis can not.
    fallback: LocalStore,
}

const TIMEOUT: Duration = Duration::from_millis(5);
const LEASE_TIME: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_secs(3_600);
const LEASE_KEYS: usize = 16_384;
/// About 540 MB.
const MOST_LEASE_KEYS: usize = 1 << 22;

impl RedisLimiter {
    /// What is spent is in this Redis, whose other settings and connection it shares.
    pub fn new(redis: Redis) -> Self {
        Self {
            redis: redis.timeout(TIMEOUT),
            spread: false,
            batch: None,
            lease_time: LEASE_TIME,
            lease_keys: LEASE_KEYS,
            table: None,
            counters: Arc::default(),
            fallback: LocalStore::new(),
        }
    }

    /// The longest time that a call takes, with connecting if it has to be.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.redis = self.redis.timeout(time);
        self
    }

    /// Spreads the keys over the nodes of a cluster. What a request asks for one key is still decided in one call; different
    /// keys are asked for at the same time in a call each, and when one of them is refused, what the others have spent is given back. So never
    /// is more let through, but for a moment a request may be refused because of another one that is refused; and if giving back fails, or
    /// who waits goes away, it stays spent.
    ///
    /// All gateways have to do the same: the keys have other names.
    pub fn spread_keys(mut self) -> Self {
        self.spread = true;
        self
    }

    /// Takes quota from Redis ahead, up to `batch` for a key and policy, so that most requests are answered here: for rates at
    /// which a round trip for each request is too much. At least 1.
    ///
    /// The first request of a key takes what it costs; if more follow within [`lease_time`](Self::lease_time), they take 1 more, then 2, 4 and so on up to
    /// `batch`, and never more than half of what is left. When half of that is spent, the next is taken in the background, so that seldom somebody waits
    /// for it: once at a time for a key, and for 64 keys at a time. While that is under way, a request that finds nothing takes the rest of the batch, and others ask for themselves. What is unspent
    /// after the lease time is lost; what a request gives back, because something else refuses it, is over when it would have been, and lost where a whole
    /// batch is there again.
    ///
    /// What was refused is remembered until it would be allowed, but not for less than a hundredth of the lease time (or half of the time in which all of
    /// the quota comes back, if that is shorter), and not for longer than the lease time. So a flood of refused requests asks Redis seldom, and a request that comes just
    /// when it would be allowed may be refused for up to 10 ms more by default; its `Retry-After` says so.
    ///
    /// # How exact it is
    ///
    /// Everything is taken from Redis before it is spent. So with `n` gateways, in any span,
    /// no more is let through than the policy allows in it, and what was leased when it began: `n` × `batch`
    /// at most, and no more than the policy allows in the lease time before. On the other side, what is held by others or lost may be missing: a request may be refused although
    /// (`n` - 1) × `batch` is unspent elsewhere, and in each lease time up to `n` × `batch` is lost for a key whose requests stop or
    /// become fewer. A [charge](RateLimiter::charge) takes nothing from leases. `remaining` is as of the last answer of Redis.
    pub fn lease(mut self, batch: u64) -> Self {
        self.batch = Some(batch);
        self.with_table()
    }

    /// How long a [lease](Self::lease) lasts: up to an hour.
    pub fn lease_time(mut self, time: Duration) -> Self {
        self.lease_time = time;
        self.with_table()
    }

    /// How many leases and refusals are remembered, 128 bytes each, for all policies together: 1 to 2^22, and what is beyond counts as the nearest of these. When there are too
    /// many, the least useful one of four gives its place, and what it held is lost.
    pub fn lease_keys(mut self, keys: usize) -> Self {
        self.lease_keys = keys.clamp(1, MOST_LEASE_KEYS);
        self.with_table()
    }

    /// What it has done until now.
    pub fn figures(&self) -> RedisFigures {
        self.counters.figures()
    }

    fn with_table(mut self) -> Self {
        let nanos = self.lease_time.min(LONGEST_LEASE).as_nanos();
        let terms = |batch| Terms {
            batch,
            time: u64::try_from(nanos).unwrap_or(u64::MAX),
        };
        self.table = self.batch.map(|batch| {
            Arc::new(Table {
                leases: Leases::new(terms(batch), self.lease_keys),
                hashes: RandomState::new(),
                epoch: clock::now(),
                ahead: Arc::new(Semaphore::new(MOST_AHEAD)),
            })
        });
        self
    }
}

impl RateLimiter for RedisLimiter {
    fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions> {
        let table = self.table.as_ref()?;
        self.acquire_here(table, asks)
    }

    async fn acquire(&self, asks: &[Ask<'_>]) -> Result<Decisions, BoxError> {
        match &self.table {
            Some(table) => self.acquire_leased(table, asks).await,
            None => {
                let Some(questions) = self.questions(asks) else {
                    return Ok(calls::never(asks));
                };
                Ok(self.spend(questions).await?.decisions)
            }
        }
    }

    async fn charge(&self, asks: &[Ask<'_>]) -> Result<(), BoxError> {
        Ok(self.charge_all(asks).await?)
    }

    fn mistakes(&self, policies: &[Policy]) -> Vec<String> {
        let mut mistakes = self.redis.mistakes();
        let prefix = self.redis.prefix();
        // It would be an empty hash tag, which says that there is none.
        if prefix.contains("{}") {
            mistakes.push(format!("redis: key_prefix {prefix:?} has `{{}}` in it"));
        }
        if self.batch == Some(0) {
            mistakes.push("throttle lease: batch 0 is not at least 1".to_owned());
        }
        if self.lease_time.is_zero() || self.lease_time > LONGEST_LEASE {
            let time = self.lease_time;
            mistakes.push(format!(
                "throttle lease: lease_time {time:?} is not more than 0 and at most 1 h"
            ));
        }
        let is_right = |policy: &&Policy| policy.limit().is_ok();
        let unfit = |policy: &Policy| Shared::new(policy).err();
        mistakes.extend(policies.iter().filter(is_right).filter_map(unfit));
        mistakes
    }

    fn fallback(&self) -> Option<LocalStore> {
        Some(self.fallback.clone())
    }
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiter")
            .field("redis", &self.redis)
            .field("spread_keys", &self.spread)
            .field("lease", &self.batch)
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}
