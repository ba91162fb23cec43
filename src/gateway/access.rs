//! Who may use a route: what is asked of a request before anything is done for it. Where that stands is said in `pipeline.rs`.

use http::HeaderName;

use super::{GatewayBuilder, Route, next::Layers};
use crate::{
    auth::{AuthenticateLayer, AuthorizeLayer, IdentityHeadersLayer},
    template::Param,
};

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    authenticate: Option<AuthenticateLayer>,
    is_anonymous: bool,
    authorize: Option<AuthorizeLayer>,
    identity_headers: Option<IdentityHeadersLayer>,
}

impl Access {
    /// What a route has, and for what it says nothing about, what its gateway has.
    pub(crate) fn or(&self, gateway: &Self) -> Self {
        let own = self.clone();
        Self {
            authenticate: match self.is_anonymous {
                true => None,
                false => own.authenticate.or_else(|| gateway.authenticate.clone()),
            },
            identity_headers: own
                .identity_headers
                .or_else(|| gateway.identity_headers.clone()),
            ..self.clone()
        }
    }

    pub(crate) fn stages(&self) -> Layers {
        let mut all = Layers::default();
        all.add(&self.authenticate);
        all.add(&self.authorize);
        all.add(&self.identity_headers);
        all
    }

    /// The header fields that nobody else may set.
    pub(crate) fn owned(&self) -> impl Iterator<Item = HeaderName> {
        let told = self.identity_headers.iter();
        let added = self.authenticate.iter();
        told.flat_map(IdentityHeadersLayer::names)
            .chain(added.flat_map(AuthenticateLayer::owned))
    }

    /// Whether it is known who sends a request, or that nobody need say it.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticate.is_some()
    }

    /// What is wrong with a gateway's.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.authenticate
            .iter()
            .flat_map(AuthenticateLayer::mistakes)
            .collect()
    }

    /// What is wrong with a route's, whose pattern has these params; the gateway's is the second one.
    pub(crate) fn mistakes_on(&self, gateway: &Self, params: &[Param<'_>]) -> Vec<String> {
        let mut mistakes = self.mistakes();
        let whole = self.or(gateway);
        if self.is_anonymous && self.authenticate.is_some() {
            mistakes
                .push("it is `anonymous` and has `authenticate`; leave out one of them".to_owned());
        }
        if let Some(authorize) = &self.authorize {
            mistakes.extend(authorize.mistakes());
            if whole.authenticate.is_none() {
                mistakes.push("`authorize` needs `authenticate`, here or on the gateway: nobody would be known".to_owned());
            }
            for wanted in authorize.params() {
                if !params.iter().any(|param| param.name == wanted) {
                    mistakes.push(format!(
                        "authorize: the route's pattern has no param `{wanted}`"
                    ));
                }
            }
        }
        let told = whole.identity_headers.iter();
        mistakes.extend(told.flat_map(|told| told.mistakes(params)));
        mistakes
    }
}

impl GatewayBuilder {
    /// Finds out who sends a request, on all routes that do not say otherwise. A path that no route takes is answered with 404 to anybody.
    /// See [`auth`](crate::auth). Default: nobody is asked.
    pub fn authenticate(mut self, layer: impl Into<AuthenticateLayer>) -> Self {
        self.assembly.access.authenticate = Some(layer.into());
        self
    }

    /// Tells backends who sends a request, on all routes that do not say otherwise. What a client sends under these names is
    /// removed at the door, on all routes. Default: nothing is told.
    pub fn identity_headers(mut self, layer: IdentityHeadersLayer) -> Self {
        self.assembly.access.identity_headers = Some(layer);
        self
    }
}

impl Route {
    /// Finds out who sends a request, instead of what the gateway has for all routes; others get 401. It stands behind the timeout
    /// and in front of everything that costs something. See [`auth`](crate::auth). Default: the gateway's.
    pub fn authenticate(mut self, layer: impl Into<AuthenticateLayer>) -> Self {
        self.access.authenticate = Some(layer.into());
        self
    }

    /// Is for anybody, though the gateway authenticates. Default: the gateway's authentication holds.
    pub fn anonymous(mut self) -> Self {
        self.access.is_anonymous = true;
        self
    }

    /// Who may; others get 403. Default: whoever is authenticated.
    pub fn authorize(mut self, layer: AuthorizeLayer) -> Self {
        self.access.authorize = Some(layer);
        self
    }

    /// Tells backends who sends a request, instead of what the gateway has for all routes. What a client sends under these names is
    /// removed at the door, on all routes. Default: the gateway's.
    pub fn identity_headers(mut self, layer: IdentityHeadersLayer) -> Self {
        self.access.identity_headers = Some(layer);
        self
    }
}
