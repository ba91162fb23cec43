//! One limit of a layer: how much, of whom, and for what.

use std::{fmt, net::IpAddr, sync::Arc};

use http::{request::Parts, response};

use super::{
    key::{Key, KeyBytes, Now},
    plans::Plans,
    policy::Policy,
};

/// One limit of a [`ThrottleLayer`](super::ThrottleLayer): a [`Policy`], by what requests are counted, and what each costs.
///
/// | setting | default |
/// |---|---|
/// | [`by`](Self::by) | the client's address: [`Key::client_ip`] |
/// | [`without_key`](Self::without_key) | [`WithoutKey::Refuse`] |
/// | [`cost`](Self::cost), [`cost_on`](Self::cost_on), [`cost_by`](Self::cost_by) | 1 |
/// | [`charge`](Self::charge) | nothing more |
///
/// It has no state: what was spent is in the layer's limiter. A policy by itself is a rule with these defaults.
///
/// ```
/// use tower_gateway::throttle::{Key, Policy, Rule, ThrottleLayer, WithoutKey};
///
/// let layer = ThrottleLayer::new(Policy::per_second(10).burst(20).named("address"))
///     .rule(Rule::new(Policy::per_hour(1_000).named("user")).by(Key::subject()).without_key(WithoutKey::Pass))
///     .rule(Rule::shared(Policy::per_second(500).named("reports")).cost_on("/reports/{id}", 10));
/// # let _ = layer;
/// ```
#[derive(Clone)]
pub struct Rule {
    pub(super) policies: Policies,
    pub(super) key: Key,
    pub(super) without_key: WithoutKey,
    pub(super) cost: Cost,
    pub(super) charge: Option<ChargeOf>,
    pub(super) is_shared: bool,
}

/// What becomes of a request that has not the key of a [`Rule`]: no client address, no such header, no identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutKey {
    /// It is answered with 403.
    #[default]
    Refuse,
    /// The rule does not concern it.
    Pass,
    /// All such requests spend from one limit together, as one client.
    Share,
}

#[derive(Clone)]
pub(super) enum Policies {
    One(Policy),
    Plans(Plans),
}

#[derive(Clone)]
pub(super) struct Cost {
    fixed: u64,
    routes: Vec<(Box<str>, u64)>,
    by: Option<CostOf>,
}

type CostOf = Arc<dyn Fn(&Parts) -> u64 + Send + Sync>;
pub(super) type ChargeOf = Arc<dyn Fn(Option<&response::Parts>) -> u64 + Send + Sync>;

impl Rule {
    /// This limit for each client, by its address.
    pub fn new(policy: Policy) -> Self {
        Self::with(Policies::One(policy), Key::client_ip())
    }

    /// A limit that depends on the plan of who asks. A client that changes its plan has all of the new one's limit.
    pub fn plans(plans: Plans) -> Self {
        Self::with(Policies::Plans(plans), Key::client_ip())
    }

    /// A limit that all clients share, such as what a backend can do: what is beyond is answered with 503, for it is not the client's
    /// fault. It may be [by](Self::by) something that is not the client, such as the route.
    pub fn shared(policy: Policy) -> Self {
        let rule = Self::with(Policies::One(policy), Key::constant("all"));
        Self {
            is_shared: true,
            ..rule
        }
    }

    /// By what requests are counted. See [`Key`].
    pub fn by(mut self, key: impl Into<Key>) -> Self {
        self.key = key.into();
        self
    }

    /// What becomes of a request without the key.
    pub fn without_key(mut self, what: WithoutKey) -> Self {
        self.without_key = what;
        self
    }

    /// What a request costs: from 0, which only looks whether there is no debt, to the policy's [quota](Policy::quota). With 0, something else has to spend: a
    /// [route](Self::cost_on), or a [charge](Self::charge).
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost.fixed = cost;
        self
    }

    /// What a request costs on the route of this [name](crate::Route::name), which has to be there. It is known in the slot of a [`Route`](crate::Route::throttle),
    /// and not before.
    pub fn cost_on(mut self, route: impl Into<Box<str>>, cost: u64) -> Self {
        self.cost.routes.push((route.into(), cost));
        self
    }

    /// Asks a closure what a request costs, if its route has no cost of its own; once for a request. More than the policy's [quota](Policy::quota) is
    /// never allowed, and answered without `Retry-After`.
    pub fn cost_by(mut self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.cost.by = Some(Arc::new(cost));
        self
    }

    /// Charges more when it is known what came of a request: for what it really took, as the backend says it. It may make a debt, which has to come back
    /// before the client is let through again. The debt of a rate is at most its whole [quota](Policy::quota), however much is charged: so nobody is shut out
    /// for longer than that takes to come back, [`window`](Policy::window), and for one unit more. What is charged to a sliding window is out of it when the window is over.
    ///
    /// The closure is given the head of the answer; or `None` if there is none: the client went away before, the request was given up further outside, as by the route's
    /// timeout, or the service inside failed with an error that is not the crate's. What such a request costs is for the closure to say: with 0, whoever resets their requests in time pays nothing.
    /// An [`Error`](crate::Error) of the service inside, such as the gateway's own 404 or 502, is given as the answer that it will be.
    ///
    /// If the limiter has to be waited for, a layer waits for 1,024 charges at most; what is beyond is [dropped](super::ThrottleHandle::dropped_charges).
    ///
    /// ```
    /// use tower_gateway::throttle::{Policy, Rule};
    ///
    /// // Nothing is known before: so it only has to have no debt.
    /// let rule = Rule::new(Policy::per_minute(10_000)).cost(0).charge(|answer| {
    ///     // Nobody knows what it took.
    ///     let Some(answer) = answer else { return 100 };
    ///     let cost = answer.headers.get("x-query-cost").and_then(|cost| cost.to_str().ok());
    ///     cost.and_then(|cost| cost.parse().ok()).unwrap_or(1)
    /// });
    /// # let _ = rule;
    /// ```
    pub fn charge(
        mut self,
        cost: impl Fn(Option<&response::Parts>) -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.charge = Some(Arc::new(cost));
        self
    }

    fn with(policies: Policies, key: Key) -> Self {
        Self {
            policies,
            key,
            without_key: WithoutKey::default(),
            cost: Cost {
                fixed: 1,
                routes: Vec::new(),
                by: None,
            },
            charge: None,
            is_shared: false,
        }
    }

    /// The key of a request, if that can be said without waiting.
    pub(super) fn read(&self, head: &Parts, client: Option<IpAddr>) -> Option<Option<KeyBytes>> {
        let mut key = KeyBytes::new();
        match self.key.read(head, client, &mut key) {
            Now::Found => Some(Some(key)),
            Now::Missing => Some(None),
            Now::Later => None,
        }
    }

    /// Which of its policies concerns a request, likewise.
    pub(super) fn plan(&self, head: &Parts) -> Option<usize> {
        match &self.policies {
            Policies::One(_) => Some(0),
            Policies::Plans(plans) => plans.choose(head),
        }
    }

    /// Whether a request may spend something before it is answered.
    pub(super) fn spends(&self) -> bool {
        let cost = &self.cost;
        cost.fixed > 0 || cost.by.is_some() || cost.routes.iter().any(|(_, cost)| *cost > 0)
    }

    /// What is wrong with it: each names the policy and the setting.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let plans = match &self.policies {
            Policies::One(_) => Vec::new(),
            Policies::Plans(plans) => plans.mistakes(),
        };
        let mut mistakes: Vec<_> = plans.into_iter().chain(self.key.mistakes()).collect();
        mistakes.extend(self.cost.twice());
        let spends_nothing = !self.spends() && self.charge.is_none();
        for policy in self.policies.all() {
            if spends_nothing {
                let name = policy.name();
                mistakes.push(format!(
                    "throttle policy {name:?}: cost 0, and nothing spends of it; needs `charge`, `cost_on` or another cost"
                ));
            }
            match policy.limit() {
                Err(wrong) => mistakes.extend(wrong),
                Ok(_) => mistakes.extend(self.cost.above(policy)),
            }
        }
        mistakes
    }
}

impl Policies {
    pub(super) fn all(&self) -> &[Policy] {
        match self {
            Self::One(policy) => std::slice::from_ref(policy),
            Self::Plans(plans) => plans.policies(),
        }
    }
}

impl Cost {
    /// Of a request on this route.
    pub(super) fn of(&self, head: &Parts, route: Option<&str>) -> u64 {
        let own = route.and_then(|route| {
            let mut routes = self.routes.iter();
            routes.find(|(name, _)| **name == *route)
        });
        match (own, &self.by) {
            (Some((_, cost)), _) => *cost,
            (None, Some(by)) => by(head),
            (None, None) => self.fixed,
        }
    }

    /// Those that have a cost of their own.
    pub(super) fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|(route, _)| &**route)
    }

    pub(super) fn needs_route(&self) -> bool {
        !self.routes.is_empty()
    }

    /// A route of which only the first cost would ever be looked at.
    fn twice(&self) -> impl Iterator<Item = String> {
        let routes = self.routes.iter().enumerate();
        let is_there = |at: usize, name| self.routes[..at].iter().any(|(other, _)| other == name);
        let twice = routes.filter(move |(at, (name, _))| is_there(*at, name));
        twice.map(|(_, (name, _))| {
            format!("throttle rule: route `{name}` has two costs; leave out one of them")
        })
    }

    /// A cost that would never be allowed.
    fn above(&self, policy: &Policy) -> Vec<String> {
        let (name, quota) = (policy.name(), policy.quota());
        let fixed = (self.by.is_none() && self.fixed > quota).then(|| {
            let cost = self.fixed;
            format!("throttle policy {name:?}: cost {cost} is more than there ever is, {quota}")
        });
        let routes = self.routes.iter().filter(|(_, cost)| *cost > quota);
        let routes = routes.map(|(route, cost)| {
            format!(
                "throttle policy {name:?}: cost {cost} on route `{route}` is more than there ever is, {quota}"
            )
        });
        fixed.into_iter().chain(routes).collect()
    }
}

impl From<Policy> for Rule {
    fn from(policy: Policy) -> Self {
        Self::new(policy)
    }
}

impl From<Plans> for Rule {
    fn from(plans: Plans) -> Self {
        Self::plans(plans)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("policies", &self.policies.all())
            .field("by", &self.key)
            .field("without_key", &self.without_key)
            .field("is_shared", &self.is_shared)
            .finish_non_exhaustive()
    }
}
