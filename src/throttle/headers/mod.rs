//! What a response says of the limits: `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10, `Retry-After`, and the older
//! `X-RateLimit-*`.
//!
//! ```text
//! RateLimit-Policy: "burst";q=100;w=60, "daily";q=10000;w=86400
//! RateLimit: "burst";r=50;t=30, "daily";r=9950;t=85968
//! ```
//!
//! # What `q`, `w`, `r` and `t` are
//!
//! `q` is what may be spent at once, and `w` the time in which it comes back, in whole seconds and rounded up. `r` is what is left.
//!
//! `t` is, in the draft, the time until additional quota is there. Something comes back to a rate all the time: taken by the letter it would be a
//! second almost always, and whoever divides what is left by it would come to far more than the limit, against which the draft warns: the
//! ratio of `r` and `t` is to be capped. So it is:
//!
//! | | `t` |
//! |---|---|
//! | refused | the time until the same request is allowed |
//! | a rate, something is left | the time in which as much comes back as is left: who spreads `r` over `t` has the rate that is allowed, and never waits |
//! | a rate, nothing is left | the time until the next one is there |
//! | a sliding window | the time until all is there again, or that in which `r` may be spent evenly, if it is longer |
//!
//! It is at least 1, so that nobody divides by nothing.
//!
//! `Retry-After` should not be earlier than `t`, says the draft. So a refusal has `RateLimit` only of the policies that refuse: the time at which
//! another one has more says nothing of when to come back. A throttle around one that has refused adds to `RateLimit-Policy` alone.

#[cfg(test)]
mod tests;
mod text;

use std::{cmp::Ordering, time::Duration};

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::{decision::Decision, limiter::INLINE, policy::Policy};
use text::Text;

/// A field of a response.
pub(super) type Field = (HeaderName, HeaderValue);

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The older fields; the last one in seconds from now.
pub(super) const OLDER: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// `RateLimit-Policy`, made once for the policies that most requests have. For others, such as those of a plan, it is made anew.
#[derive(Clone, Debug)]
pub(super) struct PolicyField {
    ids: SmallVec<[u64; INLINE]>,
    field: Option<Field>,
}

impl PolicyField {
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Policy> + Clone) -> Self {
        Self {
            ids: policies.clone().map(Policy::id).collect(),
            field: policy_field(policies),
        }
    }

    /// For these policies. Without an allocation if it was made for them. `None`: there are none.
    pub(super) fn get<'a>(
        &self,
        policies: impl Iterator<Item = &'a Policy> + Clone,
    ) -> Option<Field> {
        match self
            .ids
            .iter()
            .copied()
            .eq(policies.clone().map(Policy::id))
        {
            true => self.field.clone(),
            false => policy_field(policies),
        }
    }
}

fn policy_field<'a>(policies: impl Iterator<Item = &'a Policy>) -> Option<Field> {
    let mut text = Text::default();
    for policy in policies {
        text.item(policy.name());
        text.parameter("q", policy.quota());
        text.parameter("w", seconds(policy.window()).max(1));
    }
    Some((RATE_LIMIT_POLICY, text.into_value()?))
}

/// `RateLimit`: of all policies, or of those that refuse. `None`: there are none.
pub(super) fn rate_limit<'a>(
    said: impl Iterator<Item = (&'a Policy, &'a Decision)> + Clone,
) -> Option<Field> {
    let is_allowed = said.clone().all(|(_, decision)| decision.is_allowed());
    let mut text = Text::default();
    for (policy, decision) in said {
        if is_allowed || !decision.is_allowed() {
            text.item(policy.name());
            text.parameter("r", decision.remaining());
            text.parameter("t", seconds(available_after(policy, decision)).max(1));
        }
    }
    Some((RATE_LIMIT, text.into_value()?))
}

/// `Retry-After`, in whole seconds (RFC 9110, section 10.2.3): when all that refuse allow it. `None`: nothing refuses, or one of them will
/// never allow it.
pub(super) fn retry_after<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Option<Duration> {
    let refused = decisions.filter(|decision| !decision.is_allowed());
    let mut times = refused.map(Decision::retry_after);
    let first = times.next()??;
    let longest = times.try_fold(first, |longest, time| Some(longest.max(time?)))?;
    // Of a refusal it is more than nothing: rounded up, at least 1.
    Some(Duration::from_secs(seconds(longest)))
}

/// `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the policy that is nearest to its limit. Empty: there are no policies.
pub(super) fn older<'a>(
    said: impl Iterator<Item = (&'a Policy, &'a Decision)>,
) -> impl Iterator<Item = Field> {
    let nearest = said.min_by(|one, other| nearness(*one, *other));
    nearest.into_iter().flat_map(|(policy, decision)| {
        let numbers = [
            policy.quota(),
            decision.remaining(),
            seconds(decision.reset_after()),
        ];
        let value = |(name, number)| Some((name, text::integer(number)?));
        OLDER.into_iter().zip(numbers).filter_map(value)
    })
}

/// What is nearer to its limit is less: what refuses, the longer the nearer; then what has the least part left.
fn nearness(one: (&Policy, &Decision), other: (&Policy, &Decision)) -> Ordering {
    let wait = |decision: &Decision| decision.retry_after().unwrap_or(Duration::MAX);
    let left = |of: &Decision, over: &Policy| u128::from(of.remaining()) * u128::from(over.quota());
    wait(other.1)
        .cmp(&wait(one.1))
        .then_with(|| left(one.1, other.0).cmp(&left(other.1, one.0)))
}

/// What `t` says.
fn available_after(policy: &Policy, decision: &Decision) -> Duration {
    if !decision.is_allowed()
        && let Some(retry) = decision.retry_after()
    {
        return retry;
    }
    let (quota, left) = (policy.quota().max(1), decision.remaining());
    let reset = decision.reset_after();
    let time_of = |units: u64| {
        let nanos = policy.window().as_nanos() * u128::from(units);
        let nanos = nanos.div_ceil(u128::from(quota));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    match (policy.is_rate(), left) {
        // All but one are still missing then.
        (true, 0) => reset.saturating_sub(time_of(quota - 1)),
        (true, left) => time_of(left),
        (false, left) => reset.max(time_of(left)),
    }
}

/// Rounded up: whoever comes too early comes in vain.
fn seconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0))
}
