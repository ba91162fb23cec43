//! The cache of a route: behind authentication and the route's layers, and before retries and circuits. Where that is is said in `pipeline.rs`.

use super::{GatewayBuilder, Route, access::Access, next::Layers};
use crate::cache::CacheLayer;

/// What was asked for on routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caching {
    cache: Option<CacheLayer>,
    is_uncached: bool,
}

impl Caching {
    /// What a route has, and if it says nothing, what its gateway has for it.
    pub(crate) fn or(&self, gateway: &Self) -> Self {
        let cache = match self.is_uncached {
            true => None,
            false => self.cache.clone().or_else(|| gateway.cache.clone()),
        };
        Self {
            cache,
            is_uncached: self.is_uncached,
        }
    }

    pub(crate) fn stages(&self) -> Layers {
        let mut all = Layers::default();
        all.add(&self.cache);
        all
    }

    /// What is wrong on a route with this access.
    pub(crate) fn mistakes_on(&self, gateway: &Self, access: &Access) -> Vec<String> {
        let mut mistakes = self.mistakes();
        if self.is_uncached && self.cache.is_some() {
            mistakes.push("it is `uncached` and has `cache`; leave out one of them".to_owned());
        }
        let cache = self.or(gateway).cache.filter(|_| access.is_authenticated());
        mistakes.extend(cache.and_then(|cache| cache.mistake_behind_authentication()));
        mistakes
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let cache = self.cache.iter();
        cache.flat_map(CacheLayer::mistakes).collect()
    }
}

impl GatewayBuilder {
    /// Answers requests on all routes that do not say otherwise from what is stored, behind authentication and the route's layers: see
    /// [`cache`](crate::cache). Default: off.
    pub fn cache_routes(mut self, layer: CacheLayer) -> Self {
        self.assembly.caching.cache = Some(layer);
        self
    }
}

impl Route {
    /// Answers requests on the route from what is stored, instead of what the gateway has for [all routes](GatewayBuilder::cache_routes). Routes that are given
    /// clones of one layer share what is stored. It stands behind authentication, throttle and the route's layers, and before retries and circuits, so that what
    /// is stored is there while a circuit is open. See [`cache`](crate::cache). Default: the gateway's.
    pub fn cache(mut self, layer: CacheLayer) -> Self {
        self.caching.cache = Some(layer);
        self
    }

    /// Takes the route out of what the gateway has for [all routes](GatewayBuilder::cache_routes). Default: it concerns the route.
    pub fn uncached(mut self) -> Self {
        self.caching.is_uncached = true;
        self
    }
}
