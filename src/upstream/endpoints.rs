//! The endpoints of an upstream: which there are, which of them may be chosen now, and the choice.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::{
    Affinity, Endpoint, HealthCheck, OutlierEjection,
    balance::{Ask, Balance, FULL, Field, Picker, Policy, Seen},
    discover::{self, AnyDiscover},
    endpoint::{EndpointStatus, Factory, Health, LiveEndpoint},
    outlier::Ejection,
};
use crate::{
    background::Background,
    client::InFlight,
    clock,
    error::{Error, ErrorKind},
    random,
};

/// A new endpoint gets at least this part of its share, out of [`FULL`], or it would never show what it can.
const LEAST: u32 = FULL / 10;

/// For what has no end.
const FAR: Duration = Duration::from_secs(86_400 * 365);

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
    /// Told when there are endpoints that were not there before.
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
    pub(crate) key: Option<&'a [u8]>,
    /// By their ids: none of these, if there is another.
    pub(crate) tried: &'a [u64],
}

/// A place for a request.
pub(crate) struct Taken {
    pub(crate) endpoint: Arc<LiveEndpoint>,
    pub(crate) in_flight: InFlight,
    pub(crate) has_others: bool,
}

/// One that there is, chosen or not.
struct Member {
    live: Arc<LiveEndpoint>,
    weight: u32,
    ejection: Ejection,
    is_in: bool,
}

/// Those that may be chosen.
struct View {
    endpoints: Box<[(Arc<LiveEndpoint>, u32)]>,
    picker: Picker,
    /// When the first of the ejected ones comes back.
    returns: Option<Instant>,
    /// Until when a new one grows.
    grows: Option<Instant>,
}

/// A view at a moment, as a picker sees it.
struct Sight<'a> {
    view: &'a View,
    growing: Option<(Instant, Duration)>,
    latency: Option<(Instant, Duration)>,
    base: Instant,
    /// The most requests at an endpoint.
    most: usize,
}

impl Endpoints {
    /// With no endpoints yet.
    pub(crate) fn new(
        factory: Factory,
        choice: Choice,
        check: Option<HealthCheck>,
        source: Option<Arc<dyn AnyDiscover>>,
    ) -> Self {
        let none = View {
            endpoints: Box::default(),
            picker: Picker::new(&choice.balance.0, [].into_iter()),
            returns: None,
            grows: None,
        };
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

    /// Replaces the endpoints. One that was there before keeps its connections and all that is known of it; one that is not
    /// there any more gets no new requests. With a mistake nothing is changed.
    pub(crate) fn set(&self, wanted: &[Endpoint]) -> Result<(), Vec<String>> {
        let now = clock::now();
        let mut members = self.lock();
        let (mut next, mut mistakes) = (Vec::<Member>::new(), Vec::new());
        for endpoint in wanted {
            let address = match endpoint.address() {
                Ok(address) => address,
                Err(mistake) => {
                    mistakes.push(mistake);
                    continue;
                }
            };
            if next.iter().any(|member| member.live.address == address) {
                mistakes.push(format!(
                    "endpoint `{address}` is there twice; give it a weight"
                ));
                continue;
            }
            let known = members.iter().find(|member| member.live.address == address);
            let made = match known {
                Some(member) => Ok(Member {
                    live: member.live.clone(),
                    ..*member
                }),
                None => {
                    let affinity = self.choice.affinity.as_ref();
                    let live = LiveEndpoint::new(&self.factory, affinity, address, now);
                    live.map(|live| Member {
                        live: Arc::new(live),
                        weight: 0,
                        ejection: Ejection::default(),
                        is_in: false,
                    })
                }
            };
            match made {
                Ok(member) => next.push(Member {
                    weight: endpoint.share(),
                    ..member
                }),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let is_known = |new: &Member| members.iter().any(|old| old.live.id == new.live.id);
        let has_new = !next.iter().all(is_known);
        *members = next;
        self.publish(&mut members, now);
        if has_new {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// All that there are.
    pub(crate) fn all(&self) -> Vec<Arc<LiveEndpoint>> {
        self.lock()
            .iter()
            .map(|member| member.live.clone())
            .collect()
    }

    /// How they are.
    pub(crate) fn status(&self) -> Vec<EndpointStatus> {
        let now = clock::now();
        let members = self.lock();
        let status = |member: &Member| {
            let live = &member.live;
            EndpointStatus {
                url: live.label.to_string(),
                weight: member.weight,
                in_flight: live.client.in_flight(),
                is_unreached: live.client.is_unreached(),
                is_healthy: match live.health() {
                    Health::Unknown => None,
                    health => Some(health == Health::Healthy),
                },
                is_ejected: member.ejection.end(now).is_some(),
                ejections: member.ejection.total(),
            }
        };
        members.iter().map(status).collect()
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
            if live.tally.enter(outcome == Outcome::Bad, settings, now) {
                self.eject(live, settings, now);
            }
        }
    }

    fn eject(&self, live: &LiveEndpoint, settings: &OutlierEjection, now: Instant) {
        let mut members = self.lock();
        // One without weight takes no part of what an ejected one leaves.
        let weighty = members.iter().filter(|member| member.weight > 0);
        let out = weighty
            .clone()
            .filter(|member| member.ejection.end(now).is_some());
        let room = settings.most_of(weighty.count()) > out.count();
        let found = members.iter_mut().find(|member| member.live.id == live.id);
        if let Some(member) = found
            && member.ejection.end(now).is_none()
            && room
        {
            member.ejection.begin(settings, now);
            live.tally.clear();
            self.publish(&mut members, now);
        }
    }

    /// A probe has found something.
    pub(super) fn set_health(&self, live: &LiveEndpoint, health: Health) {
        if live.set_health(health) {
            self.publish(&mut self.lock(), clock::now());
        }
    }

    /// Makes the snapshot anew.
    fn publish(&self, members: &mut [Member], now: Instant) {
        let since = now.saturating_duration_since(self.base);
        // At the beginning all are new, and none has to wait for the others.
        let is_first = members.iter().all(|member| !member.is_in);
        let (mut returns, mut grows) = (None::<Instant>, None::<Instant>);
        for member in members.iter_mut() {
            let end = member.ejection.end(now);
            returns = [returns, end].into_iter().flatten().min();
            let is_in =
                member.weight > 0 && end.is_none() && member.live.health() != Health::Unhealthy;
            if is_in && !member.is_in {
                member.live.tally.clear();
                member.live.join((!is_first).then_some(since));
                if let (Some(ramp), false) = (self.choice.slow_start, is_first) {
                    grows = grows.max(Some(now.checked_add(ramp).unwrap_or(now + FAR)));
                }
            }
            member.is_in = is_in;
        }
        let old = self.view.load();
        let none = !members.iter().any(|member| member.is_in);
        let endpoints: Box<[_]> = members
            .iter()
            .filter(|member| member.is_in || none && self.choice.panic && member.weight > 0)
            .map(|member| (member.live.clone(), member.weight))
            .collect();
        let named = endpoints
            .iter()
            .map(|(live, weight)| (&*live.label, *weight));
        let picker = Picker::new(&self.choice.balance.0, named);
        self.view.store(Arc::new(View {
            picker,
            endpoints,
            returns,
            grows: grows.max(old.grows),
        }));
    }

    fn decay(&self) -> Option<Duration> {
        match self.choice.balance.0 {
            Policy::PeakEwma { decay } => Some(decay),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Field for Sight<'_> {
    fn count(&self) -> usize {
        self.view.endpoints.len()
    }

    fn seen(&self, at: usize) -> Seen {
        let (live, weight) = &self.view.endpoints[at];
        let mut seen = live.seen(*weight, self.most);
        if let (Some((now, ramp)), Some(joined)) = (self.growing, live.joined()) {
            let since = now.saturating_duration_since(self.base);
            let age = since.saturating_sub(joined);
            let part = age.as_secs_f64() / ramp.as_secs_f64() * f64::from(FULL);
            seen.ramp = (part as u32).clamp(LEAST, FULL);
        }
        if let Some((now, decay)) = self.latency {
            seen.latency = live.latency.expected(decay, now);
        }
        seen
    }

    fn url(&self, at: usize) -> &str {
        &self.view.endpoints[at].0.label
    }
}

#[cfg(test)]
mod tests;
