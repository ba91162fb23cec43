//! TLS to Redis.

use std::{io, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::link::Stream;
use crate::tls::TlsSettings;

/// The settings, ready.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    pub(super) fn new(settings: &TlsSettings, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is neither a DNS name nor an IP address"))?;
        let config = Arc::new(settings.config()?);
        Ok(Self { config, name })
    }

    pub(super) async fn handshake(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let connector = TlsConnector::from(self.config.clone());
        Ok(Box::new(
            connector.connect(self.name.clone(), stream).await?,
        ))
    }
}
