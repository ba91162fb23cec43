//! Several limits at once: all of it is spent, or nothing.

use smallvec::SmallVec;

use super::{
    LocalStore,
    limiter::Limiter,
    stripe::{Held, Locked},
    table::Spot,
};
use crate::throttle::{
    decision::Decision,
    limiter::{Ask, Decisions, INLINE},
};

type Few<T> = SmallVec<[T; INLINE]>;

/// An ask, and what it is of.
struct Step<'a> {
    limiter: &'a Limiter,
    /// The limiter's place in the store, and the stripe: everybody locks in this order.
    order: (usize, usize),
    spot: Spot,
    ask: usize,
    lock: usize,
    held: Option<usize>,
}

pub(super) fn check_all(store: &LocalStore, asks: &[Ask<'_>], now: u64) -> Decisions {
    let mut decisions = Decisions(SmallVec::from_elem(Decision::never(0, 1, 0), asks.len()));
    let mut steps = steps(store, asks);
    let mut locks = lock(&mut steps);
    let mut held = hold(&mut steps, &mut locks, now);
    let mut is_allowed = steps.len() == asks.len();
    for step in &steps {
        let Some((lock, held)) = step.held.and_then(|at| held.get_mut(at)) else {
            continue;
        };
        locks[*lock].count(held);
        let cost = asks[step.ask].cost;
        let decision = if is_allowed {
            held.spend(step.limiter, cost)
        } else {
            held.peek(step.limiter, cost)
        };
        is_allowed &= decision.is_allowed();
        decisions.0[step.ask] = decision;
    }
    if !is_allowed {
        held.iter_mut().for_each(|(_, held)| held.undo());
        for step in &steps {
            let decision = &mut decisions.0[step.ask];
            if let Some(at) = step.held
                && decision.is_allowed()
            {
                *decision = held[at].1.peek(step.limiter, 0);
            }
        }
    }
    if is_allowed && held.iter().filter(|(_, held)| held.is_new()).count() > 1 {
        held.iter_mut().for_each(|(_, held)| held.keep());
    }
    for (lock, held) in held {
        locks[lock].release(held);
    }
    decisions
}

/// In the order of the locks, the same keys beside each other; without those whose policy has no place in the store.
fn steps<'a>(store: &'a LocalStore, asks: &[Ask<'_>]) -> Few<Step<'a>> {
    let mut steps: Few<_> = asks
        .iter()
        .enumerate()
        .filter_map(|(at, ask)| {
            let (order, limiter) = store.limiter(ask.policy)?;
            let spot = limiter.spot(store.hash(ask.key));
            Some(Step {
                limiter,
                order: (order, limiter.stripe(spot)),
                spot,
                ask: at,
                lock: 0,
                held: None,
            })
        })
        .collect();
    steps.sort_unstable_by_key(|step| (step.order, step.spot.tag, step.ask));
    steps
}

fn lock<'a>(steps: &mut [Step<'a>]) -> Few<Locked<'a>> {
    let mut locks = Few::new();
    let mut last = None;
    for step in steps {
        if last.replace(step.order) != Some(step.order) {
            locks.push(step.limiter.lock(step.order.1));
        }
        step.lock = locks.len() - 1;
    }
    locks
}

/// All states, each with the number of its lock. First those who have a place, so that it is not given to somebody who is new.
fn hold<'a>(steps: &mut [Step<'a>], locks: &mut [Locked<'a>], now: u64) -> Few<(usize, Held<'a>)> {
    let mut all = Few::new();
    for is_new in [false, true] {
        let mut last: Option<(usize, u64, Option<usize>)> = None;
        let mut overflow: Option<(usize, usize)> = None;
        for step in steps.iter_mut().filter(|step| step.held.is_none()) {
            let (lock, tag) = (step.lock, step.spot.tag);
            if let Some((of, its, at)) = last
                && (of, its) == (lock, tag)
            {
                step.held = at;
                continue;
            }
            let held = if is_new {
                Some(locks[lock].hold(step.spot, now))
            } else {
                locks[lock].hold_known(step.spot, now)
            };
            step.held = match (held, overflow) {
                (None, _) => None,
                (Some(held), Some((of, at))) if held.is_overflow() && of == lock => Some(at),
                (Some(held), _) => {
                    if held.is_overflow() {
                        overflow = Some((lock, all.len()));
                    }
                    all.push((lock, held));
                    Some(all.len() - 1)
                }
            };
            last = Some((lock, tag, step.held));
        }
    }
    all
}
