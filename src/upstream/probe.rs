//! Active health checks: a request to each endpoint now and then, to know that it is well before a client finds out.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroUsize,
    ops::RangeInclusive,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use http::{HeaderMap, HeaderValue, Method, header, uri::PathAndQuery};

use super::{
    endpoint::{Health, LiveEndpoint},
    endpoints::Endpoints,
};
use crate::{
    body::Body,
    client::{Answer, Client, Limits, Outgoing},
    clock, random,
};

/// How many probes of an upstream are under way at a time.
const TOGETHER: usize = 16;

/// For what has no end.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// Asks each endpoint now and then whether it is well; see [`Upstream::health_check`](crate::Upstream::health_check).
///
/// An endpoint is used until probes have failed. Each probe has a connection of its own, so that it waits for no request and no
/// request for it. It is sent over the protocol and with the TLS settings of the upstream. Clones are independent.
///
/// | setting | default |
/// |---|---|
/// | [`status`](Self::status) | 200 to 299 |
/// | [`interval`](Self::interval) | 15 s, each time up to 10 % more or less |
/// | [`timeout`](Self::timeout) | 10 s |
/// | [`unhealthy_after`](Self::unhealthy_after) | 2 failures in a row |
/// | [`healthy_after`](Self::healthy_after) | 1 success |
#[derive(Clone, Debug)]
pub struct HealthCheck {
    path: String,
    method: Method,
    status: RangeInclusive<u16>,
    interval: Duration,
    timeout: Duration,
    unhealthy_after: u32,
    healthy_after: u32,
}

impl HealthCheck {
    /// Probes with `GET` and this path, below the endpoint's own.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            method: Method::GET,
            status: 200..=299,
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            unhealthy_after: 2,
            healthy_after: 1,
        }
    }

    /// Probes with `HEAD` and this path.
    pub fn head(path: impl Into<String>) -> Self {
        Self {
            method: Method::HEAD,
            ..Self::get(path)
        }
    }

    /// The status codes that mean it is well. Default: 200 to 299.
    pub fn status(mut self, codes: RangeInclusive<u16>) -> Self {
        self.status = codes;
        self
    }

    /// The time from the beginning of one probe of an endpoint to that of its next, each time up to a tenth less or more, so that
    /// gateways side by side do not ask all at once. A probe that takes longer is followed at once. What is new is asked at
    /// once; at most 16 probes of an upstream are under way at a time. Default: 15 s.
    pub fn interval(mut self, time: Duration) -> Self {
        self.interval = time;
        self
    }

    /// How long the answer's head may take, connecting included. Default: 10 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// How many probes in a row have to fail before an endpoint gets no more requests, at least 1. Default: 2.
    pub fn unhealthy_after(mut self, failures: u32) -> Self {
        self.unhealthy_after = failures;
        self
    }

    /// How many probes in a row have to succeed before it gets requests again, at least 1. Default: 1.
    pub fn healthy_after(mut self, successes: u32) -> Self {
        self.healthy_after = successes;
        self
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut wrong = |what: String| mistakes.push(format!("health check: {what}"));
        if self.target().is_none() {
            wrong(format!("`{}` is no path; it begins with `/`", self.path));
        }
        for (field, time) in [("interval", self.interval), ("timeout", self.timeout)] {
            if time.is_zero() {
                wrong(format!("the {field} is 0; it is a time above 0"));
            }
        }
        let counts = [
            ("unhealthy_after", self.unhealthy_after),
            ("healthy_after", self.healthy_after),
        ];
        for (field, count) in counts {
            if count == 0 {
                wrong(format!("{field} is 0; it is at least 1"));
            }
        }
        if self.status.is_empty() || *self.status.start() < 200 || *self.status.end() > 599 {
            let (first, last) = (self.status.start(), self.status.end());
            wrong(format!(
                "no status is from {first} to {last}; codes are from 200 to 599"
            ));
        }
        mistakes
    }

    fn target(&self) -> Option<PathAndQuery> {
        let is_path = self.path.starts_with('/') && !self.path.contains('#');
        is_path.then(|| self.path.parse().ok()).flatten()
    }

    /// Probes each endpoint in its own time, as long as there is somebody who wants to know.
    pub(super) async fn run(self, endpoints: Weak<Endpoints>) {
        let Some(changed) = endpoints.upgrade().map(|all| all.changed.clone()) else {
            return;
        };
        let mut list = WaitingList::new(clock::now());
        let mut under_way = FuturesUnordered::new();
        let mut is_old = true;
        loop {
            if std::mem::take(&mut is_old) {
                let Some(all) = endpoints.upgrade() else {
                    return;
                };
                // What is told until now is seen to here. While it waits, the task keeps nothing alive.
                let _ = changed.notified().now_or_never();
                list.update(&all);
            }
            let now = clock::now();
            while under_way.len() < TOGETHER
                && let Some(patient) = list.take_due(now)
            {
                under_way.push(self.probe(patient, &endpoints, now));
            }
            let has_room = under_way.len() < TOGETHER;
            let next = list.next_due().filter(|_| has_room);
            let done = async {
                match under_way.next().await {
                    Some((patient, due)) => list.put_back(patient, due),
                    None => std::future::pending().await,
                }
            };
            let next = next.unwrap_or(now + FAR);
            let done = tokio::time::timeout_at(next.into(), done);
            let told = pin!(changed.notified());
            is_old = matches!(select(told, pin!(done)).await, Either::Left(_));
        }
    }

    /// Probes an endpoint. Says when its next probe is due.
    async fn probe(
        &self,
        mut patient: Patient,
        endpoints: &Weak<Endpoints>,
        started: Instant,
    ) -> (Patient, Instant) {
        let is_well = self.is_well(&patient).await;
        if let (Some(health), Some(all)) = (patient.enter(is_well, self), endpoints.upgrade()) {
            all.set_health(&patient.live, health);
        }
        let jitter = 0.9 + 0.2 * (random::next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let pause = Duration::try_from_secs_f64(self.interval.as_secs_f64() * jitter);
        let due = started.checked_add(pause.unwrap_or(self.interval));
        (patient, due.unwrap_or(started + FAR))
    }

    async fn is_well(&self, patient: &Patient) -> bool {
        let Some(path) = self.target() else {
            return false;
        };
        let Ok(path) = patient.live.address.join(path) else {
            return false;
        };
        let agent = HeaderValue::from_static("tower-gateway health check");
        let host = patient.live.host.clone();
        let headers = HeaderMap::from_iter([(header::HOST, host), (header::USER_AGENT, agent)]);
        let outgoing = Outgoing {
            method: self.method.clone(),
            path,
            headers,
            body: Body::empty(),
            on_continue: None,
        };
        let limits = Limits {
            head: None,
            activity: None,
            deadline: clock::now().checked_add(self.timeout),
        };
        let Some(probe) = patient.client.clone().enter(usize::MAX) else {
            return false;
        };
        match probe.send(outgoing, limits).await {
            Ok(Answer::Body(response)) => self.status.contains(&response.status().as_u16()),
            _ => false,
        }
    }
}

/// The endpoints that wait for their next probe.
struct WaitingList {
    /// By when it is due, and the endpoint's id.
    waiting: BTreeMap<(Instant, u64), Patient>,
    /// All that there are, under way or not.
    present: HashSet<u64>,
    began: Instant,
}

impl WaitingList {
    fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeMap::new(),
            present: HashSet::new(),
            began: now,
        }
    }

    /// Takes up what is new, before all others, and forgets what is gone.
    fn update(&mut self, all: &Endpoints) {
        let live = all.all();
        let present: HashSet<u64> = live.iter().map(|live| live.id).collect();
        self.waiting.retain(|(_, id), _| present.contains(id));
        for live in live {
            if !self.present.contains(&live.id) {
                let place = (self.began, live.id);
                self.waiting.insert(place, Patient::new(live, all));
            }
        }
        self.present = present;
    }

    fn next_due(&self) -> Option<Instant> {
        let ((due, _), _) = self.waiting.first_key_value()?;
        Some(*due)
    }

    fn take_due(&mut self, now: Instant) -> Option<Patient> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Waits for the next probe, if the endpoint is still there.
    fn put_back(&mut self, patient: Patient, due: Instant) {
        if self.present.contains(&patient.live.id) {
            self.waiting.insert((due, patient.live.id), patient);
        }
    }
}

/// An endpoint, and what its last probes found.
struct Patient {
    live: Arc<LiveEndpoint>,
    client: Client,
    failures: u32,
    successes: u32,
}

impl Patient {
    fn new(live: Arc<LiveEndpoint>, all: &Endpoints) -> Self {
        let mut config = all.factory.config.clone();
        config.max_connections = NonZeroUsize::MIN;
        config.max_waiting = 1;
        Self {
            client: all.factory.client(&live.address, config),
            live,
            failures: 0,
            successes: 0,
        }
    }

    /// Enters a probe. Says what the endpoint is from now on, if that is certain.
    fn enter(&mut self, is_well: bool, check: &HealthCheck) -> Option<Health> {
        if is_well {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            (self.successes >= check.healthy_after).then_some(Health::Healthy)
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            (self.failures >= check.unhealthy_after).then_some(Health::Unhealthy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_named() {
        let check = || HealthCheck::get("/healthz");
        assert_eq!(check().mistakes(), [""; 0]);
        let (high, low) = (300, 200);
        let cases = [
            (HealthCheck::get("healthz"), "`healthz`"),
            (HealthCheck::get("/a b"), "`/a b`"),
            (check().interval(Duration::ZERO), "interval"),
            (check().timeout(Duration::ZERO), "timeout"),
            (check().unhealthy_after(0), "unhealthy_after"),
            (check().healthy_after(0), "healthy_after"),
            (check().status(high..=low), "from 300 to 200"),
            (check().status(100..=200), "from 100 to 200"),
        ];
        for (check, what) in cases {
            let mistakes = check.mistakes();
            assert!(
                mistakes.len() == 1 && mistakes[0].contains(what),
                "{mistakes:?}"
            );
        }
    }
}
