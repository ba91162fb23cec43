//! The configuration, which owns the circuit.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer, Service, service_fn};

#[cfg(test)]
use super::circuit::Settings;
use super::{
    circuit::WindowSize,
    classify::Classify,
    handle::CircuitHandle,
    service::CircuitBreaker,
    shared::{Config, Shared},
};
use crate::{
    body::Body,
    error::{BoxError, Error},
    service::AnyService,
};

/// Keeps calls from a backend that fails: see the [module](crate::breaker).
///
/// The circuit belongs to this value. Its clones share it, and so do all services that they make; give each backend a layer
/// of its own. A setting that is changed makes a new circuit, so a [`handle`](Self::handle) is taken after the last one.
///
/// A wrong setting is replaced by its default. In a gateway it is a mistake that is reported when it is built.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer(Arc<Shared>);

impl CircuitBreakerLayer {
    /// A circuit that opens for a minute when half of the last 100 calls (and at least 20) have failed.
    pub fn new() -> Self {
        Self(Arc::new(Shared::new(Config::default())))
    }

    /// Judges by the last so many calls, 1 to 10,000. Default: 100.
    pub fn count_window(self, calls: u32) -> Self {
        self.set(|config| config.circuit.window = WindowSize::Calls(calls))
    }

    /// Judges by the calls that have ended within this time, 10 ms to one day, instead of by the last so many. It moves on
    /// by a tenth of it at a time. Use it where there are quiet times: what was an hour ago should not open a circuit.
    pub fn time_window(self, length: Duration) -> Self {
        self.set(|config| config.circuit.window = WindowSize::Time(length))
    }

    /// The rates mean nothing for fewer calls than these in the window. Default: 20, or the [`count_window`](Self::count_window)
    /// if that is smaller.
    ///
    /// A route with one request a second that waits for a hundred of them stays with a dead backend for as many seconds. Of
    /// 20 calls, on the other hand, half fail by chance less than once in a hundred thousand times if one in ten does.
    pub fn minimum_calls(self, calls: u32) -> Self {
        self.set(|config| config.circuit.minimum_calls = Some(calls))
    }

    /// Opens at this share of failures, in percent; `None`: whatever it is. Default: 50.
    pub fn failure_rate(self, percent: impl Into<Option<f64>>) -> Self {
        let percent = percent.into();
        self.set(|config| config.circuit.failure_rate = percent)
    }

    /// Opens at this share of [slow calls](Self::slow_call_duration), in percent; `None`: whatever it is. Default: 100.
    pub fn slow_call_rate(self, percent: impl Into<Option<f64>>) -> Self {
        let percent = percent.into();
        self.set(|config| config.circuit.slow_call_rate = percent)
    }

    /// A call is slow when it takes longer than this from its beginning to the head of the answer (the wait for the
    /// service inside to be ready is part of it). 1 ms to one day; default: 60 s.
    pub fn slow_call_duration(self, duration: Duration) -> Self {
        self.set(|config| config.circuit.slow_call_duration = duration)
    }

    /// Opens when so many calls in a row have failed, however few there were. An answer with a good head ends a row, unless its body
    /// breaks before another call does well. Default: `None`, it does not.
    pub fn consecutive_failures(self, calls: impl Into<Option<u32>>) -> Self {
        let calls = calls.into();
        self.set(|config| config.circuit.consecutive_failures = calls)
    }

    /// How long it stays open before it tries the backend again, 1 ms to one day. Default: 60 s.
    pub fn open_duration(self, duration: Duration) -> Self {
        self.set(|config| config.circuit.open_duration = duration)
    }

    /// Multiplies the open duration by `factor`, 1 to 100, each time that it opens again without having been closed, up
    /// to `longest`. Default: it does not grow.
    pub fn open_growth(self, factor: f64, longest: Duration) -> Self {
        self.set(|config| config.circuit.open_growth = Some((factor, longest)))
    }

    /// How many calls are let through to see how the backend fares, 1 to 10,000: never more of them, however many come at
    /// once. They are judged by the same rates, and as soon as the outstanding ones can not change the result.
    /// Default: 10.
    pub fn half_open_calls(self, calls: u32) -> Self {
        self.set(|config| config.circuit.half_open_calls = calls)
    }

    /// How long others may be refused because all half-open calls are taken and have not ended: then it opens again, for a
    /// backend that does not answer is none. 1 ms to one day; default: 60 s.
    pub fn half_open_wait(self, duration: Duration) -> Self {
        self.set(|config| config.circuit.half_open_wait = duration)
    }

    /// Decides which results are failures. Default: [`CallResult::verdict`](super::CallResult::verdict).
    pub fn classify(self, classify: impl Classify) -> Self {
        self.set(|config| config.classify = Arc::new(classify))
    }

    /// Asks this service instead while calls are refused: another [`Upstream`](crate::Upstream), or a closure as a
    /// [`tower::service_fn`]. Its answers pass as they are and are counted nowhere; an error becomes an answer, as
    /// [`Error::from_boxed`] and [`Error::into_response`] make it. It is not asked when a call fails, for then
    /// the backend has had the request, and may have carried it out. Default: none, 503.
    pub fn fallback<S, B>(self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.set(|config| config.fallback = Some(AnyService::new(service)))
    }

    /// Answers with this while calls are refused: a [`fallback`](Self::fallback) that always says the same.
    pub fn fallback_response(self, response: Response<impl Into<Bytes>>) -> Self {
        let response = response.map(Into::into);
        self.fallback(service_fn(move |_| {
            std::future::ready(Ok::<_, Error>(response.clone().map(Body::from)))
        }))
    }

    /// To look at the circuit, and to act on it.
    pub fn handle(&self) -> CircuitHandle {
        CircuitHandle::new(&self.0)
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.0.config.circuit.check().1
    }

    #[cfg(test)]
    pub(super) fn settings(&self) -> &Settings {
        &self.0.config.circuit
    }

    fn set(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.0.config.clone();
        change(&mut config);
        Self(Arc::new(Shared::new(config)))
    }
}

impl Default for CircuitBreakerLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = CircuitBreaker<S>;

    fn layer(&self, inner: S) -> CircuitBreaker<S> {
        CircuitBreaker::new(inner, self.0.clone())
    }
}
