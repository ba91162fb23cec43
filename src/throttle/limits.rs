//! What limits have said, for layers of one's own.

use super::{decision::Decision, policy::Policy};

/// What limits have said to a request, among the extensions of its answer: for layers around that count or log it, or change a refusal.
///
/// It is there if [`ThrottleLayer::extensions`](super::ThrottleLayer::extensions) asks for it, on answers of services inside and on refusals. Where several
/// throttles do, the inner ones come first, as in the `RateLimit-Policy` field.
///
/// ```
/// use http::Response;
/// use tower_gateway::throttle::RateLimits;
///
/// fn is_near<B>(response: &Response<B>) -> bool {
///     let limits = response.extensions().get::<RateLimits>();
///     limits.is_some_and(|limits| limits.iter().any(|(policy, decision)| decision.remaining() < policy.quota() / 10))
/// }
/// # assert!(!is_near(&Response::new(())));
/// ```
#[derive(Clone, Debug, Default)]
pub struct RateLimits(Vec<(Policy, Decision)>);

impl RateLimits {
    /// Each policy that was asked, and what it has said. While the limiter fails and a [part](super::OnFailure::Local) of the limit decides, the decision is that
    /// of the part.
    pub fn iter(&self) -> impl Iterator<Item = (&Policy, &Decision)> {
        self.0.iter().map(|(policy, decision)| (policy, decision))
    }

    pub(super) fn extend(&mut self, outer: Self) {
        self.0.extend(outer.0);
    }
}

impl FromIterator<(Policy, Decision)> for RateLimits {
    fn from_iter<I: IntoIterator<Item = (Policy, Decision)>>(limits: I) -> Self {
        Self(limits.into_iter().collect())
    }
}
