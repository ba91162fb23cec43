//! The endpoints of an upstream: which there are, which of them may be chosen now, and the choice.

mod members;
mod view;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use members::Member;
use view::{Sight, View};

use super::{
    Affinity, HealthCheck, OutlierEjection,
    balance::{Ask, Balance, Policy},
    discover::{self, AnyDiscover},
    endpoint::{Factory, LiveEndpoint},
};
use crate::{
    background::Background,
    client::InFlight,
    clock,
    error::{Error, ErrorKind},
    random,
};

/// How endpoints are chosen, and when they are left out.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) balance: Balance,
    pub(crate) slow_start: Option<Duration>,
    pub(crate) ejection: Option<OutlierEjection>,
    /// When none is healthy, all are used.
    pub(crate) panic: bool,
    pub(crate) affinity: Option<Affinity>,
    /// The most requests at an endpoint.
    pub(crate) max_requests: usize,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            slow_start: None,
            ejection: None,
            panic: true,
            affinity: None,
            max_requests: usize::MAX,
        }
    }
}

/// How a request fared at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Bad,
}

/// The endpoints of an upstream. A pick takes no lock: it reads a snapshot, which is made anew when something changes.
pub(crate) struct Endpoints {
    choice: Choice,
    pub(super) factory: Factory,
    base: Instant,
    members: Mutex<Vec<Member>>,
    view: ArcSwap<View>,
    turn: AtomicUsize,
    /// Told when an endpoint has come or gone.
    pub(super) changed: Arc<Notify>,
    check: Option<HealthCheck>,
    probes: Background,
    source: Option<Arc<dyn AnyDiscover>>,
    discovery: Background,
    /// Somebody was asked where the endpoints are; said twice, for those who wait and for those who only look.
    asked: watch::Sender<bool>,
    was_asked: AtomicBool,
}

/// What a request asks of a pick.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    /// The client's cookie: it belongs to the endpoint with this token.
    pub(crate) token: Option<&'a [u8]>,
    /// By its hash.
    pub(crate) key: Option<u64>,
    /// By their ids: none of these, if there is another.
    pub(crate) tried: &'a [u64],
}

/// A place for a request.
pub(crate) struct Taken {
    pub(crate) endpoint: Arc<LiveEndpoint>,
    pub(crate) in_flight: InFlight,
    pub(crate) has_others: bool,
}

impl Endpoints {
    /// With no endpoints yet.
    pub(crate) fn new(
        factory: Factory,
        choice: Choice,
        check: Option<HealthCheck>,
        source: Option<Arc<dyn AnyDiscover>>,
    ) -> Self {
        let none = View::empty(&choice.balance.0);
        Self {
            factory,
            choice,
            base: clock::now(),
            members: Mutex::default(),
            view: ArcSwap::from_pointee(none),
            turn: AtomicUsize::new(0),
            changed: Arc::default(),
            check,
            probes: Background::default(),
            asked: watch::Sender::new(false),
            was_asked: AtomicBool::new(source.is_none()),
            source,
            discovery: Background::default(),
        }
    }

    /// Starts what goes on beside the requests, unless it runs already.
    pub(crate) fn attend(self: &Arc<Self>) {
        if let Some(check) = &self.check {
            let all = Arc::downgrade(self);
            self.probes.ensure(|| check.clone().run(all));
        }
        if let Some(source) = &self.source {
            let all = Arc::downgrade(self);
            self.discovery.ensure(|| discover::run(source.clone(), all));
        }
    }

    /// Somebody was asked where the endpoints are, and perhaps failed to say.
    pub(super) fn found(&self, failure: Option<String>) {
        #[cfg(feature = "tracing")]
        if let Some(failure) = &failure {
            tracing::warn!(target: "tower_gateway::discovery", error = failure, "no endpoints were found");
        }
        #[cfg(not(feature = "tracing"))]
        let _ = failure;
        self.was_asked.store(true, Ordering::Release);
        self.asked.send_replace(true);
    }

    /// Whether a request has to wait, since nobody has been asked yet where the endpoints are.
    pub(crate) fn is_unknown(&self) -> bool {
        !self.was_asked.load(Ordering::Acquire)
    }

    /// Waits until somebody was asked.
    pub(crate) async fn known(&self) {
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }

    /// An endpoint for a request, which counts there from now on; and whether there are others.
    pub(crate) fn take(&self, wish: &Wish<'_>) -> Result<Taken, Error> {
        let most = self.choice.max_requests;
        loop {
            let (endpoint, has_others) = self.pick(wish).ok_or(ErrorKind::NoEndpoint)?;
            if let Some(in_flight) = endpoint.client.clone().enter(most) {
                return Ok(Taken {
                    endpoint,
                    in_flight,
                    has_others,
                });
            }
            // Either all are full, or somebody else was quicker and has got on.
            let view = self.view.load();
            if !view.endpoints.iter().any(|(live, _)| live.has_room(most)) {
                return Err(Error::new(ErrorKind::Saturated)
                    .with_source(format!("each endpoint has {most} requests")));
            }
        }
    }

    /// An endpoint for a request; and whether there are others.
    pub(super) fn pick(&self, wish: &Wish<'_>) -> Option<(Arc<LiveEndpoint>, bool)> {
        let mut view = self.view.load();
        let mut now = None;
        if let Some(returns) = view.returns {
            let time = *now.insert(clock::now());
            if time >= returns {
                drop(view);
                // Who has the lock is doing the same.
                if let Ok(mut members) = self.members.try_lock() {
                    self.publish(&mut members, time);
                }
                view = self.view.load();
            }
        }
        if let [(only, _)] = &*view.endpoints {
            return Some((only.clone(), false));
        }
        if let Some(token) = wish.token {
            let is_it = |live: &LiveEndpoint| live.token.as_bytes() == token;
            let mut all = view.endpoints.iter();
            if let Some((live, _)) = all.find(|(live, _)| is_it(live))
                && !wish.tried.contains(&live.id)
                && live.has_room(self.choice.max_requests)
            {
                return Some((live.clone(), true));
            }
        }
        let mut time = || *now.get_or_insert_with(clock::now);
        let growing = match (view.grows, self.choice.slow_start) {
            (Some(until), Some(ramp)) if time() < until => Some((time(), ramp)),
            _ => None,
        };
        let sight = Sight {
            view: &view,
            growing,
            latency: self.decay().map(|decay| (time(), decay)),
            base: self.base,
            most: self.choice.max_requests,
        };
        let ask = Ask {
            random: random::next_u64(),
            turn: match self.choice.balance.0 {
                Policy::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            },
            key: wish.key,
            skip: &|at| wish.tried.contains(&view.endpoints[at].0.id),
        };
        let at = view.picker.pick(&sight, &ask)?;
        let (live, _) = view.endpoints.get(at)?;
        Some((live.clone(), true))
    }

    pub(crate) fn affinity(&self) -> Option<&Affinity> {
        self.choice.affinity.as_ref()
    }

    /// What of a request decides where it goes.
    pub(crate) fn key(&self) -> Option<&crate::StickyKey> {
        match &self.choice.balance.0 {
            Policy::Hash { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Whether anybody wants to know how requests fare.
    pub(crate) fn keeps_score(&self) -> bool {
        self.choice.ejection.is_some() || self.decay().is_some()
    }

    /// Enters how long an answer's head took; `None`: there was none, or a bad one.
    pub(crate) fn enter_head(&self, live: &LiveEndpoint, took: Option<Duration>) {
        if let Some(decay) = self.decay() {
            live.latency.enter(took, decay, clock::now());
        }
    }

    /// Enters how a request fared.
    pub(crate) fn enter(&self, live: &LiveEndpoint, outcome: Outcome) {
        if let Some(settings) = &self.choice.ejection {
            let now = clock::now();
            if live.tally.enter(outcome == Outcome::Bad, settings, now) && self.may_eject(now) {
                self.eject(live, settings, now);
            }
        }
    }

    /// Whether it is worth to take the lock: when all fail, every request comes by here.
    fn may_eject(&self, now: Instant) -> bool {
        let view = self.view.load();
        view.may_eject || view.returns.is_some_and(|returns| returns <= now)
    }

    fn decay(&self) -> Option<Duration> {
        match self.choice.balance.0 {
            Policy::PeakEwma { decay } => Some(decay),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
