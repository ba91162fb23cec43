//! Opens a connection to an endpoint: resolve, connect, shake hands.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use super::{
    Address, ClientConfig, Protocol, Resolver, address::Place, io::Io, resolve::Addresses,
};
use crate::error::{Error, ErrorKind};

/// What it takes to open connections to one endpoint.
pub(crate) struct Connector {
    address: Address,
    config: ClientConfig,
    addresses: Arc<Addresses>,
    #[cfg(feature = "tls")]
    tls: Option<super::Tls>,
}

/// A connection that has not spoken HTTP yet, and which HTTP it is to speak.
pub(crate) struct Opened {
    pub(crate) io: Io,
    #[cfg_attr(
        not(feature = "http2"),
        expect(dead_code, reason = "without the feature it is always false")
    )]
    pub(crate) http2: bool,
}

impl Connector {
    pub(crate) fn new(address: Address, config: ClientConfig, resolver: Resolver) -> Self {
        let addresses = Arc::new(Addresses::new(resolver, config.resolve_every));
        Self {
            address,
            config,
            addresses,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Speaks TLS with these settings, when the address asks for TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn with_tls(mut self, tls: super::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The same for requests that ask for another protocol, where the peer might choose HTTP/2, which has no upgrades.
    pub(crate) fn for_upgrades(&self) -> Option<Self> {
        if !cfg!(feature = "http2")
            || self.config.protocol != Protocol::Auto
            || !self.address.is_tls()
        {
            return None;
        }
        let config = ClientConfig {
            protocol: Protocol::Http1,
            ..self.config.clone()
        };
        Some(Self {
            address: self.address.clone(),
            addresses: self.addresses.clone(),
            config,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Waits for what it takes to have a connection, within the connect timeout.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.config.connect_timeout;
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => {
                self.addresses.distrust();
                Err(Error::new(ErrorKind::ConnectTimeout)
                    .with_source(format!("{} within {limit:?}", self.address)))
            }
        }
    }

    /// Opens a connection: name resolution, TCP, and TLS if the address asks for it.
    pub(crate) async fn open(&self) -> Result<Opened, Error> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Connect).with_source(io::Error::new(
                error.kind(),
                format!("{}: {error}", self.address),
            ))
        };
        let io = match &self.address.place {
            Place::Ip(ip, port) => tcp(SocketAddr::new(*ip, *port)).await.map_err(failed)?,
            Place::Name(name, port) => self.by_name(name, *port).await?,
            #[cfg(unix)]
            Place::Unix(path) => Io::Unix(
                tokio::net::UnixStream::connect(path)
                    .await
                    .map_err(failed)?,
            ),
            #[cfg(not(unix))]
            Place::Unix(_) => return Err(failed(io::ErrorKind::Unsupported.into())),
        };
        if self.address.is_tls() {
            return self.secure(io).await;
        }
        Ok(Opened {
            io,
            http2: self.config.protocol == Protocol::Http2,
        })
    }

    /// Tries the name's addresses in turn. None of them may use up the time of all.
    async fn by_name(&self, name: &str, port: u16) -> Result<Io, Error> {
        let unresolved = |error: io::Error| {
            Error::new(ErrorKind::Resolve)
                .with_source(io::Error::new(error.kind(), format!("{name}: {error}")))
        };
        let addresses = self.addresses.get(name).await.map_err(unresolved)?;
        let share =
            self.config.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for ip in addresses.iter() {
            match tokio::time::timeout(share, tcp(SocketAddr::new(*ip, port))).await {
                Ok(Ok(io)) => return Ok(io),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        self.addresses.distrust();
        let kind = if last.kind() == io::ErrorKind::TimedOut {
            ErrorKind::ConnectTimeout
        } else {
            ErrorKind::Connect
        };
        Err(Error::new(kind).with_source(io::Error::new(
            last.kind(),
            format!("{}: {last}", self.address),
        )))
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, io: Io) -> Result<Opened, Error> {
        let Some(tls) = &self.tls else {
            return Err(Error::new(ErrorKind::Tls).with_source("no TLS settings"));
        };
        tls.handshake(&self.address, self.config.protocol, io).await
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(&self, _: Io) -> Result<Opened, Error> {
        Err(Error::new(ErrorKind::Tls).with_source("built without the feature `tls`"))
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Io> {
    let stream = TcpStream::connect(address).await?;
    // A proxy writes whole messages: waiting for more to put into a segment only adds latency.
    stream.set_nodelay(true)?;
    Ok(Io::Tcp(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_writes_are_not_held_back() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let resolver = Resolver::new(move |_| async move { Ok(vec![address.ip()]) });
        for host in [address.to_string(), format!("t.test:{}", address.port())] {
            let place = Address::parse(&format!("http://{host}")).unwrap();
            let connector = Connector::new(place, ClientConfig::default(), resolver.clone());
            match connector.open().await.unwrap().io {
                Io::Tcp(stream) => assert!(stream.nodelay().unwrap(), "{host}"),
                _ => panic!("{host} is no TCP address"),
            }
        }
    }
}
