//! What may be tried again, and how long after.

use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode, header::RETRY_AFTER};

use crate::{
    date,
    error::{Error, ErrorKind, Origin, Rejection},
    problem::grpc,
};

/// Which methods and statuses, and how long a server's wish to be left alone may be.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) methods: Methods,
    pub(super) statuses: Vec<StatusCode>,
    pub(super) max_retry_after: Duration,
}

/// The methods that may be sent again although they may have had their effect.
#[derive(Clone, Debug)]
pub(super) enum Methods {
    Idempotent,
    These(Vec<Method>),
    All,
}

/// How a try ended, as far as it matters for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    status: StatusCode,
    effect: Effect,
    /// There was no answer of a backend.
    is_error: bool,
    /// The backend was not asked, and there is another one that can be.
    is_elsewhere: bool,
    retry_after: RetryAfter,
}

/// What the try may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Nothing of the request was sent.
    None,
    Possible,
    /// Whatever it was, another try would end the same.
    Settled,
}

/// How long the server wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryAfter {
    Unsaid,
    Delay(Duration),
    /// It says something that is neither a number of seconds nor a date.
    Unclear,
}

impl Methods {
    pub(super) fn contain(&self, method: &Method) -> bool {
        match self {
            Self::Idempotent => method.is_idempotent(),
            Self::These(methods) => methods.contains(method),
            Self::All => true,
        }
    }
}

impl Outcome {
    /// An error of the crate counts as the status that it becomes. One that is not known says nothing of what was sent, as a
    /// connection that broke.
    pub(super) fn of_error(error: Option<&Error>) -> Self {
        let Some(error) = error else {
            return Self {
                status: StatusCode::BAD_GATEWAY,
                effect: Effect::Possible,
                is_error: true,
                is_elsewhere: false,
                retry_after: RetryAfter::Unsaid,
            };
        };
        // Asked again, an open circuit would answer the same; and what is shed for load is not to come back as more load, nor what is
        // over a limit.
        let is_refusal = matches!(
            error.kind(),
            ErrorKind::CircuitOpen | ErrorKind::Saturated | ErrorKind::CapacityReduced
        );
        let is_refusal = is_refusal && !error.has_elsewhere();
        let effect = if error.origin() == Origin::Client || is_refusal {
            Effect::Settled
        } else if error.is_retryable() {
            Effect::None
        } else {
            Effect::Possible
        };
        Self {
            status: error.status(),
            effect,
            is_error: true,
            is_elsewhere: error.has_elsewhere(),
            retry_after: error
                .retry_after()
                // Whoever else is asked has not said it.
                .filter(|_| !error.has_elsewhere())
                .map_or(RetryAfter::Unsaid, RetryAfter::Delay),
        }
    }

    /// `now` is asked for the seconds since 1970 when an answer names a date.
    pub(super) fn of_response<B>(response: &Response<B>, now: impl Fn() -> u64) -> Self {
        let status = match grpc::status_of(response) {
            // Of all that gRPC calls failures this alone is about the server and not the call.
            Some(grpc::UNAVAILABLE) => StatusCode::SERVICE_UNAVAILABLE,
            _ => response.status(),
        };
        if !status.is_client_error() && !status.is_server_error() {
            return Self {
                status,
                effect: Effect::Settled,
                is_error: false,
                is_elsewhere: false,
                retry_after: RetryAfter::Unsaid,
            };
        }
        if let Some(Rejection(error)) = response.extensions().get() {
            return Self::of_error(Some(error));
        }
        Self {
            status,
            effect: Effect::Possible,
            is_error: false,
            is_elsewhere: false,
            retry_after: RetryAfter::of(response.headers(), now),
        }
    }

    /// Whether another try adds nothing to what backends have to do.
    pub(super) fn is_elsewhere(self) -> bool {
        self.is_elsewhere
    }
}

impl Policy {
    /// Whether it is an answer that nothing better is waited for.
    pub(super) fn is_good(&self, outcome: Outcome) -> bool {
        !outcome.is_error && !self.statuses.contains(&outcome.status)
    }

    /// The least pause before another try; `None` when this outcome is to be the last. `is_safe`: the request's method is one
    /// of [`methods`](Self::methods).
    pub(super) fn again(&self, is_safe: bool, outcome: Outcome) -> Option<Duration> {
        let may = match outcome.effect {
            Effect::None => true,
            Effect::Possible => is_safe && self.statuses.contains(&outcome.status),
            Effect::Settled => false,
        };
        match outcome.retry_after {
            _ if !may => None,
            // A limit that does not say when it ends would be run into again.
            RetryAfter::Unsaid if outcome.status == StatusCode::TOO_MANY_REQUESTS => None,
            RetryAfter::Unsaid => Some(Duration::ZERO),
            RetryAfter::Delay(delay) if delay <= self.max_retry_after => Some(delay),
            RetryAfter::Delay(_) | RetryAfter::Unclear => None,
        }
    }
}

impl RetryAfter {
    /// RFC 9110, section 10.2.3: of several lines the longest delay.
    fn of(headers: &HeaderMap, now: impl Fn() -> u64) -> Self {
        let mut longest = Self::Unsaid;
        for line in headers.get_all(RETRY_AFTER) {
            let Some(delay) = delay(line.as_bytes(), &now) else {
                return Self::Unclear;
            };
            longest = match longest {
                Self::Delay(other) => Self::Delay(other.max(delay)),
                _ => Self::Delay(delay),
            };
        }
        longest
    }
}

fn delay(line: &[u8], now: impl Fn() -> u64) -> Option<Duration> {
    if line.is_empty() || !line.iter().all(u8::is_ascii_digit) {
        let now = now();
        let date = date::parse(line, now)?;
        return Some(Duration::from_secs(date.saturating_sub(now)));
    }
    // More seconds than fit are more than anybody waits for.
    let seconds = line.iter().fold(0_u64, |seconds, digit| {
        seconds
            .saturating_mul(10)
            .saturating_add((digit - b'0').into())
    });
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const NO_PAUSE: Option<Duration> = Some(Duration::ZERO);
    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: u64 = 784_111_777;

    fn policy() -> Policy {
        Policy {
            methods: Methods::Idempotent,
            statuses: [429, 502, 503, 504]
                .map(|code| StatusCode::from_u16(code).unwrap())
                .to_vec(),
            max_retry_after: Duration::from_secs(5),
        }
    }

    fn response(status: u16, retry_after: &[&str]) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for line in retry_after {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            response.headers_mut().append(RETRY_AFTER, line);
        }
        response
    }

    #[test]
    fn the_safe_methods_are_the_idempotent_ones_unless_others_are_named() {
        let these = Methods::These(vec![Method::POST]);
        for (method, idempotent, named) in [
            ("GET", true, false),
            ("HEAD", true, false),
            ("OPTIONS", true, false),
            ("PUT", true, false),
            ("DELETE", true, false),
            ("POST", false, true),
            ("PATCH", false, false),
            ("PURGE", false, false),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(Methods::Idempotent.contain(&method), idempotent, "{method}");
            assert_eq!(these.contain(&method), named, "{method}");
            assert!(Methods::All.contain(&method));
        }
    }

    #[test]
    fn answers_are_judged_by_status_and_retry_after() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases: [(u16, &[&str], Option<Duration>); 24] = [
            (200, &[], None),
            (304, &[], None),
            (404, &[], None),
            (500, &[], None),
            (501, &["1"], None),
            (502, &[], NO_PAUSE),
            (503, &[], NO_PAUSE),
            (503, &["0"], NO_PAUSE),
            (503, &["5"], seconds(5)),
            (503, &["6"], None),
            (503, &["2", "1"], seconds(2)),
            (503, &["2", "soon"], None),
            (503, &[""], None),
            (503, &["-1"], None),
            (503, &["1.5"], None),
            (503, &["Sun, 06 Nov 1994 08:49:37 GMT"], NO_PAUSE),
            (503, &["Fri, 31 Dec 1993 23:59:59 GMT"], NO_PAUSE),
            (503, &["Sun, 06 Nov 1994 08:49:42 GMT"], seconds(5)),
            (503, &["Sunday, 06-Nov-94 08:49:42 GMT"], seconds(5)),
            (503, &["Sun Nov  6 08:49:41 1994", "2"], seconds(4)),
            (503, &["Sun, 06 Nov 1994 08:49:43 GMT"], None),
            (503, &["99999999999999999999999"], None),
            (429, &[], None),
            (429, &["3"], seconds(3)),
        ];
        for (status, lines, pause) in cases {
            let outcome = Outcome::of_response(&response(status, lines), || NOW);
            assert_eq!(policy().again(true, outcome), pause, "{status} {lines:?}");
            assert_eq!(policy().again(false, outcome), None, "{status} {lines:?}");
        }
    }

    #[test]
    fn errors_are_judged_by_what_was_sent() {
        use ErrorKind::*;
        // Whether another try is allowed for a safe method, and for any other one.
        for (kind, safe, any) in [
            (Resolve, true, true),
            (Connect, true, true),
            (Tls, true, true),
            (ConnectTimeout, true, true),
            (NoEndpoint, true, true),
            (Saturated, false, false),
            (CircuitOpen, false, false),
            (Protocol, true, false),
            (Incomplete, true, false),
            (Upgrade, true, false),
            (Timeout, true, false),
            (Deadline, true, false),
            (Internal, false, false),
            (Loop, false, false),
            (BodyTooLarge, false, false),
            (ClientGone, false, false),
            (BadRequest, false, false),
        ] {
            let error = Error::new(kind);
            let rejection: Response<bytes::Bytes> = error.clone().into_response();
            for outcome in [
                Outcome::of_error(Some(&error)),
                Outcome::of_response(&rejection, || NOW),
            ] {
                let again = [true, false].map(|is_safe| policy().again(is_safe, outcome).is_some());
                assert_eq!(again, [safe, any], "{kind:?}");
            }
        }
        let mut eager = policy();
        eager.statuses.push(StatusCode::PAYLOAD_TOO_LARGE);
        let clients = Outcome::of_error(Some(&BodyTooLarge.into()));
        assert_eq!(eager.again(true, clients), None, "whatever the status");
        let unsent = Error::new(Incomplete).with_retryable(true);
        assert_eq!(
            policy().again(false, Outcome::of_error(Some(&unsent))),
            NO_PAUSE
        );
        let later = Error::new(NoEndpoint).with_retry_after(Duration::from_secs(9));
        assert_eq!(policy().again(true, Outcome::of_error(Some(&later))), None);
        let unknown = Outcome::of_error(None);
        assert_eq!(policy().again(true, unknown), NO_PAUSE);
        assert_eq!(policy().again(false, unknown), None);
    }

    #[test]
    fn what_was_refused_goes_to_another_backend_at_once() {
        for kind in [
            ErrorKind::CircuitOpen,
            ErrorKind::Saturated,
            ErrorKind::NoEndpoint,
        ] {
            let error = Error::new(kind).with_retry_after(Duration::from_secs(60));
            let refused = Outcome::of_error(Some(&error));
            assert_eq!(policy().again(true, refused), None, "{kind:?}");
            assert!(!refused.is_elsewhere());
            let refused = Outcome::of_error(Some(&error.with_elsewhere()));
            assert_eq!(policy().again(false, refused), NO_PAUSE, "{kind:?}");
            assert!(refused.is_elsewhere());
        }
    }

    #[test]
    fn of_the_failures_of_grpc_one_is_tried_again() {
        for (said, again) in [
            ("0", false),
            ("2", false),
            ("4", false),
            ("8", false),
            ("13", false),
            ("14", true),
            ("x", false),
        ] {
            let mut response = response(200, &[]);
            let said = HeaderValue::from_static(said);
            response.headers_mut().insert("grpc-status", said);
            let outcome = Outcome::of_response(&response, || NOW);
            let safe = policy().again(true, outcome).is_some();
            assert_eq!((safe, policy().is_good(outcome)), (again, !again));
            assert_eq!(policy().again(false, outcome), None);
        }
    }

    proptest! {
        #[test]
        fn no_header_breaks_it_and_none_is_waited_for_too_long(
            status in 200_u16..600,
            lines in prop::collection::vec("[ -~]{0,24}|[0-9]{0,24}", 0..3),
            is_safe: bool,
        ) {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let outcome = Outcome::of_response(&response(status, &lines), || NOW);
            if let Some(pause) = policy().again(is_safe, outcome) {
                prop_assert!(is_safe && pause <= policy().max_retry_after);
                prop_assert!(lines.iter().all(|line| line.parse::<u64>().is_ok()));
            }
        }
    }
}
