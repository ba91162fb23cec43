//! What is charged when it is known what came of a request.

use std::{
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Waker},
};

use http::response;
use smallvec::SmallVec;
use tokio::runtime::Handle;

use super::{Asked, Shared};
use crate::throttle::{
    limiter::{Ask, INLINE, Waiting},
    log,
};

/// By what is charged when the answer is there; or, when this is dropped, without one.
pub(super) struct Charged {
    shared: Arc<Shared>,
    asked: Asked,
    /// The limiter knows nothing of it.
    by_substitute: bool,
}

/// How many charges are waited for at once; what is beyond is dropped.
const MOST_WAITING: usize = 1_024;

impl Charged {
    pub(super) fn new(shared: &Arc<Shared>, asked: Asked, by_substitute: bool) -> Self {
        Self {
            shared: shared.clone(),
            asked,
            by_substitute,
        }
    }

    /// With this answer.
    pub(super) fn answered(mut self, head: &response::Parts) {
        let asked = mem::take(&mut self.asked);
        self.shared.charge(&asked, self.by_substitute, Some(head));
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.shared.charge(&self.asked, self.by_substitute, None);
    }
}

impl Shared {
    fn charge(
        self: &Arc<Self>,
        asked: &Asked,
        by_substitute: bool,
        answer: Option<&response::Parts>,
    ) {
        let (mut asks, mut places) = (Vec::new(), SmallVec::<[_; INLINE]>::new());
        for one in asked {
            let Some(charge) = &self.settings.rules[one.rule].charge else {
                continue;
            };
            let cost = charge(answer);
            if cost == 0 {
                continue;
            }
            let ask = Ask {
                cost,
                ..one.ask(self)
            };
            match by_substitute {
                true => self.substitute.charge(one.policy, ask),
                false => {
                    asks.push(Waiting::new(ask));
                    places.push(one.policy);
                }
            }
        }
        if asks.is_empty() {
            return;
        }
        let asks: Arc<[Waiting]> = asks.into();
        let (shared, charging) = (self.clone(), self.settings.limiter.charge(asks.clone()));
        let mut charge = Box::pin(async move {
            if let Err(error) = charging.await {
                shared.counts.failures.fetch_add(1, Relaxed);
                shared.now_failing(Some(&error));
                for (place, one) in places.into_iter().zip(&*asks) {
                    shared.substitute.charge(place, one.ask());
                }
            }
        });
        // Nobody waits for it, and mostly there is nothing to wait for.
        let mut context = Context::from_waker(Waker::noop());
        if charge.as_mut().poll(&mut context).is_ready() {
            return;
        }
        match (Handle::try_current(), Room::take(self)) {
            (Ok(runtime), Some(room)) => {
                runtime.spawn(async move {
                    charge.await;
                    drop(room);
                });
            }
            _ => {
                self.counts.charges_dropped.fetch_add(1, Relaxed);
                log::dropping(&self.dropping);
            }
        }
    }
}

/// To wait for one charge.
struct Room(Arc<Shared>);

impl Room {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let more = |waiting: usize| (waiting < MOST_WAITING).then_some(waiting + 1);
        let taken = shared.waiting.fetch_update(Relaxed, Relaxed, more);
        taken.is_ok().then(|| Self(shared.clone()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
