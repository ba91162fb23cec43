//! Why a request is not let in, and what its sender is told.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::error::{BoxError, Error, ErrorKind};

/// What an [`Authenticator`](super::Authenticator) answers when it does not know who sends a request, or may not let them in.
///
/// | made by | status | for |
/// |---|---|---|
/// | [`missing`](Self::missing) | 401 | there are no credentials that it could look at |
/// | [`invalid`](Self::invalid) | 401 | they are wrong: forged, expired, revoked, unknown |
/// | [`malformed`](Self::malformed) | 400 | they can be read in two ways, or not at all |
/// | [`forbidden`](Self::forbidden) | 403 | they are right, and their owner may not |
/// | [`unavailable`](Self::unavailable) | 503 | it can not be found out: nobody is let in |
/// | [`answer`](Self::answer) | its own | somebody else has the word |
///
/// A 401 says how to try again (RFC 9110, section 15.5.2): where no [challenge](Self::with_challenge) says it, as for a certificate that no
/// header can replace, it is a 403. Of several denials the one further down in the table is told. A reason is for logs and never shown.
#[derive(Debug)]
pub struct Denied(Box<Inner>);

#[derive(Debug)]
struct Inner {
    cause: Cause,
    error: Error,
    challenges: Vec<HeaderValue>,
    answer: Option<Response<Bytes>>,
}

/// From the least telling to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Missing,
    Invalid,
    Malformed,
    Forbidden,
    Unavailable,
    Answered,
}

impl Denied {
    /// 401: the request has no credentials of the kind.
    pub fn missing() -> Self {
        let error = Error::new(ErrorKind::Unauthenticated).with_source("there are no credentials");
        Self::new(Cause::Missing, error)
    }

    /// 401: the credentials are wrong. The sender is not told why.
    pub fn invalid(reason: impl Into<BoxError>) -> Self {
        let error = Error::new(ErrorKind::Unauthenticated).with_source(reason);
        Self::new(Cause::Invalid, error)
    }

    /// 400: what was sent can not be read in one way only; the sender is told `detail`.
    pub fn malformed(detail: &'static str) -> Self {
        let error = Error::new(ErrorKind::BadRequest).with_detail(detail);
        Self::new(Cause::Malformed, error)
    }

    /// 403: it is known who they are, and they may not. The sender is not told why.
    pub fn forbidden(reason: impl Into<BoxError>) -> Self {
        let error = Error::new(ErrorKind::Forbidden).with_source(reason);
        Self::new(Cause::Forbidden, error)
    }

    /// 503: the credentials can not be checked at the moment.
    pub fn unavailable(reason: impl Into<BoxError>) -> Self {
        let error = Error::new(ErrorKind::AuthUnavailable).with_source(reason);
        Self::new(Cause::Unavailable, error)
    }

    /// An answer as it is, such as the redirect of an authorisation service.
    pub fn answer(response: Response<Bytes>) -> Self {
        let error = Error::new(ErrorKind::Forbidden).with_source("another service has refused it");
        let mut denied = Self::new(Cause::Answered, error);
        denied.0.answer = Some(response);
        denied
    }

    /// Adds what goes into `WWW-Authenticate` (RFC 9110, section 11.6.1), as `Basic realm="staff"`. Default: nothing.
    pub fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.0.challenges.push(challenge);
        self
    }

    /// What it is as an error: its status, and its reason as the source.
    pub fn error(&self) -> &Error {
        &self.0.error
    }

    fn new(cause: Cause, error: Error) -> Self {
        Self(Box::new(Inner {
            cause,
            error,
            challenges: Vec::new(),
            answer: None,
        }))
    }

    pub(super) fn cause(&self) -> Cause {
        self.0.cause
    }

    /// The more telling one of two, with the challenges of both.
    pub(super) fn or(self, other: Self) -> Self {
        let (mut told, untold) = match other.cause() > self.cause() {
            true => (other, self),
            false => (self, other),
        };
        told.0.challenges.extend(untold.0.challenges);
        told
    }

    /// What would be told to somebody who has to say who they are.
    pub(super) fn into_challenges(self) -> Vec<HeaderValue> {
        self.0.challenges
    }

    /// The answer. Challenges are told where there is something to be tried again.
    pub(super) fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let Inner {
            cause,
            error,
            challenges,
            answer,
        } = *self.0;
        if let Some(answer) = answer {
            return answer.map(B::from);
        }
        let has_no_way = challenges.is_empty() && error.kind() == ErrorKind::Unauthenticated;
        let error = match has_no_way {
            true => Error::new(ErrorKind::Forbidden).with_source(error),
            false => error,
        };
        let mut response = error.into_response();
        if cause != Cause::Unavailable {
            for challenge in challenges {
                response
                    .headers_mut()
                    .append(header::WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_telling_denial_is_told_with_all_challenges() {
        let challenge = HeaderValue::from_static;
        let missing = || Denied::missing().with_challenge(challenge("Bearer"));
        let cases = [
            (Denied::missing(), 401),
            (Denied::invalid("expired"), 401),
            (Denied::malformed("Two tokens"), 400),
            (Denied::forbidden("not theirs"), 403),
            (Denied::unavailable("no keys"), 503),
        ];
        for (denied, status) in cases {
            let is_unavailable = denied.cause() == Cause::Unavailable;
            let both = missing().or(denied.with_challenge(challenge("Basic")));
            let response = both.into_response::<Bytes>();
            assert_eq!(response.status(), status);
            let told = response.headers().get_all("www-authenticate").iter();
            let mut told: Vec<_> = told.collect();
            told.sort();
            match is_unavailable {
                true => assert!(told.is_empty(), "there is nothing to try again with"),
                false => assert_eq!(told, ["Basic", "Bearer"]),
            }
        }
    }

    #[test]
    fn what_can_not_be_tried_again_is_forbidden() {
        for denied in [Denied::missing(), Denied::invalid("expired")] {
            let response = denied.into_response::<Bytes>();
            assert_eq!(response.status(), 403);
            assert!(!response.headers().contains_key("www-authenticate"));
        }
    }

    #[test]
    fn no_reason_is_shown() {
        for denied in [
            Denied::invalid("the signature"),
            Denied::forbidden("the signature"),
            Denied::unavailable("the signature"),
        ] {
            let source = std::error::Error::source(denied.error()).map(ToString::to_string);
            assert_eq!(
                source.as_deref(),
                Some("the signature"),
                "it is for the log"
            );
            let body: Bytes = denied.into_response().into_body();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert!(!text.contains("signature"), "{text}");
        }
    }

    #[test]
    fn an_answer_is_told_as_it_is() {
        let login = Response::builder().status(302).header("location", "/login");
        let login = login.body(Bytes::from("go")).unwrap();
        let response = Denied::missing()
            .or(Denied::answer(login))
            .into_response::<Bytes>();
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (302, &b"go"[..])
        );
        assert_eq!(response.headers()["location"], "/login");
    }
}
