//! The protections of a gateway, a route and an upstream; where each stands is said in `pipeline.rs`.

use super::{GatewayBuilder, Route, Upstream, next::Layers};
use crate::{deadline::DeadlineLayer, mirror::MirrorLayer, retry::RetryLayer};

/// The protections that were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    pub(crate) deadline: Option<DeadlineLayer>,
    pub(crate) mirror: Option<MirrorLayer>,
    pub(crate) retry: Option<RetryLayer>,
}

impl Guards {
    /// What is wrong with their settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let all = [
            self.deadline.as_ref().map(DeadlineLayer::mistakes),
            self.mirror.as_ref().map(MirrorLayer::mistakes),
            self.retry.as_ref().map(RetryLayer::mistakes),
        ];
        all.into_iter().flatten().flatten().collect()
    }
}

impl Upstream {
    /// What a request to the upstream goes through, from the outermost.
    pub(crate) fn stages(&self) -> Layers {
        self.guards.of_upstream(&self.layers)
    }

    /// Sends a request again where that is safe, and hedges if asked to: each try may go to another endpoint. See
    /// [`retry`](crate::retry). The layer's budget is shared by all upstreams and routes that are given a clone of it.
    /// Default: off.
    pub fn retry(self, layer: RetryLayer) -> Self {
        self.set(|this| this.guards.retry = Some(layer))
    }

    /// Sends copies of requests to another service, as they go to this one but for `Host` and what else belongs to the way
    /// there. See [`mirror`](crate::mirror). Default: off.
    pub fn mirror(self, layer: MirrorLayer) -> Self {
        self.set(|this| this.guards.mirror = Some(layer))
    }

    /// Holds each try to a time, or tells the backend how much is left. See [`deadline`](crate::deadline). Default: off.
    pub fn deadline(self, layer: DeadlineLayer) -> Self {
        self.set(|this| this.guards.deadline = Some(layer))
    }
}

impl Route {
    /// What a request on the route goes through, from the outermost.
    pub(crate) fn stages(&self) -> Layers {
        self.guards.of_route(&self.layers)
    }

    /// Sends a request again where that is safe, and hedges if asked to; each try chooses anew among the upstreams of a split.
    /// See [`retry`](crate::retry). Beside the retries of an upstream it multiplies them: have one or the other. Default: off.
    pub fn retry(mut self, layer: RetryLayer) -> Self {
        self.guards.retry = Some(layer);
        self
    }

    /// Holds requests to the time that their caller has left, or tells backends how much there is. See
    /// [`deadline`](crate::deadline). Default: off.
    pub fn deadline(mut self, layer: DeadlineLayer) -> Self {
        self.guards.deadline = Some(layer);
        self
    }
}

impl GatewayBuilder {
    /// Holds all requests to a time, or to what their caller has left. See [`deadline`](crate::deadline). Default: off.
    pub fn deadline(mut self, layer: DeadlineLayer) -> Self {
        self.guards.deadline = Some(layer);
        self
    }
}
