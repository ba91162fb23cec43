//! Active health checks: a request to each endpoint now and then, to know that it is well before a client finds out.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    ops::RangeInclusive,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream};
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

    /// The time from one round of probes to the next; each round is up to a tenth earlier or later, so that gateways side by side
    /// do not ask all at once. Default: 15 s.
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

    /// Probes round after round, as long as there is somebody who wants to know.
    pub(super) async fn run(self, endpoints: Weak<Endpoints>) {
        let mut known: HashMap<u64, Patient> = HashMap::new();
        while let Some(changed) = self.round(&endpoints, &mut known).await {
            let whole = self.interval.as_secs_f64();
            let jitter = 0.9 + 0.2 * (random::next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            let pause = Duration::try_from_secs_f64(whole * jitter).unwrap_or(self.interval);
            // New endpoints do not wait for the next round.
            let _ = tokio::time::timeout(pause, changed.notified()).await;
        }
    }

    /// Probes every endpoint once.
    async fn round(
        &self,
        endpoints: &Weak<Endpoints>,
        known: &mut HashMap<u64, Patient>,
    ) -> Option<Arc<tokio::sync::Notify>> {
        let all = endpoints.upgrade()?;
        let changed = all.changed.clone();
        // What is told until now is seen to in this round.
        let _ = changed.notified().now_or_never();
        let present = all.all();
        let mut patients: Vec<Patient> = present
            .into_iter()
            .map(|live| {
                known
                    .remove(&live.id)
                    .unwrap_or_else(|| Patient::new(live, &all))
            })
            .collect();
        // What is not there any more is forgotten, and while it waits the task keeps nothing alive.
        known.clear();
        drop(all);
        let probes = patients.iter_mut().map(|patient| async {
            let is_well = self.is_well(patient).await;
            if let (Some(health), Some(all)) = (patient.enter(is_well, self), endpoints.upgrade()) {
                all.set_health(&patient.live, health);
            }
        });
        stream::iter(probes)
            .for_each_concurrent(TOGETHER, |probe| probe)
            .await;
        known.extend(
            patients
                .into_iter()
                .map(|patient| (patient.live.id, patient)),
        );
        Some(changed)
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
