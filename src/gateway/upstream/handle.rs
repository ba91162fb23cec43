//! A look at an upstream from outside.

use super::Upstream;
use crate::upstream::EndpointStatus;

/// Tells how the endpoints of an [`Upstream`] are, for a status page or metrics. Clones tell the same; as long as there is one,
/// probes and discovery go on.
#[derive(Clone, Debug)]
pub struct UpstreamHandle(pub(super) Upstream);

impl UpstreamHandle {
    /// The endpoints there are now. None if it is a service in this process, or something is wrong with its settings.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let built = self.0.built().ok();
        let live = built.and_then(|built| built.live.as_ref());
        live.map(|live| live.status()).unwrap_or_default()
    }
}
