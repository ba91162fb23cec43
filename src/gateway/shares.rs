//! What each client may spend: at the door, and on a route. Where that stands is said in `pipeline.rs`.

use super::{GatewayBuilder, Route, access::Access, next::Layers};
use crate::{template::Param, throttle::ThrottleLayer};

/// What was asked for on routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    throttle: Option<ThrottleLayer>,
    is_unthrottled: bool,
}

impl Shares {
    /// What a route has, and if it says nothing, what its gateway has for it.
    pub(crate) fn or(&self, gateway: &Self) -> Self {
        let throttle = match self.is_unthrottled {
            true => None,
            false => self.throttle.clone().or_else(|| gateway.throttle.clone()),
        };
        Self {
            throttle,
            is_unthrottled: self.is_unthrottled,
        }
    }

    pub(crate) fn stages(&self) -> Layers {
        let mut all = Layers::default();
        all.add(&self.throttle);
        all
    }

    /// What is wrong on a route with this access, whose pattern has these params.
    pub(crate) fn mistakes_on(
        &self,
        gateway: &Self,
        access: &Access,
        params: &[Param<'_>],
    ) -> Vec<String> {
        let own = self.throttle.iter().flat_map(ThrottleLayer::mistakes);
        let mut mistakes: Vec<_> = own.collect();
        if self.is_unthrottled && self.throttle.is_some() {
            mistakes
                .push("it is `unthrottled` and has `throttle`; leave out one of them".to_owned());
        }
        let Some(throttle) = self.or(gateway).throttle else {
            return mistakes;
        };
        // What is for all routes may say that it does not concern some.
        let needs = match self.throttle {
            Some(_) => throttle.needs(),
            None => throttle.needs_or_refuses(),
        };
        if needs.identity && !access.is_authenticated() {
            mistakes.push("throttle: it counts by who sends a request, and nobody is authenticated here; needs `authenticate`, here or on the gateway, or another key".to_owned());
        }
        for wanted in &needs.params {
            if !params.iter().any(|param| param.name == wanted) {
                mistakes.push(format!(
                    "throttle: the route's pattern has no param `{wanted}`"
                ));
            }
        }
        mistakes
    }

    /// What a request would spend twice of, because it stands at the door too.
    pub(crate) fn twice_with(&self, door: Option<&ThrottleLayer>) -> Vec<String> {
        let mut names: Vec<_> = door
            .zip(self.throttle.as_ref())
            .into_iter()
            .flat_map(|(door, own)| door.spent_twice_with(own))
            .collect();
        names.sort_unstable();
        names.dedup();
        let twice = names.iter().map(|name| {
            format!(
                "throttle policy {name:?}: it is at the door too, by the same key in the same store, so that each request would spend twice of it; leave out one of them, or give it another name"
            )
        });
        twice.collect()
    }

    /// The routes that there are costs for.
    pub(crate) fn priced(&self) -> impl Iterator<Item = &str> {
        self.throttle.iter().flat_map(ThrottleLayer::routes)
    }

    /// What is wrong with a gateway's for its routes.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.throttle
            .iter()
            .flat_map(ThrottleLayer::mistakes)
            .collect()
    }
}

/// What is wrong with what stands at the door, where little is known of a request.
pub(crate) fn mistakes_at_door(throttle: &ThrottleLayer) -> Vec<String> {
    let mut mistakes = throttle.mistakes();
    let needs = throttle.needs();
    let unknown = [
        (needs.identity, "who sends a request"),
        (needs.route, "the route"),
        (!needs.params.is_empty(), "a path param"),
    ];
    for (_, what) in unknown.iter().filter(|(is_needed, _)| *is_needed) {
        mistakes.push(format!(
            "throttle: it counts by {what}, which is not known at the door; give it to `throttle_routes`, or to a route's `throttle`"
        ));
    }
    mistakes
}

impl GatewayBuilder {
    /// Gives each client its share of the whole gateway, at the door: before the match and before anybody is authenticated, so that a
    /// flood costs next to nothing. It can count by what is known there, such as the client's address or a header. See
    /// [`throttle`](crate::throttle). Default: off.
    pub fn throttle(mut self, layer: ThrottleLayer) -> Self {
        self.guards.throttle = Some(layer);
        self
    }

    /// Gives each client its share of all routes together that do not say otherwise, behind authentication: it can count by who sends a
    /// request. Default: off.
    pub fn throttle_routes(mut self, layer: ThrottleLayer) -> Self {
        self.assembly.shares.throttle = Some(layer);
        self
    }
}

impl Route {
    /// Gives each client its share of the route, behind authentication, instead of what the gateway has for
    /// [all routes](GatewayBuilder::throttle_routes). Routes that are given clones of one layer share what is spent. See
    /// [`throttle`](crate::throttle). Default: the gateway's.
    pub fn throttle(mut self, layer: ThrottleLayer) -> Self {
        self.shares.throttle = Some(layer);
        self
    }

    /// Takes the route out of what the gateway has for [all routes](GatewayBuilder::throttle_routes). What stands at the door concerns it
    /// still. Default: it concerns the route.
    pub fn unthrottled(mut self) -> Self {
        self.shares.is_unthrottled = true;
        self
    }
}
