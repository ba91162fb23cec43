//! Whether whoever sends a request may.

mod rules;
mod service;

use std::sync::Arc;

use http::{HeaderValue, request::Parts};
use tower::Layer;

use super::{denied::Denied, service::Challenges};
use crate::context::RequestContext;
use rules::{Refusal, Rule};
pub use service::{Authorize, AuthorizeFuture};

/// Lets a request pass if it is known who sends it and all rules hold; otherwise 401 or 403. Behind an
/// [`AuthenticateLayer`](super::AuthenticateLayer). It has no state; clones are independent.
///
/// | rule | holds if |
/// |---|---|
/// | none | it is known who sends the request |
/// | [`all_scopes`](Self::all_scopes), [`any_scope`](Self::any_scope) | they have all, or one, of these scopes |
/// | [`any_of`](Self::any_of), [`all_of`](Self::all_of) | a claim is or has one, or all, of these texts: roles, groups, tenants |
/// | [`claim_is_param`](Self::claim_is_param) | a claim is what stands in the path: `/users/{id}` for `sub` alone |
/// | [`claim_is_header`](Self::claim_is_header) | a claim is what a header says, in every line of it |
/// | [`when`](Self::when) | a closure says so |
///
/// Where scopes are missing, `WWW-Authenticate` says which (RFC 6750, section 3.1: `insufficient_scope`). What else is missing is for
/// the log alone. A rule that can not be meant, as one without scopes, is a mistake that `build` reports; without a gateway nobody passes
/// then, and the answer is 503.
///
/// ```
/// use tower_gateway::auth::AuthorizeLayer;
///
/// let own_orders = AuthorizeLayer::new()
///     .all_scopes(["orders:read"])
///     .any_of("realm_access.roles", ["customer", "support"])
///     .claim_is_param("sub", "id");
/// ```
#[derive(Clone, Debug, Default)]
pub struct AuthorizeLayer {
    rules: Arc<Vec<Rule>>,
    /// Why nobody may.
    mistakes: Arc<[String]>,
}

impl AuthorizeLayer {
    /// Whoever is known may.
    pub fn new() -> Self {
        Self::default()
    }

    /// Needs all of these scopes.
    pub fn all_scopes<T: Into<String>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.rule(Rule::AllScopes(texts(scopes)))
    }

    /// Needs one of these scopes.
    pub fn any_scope<T: Into<String>>(self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.rule(Rule::AnyScope(texts(scopes)))
    }

    /// The claim at this [path](crate::Claims) is one of these texts, or an array that has one of them.
    pub fn any_of<T: Into<String>>(
        self,
        claim: impl Into<String>,
        texts_of: impl IntoIterator<Item = T>,
    ) -> Self {
        self.rule(Rule::AnyOf(claim.into(), texts(texts_of)))
    }

    /// The claim at this path is an array that has all of these texts.
    pub fn all_of<T: Into<String>>(
        self,
        claim: impl Into<String>,
        texts_of: impl IntoIterator<Item = T>,
    ) -> Self {
        self.rule(Rule::AllOf(claim.into(), texts(texts_of)))
    }

    /// The claim is the text or number that stands in the path for this param, or an array that has it. The param is compared
    /// percent-decoded; an empty one never is it. A route whose pattern has no such param is a mistake.
    pub fn claim_is_param(self, claim: impl Into<String>, param: impl Into<String>) -> Self {
        self.rule(Rule::IsParam {
            claim: claim.into(),
            param: param.into(),
        })
    }

    /// The claim is what this header says, byte for byte, or an array that has it. Of several lines each one has to be it, and so has
    /// what is sent under the name with `_` for `-`; without the header the request is refused.
    pub fn claim_is_header(self, claim: impl Into<String>, header: impl Into<String>) -> Self {
        self.rule(Rule::IsHeader {
            claim: claim.into(),
            header: header.into().to_ascii_lowercase(),
        })
    }

    /// Asks a closure, which finds the [`RequestContext`] among the extensions. All lines of a header are to be looked at, not
    /// the first.
    pub fn when(self, allows: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.rule(Rule::When(Arc::new(allows)))
    }

    fn rule(mut self, rule: Rule) -> Self {
        Arc::make_mut(&mut self.rules).push(rule);
        self.mistakes = self.rules.iter().flat_map(Rule::mistakes).collect();
        self
    }

    /// What is wrong with the rules.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.mistakes.to_vec()
    }

    /// The path params that it needs.
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(Rule::param)
    }

    fn check(&self, head: &Parts) -> Result<(), Denied> {
        if !self.mistakes.is_empty() {
            return Err(Denied::unavailable(self.mistakes.join("; ")));
        }
        let context = head.extensions.get::<RequestContext>();
        let Some(identity) = context.and_then(RequestContext::identity) else {
            return Err(unknown(head));
        };
        for rule in &*self.rules {
            rule.check(head, identity.claims())
                .map_err(|refusal| match refusal {
                    Refusal::Scope(scope) => {
                        let denied = Denied::forbidden(format!("it takes the scopes `{scope}`"));
                        let told =
                            format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
                        match HeaderValue::try_from(told) {
                            Ok(told) => denied.with_challenge(told),
                            Err(_) => denied,
                        }
                    }
                    Refusal::Other(reason) => Denied::forbidden(reason),
                })?;
        }
        Ok(())
    }
}

/// 401: with what the authenticator has to say about it, for there is no 401 without (RFC 9110, section 15.5.2).
fn unknown(head: &Parts) -> Denied {
    let known = head.extensions.get::<Challenges>();
    let challenges = known.map_or(&[][..], |Challenges(all)| all);
    let denied = Denied::missing();
    if challenges.is_empty() {
        return denied.with_challenge(HeaderValue::from_static("Bearer"));
    }
    challenges
        .iter()
        .cloned()
        .fold(denied, Denied::with_challenge)
}

fn texts<T: Into<String>>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(Into::into).collect()
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize::new(inner, self.clone())
    }
}
