//! The answer to a request that may not go on.

use bytes::Bytes;
use http::Response;
use smallvec::SmallVec;

use super::{
    decision::Decision,
    headers::{self, Field},
    limiter::INLINE,
    limits::RateLimits,
    policy::Policy,
};
use crate::{
    error::{BoxError, Error, ErrorKind},
    problem::Problem,
};

/// Why a request may not go on, and what its client is told: `application/problem+json`, with the types of
/// draft-ietf-httpapi-ratelimit-headers-10 where limits are exceeded.
///
/// A blocked address is a plain 403. The draft has `abnormal-usage-detected` too, but that says of a client that it does something odd, and
/// names the limits that it has exceeded by it; who is on a list has exceeded none, and coming later does not help.
#[derive(Debug)]
pub(super) struct Refusal {
    error: Error,
    problem: Problem,
    fields: SmallVec<[Field; INLINE]>,
    limits: Option<RateLimits>,
}

impl Refusal {
    /// These policies were asked, and at least one of them refuses: 429, or 503 if the limit is one that all clients share.
    pub(super) fn exceeded<'a>(
        said: impl Iterator<Item = (&'a Policy, &'a Decision)> + Clone,
        is_shared: bool,
    ) -> Self {
        let (kind, uri, title) = match is_shared {
            false => (
                ErrorKind::QuotaExceeded,
                "https://iana.org/assignments/http-problem-types#quota-exceeded",
                "Quota Exceeded",
            ),
            true => (
                ErrorKind::CapacityReduced,
                "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
                "Temporary Reduced Capacity",
            ),
        };
        let mut violated: SmallVec<[&str; INLINE]> = SmallVec::new();
        let mut is_possible = true;
        for (policy, decision) in said.clone().filter(|(_, said)| !said.is_allowed()) {
            is_possible &= decision.retry_after().is_some();
            if !violated.contains(&policy.name()) {
                violated.push(policy.name());
            }
        }
        // For the log.
        let mut error = Error::new(kind).with_source(format!("over {}", violated.join(", ")));
        if !is_possible {
            error = error.with_detail("The request costs more than is ever allowed");
        }
        if let Some(delay) = headers::retry_after(said.map(|(_, decision)| decision)) {
            error = error.with_retry_after(delay);
        }
        let problem = Problem::from(&error)
            .with_type(uri)
            .with_title(title)
            .with_member("violated-policies", &violated[..]);
        Self {
            error,
            problem,
            fields: SmallVec::new(),
            limits: None,
        }
    }

    /// The client's address is blocked: 403.
    pub(super) fn blocked() -> Self {
        Error::new(ErrorKind::Forbidden)
            .with_source("the client's address is blocked")
            .into()
    }

    /// It can not be found out whether the request may go on: 503.
    pub(super) fn unavailable(source: impl Into<BoxError>) -> Self {
        Error::new(ErrorKind::ThrottleUnavailable)
            .with_source(source)
            .into()
    }

    /// Fields for the answer, those about limits for one.
    pub(super) fn with_fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// What limits have said, for layers around.
    pub(super) fn with_limits(mut self, limits: Option<RateLimits>) -> Self {
        self.limits = limits;
        self
    }

    /// What it is as an error, with its reason as the source.
    #[cfg(feature = "tracing")]
    pub(super) fn error(&self) -> &Error {
        &self.error
    }

    /// With the error as a [`Rejection`](crate::Rejection) in the extensions.
    pub(super) fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = self.error.answer(self.problem);
        response.headers_mut().extend(self.fields);
        if let Some(limits) = self.limits {
            response.extensions_mut().insert(limits);
        }
        response
    }
}

/// Any other reason.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            problem: Problem::from(&error),
            error,
            fields: SmallVec::new(),
            limits: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderName, HeaderValue};

    use proptest::{collection::vec, prelude::*};
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Rejection;

    const SECOND: Duration = Duration::from_secs(1);

    fn burst() -> Policy {
        Policy::per_second(10).named("burst")
    }

    fn exceeded(said: &[(Policy, Decision)], is_shared: bool) -> Refusal {
        let said = said.iter().map(|(policy, decision)| (policy, decision));
        Refusal::exceeded(said, is_shared)
    }

    fn body(response: &Response<Bytes>) -> Value {
        serde_json::from_slice(response.body()).unwrap()
    }

    fn kind(response: &Response<Bytes>) -> ErrorKind {
        response.extensions().get::<Rejection>().unwrap().0.kind()
    }

    #[test]
    fn a_limit_is_told_in_the_words_of_the_draft() {
        let said = [
            (burst(), Decision::refused(0, SECOND, Some(SECOND / 10))),
            (
                Policy::per_hour(9).named("day \"1\""),
                Decision::refused(0, 9 * SECOND, Some(8_001 * SECOND / 1000)),
            ),
            (Policy::per_hour(9), Decision::allowed(1, SECOND)),
            (burst(), Decision::refused(0, SECOND, Some(SECOND / 5))),
        ];
        let own: Response<Bytes> = exceeded(&said, false).into_response();
        assert_eq!(
            (own.status().as_u16(), kind(&own)),
            (429, ErrorKind::QuotaExceeded)
        );
        assert_eq!(own.headers()["retry-after"], "9");
        assert_eq!(own.headers()["content-type"], "application/problem+json");
        assert_eq!(own.headers()["cache-control"], "no-store");
        assert_eq!(
            body(&own),
            json!({
                "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
                "title": "Quota Exceeded",
                "status": 429,
                "detail": "Too many requests",
                "violated-policies": ["burst", "day \"1\""],
            })
        );

        let shared: Response<Bytes> = exceeded(&said[..1], true).into_response();
        assert_eq!(
            (shared.status().as_u16(), kind(&shared)),
            (503, ErrorKind::CapacityReduced)
        );
        assert_eq!(shared.headers()["retry-after"], "1");
        assert_eq!(
            body(&shared),
            json!({
                "type": "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
                "title": "Temporary Reduced Capacity",
                "status": 503,
                "detail": "The service takes no more requests at the moment",
                "violated-policies": ["burst"],
            })
        );
    }

    #[test]
    fn what_is_never_allowed_is_told_without_a_time() {
        let said = [
            (burst(), Decision::refused(0, SECOND, Some(SECOND))),
            (burst().named("size"), Decision::refused(5, SECOND, None)),
        ];
        let never: Response<Bytes> = exceeded(&said, false).into_response();
        assert!(!never.headers().contains_key("retry-after"));
        assert_eq!(
            body(&never)["detail"],
            "The request costs more than is ever allowed"
        );
        assert_eq!(body(&never)["violated-policies"], json!(["burst", "size"]));
    }

    #[test]
    fn other_refusals_name_no_limit_and_nothing_of_the_inside() {
        for (refusal, status, expected) in [
            (Refusal::blocked(), 403, ErrorKind::Forbidden),
            (
                Refusal::unavailable("10.0.0.7 is away"),
                503,
                ErrorKind::ThrottleUnavailable,
            ),
            (
                Error::new(ErrorKind::BadRequest).into(),
                400,
                ErrorKind::BadRequest,
            ),
        ] {
            let response: Response<Bytes> = refusal.into_response();
            assert_eq!(
                (response.status().as_u16(), kind(&response)),
                (status, expected)
            );
            let body = body(&response);
            assert_eq!(body["type"], "about:blank");
            assert_eq!(body.get("violated-policies"), None);
            assert!(!body.to_string().contains("10.0.0.7"));
            assert!(!response.headers().contains_key("retry-after"));
        }
    }

    #[test]
    fn fields_are_added() {
        let field = |name, value| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        let said = [(burst(), Decision::refused(0, SECOND, Some(SECOND)))];
        let refusal = exceeded(&said, false).with_fields([
            field("ratelimit", "\"burst\";r=0;t=1"),
            field("x-ratelimit-limit", "10"),
        ]);
        let response: Response<Bytes> = refusal.into_response();
        assert_eq!(response.headers()["ratelimit"], "\"burst\";r=0;t=1");
        assert_eq!(response.headers()["x-ratelimit-limit"], "10");
        assert_eq!(response.headers().len(), 5);
    }

    proptest! {
        #[test]
        fn whatever_the_names_it_is_json(names in vec(".{0,8}", 1..6), is_shared: bool) {
            let decision = Decision::refused(0, SECOND, Some(SECOND));
            let said: Vec<_> = names.iter().map(|name| (burst().named(&**name), decision)).collect();
            let response: Response<Bytes> = exceeded(&said, is_shared).into_response();
            let mut expected: Vec<&String> = Vec::new();
            for name in &names {
                if !expected.contains(&name) {
                    expected.push(name);
                }
            }
            prop_assert_eq!(&body(&response)["violated-policies"], &json!(expected));
        }
    }
}
