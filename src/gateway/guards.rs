//! The protections of a gateway, a route and an upstream; where each stands is said in `pipeline.rs`.

use tower::Layer;

use super::{
    GatewayBuilder, Next, Route, Upstream, assembly::Assembly, next::Layers,
    shares::mistakes_at_door,
};
use crate::{
    breaker::CircuitBreakerLayer,
    deadline::DeadlineLayer,
    load::{ConcurrencyLimitLayer, Priority},
    mirror::MirrorLayer,
    retry::RetryLayer,
    throttle::ThrottleLayer,
};

/// The protections that were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    pub(crate) deadline: Option<DeadlineLayer>,
    pub(crate) mirror: Option<MirrorLayer>,
    pub(crate) retry: Option<RetryLayer>,
    pub(crate) breaker: Option<CircuitBreakerLayer>,
    pub(crate) limit: Option<ConcurrencyLimitLayer>,
    pub(crate) priority: Option<PriorityLayer>,
    /// At a gateway's door.
    pub(crate) throttle: Option<ThrottleLayer>,
}

/// Says how much a request matters, for the limits behind.
#[derive(Clone, Debug)]
pub(crate) struct PriorityLayer(Priority);

impl Layer<Next> for PriorityLayer {
    type Service = Next;

    fn layer(&self, next: Next) -> Next {
        let Self(priority) = *self;
        Next::from_fn(move |mut request| {
            request.extensions_mut().insert(priority);
            next.send(request)
        })
    }
}

impl Guards {
    /// What is wrong with their settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let all = [
            self.deadline.as_ref().map(DeadlineLayer::mistakes),
            self.mirror.as_ref().map(MirrorLayer::mistakes),
            self.retry.as_ref().map(RetryLayer::mistakes),
            self.breaker.as_ref().map(CircuitBreakerLayer::mistakes),
            self.limit.as_ref().map(ConcurrencyLimitLayer::mistakes),
            self.throttle.as_ref().map(mistakes_at_door),
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

    /// Leaves the backend alone while it fails: 503 at once, or a fallback. Each try counts by itself. A layer is for one backend:
    /// upstreams that are given clones of it have one circuit together. See [`breaker`](crate::breaker). Default: off.
    pub fn circuit_breaker(self, layer: CircuitBreakerLayer) -> Self {
        self.set(|this| this.guards.breaker = Some(layer))
    }

    /// Limits the requests in flight to the backend (a bulkhead); the others wait, or get 503. Each try has a permit of its
    /// own. See [`load`](crate::load). Default: off.
    pub fn concurrency_limit(self, layer: ConcurrencyLimitLayer) -> Self {
        self.set(|this| this.guards.limit = Some(layer))
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
    /// What a request on the route goes through in this gateway, from the outermost.
    pub(crate) fn stages(&self, gateway: &Assembly) -> Layers {
        let mut admission = self.access.or(&gateway.access).stages();
        admission.extend(&self.shares.or(&gateway.shares).stages());
        let caching = self.caching.or(&gateway.caching).stages();
        self.guards.of_route(&admission, &self.layers, &caching)
    }

    /// Sends a request again where that is safe, and hedges if asked to; each try chooses anew among the upstreams of a split, and
    /// one that refused it (its circuit is open, it sheds load, it has no endpoint) is left out.
    /// See [`retry`](crate::retry). Beside the retries of an upstream it multiplies them: have one or the other. Default: off.
    pub fn retry(mut self, layer: RetryLayer) -> Self {
        self.guards.retry = Some(layer);
        self
    }

    /// Answers at once while what the route leads to fails. See [`breaker`](crate::breaker), and
    /// [`Upstream::circuit_breaker`], which all routes to a backend share. Default: off.
    pub fn circuit_breaker(mut self, layer: CircuitBreakerLayer) -> Self {
        self.guards.breaker = Some(layer);
        self
    }

    /// Limits the requests in flight on the route (a bulkhead), so that it can not use up what others need; the others wait, or get
    /// 503. See [`load`](crate::load). Default: off.
    pub fn concurrency_limit(mut self, layer: ConcurrencyLimitLayer) -> Self {
        self.guards.limit = Some(layer);
        self
    }

    /// How much the route's requests matter to the concurrency limits of the route and its upstreams: what matters less is shed
    /// first. The limit of a gateway stands before the match, and asks its own
    /// [closure](ConcurrencyLimitLayer::priority). Default: what a layer before has said, [`Priority::Normal`] if none did.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.guards.priority = Some(PriorityLayer(priority));
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
    /// Limits the requests in flight in the whole gateway, before the match; the others wait, or get 503. See
    /// [`load`](crate::load). Default: off.
    pub fn concurrency_limit(mut self, layer: ConcurrencyLimitLayer) -> Self {
        self.guards.limit = Some(layer);
        self
    }

    /// Holds all requests to a time, or to what their caller has left. See [`deadline`](crate::deadline). Default: off.
    pub fn deadline(mut self, layer: DeadlineLayer) -> Self {
        self.guards.deadline = Some(layer);
        self
    }
}
