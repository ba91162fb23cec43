//! Which endpoint of an upstream takes a request, and which takes none for now.

use std::time::Duration;

use super::Upstream;
use crate::upstream::{Affinity, Balance, HealthCheck, OutlierEjection};

impl Upstream {
    /// How an endpoint is chosen. Default: [`Balance::power_of_two`].
    pub fn balance(self, balance: Balance) -> Self {
        self.set(|this| this.choice.balance = balance)
    }

    /// The most requests at a time at one endpoint, to the end of their answers' bodies, at least 1; those above go to another
    /// one, and get 503 when there is none with room. It counts for all runtimes together, and for HTTP/2 as well. Default: no limit
    /// but that of the connections.
    pub fn max_requests(mut self, most: usize) -> Self {
        if most == 0 {
            self.mistakes
                .push("max_requests is 0; it is at least 1".to_owned());
        }
        self.set(|this| this.choice.max_requests = most)
    }

    /// Keeps a client with the endpoint that it met first, as long as that takes requests, by a cookie; a client without one is
    /// [balanced](Self::balance). Default: off.
    pub fn affinity(self, affinity: Affinity) -> Self {
        self.set(|this| this.choice.affinity = Some(affinity))
    }

    /// In which time an endpoint that is new, or has come back, grows into its share of the requests, beginning with a tenth;
    /// an empty cache or a cold program needs time. It counts only beside others that are there for longer. For
    /// [`Balance::hash`] a small share means that keys go to their next endpoint for a while. Default: at once.
    pub fn slow_start(self, time: Duration) -> Self {
        self.positive("slow_start", time)
            .set(|this| this.choice.slow_start = Some(time))
    }

    /// Asks the endpoints now and then whether they are well; one that is not gets no requests until it is. The probes are
    /// sent by a task of their own, which begins with the first request if the upstream was not made on a runtime, and ends
    /// with the last clone. Default: off.
    pub fn health_check(self, check: HealthCheck) -> Self {
        self.set(|this| this.check = Some(check))
    }

    /// Leaves an endpoint alone for a while that fails more than it should. Default: off.
    pub fn outlier_ejection(self, ejection: OutlierEjection) -> Self {
        self.set(|this| this.choice.ejection = Some(ejection))
    }

    /// What happens when every endpoint is unhealthy or ejected: with `true` all of them are used, since a check may be wrong,
    /// and a request may as well try; with `false` it is answered with 503 at once. Default: `true`.
    pub fn panic_mode(self, on: bool) -> Self {
        self.set(|this| this.choice.panic = on)
    }
}
