//! Endpoints from DNS, for as long as its answers are good.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, RecordType},
};

use super::{Discover, Discovered, Endpoint};
use crate::{client::Address, clock, error::BoxError};

/// An answer is used for at least this long, whatever it says of itself: a server that is asked all the time is no help.
const LEAST: Duration = Duration::from_secs(1);

/// Finds endpoints in DNS and asks again when the answer's time to live is over; see [`Upstream::discover`].
///
/// It asks the servers of the operating system's configuration, and reads its hosts file. When no answer can be had, or the name is
/// gone, the endpoints that were found last are used on.
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
    /// An endpoint for each A and AAAA record of the URL's host. The port is the URL's, and so are `Host` and the name in TLS.
    pub fn hosts(url: impl Into<String>) -> Self {
        Self::new(What::Hosts(url.into()))
    }

    /// An endpoint for each address of each SRV record of this name (RFC 2782), over `http` or `https`: those of the lowest priority,
    /// by weight. `Host` and the name in TLS are the record's target.
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

    fn resolver(&self) -> Result<TokioResolver, BoxError> {
        let runtime = tokio::runtime::Handle::current().id();
        let mut known = self.resolver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, resolver)) = &*known
            && *id == runtime
        {
            return Ok(resolver.clone());
        }
        let resolver = match self.server {
            None => TokioResolver::builder_tokio()?,
            Some(server) => {
                let mut connection = ConnectionConfig::udp();
                connection.port = server.port();
                let server = NameServerConfig::new(server.ip(), true, vec![connection]);
                let config = ResolverConfig::from_name_servers(vec![server]);
                let provider = TokioRuntimeProvider::default();
                TokioResolver::builder_with_config(config, provider)
            }
        }
        .build()?;
        *known = Some((runtime, resolver.clone()));
        Ok(resolver)
    }

    async fn by_host(resolver: &TokioResolver, url: &str) -> Result<Discovered, BoxError> {
        let address = Address::parse(url)?;
        let host = address.authority.host();
        let Some(port) = address.port() else {
            return Err(format!("`{url}` has no host").into());
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = resolver.lookup_ip(host).await?;
        let endpoints: Vec<_> = found
            .iter()
            .map(|ip| Endpoint::new(url).at(SocketAddr::new(ip, port)))
            .collect();
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
        let (mut endpoints, mut failure) = (Vec::new(), None);
        for (target, port, weight) in first.into_iter().filter(|(target, ..)| target != ".") {
            let addresses = match resolver.lookup_ip(target.as_str()).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    // The others may do.
                    failure = Some(error);
                    continue;
                }
            };
            until = until.min(addresses.valid_until());
            let url = format!("{scheme}://{}:{port}", target.trim_end_matches('.'));
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
            _ => Ok(Discovered::new(endpoints).valid_for(left(until))),
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

/// How long an answer is good for.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(clock::now()).max(LEAST)
}

#[cfg(test)]
mod tests {
    use std::{str::FromStr, sync::Arc};

    use hickory_resolver::proto::{
        op::{Message, ResponseCode},
        rr::{Name, Record, rdata::SRV},
    };
    use tokio::net::UdpSocket;

    use super::*;

    const HOUR: u32 = 3600;

    /// A server that knows these records, with their time to live.
    async fn server(records: Vec<(&'static str, u32, RData)>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records = Arc::new(records);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..length]).unwrap();
                let query = asked.queries[0].clone();
                let mut answer = Message::response(asked.id, asked.op_code);
                answer.add_query(query.clone());
                let mut is_known = false;
                for (name, ttl, data) in records.iter() {
                    let name = Name::from_str(name).unwrap();
                    is_known |= name == *query.name();
                    if name == *query.name() && data.record_type() == query.query_type() {
                        answer.add_answer(Record::from_rdata(name, *ttl, data.clone()));
                    }
                }
                if !is_known {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                let _ = socket.send_to(&answer.to_vec().unwrap(), peer).await;
            }
        });
        address
    }

    fn ip(text: &str) -> RData {
        RData::from(text.parse::<IpAddr>().unwrap())
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
        RData::SRV(SRV::new(
            priority,
            weight,
            port,
            Name::from_str(target).unwrap(),
        ))
    }

    /// What was found, in order, with its weights, and for how many seconds.
    async fn found(dns: Dns) -> Result<(Vec<(String, u32)>, u64), String> {
        let found = dns.discover().await.map_err(|error| error.to_string())?;
        let mut endpoints: Vec<_> = found
            .endpoints()
            .iter()
            .map(|endpoint| (endpoint.address().unwrap().to_string(), endpoint.share()))
            .collect();
        endpoints.sort();
        Ok((endpoints, found.time().as_secs_f64().ceil() as u64))
    }

    #[tokio::test]
    async fn each_address_of_a_host_is_an_endpoint() {
        let server = server(vec![
            ("users.test.", HOUR, ip("10.0.0.1")),
            ("users.test.", 20, ip("10.0.0.2")),
            ("brief.test.", 0, ip("10.0.0.3")),
            ("six.test.", HOUR, ip("2001:db8::1")),
        ])
        .await;
        let dns = |url: &str| Dns::hosts(url).server(server);
        let (endpoints, seconds) = found(dns("http://users.test.:8080/v1")).await.unwrap();
        let name = |ip| (format!("http://users.test.:8080/v1 at {ip}:8080"), 1);
        assert_eq!(endpoints, [name("10.0.0.1"), name("10.0.0.2")]);
        assert_eq!(seconds, 20, "the shortest time to live");
        let (endpoints, seconds) = found(dns("https://six.test.")).await.unwrap();
        assert_eq!(
            endpoints,
            [("https://six.test. at [2001:db8::1]:443".to_owned(), 1)]
        );
        assert_eq!(seconds, 3600);
        let (_, seconds) = found(dns("http://brief.test.")).await.unwrap();
        assert_eq!(seconds, 1, "not all the time");
        for wrong in ["http://none.test.", "users.test", "unix:/run/a"] {
            assert!(found(dns(wrong)).await.is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_service_has_targets_ports_and_weights() {
        let server = server(vec![
            ("_o._tcp.test.", 60, srv(2, 9, 9, "backup.test.")),
            ("_o._tcp.test.", 60, srv(1, 30, 8001, "a.test.")),
            ("_o._tcp.test.", 60, srv(1, 0, 8002, "b.test.")),
            ("_o._tcp.test.", 60, srv(1, 5, 8003, "gone.test.")),
            ("_none._tcp.test.", 60, srv(0, 0, 0, ".")),
            ("_bad._tcp.test.", 60, srv(0, 0, 1, "gone.test.")),
            ("a.test.", 30, ip("10.0.0.1")),
            ("b.test.", HOUR, ip("10.0.0.2")),
            ("backup.test.", HOUR, ip("10.0.0.3")),
        ])
        .await;
        let dns = |name: &str| Dns::srv("http", name).server(server);
        let (endpoints, seconds) = found(dns("_o._tcp.test.")).await.unwrap();
        let expected = [
            ("http://a.test:8001 at 10.0.0.1:8001".to_owned(), 30),
            ("http://b.test:8002 at 10.0.0.2:8002".to_owned(), 1),
        ];
        assert_eq!(endpoints, expected);
        assert_eq!(seconds, 30, "of the target's address");
        assert_eq!(found(dns("_none._tcp.test.")).await.unwrap().0, []);
        for gone in ["_bad._tcp.test.", "_x._tcp.test."] {
            assert!(found(dns(gone)).await.is_err(), "{gone}");
        }
    }
}
