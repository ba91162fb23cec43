//! TLS to backends, and which HTTP is spoken over it.

use std::{io, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::{Address, Protocol, connect::Opened, io::Io};
use crate::{
    error::{Error, ErrorKind},
    tls::TlsSettings,
};

/// The settings of TLS to one upstream, checked and ready.
#[derive(Clone)]
pub(crate) struct Tls {
    auto: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsSettings {
    pub(crate) fn build(&self) -> Result<Tls, String> {
        let (config, server_name) = (self.config()?, self.server_name()?);
        let speaking = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let auto: &[&[u8]] = if cfg!(feature = "http2") {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"http/1.1"]
        };
        Ok(Tls {
            auto: speaking(auto),
            http1: speaking(&[b"http/1.1"]),
            http2: speaking(&[b"h2"]),
            server_name,
        })
    }
}

impl Tls {
    /// Shakes hands; ALPN decides which HTTP is spoken.
    pub(crate) async fn handshake(
        &self,
        address: &Address,
        protocol: Protocol,
        io: Io,
    ) -> Result<Opened, Error> {
        let failed = |source: io::Error| {
            Error::new(ErrorKind::Tls).with_source(io::Error::new(
                source.kind(),
                format!("{address}: {source}"),
            ))
        };
        let config = match protocol {
            Protocol::Auto => &self.auto,
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                let host = address.authority.host();
                let host = host
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .to_owned();
                ServerName::try_from(host).map_err(|error| failed(io::Error::other(error)))?
            }
        };
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(name, io).await.map_err(failed)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if protocol == Protocol::Http2 && !http2 {
            return Err(failed(io::Error::other(
                "the backend does not speak HTTP/2",
            )));
        }
        Ok(Opened {
            io: Io::Tls(Box::new(stream)),
            http2,
        })
    }
}
