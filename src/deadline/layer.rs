//! The configuration, and what it does to a request on its way in.

use std::time::{Duration, Instant};

use http::Request;
use tower::Layer;

use super::{DeadlineHeader, service::Deadline};
use crate::{clock, context::RequestContext, problem::grpc::is_grpc};

/// The longest time that a setting may name.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Gives each request a moment by which its answer has to be whole, and passes the time that is left on: see the
/// [module](crate::deadline). It has no state; clones are independent. A setting that is not allowed is left at its default,
/// and is a mistake that a gateway reports when it is built.
#[derive(Clone, Debug, Default)]
pub struct DeadlineLayer {
    timeout: Option<Duration>,
    honour: Vec<DeadlineHeader>,
    propagate: Vec<DeadlineHeader>,
    mistakes: Vec<String>,
}

/// What a request may take.
pub(super) struct Terms {
    /// The deadline, if it is of this layer's making.
    pub(super) own: Option<Instant>,
    pub(super) is_over: bool,
}

impl DeadlineLayer {
    /// No timeout, and no header that is looked at or set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a request may take as a whole, its answer's body included; then 504, or a broken body. Default: as long
    /// as it likes.
    pub fn timeout(mut self, limit: Duration) -> Self {
        if limit.is_zero() || limit > LONGEST {
            self.mistakes.push(format!(
                "timeout is {limit:?}; allowed is what is above 0 and at most {LONGEST:?}"
            ));
        } else {
            self.timeout = Some(limit);
        }
        self
    }

    /// Takes the time that a [trusted](RequestContext::peer_is_trusted) peer says there is left for the deadline, if it is the
    /// earlier one. From anybody else, and when it can not be read, it has no effect. May be called for several headers.
    /// Default: none.
    pub fn honour(mut self, header: DeadlineHeader) -> Self {
        self.honour.push(header);
        self
    }

    /// Tells the service inside how much time there is left, rounded down; the deadline may come from whatever set it. A value
    /// that is there already, from whomever, can only make it less; one that can not be read is removed. May be called for
    /// several headers. Default: none.
    ///
    /// Inside of what [retries](crate::RetryLayer), so that each try is told what is left of it.
    pub fn propagate(mut self, header: DeadlineHeader) -> Self {
        self.propagate.push(header);
        self
    }

    /// The settings that are not allowed, each with what is.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.mistakes.clone()
    }

    /// Settles the deadline of a request, and says it.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) -> Terms {
        let now = clock::now();
        let mut headers = self.honour.iter().chain(&self.propagate);
        let is_grpc = headers.any(DeadlineHeader::is_of_grpc) && is_grpc(request);
        let applies = |header: &&DeadlineHeader| is_grpc || !header.is_of_grpc();

        let context = request.extensions().get::<RequestContext>();
        let known = context.and_then(RequestContext::deadline);
        let is_trusted = context.is_some_and(RequestContext::peer_is_trusted);
        let told = self.honour.iter().filter(|_| is_trusted).filter(applies);
        let told = told.filter_map(|header| header.read(request.headers()));
        let own = told
            .chain(self.timeout)
            .min()
            .and_then(|least| now.checked_add(least))
            .filter(|own| known.is_none_or(|known| *own < known));
        if let Some(own) = own {
            let extensions = request.extensions_mut();
            let context = extensions.get_or_insert_default::<RequestContext>();
            context.limit_deadline(own);
        }
        let deadline = own.or(known);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        for header in self.propagate.iter().filter(applies) {
            header.write(request.headers_mut(), left);
        }
        let is_over = left == Some(Duration::ZERO);
        Terms { own, is_over }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline::new(inner, self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, Request};

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_honoured_from_those_who_are_trusted_and_only_gets_earlier() {
        let header = DeadlineHeader::millis(HeaderName::from_static("x-left"));
        let layer = || DeadlineLayer::new().honour(header.clone());
        let second = Duration::from_secs(1);
        // Who says what, the deadline that there is, the layer's timeout; and what comes of it, in milliseconds.
        for (trusted, says, known, timeout, expected) in [
            (true, Some("300"), None, None, Some(300)),
            (false, Some("300"), None, None, None),
            (true, None, None, Some(1), Some(1_000)),
            (true, Some("300"), None, Some(1), Some(300)),
            (true, Some("3000"), None, Some(1), Some(1_000)),
            (true, Some("3000"), Some(2), None, Some(2_000)),
            (true, Some("300"), Some(2), None, Some(300)),
            (true, Some("x"), Some(2), None, Some(2_000)),
            (false, Some("300"), Some(2), Some(1), Some(1_000)),
            (true, Some("0"), None, None, Some(0)),
        ] {
            let mut request = Request::new(());
            let mut context = RequestContext::new();
            context.peer_is_trusted = trusted;
            if let Some(known) = known {
                context.limit_deadline(clock::now() + second * known);
            }
            request.extensions_mut().insert(context);
            if let Some(says) = says {
                request
                    .headers_mut()
                    .insert("x-left", says.parse().unwrap());
            }
            let layer = match timeout {
                Some(timeout) => layer().timeout(second * timeout),
                None => layer(),
            };
            let terms = layer.begin(&mut request);
            let context = request.extensions().get::<RequestContext>().unwrap();
            let deadline = context.deadline().map(|at| (at - clock::now()).as_millis());
            let told = (trusted, says, known, timeout);
            assert_eq!(deadline, expected, "{told:?}");
            assert_eq!(terms.is_over, expected == Some(0));
            let is_known = expected == known.map(|known| u128::from(known) * 1_000);
            assert_eq!(terms.own.is_none(), is_known, "{told:?}");
            let kept = request
                .headers()
                .get("x-left")
                .map(|value| value.to_str().unwrap());
            assert_eq!(kept, says, "what is only honoured passes as it is");
        }
    }

    #[test]
    fn grpc_requests_alone_have_a_grpc_timeout() {
        let layer = DeadlineLayer::new()
            .timeout(Duration::from_secs(9))
            .propagate(DeadlineHeader::grpc());
        for (kind, is_told) in [
            ("application/grpc+proto", true),
            ("application/json", false),
        ] {
            let request = Request::post("/a.B/C").header("content-type", kind);
            let mut request = request.body(()).unwrap();
            layer.begin(&mut request);
            let told = request.headers().get("grpc-timeout");
            assert_eq!(
                told.is_some_and(|told| told == "9000000u"),
                is_told,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_timeout_that_is_none_is_a_mistake() {
        for limit in [Duration::ZERO, Duration::MAX] {
            let layer = DeadlineLayer::new().timeout(limit);
            assert_eq!(layer.mistakes().len(), 1);
            assert!(layer.mistakes()[0].starts_with("timeout is "));
            assert_eq!(layer.timeout, None);
        }
        assert_eq!(DeadlineLayer::new().timeout(LONGEST).mistakes(), [""; 0]);
    }
}
