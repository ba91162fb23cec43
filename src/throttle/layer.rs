//! The settings.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::Extensions;
use tower::Layer;

use super::{
    addresses::AddressList,
    client::PeerOf,
    failure::OnFailure,
    handle::ThrottleHandle,
    key::Needs,
    limiter::{AnyLimiter, RateLimiter},
    rule::{Policies, Rule, WithoutKey},
    service::Throttle,
    shared::Shared,
    store::LocalStore,
};

/// Gives each client its share: see the [module](crate::throttle).
///
/// | setting | default |
/// |---|---|
/// | [`limiter`](Self::limiter) | a [`LocalStore`] of its own |
/// | [`on_failure`](Self::on_failure) | [`OnFailure::Local`] as one of two gateways |
/// | [`headers`](Self::headers) | on |
/// | [`legacy_headers`](Self::legacy_headers) | off |
/// | [`extensions`](Self::extensions) | off |
/// | [`dry_run`](Self::dry_run) | off |
/// | [`exempt`](Self::exempt), [`block`](Self::block) | nobody |
/// | [`peer_addr`](Self::peer_addr) | a bare [`SocketAddr`] among the request's extensions |
///
/// | answer | when |
/// |---|---|
/// | 429 | a client has used up its own limit; `Retry-After` says when to come again |
/// | 503 | a [shared](Rule::shared) limit is used up, likewise; or it can not be counted what the request spends |
/// | 403 | the request has no key, and the rule [refuses](super::WithoutKey) it; or its address is [blocked](Self::block) |
///
/// The layer owns what was spent, and its counters. All services that it and its clones make share them, so one layer on several routes
/// is one limit over all of them. A setting makes a layer with counters of its own, so settings come first; the limiter stays.
///
/// A wrong setting is a mistake that a gateway reports when it is built; a layer without a gateway lets nobody pass then: 503.
#[derive(Clone)]
pub struct ThrottleLayer {
    settings: Settings,
    shared: Arc<Shared>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) rules: Vec<Rule>,
    pub(super) limiter: AnyLimiter,
    pub(super) on_failure: OnFailure,
    pub(super) has_headers: bool,
    pub(super) has_legacy_headers: bool,
    pub(super) has_extensions: bool,
    pub(super) is_dry_run: bool,
    pub(super) exempt: Option<AddressList>,
    pub(super) blocked: Option<AddressList>,
    pub(super) peer: Option<Arc<PeerOf>>,
}

impl ThrottleLayer {
    /// A layer with this rule; a [`Policy`](super::Policy) alone is one for each client, by its address.
    pub fn new(rule: impl Into<Rule>) -> Self {
        let settings = Settings {
            rules: vec![rule.into()],
            limiter: AnyLimiter::new(LocalStore::new()),
            on_failure: OnFailure::default(),
            has_headers: true,
            has_legacy_headers: false,
            has_extensions: false,
            is_dry_run: false,
            exempt: None,
            blocked: None,
            peer: None,
        };
        Self {
            shared: Shared::new(settings.clone()),
            settings,
        }
    }

    /// One more rule, at most 16 of them. A request passes if all of them allow it; otherwise it spends nothing of any. Their policies
    /// have different names.
    pub fn rule(self, rule: impl Into<Rule>) -> Self {
        self.change(|settings| settings.rules.push(rule.into()))
    }

    /// Who remembers what was spent: a [`LocalStore`] that is given to several layers, Redis for several gateways, or a limiter of your own.
    pub fn limiter(self, limiter: impl RateLimiter) -> Self {
        self.change(|settings| settings.limiter = AnyLimiter::new(limiter))
    }

    /// What is done while the limiter fails.
    pub fn on_failure(self, what: OnFailure) -> Self {
        self.change(|settings| settings.on_failure = what)
    }

    /// Whether answers say what is left, in `RateLimit-Policy` and `RateLimit`: those of the service inside, and refusals. An [`Error`](crate::Error) of the
    /// service inside has them when it becomes an answer, as the gateway's own 404, 405, 413, 502 and 504 do; another type of error stays what it is.
    ///
    /// What gives a request up from outside of the layer has none of it: the deadline of a gateway, or for the throttle of a route the route's timeout, when it has to cut
    /// off a layer of yours. Backends keep to both by themselves, and answer through the layer.
    ///
    /// In a refusal, `RateLimit` is of the policies that refuse. So when a limit behind has refused (another throttle, or a backend whose 429 has
    /// `RateLimit`), this layer adds what there is to `RateLimit-Policy`, and nothing to `RateLimit`.
    pub fn headers(self, on: bool) -> Self {
        self.change(|settings| settings.has_headers = on)
    }

    /// Whether answers have the older `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (in seconds from now) too, of the policy that is
    /// nearest to its limit. They are no lists: where a backend or another throttle behind has set one of them, theirs stay.
    pub fn legacy_headers(self, on: bool) -> Self {
        self.change(|settings| settings.has_legacy_headers = on)
    }

    /// Whether answers have what each policy said among their extensions, as [`RateLimits`](super::RateLimits), for layers of yours around this one: those of the service inside, and
    /// refusals; in a dry run none.
    pub fn extensions(self, on: bool) -> Self {
        self.change(|settings| settings.has_extensions = on)
    }

    /// Only tries what the rules would do: it counts, and every request passes. What would have been refused stands in the
    /// [handle](Self::handle), and in an event for the log: for each rule one in 10 seconds, with the number of requests since the one before. Answers have no fields of it.
    pub fn dry_run(self, on: bool) -> Self {
        self.change(|settings| settings.is_dry_run = on)
    }

    /// Whom no rule concerns, by address. The list may be changed while it is used.
    pub fn exempt(self, addresses: AddressList) -> Self {
        self.change(|settings| settings.exempt = Some(addresses))
    }

    /// Who is answered with 403, by address, before anything else is looked at. While there is somebody on it, so is whose address is not
    /// known. The list may be changed while it is used.
    pub fn block(self, addresses: AddressList) -> Self {
        self.change(|settings| settings.blocked = Some(addresses))
    }

    /// Where the server puts the peer's address, if there is no gateway around the layer that knows the client's. For axum:
    /// `|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)`.
    pub fn peer_addr(
        self,
        peer: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.change(|settings| settings.peer = Some(Arc::new(peer)))
    }

    /// A look at how it fares.
    pub fn handle(&self) -> ThrottleHandle {
        ThrottleHandle::new(self.shared.clone())
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.shared.mistakes().to_vec()
    }

    /// The routes that rules have costs for.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &str> {
        self.settings
            .rules
            .iter()
            .flat_map(|rule| rule.cost.routes())
    }

    /// What a request would spend twice of if it goes through both: policies that are equal, counted by the same key, in one store.
    pub(crate) fn spent_twice_with<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let (mine, theirs) = (&self.settings, &other.settings);
        let is_same = mine.limiter.is_same(&theirs.limiter);
        let rules = mine
            .rules
            .iter()
            .filter(move |rule| is_same && rule.spends());
        rules.flat_map(|rule| {
            let same = theirs.rules.iter();
            let same = same.filter(|other| other.spends() && other.key.is_same(&rule.key));
            let policies = same.flat_map(|other| other.policies.all());
            policies.filter_map(|policy| {
                let mut mine = rule.policies.all().iter();
                mine.any(|mine| mine.id() == policy.id())
                    .then(|| policy.name())
            })
        })
    }

    /// What has to be known of a request before it comes to the layer.
    pub(crate) fn needs(&self) -> Needs {
        self.needs_of(|_| true)
    }

    /// The same of those rules that refuse a request of which it is not known.
    pub(crate) fn needs_or_refuses(&self) -> Needs {
        self.needs_of(|rule| rule.without_key == WithoutKey::Refuse)
    }

    fn needs_of(&self, which: impl Fn(&Rule) -> bool) -> Needs {
        let mut all = Needs::default();
        for rule in self.settings.rules.iter().filter(|rule| which(rule)) {
            let needs = rule.key.needs();
            let plans = match &rule.policies {
                Policies::One(_) => false,
                Policies::Plans(plans) => plans.needs_identity(),
            };
            all.identity |= needs.identity || plans;
            all.route |= needs.route || rule.cost.needs_route();
            all.params.extend(needs.params);
        }
        all
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.shared = Shared::new(self.settings.clone());
        self
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = Throttle<S>;

    fn layer(&self, inner: S) -> Throttle<S> {
        Throttle::new(inner, self.shared.clone())
    }
}

impl fmt::Debug for ThrottleLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleLayer")
            .field("rules", &self.settings.rules)
            .field("on_failure", &self.settings.on_failure)
            .field("is_dry_run", &self.settings.is_dry_run)
            .finish_non_exhaustive()
    }
}
