//! From what was written down to what takes requests.

use std::sync::Arc;

use super::{Built, Ready, Target, Upstream};
use crate::{
    authority::HostPort,
    gateway::{BuildError, Next, in_process::InProcess},
    upstream::{Endpoints, Factory, HostHeader, Proxy},
};

impl Upstream {
    pub(super) fn build(&self) -> Result<Built, BuildError> {
        let mut mistakes = self.mistakes.clone();
        mistakes.extend(self.guards.mistakes());
        if let HostHeader::Fixed(host) = &self.settings.host
            && !host
                .to_str()
                .is_ok_and(|host| HostPort::parse(host).is_some())
        {
            mistakes.push(format!(
                "host `{}` is none; allowed are a name or address, and a port",
                String::from_utf8_lossy(host.as_bytes())
            ));
        }
        let (ready, live) = match &self.target {
            Target::Service(service) => {
                let mut useless = Vec::new();
                #[cfg(feature = "tls")]
                useless.extend(self.tls.is_asked_for().then_some("TLS"));
                useless.extend(self.check.is_some().then_some("health checks"));
                useless.extend((!self.choice.balance.is_default()).then_some("balance"));
                useless.extend(self.choice.affinity.is_some().then_some("affinity"));
                useless.extend(self.choice.ejection.is_some().then_some("ejection"));
                useless.extend(self.choice.slow_start.is_some().then_some("slow_start"));
                useless.extend((!self.choice.panic).then_some("panic_mode"));
                let is_capped = self.choice.max_requests < usize::MAX;
                useless.extend(is_capped.then_some("max_requests"));
                mistakes.extend(useless.iter().map(|what| {
                    format!("there are settings for {what}, but it is a service in this process")
                }));
                let ready = Ready::InProcess(InProcess {
                    name: None,
                    service: service.clone(),
                    timeout: self.settings.timeout,
                });
                (ready, None)
            }
            Target::Http(_) | Target::Discover(_) => {
                let live = self.live(&mut mistakes);
                let proxy = Proxy::new(live.clone(), self.settings.clone());
                (Ready::Proxy(proxy), Some(live))
            }
        };
        if !mistakes.is_empty() {
            return Err(BuildError::new(mistakes));
        }
        let stages = self.stages();
        let ready = if stages.is_empty() {
            ready
        } else {
            let leaf = Next::from_fn(move |request| ready.call(request));
            Ready::Layered(stages.around(leaf))
        };
        Ok(Built { ready, live })
    }

    /// The endpoints, with connections of their own.
    fn live(&self, mistakes: &mut Vec<String>) -> Arc<Endpoints> {
        let (wanted, source) = match &self.target {
            Target::Http(wanted) => (&wanted[..], None),
            Target::Discover(source) => (&[][..], Some(source.clone())),
            Target::Service(_) => (&[][..], None),
        };
        mistakes.extend(source.iter().flat_map(|source| source.mistakes()));
        if source.is_none() && wanted.is_empty() {
            mistakes.push("it has no endpoint; name at least one URL".to_owned());
        }
        if !wanted.is_empty() && wanted.iter().all(|endpoint| endpoint.share() == 0) {
            mistakes.push("no endpoint has a weight above 0".to_owned());
        }
        #[cfg(feature = "tls")]
        let tls = {
            let is_tls = |at: &crate::Endpoint| at.address().is_ok_and(|at| at.is_tls());
            match (wanted.iter().any(is_tls), &source) {
                (true, _) => self.tls.build().map(Some),
                // It may find some, or none.
                (false, Some(_)) if !self.tls.is_asked_for() => Ok(self.tls.build().ok()),
                (false, Some(_)) => self.tls.build().map(Some),
                (false, None) => Ok(None),
            }
            .unwrap_or_else(|mistake| {
                mistakes.push(format!("TLS: {mistake}"));
                None
            })
        };
        mistakes.extend(self.choice.balance.mistake());
        if let Some(ejection) = &self.choice.ejection {
            mistakes.extend(ejection.mistakes());
        }
        if let Some(affinity) = &self.choice.affinity {
            mistakes.extend(affinity.mistakes());
        }
        if let Some(check) = &self.check {
            mistakes.extend(check.mistakes());
        }
        let factory = Factory {
            config: self.config.clone(),
            resolver: self.resolver.clone(),
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            needs_tls: self.tls.is_asked_for(),
            #[cfg(not(feature = "tls"))]
            needs_tls: false,
        };
        let has_source = source.is_some();
        let live = Arc::new(Endpoints::new(
            factory,
            self.choice.clone(),
            self.check.clone(),
            source,
        ));
        if !has_source && let Err(wrong) = live.set(wanted) {
            mistakes.extend(wrong);
        }
        live
    }

    /// The endpoints by URL, unless it is a service.
    pub(crate) fn endpoints(&self) -> Option<Vec<String>> {
        match &self.target {
            Target::Http(wanted) => Some(
                wanted
                    .iter()
                    .filter_map(|endpoint| endpoint.address().ok())
                    .map(|address| address.to_string())
                    .collect(),
            ),
            Target::Discover(_) => Some(Vec::new()),
            Target::Service(_) => None,
        }
    }
}
