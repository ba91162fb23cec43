//! Endpoints from DNS, for as long as its answers are good.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name, RData, RecordType},
};

use super::{Discover, Discovered, Endpoint};
use crate::{clock, error::BoxError};

/// An answer is used for at least this long, whatever it says of itself: a server that is asked all the time is no help.
const LEAST: Duration = Duration::from_secs(1);

/// How many endpoints one name gives.
const MOST: usize = 1024;

/// How many targets of a service are looked up at a time.
const TOGETHER: usize = 16;

/// Finds endpoints in DNS and asks again when the answer's time to live is over; see [`Upstream::discover`].
///
/// It asks the servers of the operating system's configuration, and reads its hosts file. When no answer can be had, or the name is
/// gone, the endpoints that were found last are used on. A record that can not be used is left out, and one that is there twice
/// counts once; with more than 1024 endpoints the first of them in the order of their names and addresses are used, which are
/// the same ones in every gateway. Both are logged as warnings, with the target `tower_gateway::discovery`.
///
/// A name or URL that can not be one is a mistake that `build` reports.
///
/// ```
/// use tower_gateway::{Dns, Upstream};
///
/// // Each address of `users`, balanced one by one.
/// let users = Upstream::discover(Dns::hosts("http://users.internal:8080"));
/// // Targets, ports and weights as a registry publishes them.
/// let orders = Upstream::discover(Dns::srv("http", "_orders._tcp.service.consul"));
/// # let _ = (users, orders);
/// ```
///
/// [`Upstream::discover`]: crate::Upstream::discover
#[derive(Debug)]
pub struct Dns {
    what: What,
    server: Option<SocketAddr>,
    /// Made where it is used, for it belongs to a runtime.
    resolver: Mutex<Option<(tokio::runtime::Id, TokioResolver)>>,
}

#[derive(Debug)]
enum What {
    Hosts(String),
    Srv { scheme: String, name: String },
}

impl Dns {
    /// An endpoint for each A and for each AAAA record of the URL's host: a machine with an address of both families is two of them,
    /// and gets the share of two. The port is the URL's, and so are `Host` and the name in TLS.
    pub fn hosts(url: impl Into<String>) -> Self {
        Self::new(What::Hosts(url.into()))
    }

    /// An endpoint for each address, of both families, of each SRV record of this name (RFC 2782), over `http` or `https`: those of
    /// the lowest priority, by weight. `Host` and the name in TLS are the record's target.
    pub fn srv(scheme: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(What::Srv {
            scheme: scheme.into(),
            name: name.into(),
        })
    }

    fn new(what: What) -> Self {
        Self {
            what,
            server: None,
            resolver: Mutex::default(),
        }
    }

    /// Asks this server, over UDP, instead of those of the operating system.
    pub fn server(mut self, address: SocketAddr) -> Self {
        self.server = Some(address);
        self
    }

    /// What is wrong with the settings.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let wrong = match &self.what {
            What::Hosts(url) => host(url).err(),
            What::Srv { scheme, name } => match Endpoint::new(format!("{scheme}://a")).address() {
                Err(mistake) => Some(mistake),
                Ok(_) if !is_name(name) => Some(format!(
                    "`{name}` is no name; write one such as `_http._tcp.example.com`"
                )),
                Ok(_) => None,
            },
        };
        wrong
            .map(|what| format!("DNS: {what}"))
            .into_iter()
            .collect()
    }

    fn resolver(&self) -> Result<TokioResolver, BoxError> {
        let runtime = tokio::runtime::Handle::current().id();
        let mut known = self.resolver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, resolver)) = &*known
            && *id == runtime
        {
            return Ok(resolver.clone());
        }
        let mut builder = match self.server {
            None => TokioResolver::builder_tokio()?,
            Some(server) => {
                let mut connection = ConnectionConfig::udp();
                connection.port = server.port();
                let server = NameServerConfig::new(server.ip(), true, vec![connection]);
                let config = ResolverConfig::from_name_servers(vec![server]);
                let provider = TokioRuntimeProvider::default();
                TokioResolver::builder_with_config(config, provider)
            }
        };
        // What is reached over one family alone may be all that there is of it.
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build()?;
        *known = Some((runtime, resolver.clone()));
        Ok(resolver)
    }

    async fn by_host(resolver: &TokioResolver, url: &str) -> Result<Discovered, BoxError> {
        let (host, port) = host(url)?;
        let found = resolver.lookup_ip(&*host).await?;
        let at = |ip| Endpoint::new(url).at(SocketAddr::new(ip, port));
        let endpoints = usable(found.iter().map(at))?;
        Ok(Discovered::new(endpoints).valid_for(left(found.valid_until())))
    }

    async fn by_service(
        resolver: &TokioResolver,
        scheme: &str,
        name: &str,
    ) -> Result<Discovered, BoxError> {
        let found = resolver.lookup(name, RecordType::SRV).await?;
        let mut until = found.valid_until();
        let mut by_priority: BTreeMap<u16, Vec<(String, u16, u16)>> = BTreeMap::new();
        for record in found.answers() {
            if let RData::SRV(srv) = &record.data {
                let target = srv.target.to_ascii();
                let place = (target, srv.port, srv.weight);
                by_priority.entry(srv.priority).or_default().push(place);
            }
        }
        // A target of `.` says that the service is not there (RFC 2782).
        let first = by_priority.into_values().next().unwrap_or_default();
        let mut targets = first;
        targets.retain(|(target, ..)| target != ".");
        targets.sort_unstable();
        targets.truncate(MOST);
        let looked_up = targets.into_iter().map(async |(target, port, weight)| {
            let addresses = resolver.lookup_ip(target.as_str()).await;
            (target, port, weight, addresses)
        });
        let mut looked_up = stream::iter(looked_up).buffered(TOGETHER);
        let (mut endpoints, mut failure) = (Vec::new(), None);
        while let Some((target, port, weight, addresses)) = looked_up.next().await {
            let addresses = match addresses {
                Ok(addresses) => addresses,
                Err(error) => {
                    // The others may do.
                    failure = Some(error);
                    continue;
                }
            };
            until = until.min(addresses.valid_until());
            let target = target.trim_end_matches('.').to_ascii_lowercase();
            let url = format!("{scheme}://{target}:{port}");
            // A weight of 0 is a small chance, and not none.
            let weight = u32::from(weight).max(1);
            let at = |ip: IpAddr| {
                Endpoint::new(&url)
                    .weight(weight)
                    .at(SocketAddr::new(ip, port))
            };
            endpoints.extend(addresses.iter().map(at));
        }
        match failure {
            Some(error) if endpoints.is_empty() => Err(error.into()),
            _ => Ok(Discovered::new(usable(endpoints)?).valid_for(left(until))),
        }
    }
}

impl Discover for Dns {
    async fn discover(&self) -> Result<Discovered, BoxError> {
        let resolver = self.resolver()?;
        match &self.what {
            What::Hosts(url) => Self::by_host(&resolver, url).await,
            What::Srv { scheme, name } => Self::by_service(&resolver, scheme, name).await,
        }
    }
}

/// The host and the port of a URL.
fn host(url: &str) -> Result<(String, u16), String> {
    let address = Endpoint::new(url).address()?;
    let host = address.authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match address.port() {
        Some(port) if host.parse::<IpAddr>().is_ok() || is_name(host) => {
            Ok((host.to_owned(), port))
        }
        _ => Err(format!(
            "`{url}` has no host with a name; write a URL such as `http://users:8080`"
        )),
    }
}

/// Whether it may be in DNS (RFC 1035, section 2.3.4).
fn is_name(text: &str) -> bool {
    Name::from_ascii(text).is_ok_and(|name| name.num_labels() > 0)
}

/// What of it can be used: each once, and not more than so many. It is an error if nothing is.
fn usable(found: impl IntoIterator<Item = Endpoint>) -> Result<Vec<Endpoint>, String> {
    let (mut endpoints, mut seen, mut failure) = (Vec::new(), HashSet::new(), None);
    for endpoint in found {
        match endpoint.address() {
            Ok(address) => {
                let label = address.to_string();
                if seen.insert(label.clone()) {
                    endpoints.push((label, endpoint));
                }
            }
            Err(mistake) => {
                warn("a record was left out", &mistake);
                failure = Some(mistake);
            }
        }
    }
    if endpoints.len() > MOST {
        let count = endpoints.len();
        warn(
            "not all endpoints are used",
            &format!("{count} were found, and {MOST} are used"),
        );
        // In another order each time, they would not stay the same.
        endpoints.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        endpoints.truncate(MOST);
    }
    match failure {
        Some(mistake) if endpoints.is_empty() => Err(mistake),
        _ => Ok(endpoints
            .into_iter()
            .map(|(_, endpoint)| endpoint)
            .collect()),
    }
}

fn warn(what: &str, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "tower_gateway::discovery", error = why, "{what}");
    #[cfg(not(feature = "tracing"))]
    let _ = (what, why);
}

/// How long an answer is good for.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(clock::now()).max(LEAST)
}

#[cfg(test)]
mod tests;
