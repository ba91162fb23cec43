//! TLS to Redis.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::link::Stream;
use crate::tls::TlsSettings;

/// As it is asked for. Clones make it ready once for all of them: reading what the system trusts takes a while.
#[derive(Clone, Default)]
pub(super) struct Config {
    settings: TlsSettings,
    ready: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

/// The settings, ready for one host.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Config {
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut TlsSettings)) {
        change(&mut self.settings);
        self.ready = Arc::default();
    }

    pub(super) fn is_asked_for(&self) -> bool {
        self.settings.is_asked_for()
    }

    fn ready(&self) -> Result<Arc<ClientConfig>, String> {
        let make = || self.settings.config().map(Arc::new);
        self.ready.get_or_init(make).clone()
    }
}

impl Tls {
    pub(super) fn new(config: &Config, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is neither a DNS name nor an IP address"))?;
        Ok(Self {
            config: config.ready()?,
            name,
        })
    }

    pub(super) async fn handshake(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let connector = TlsConnector::from(self.config.clone());
        Ok(Box::new(
            connector.connect(self.name.clone(), stream).await?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_share_what_was_made_ready_until_it_is_changed() {
        let first = Config::default();
        let made = |config: &Config, host| Tls::new(config, host).map(|tls| tls.config).unwrap();
        let of_first = made(&first, "a.example");
        let mut second = first.clone();
        assert!(Arc::ptr_eq(&of_first, &made(&second, "b.example")));
        let authority = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        second.edit(|tls| tls.roots = crate::tls::Roots::Own(authority.cert.pem().into()));
        assert!(!Arc::ptr_eq(&of_first, &made(&second, "b.example")));
        assert!(Arc::ptr_eq(&of_first, &made(&first, "c.example")));
    }
}
