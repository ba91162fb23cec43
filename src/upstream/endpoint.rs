//! One address of a backend: as people write it down, and as requests go to it.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;

use super::{
    Affinity,
    balance::{FULL, Latency, Seen},
    outlier::Tally,
};
use crate::client::{Address, Client, ClientConfig, ClientConnector, Resolver};

/// One address of a backend, and its share of the requests: see [`Upstream::http`](crate::Upstream::http).
///
/// ```
/// use tower_gateway::{Endpoint, Upstream};
///
/// let big = Endpoint::new("http://10.0.0.1:8080").weight(3);
/// let upstream = Upstream::http([big, "http://10.0.0.2:8080".into()]);
/// # assert!(upstream.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    weight: u32,
    at: Option<SocketAddr>,
}

impl Endpoint {
    /// `http://host:port/base`, `https://host`, or `unix:/path/to/socket`, with a weight of 1.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            weight: 1,
            at: None,
        }
    }

    /// How many requests it takes, beside the weights of the others. With 0 it gets no new ones, and what it has under way
    /// goes on. Default: 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Where to connect to, whatever the host of the URL is; that one is still the `Host`, and the name in TLS. Default: the
    /// URL's host, resolved.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.at = Some(address);
        self
    }

    pub(crate) fn share(&self) -> u32 {
        self.weight
    }

    pub(crate) fn address(&self) -> Result<Address, String> {
        match Address::parse(&self.url) {
            Ok(address) if address.is_tls() && !cfg!(feature = "tls") => {
                Err(format!("`{address}` needs the feature `tls`"))
            }
            Ok(address) => Ok(match self.at {
                Some(at) => address.at(at),
                None => address,
            }),
            Err(error) => Err(error.to_string()),
        }
    }
}

macro_rules! from_url {
    ($($of:ty),*) => {$(
        impl From<$of> for Endpoint {
            fn from(url: $of) -> Self {
                Self::new(url)
            }
        }
    )*};
}
from_url!(&str, &String, String, Box<str>, Cow<'_, str>);

impl From<&&str> for Endpoint {
    fn from(url: &&str) -> Self {
        Self::new(*url)
    }
}

/// How an endpoint is; see [`UpstreamHandle`](crate::UpstreamHandle).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Its URL, and where it is if that is somewhere else.
    pub url: String,
    /// Its weight.
    pub weight: u32,
    /// Its requests under way, to the end of their answers' bodies.
    pub in_flight: usize,
    /// The last attempt to open a connection failed, and none has succeeded since.
    pub is_unreached: bool,
    /// What its [probes](crate::HealthCheck) found; `None` when there was none yet.
    pub is_healthy: Option<bool>,
    /// It is [ejected](crate::OutlierEjection) for now.
    pub is_ejected: bool,
    /// How often it was ejected.
    pub ejections: u64,
}

/// What it takes to open connections to the endpoints of an upstream.
#[derive(Clone)]
pub(crate) struct Factory {
    pub(crate) config: ClientConfig,
    pub(crate) resolver: Resolver,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::client::Tls>,
    /// There are settings for TLS, which must not be in vain.
    pub(crate) needs_tls: bool,
}

impl Factory {
    /// The connections to an address, of which there are none yet.
    pub(super) fn client(&self, address: &Address, config: ClientConfig) -> Client {
        let connector = ClientConnector::new(address.clone(), config, self.resolver.clone());
        #[cfg(feature = "tls")]
        let connector = match &self.tls {
            Some(tls) if address.is_tls() => connector.with_tls(tls.clone()),
            _ => connector,
        };
        Client::new(connector)
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// There was none yet.
    Unknown,
    Healthy,
    Unhealthy,
}

/// An endpoint that takes requests, with its connections and what is known of it.
pub(crate) struct LiveEndpoint {
    /// Unlike that of any other in this process.
    pub(crate) id: u64,
    pub(crate) address: Address,
    pub(crate) host: HeaderValue,
    pub(crate) label: Arc<str>,
    /// What a client's cookie says that belongs here; empty without affinity.
    pub(super) token: Box<str>,
    pub(crate) client: Client,
    pub(super) latency: Latency,
    pub(super) tally: Tally,
    health: AtomicU8,
    /// When it began to take requests, in nanoseconds since the upstream was made; 0: always.
    joined: AtomicU64,
}

impl LiveEndpoint {
    pub(super) fn new(
        factory: &Factory,
        affinity: Option<&Affinity>,
        address: Address,
        now: Instant,
    ) -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if factory.needs_tls && !address.is_tls() {
            return Err(format!(
                "there are settings for TLS, but `{address}` is not `https`"
            ));
        }
        let Ok(host) = HeaderValue::from_str(address.authority.as_str()) else {
            return Err(format!("`{address}` has a host that is no header value"));
        };
        let label = address.to_string();
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            host,
            token: affinity.map_or_else(Box::default, |affinity| affinity.token(&label)),
            label: label.into(),
            client: factory.client(&address, factory.config.clone()),
            address,
            latency: Latency::new(now),
            tally: Tally::new(now),
            health: AtomicU8::new(Health::Unknown as u8),
            joined: AtomicU64::new(0),
        })
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            _ => Health::Unknown,
        }
    }

    /// Says whether that is new.
    pub(super) fn set_health(&self, health: Health) -> bool {
        self.health.swap(health as u8, Ordering::Relaxed) != health as u8
    }

    pub(super) fn join(&self, since: Option<Duration>) {
        let nanos = |since: Duration| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.joined.store(since.map_or(0, nanos), Ordering::Relaxed);
    }

    /// When it began to take requests; `None`: it has always done.
    pub(super) fn joined(&self) -> Option<Duration> {
        match self.joined.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Whether it has room for a request beside these.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.client.in_flight() < most
    }

    /// What speaks for and against it; latency and growth are for those who know the time.
    pub(super) fn seen(&self, weight: u32, most: usize) -> Seen {
        let in_flight = self.client.in_flight();
        Seen {
            unreached: self.client.is_unreached(),
            full: in_flight >= most,
            in_flight,
            weight,
            ramp: FULL,
            latency: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_any_text() {
        let expected = Endpoint::new("http://a");
        let owned = "http://a".to_owned();
        let all: [Endpoint; 6] = [
            "http://a".into(),
            (&"http://a").into(),
            (&owned).into(),
            owned.clone().into(),
            owned.clone().into_boxed_str().into(),
            Cow::Borrowed("http://a").into(),
        ];
        assert!(all.iter().all(|endpoint| *endpoint == expected));
    }
}
