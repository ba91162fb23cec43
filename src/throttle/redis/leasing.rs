//! Requests that are answered from leases, and those that take them.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Instant,
};

use smallvec::SmallVec;
use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    RedisLimiter, calls,
    figures::add,
    lease::{From, Leases, Word},
};
use crate::{
    clock,
    error::BoxError,
    throttle::{
        decision::Decision,
        limiter::{Ask, Decisions, INLINE},
    },
};

/// Leases, and what finds them.
pub(super) struct Table {
    pub(super) leases: Leases,
    /// Nobody can choose keys that share one.
    pub(super) hashes: RandomState,
    pub(super) epoch: Instant,
    /// Of those that are taken ahead at one time.
    pub(super) ahead: Arc<Semaphore>,
}

/// More keys wait until they need it.
pub(super) const MOST_AHEAD: usize = 64;

/// What was spent here for a request that is not decided yet, and what it is taking: undone unless it is kept.
struct Taking<'a> {
    table: &'a Table,
    spent: SmallVec<[(u64, From); INLINE]>,
    /// The places of those of which little is left.
    low: SmallVec<[usize; INLINE]>,
    growing: SmallVec<[u64; INLINE]>,
}

/// What is taken ahead for a key, until something comes of it.
struct Ahead {
    table: Arc<Table>,
    tag: u64,
    is_open: bool,
}

/// What can be said here.
enum Here {
    Decided(Decisions),
    /// What was spent here, each in its place; Redis has to be asked for the others.
    Open(SmallVec<[Option<Decision>; INLINE]>),
}

impl Table {
    /// Spends what is here; `is_hasty`, only if all of it is.
    fn here(&self, asks: &[Ask<'_>], taking: &mut Taking<'_>, is_hasty: bool) -> Here {
        let now = self.now();
        let mut said = SmallVec::new();
        for (index, ask) in asks.iter().enumerate() {
            let tag = self.tag(ask);
            match self.leases.spend(tag, ask.cost, now) {
                Word::Spent(spent) => {
                    taking.spent.push((tag, spent.from));
                    if spent.is_low {
                        taking.low.push(index);
                    }
                    said.push(Some(spent.decision));
                }
                Word::Refused(decision) => {
                    taking.undo();
                    // What has refused may be forgotten by now, and nothing is spent: it has to stay refused.
                    let decide = |(other, ask)| match other == index {
                        true => decision,
                        false => self.peek(ask, now),
                    };
                    return Here::Decided(asks.iter().enumerate().map(decide).collect());
                }
                Word::Unknown => said.push(None),
            }
        }
        if said.iter().all(Option::is_some) {
            taking.spent.clear();
            return Here::Decided(said.into_iter().flatten().collect());
        }
        if is_hasty {
            taking.undo();
        }
        Here::Open(said)
    }

    fn peek(&self, ask: &Ask<'_>, now: u64) -> Decision {
        let quota = ask.policy.quota();
        self.leases.peek(self.tag(ask), ask.cost, quota, now)
    }

    fn taking(&self) -> Taking<'_> {
        Taking {
            table: self,
            spent: SmallVec::new(),
            low: SmallVec::new(),
            growing: SmallVec::new(),
        }
    }

    fn tag(&self, ask: &Ask<'_>) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        hasher.write_u64(ask.policy.id());
        hasher.write(ask.key);
        hasher.finish()
    }

    fn now(&self) -> u64 {
        let since = clock::now().saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl RedisLimiter {
    pub(super) fn acquire_here(&self, table: &Arc<Table>, asks: &[Ask<'_>]) -> Option<Decisions> {
        let mut taking = table.taking();
        match table.here(asks, &mut taking, true) {
            Here::Decided(decisions) => {
                add(&self.counters.leased, 1);
                self.take_ahead(table, asks, &taking);
                Some(decisions)
            }
            Here::Open(_) => None,
        }
    }

    pub(super) async fn acquire_leased(
        &self,
        table: &Arc<Table>,
        asks: &[Ask<'_>],
    ) -> Result<Decisions, BoxError> {
        let mut taking = table.taking();
        let said = match table.here(asks, &mut taking, false) {
            Here::Decided(decisions) => {
                add(&self.counters.leased, 1);
                self.take_ahead(table, asks, &taking);
                return Ok(decisions);
            }
            Here::Open(said) => said,
        };
        let open = asks.iter().zip(&said).filter(|(_, said)| said.is_none());
        let asked: SmallVec<[_; INLINE]> = open.map(|(ask, _)| *ask).collect();
        let Some(mut questions) = self.questions(&asked) else {
            return Ok(calls::never(asks));
        };
        let begun = table.now();
        let mut mores: SmallVec<[_; INLINE]> = SmallVec::new();
        for (ask, question) in asked.iter().zip(&mut questions) {
            let tag = table.tag(ask);
            let more = table.leases.begin(tag, begun);
            if let Some(more) = more {
                taking.growing.push(tag);
                question.more = more.min(question.limit.most_cost());
            }
            mores.push(more);
        }
        let spent = self.spend(questions).await?;
        let (now, is_allowed) = (table.now(), spent.decisions.is_allowed());
        let mut decided = spent.decisions.as_slice().iter();
        let told = asked.iter().zip(&mores).zip(&spent.taken);
        for (((ask, more), taken), decision) in told.zip(decided.clone()) {
            let tag = table.tag(ask);
            if decision.is_allowed() {
                if *taken > 0 {
                    add(&self.counters.refills, 1);
                }
                // Where another one has refused, this may be what is left without the cost.
                table.leases.end(tag, more.map(|_| *taken), decision, now);
            } else {
                let window = u64::try_from(ask.policy.window().as_nanos()).unwrap_or(u64::MAX);
                let leases = &table.leases;
                leases.refuse(tag, ask.cost, decision, window, now);
                if more.is_some() {
                    leases.abandon(tag);
                }
            }
        }
        taking.growing.clear();
        if is_allowed {
            taking.spent.clear();
            self.take_ahead(table, asks, &taking);
        }
        drop(taking);
        let decide = |(ask, said)| match said {
            None => decided.next().copied(),
            // Others may have been refused meanwhile: what was spent stays allowed.
            Some(decision) if is_allowed => Some(decision),
            Some(_) => Some(table.peek(ask, now)),
        };
        Ok(asks.iter().zip(said).filter_map(decide).collect())
    }
}

impl RedisLimiter {
    /// Takes more for those of which little is left, before somebody has to wait for it.
    fn take_ahead(&self, table: &Arc<Table>, asks: &[Ask<'_>], taking: &Taking<'_>) {
        for index in &taking.low {
            self.take_one_ahead(table, &asks[*index]);
        }
    }

    fn take_one_ahead(&self, table: &Arc<Table>, ask: &Ask<'_>) {
        let (Ok(runtime), Ok(place)) = (
            Handle::try_current(),
            table.ahead.clone().try_acquire_owned(),
        ) else {
            return;
        };
        let Some(mut question) = self.question(&Ask { cost: 0, ..*ask }) else {
            return;
        };
        let tag = table.tag(ask);
        let Some(more) = table.leases.begin_ahead(tag, table.now()) else {
            return;
        };
        let mut ahead = Ahead {
            table: table.clone(),
            tag,
            is_open: true,
        };
        question.more = more.min(question.limit.most_cost());
        let limiter = self.clone();
        runtime.spawn(async move {
            let _place = place;
            let Ok(spent) = limiter.spend(vec![question]).await else {
                return;
            };
            let taken = spent.taken.iter().sum();
            // Refused, there is a debt: what is here can be spent all the same.
            if let ([decision], true) = (spent.decisions.as_slice(), spent.decisions.is_allowed()) {
                if taken > 0 {
                    add(&limiter.counters.refills, 1);
                }
                ahead.is_open = false;
                let (table, now) = (&ahead.table, ahead.table.now());
                table.leases.end_ahead(tag, Some((taken, decision)), now);
            }
        });
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if self.is_open {
            let table = &self.table;
            table.leases.end_ahead(self.tag, None, table.now());
        }
    }
}

impl Taking<'_> {
    fn undo(&mut self) {
        let leases = &self.table.leases;
        for (tag, from) in self.spent.drain(..) {
            leases.restore(tag, from, self.table.now());
        }
        self.low.clear();
        for tag in self.growing.drain(..) {
            leases.abandon(tag);
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.undo();
    }
}
