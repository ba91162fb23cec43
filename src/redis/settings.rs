//! How Redis is connected to, as it was asked for and as it is done.

use std::{sync::Arc, time::Duration};

use super::{circuit::Circuit, lateness::Lateness, pauses::Pauses, target::Target};

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) url: Box<str>,
    /// A node of a cluster: everything else is as the URL says.
    pub(super) node: Option<(Box<str>, u16)>,
    pub(super) connect_timeout: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) reconnect_delay: (Duration, Duration),
    #[cfg(feature = "tls")]
    pub(super) tls: super::tls::Config,
}

/// What a connection takes.
pub(super) struct Ready {
    pub(super) target: Target,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<super::tls::Tls>,
}

const CONNECT: Duration = Duration::from_secs(1);
const STALL: Duration = Duration::from_millis(100);
const DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Settings {
    pub(super) fn new(url: Box<str>) -> Self {
        Self {
            url,
            node: None,
            connect_timeout: CONNECT,
            stall_timeout: STALL,
            reconnect_delay: DELAYS,
            #[cfg(feature = "tls")]
            tls: super::tls::Config::default(),
        }
    }

    /// The same for a node of a cluster.
    pub(super) fn of_node(&self, host: &str, port: u16) -> Self {
        Self {
            node: Some((host.into(), port)),
            ..self.clone()
        }
    }

    pub(super) fn circuit(&self) -> Circuit {
        Circuit::new(Pauses::new(self.reconnect_delay), self.stall_timeout)
    }

    pub(super) fn lateness(&self) -> Lateness {
        Lateness::new(Pauses::new(self.reconnect_delay))
    }

    pub(super) fn ready(&self) -> Result<Ready, Arc<str>> {
        let target = self.target()?;
        #[cfg(feature = "tls")]
        let tls = match &target.place {
            super::target::Place::Tcp {
                host, secret: true, ..
            } => {
                let tls = super::tls::Tls::new(&self.tls, host);
                Some(tls.map_err(|wrong| format!("TLS: {wrong}"))?)
            }
            _ if self.tls.is_asked_for() => {
                return Err("settings for TLS are for a URL that is rediss://".into());
            }
            _ => None,
        };
        Ok(Ready {
            target,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    pub(super) fn target(&self) -> Result<Target, String> {
        let target = Target::parse(&self.url)?;
        Ok(match &self.node {
            Some((host, port)) => target.moved_to(host, *port),
            None => target,
        })
    }

    /// Where it is, for people.
    pub(super) fn address(&self) -> Box<str> {
        match self.target() {
            Ok(target) => target.place.to_string().into(),
            Err(wrong) => wrong.into(),
        }
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes: Vec<_> = self
            .ready()
            .err()
            .map(|wrong| wrong.to_string())
            .into_iter()
            .collect();
        for (name, time) in [
            ("connect_timeout", self.connect_timeout),
            ("stall_timeout", self.stall_timeout),
        ] {
            if time.is_zero() {
                mistakes.push(format!("{name} is 0; it has to be longer"));
            }
        }
        let (first, most) = self.reconnect_delay;
        if first.is_zero() || most < first {
            mistakes.push(format!(
                "reconnect_delay is {first:?} to {most:?}; it has to be longer than 0, and not become shorter"
            ));
        }
        mistakes
    }
}
