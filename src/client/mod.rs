//! Outgoing HTTP: connections to one endpoint, made, kept and shared.
//!
//! A [`Client`] belongs to one endpoint. Its connections belong to the runtime that made them, so that programs with
//! one runtime for each core never pass a connection, a task or a lock between cores; the limits count for each
//! runtime. Nothing is shared between endpoints.

mod address;
mod attend;
mod connect;
#[cfg(feature = "http2")]
mod exchange;
mod http1;
#[cfg(feature = "http2")]
mod http2;
mod io;
mod pool;
mod resolve;
mod send;
#[cfg(feature = "tls")]
mod tls;
mod watch;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

pub(crate) use address::Address;
pub(crate) use http1::{Answer, Switched};
pub(crate) use resolve::Resolver;
pub(crate) use send::{Outgoing, Unanswered};
#[cfg(feature = "tls")]
pub(crate) use tls::Tls;
pub(crate) use watch::Limits;

use connect::Connector;
use pool::Pool;

/// Which HTTP is spoken to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// What ALPN says over TLS; HTTP/1.1 in clear.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only: by ALPN over TLS, with prior knowledge in clear.
    Http2,
}

/// The limits of an endpoint's connections.
#[derive(Clone, Debug)]
pub(crate) struct ClientConfig {
    pub(crate) protocol: Protocol,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_connections: NonZeroUsize,
    pub(crate) max_waiting: usize,
    pub(crate) max_wait: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_age: Option<Duration>,
    #[cfg(feature = "http2")]
    pub(crate) max_streams: NonZeroUsize,
    /// How long an HTTP/2 connection may be silent before it is asked for a sign of life. `None`: for ever.
    #[cfg(feature = "http2")]
    pub(crate) ping_every: Option<Duration>,
    #[cfg(feature = "http2")]
    pub(crate) ping_timeout: Duration,
    pub(crate) resolve_every: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            protocol: Protocol::Auto,
            connect_timeout: Duration::from_secs(5),
            max_connections: NonZeroUsize::new(1024).unwrap_or(NonZeroUsize::MIN),
            max_waiting: 1024,
            max_wait: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_age: None,
            #[cfg(feature = "http2")]
            max_streams: NonZeroUsize::new(100).unwrap_or(NonZeroUsize::MIN),
            // More often, and servers that allow one in five minutes (as gRPC's do) end the connection.
            #[cfg(feature = "http2")]
            ping_every: Some(Duration::from_secs(5 * 60)),
            #[cfg(feature = "http2")]
            ping_timeout: Duration::from_secs(10),
            resolve_every: Duration::from_secs(30),
        }
    }
}

/// The connections to one endpoint. Clones share them.
#[derive(Clone)]
pub(crate) struct Client(Arc<Shared>);

struct Shared {
    connector: Connector,
    /// What speaks HTTP/1.1 only, for requests that ask for another protocol.
    upgrades: Option<Client>,
    load: Arc<Load>,
    /// The pools of each runtime, in an append-only list: reading it takes no lock.
    pools: OnceLock<Box<Local>>,
}

/// What the choice among endpoints goes by: one for all that is sent to an endpoint, upgrades too.
#[derive(Default)]
struct Load {
    in_flight: AtomicUsize,
    unreached: AtomicBool,
}

struct Local {
    runtime: tokio::runtime::Id,
    pool: Arc<Pool>,
    next: OnceLock<Box<Local>>,
}

impl Client {
    pub(crate) fn new(connector: Connector) -> Self {
        Self::with_load(connector, Arc::default())
    }

    fn with_load(connector: Connector, load: Arc<Load>) -> Self {
        let for_upgrades = connector.for_upgrades();
        Self(Arc::new(Shared {
            upgrades: for_upgrades.map(|connector| Self::with_load(connector, load.clone())),
            connector,
            load,
            pools: OnceLock::new(),
        }))
    }

    /// The client for requests that ask for another protocol.
    fn for_upgrades(&self) -> &Self {
        self.0.upgrades.as_ref().unwrap_or(self)
    }

    /// Requests that are under way, from the first try to connect to the end of the answer's body.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.load.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to open a connection failed, and no request was answered since.
    pub(crate) fn is_unreached(&self) -> bool {
        self.0.load.unreached.load(Ordering::Relaxed)
    }

    fn set_unreached(&self) {
        self.0.load.unreached.store(true, Ordering::Relaxed);
    }

    fn set_reached(&self) {
        // Written only when it says otherwise: it lies beside what every request counts in.
        if self.is_unreached() {
            self.0.load.unreached.store(false, Ordering::Relaxed);
        }
    }

    /// One more request, unless there are so many already.
    pub(crate) fn enter(self, most: usize) -> Option<InFlight> {
        let count = &self.0.load.in_flight;
        if most == usize::MAX {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            let more = |now| (now < most).then_some(now + 1);
            let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            entered.ok()?;
        }
        Some(InFlight(self))
    }

    fn connector(&self) -> &Connector {
        &self.0.connector
    }

    /// The pool of the runtime that runs the caller.
    fn pool(&self) -> &Arc<Pool> {
        let runtime = tokio::runtime::Handle::current().id();
        let mut slot = &self.0.pools;
        loop {
            let local = slot.get_or_init(|| {
                let pool = Pool::new(self.0.connector.config().clone());
                Box::new(Local {
                    runtime,
                    pool,
                    next: OnceLock::new(),
                })
            });
            if local.runtime == runtime {
                return &local.pool;
            }
            slot = &local.next;
        }
    }
}

/// Counts a request as long as it lives.
pub(crate) struct InFlight(Client);

impl InFlight {
    /// The same request, which asks for another protocol.
    pub(crate) fn for_upgrades(mut self) -> Self {
        // They count in the same place.
        let client = self.0.for_upgrades().clone();
        self.0 = client;
        self
    }

    fn client(&self) -> &Client {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) use connect::Connector as ClientConnector;

#[cfg(all(test, feature = "http2"))]
mod tests {
    use super::*;

    #[test]
    fn upgrades_count_for_the_choice_among_endpoints() {
        let address = Address::parse("https://backend.test").unwrap();
        let connector = Connector::new(address, ClientConfig::default(), Resolver::default());
        let client = Client::new(connector);
        assert!(!Arc::ptr_eq(&client.for_upgrades().0, &client.0));
        let tunnel = client.for_upgrades().clone().enter(usize::MAX);
        client.for_upgrades().set_unreached();
        assert_eq!(client.in_flight(), 1);
        assert!(client.is_unreached());
        drop(tunnel);
        assert_eq!(client.in_flight(), 0);
    }
}
