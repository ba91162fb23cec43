//! The configuration, what was counted, and the copies that are under way.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, Service};

use super::service::Mirror;
use crate::{body::Body, error::BoxError, service::AnyService};

/// Sends copies of requests to another service; see the [module](crate::mirror). Clones share the copies under way, what was
/// counted, and the other service, until a setting is changed.
///
/// | setting | default |
/// |---|---|
/// | [`share`](Self::share) | 1: every request |
/// | [`timeout`](Self::timeout) | 10 s |
/// | [`max_in_flight`](Self::max_in_flight) | 100 copies |
/// | [`max_body`](Self::max_body) | 64 KiB |
///
/// A copy has the method, URI, headers and body of the request, its [`RequestContext`](crate::RequestContext) but for deadline and log,
/// and no other extension. It is sent when the request's body has been passed on whole; if that is too long, or breaks off, there is no copy.
/// A request for another protocol is not copied.
#[derive(Clone)]
pub struct MirrorLayer {
    pub(super) share: f64,
    pub(super) timeout: Duration,
    pub(super) max_in_flight: usize,
    pub(super) max_body: usize,
    other: AnyService,
    pub(super) tally: Arc<Tally>,
}

/// What became of copies.
#[derive(Debug, Default)]
pub(super) struct Tally {
    in_flight: AtomicUsize,
    sent: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    left_out: AtomicU64,
}

impl MirrorLayer {
    /// Copies for this service, such as an [`Upstream`](crate::Upstream).
    pub fn new<S, B>(other: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self {
            share: 1.0,
            timeout: Duration::from_secs(10),
            max_in_flight: 100,
            max_body: 64 * 1024,
            other: AnyService::new(other),
            tally: Arc::default(),
        }
    }

    /// Which part of the requests is copied, from 0 to 1, chosen at random. Default: 1.
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// How long a copy may take, its answer's body included; the request's own deadline does not count. Default: 10 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// How many copies may be under way, at least 1; those above are left out. Default: 100.
    pub fn max_in_flight(mut self, most: usize) -> Self {
        self.max_in_flight = most;
        self
    }

    /// The longest body that is copied, in bytes; it is kept until it is whole. Default: 64 KiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Tells what became of the copies.
    pub fn handle(&self) -> MirrorHandle {
        MirrorHandle(self.tally.clone())
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !(0.0..=1.0).contains(&self.share) {
            let share = self.share;
            mistakes.push(format!("mirror: the share is {share}; it is from 0 to 1"));
        }
        if self.timeout.is_zero() {
            mistakes.push("mirror: the timeout is 0; it is a time above 0".to_owned());
        }
        if self.max_in_flight == 0 {
            mistakes.push("mirror: max_in_flight is 0; it is at least 1".to_owned());
        }
        if let Some(failure) = self.other.failure() {
            mistakes.push(format!("mirror: the other service fails: {failure}"));
        }
        mistakes
    }

    /// A place for one more copy.
    pub(super) fn enter(&self) -> Option<InFlight> {
        let most = self.max_in_flight;
        let entered =
            self.tally
                .in_flight
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    (count < most).then_some(count + 1)
                });
        match entered {
            Ok(_) => Some(InFlight {
                tally: self.tally.clone(),
                fares: Fares::Unsent,
            }),
            Err(_) => {
                self.leave_out();
                None
            }
        }
    }

    pub(super) fn leave_out(&self) {
        self.tally.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends a copy on its way.
    pub(super) fn send(&self, request: Request<Body>, mut place: InFlight) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.leave_out();
        };
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        let (other, limit) = (self.other.clone(), self.timeout);
        place.is_now(Fares::Sent);
        runtime.spawn(async move {
            let answer = answer(other, request);
            if let Ok(true) = tokio::time::timeout(limit, answer).await {
                place.is_now(Fares::Answered);
            }
            drop(place);
        });
    }
}

impl fmt::Debug for MirrorLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorLayer")
            .field("share", &self.share)
            .field("timeout", &self.timeout)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for MirrorLayer {
    type Service = Mirror<S>;

    fn layer(&self, inner: S) -> Mirror<S> {
        Mirror::new(inner, self.clone())
    }
}

/// Sends a copy and reads its answer, so that its connection can be used again. Says whether it is a good one.
async fn answer(other: AnyService, request: Request<Body>) -> bool {
    let Ok(mut answer) = other.send(request).await else {
        return false;
    };
    while let Some(frame) = answer.body_mut().frame().await {
        if frame.is_err() {
            return false;
        }
    }
    !answer.status().is_server_error()
}

/// A copy's place, given back when it has ended or was never sent.
pub(super) struct InFlight {
    tally: Arc<Tally>,
    fares: Fares,
}

#[derive(Clone, Copy)]
enum Fares {
    Unsent,
    Sent,
    Answered,
}

impl InFlight {
    fn is_now(&mut self, fares: Fares) {
        self.fares = fares;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        match self.fares {
            Fares::Unsent => {}
            // Also when the other service panics.
            Fares::Sent => _ = self.tally.failed.fetch_add(1, Ordering::Relaxed),
            Fares::Answered => _ = self.tally.answered.fetch_add(1, Ordering::Relaxed),
        }
        self.tally.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells what became of a [`MirrorLayer`]'s copies. Clones tell the same.
#[derive(Clone, Debug)]
pub struct MirrorHandle(Arc<Tally>);

/// What became of copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorCounts {
    /// Copies that are under way, or wait for their body.
    pub in_flight: usize,
    /// Copies that were sent so far.
    pub sent: u64,
    /// Those that were answered with less than 500.
    pub answered: u64,
    /// Those that were answered with 500 and above, late, or not at all.
    pub failed: u64,
    /// Requests of the share that were not copied: too many copies, too long a body, or one that broke off.
    pub left_out: u64,
}

impl MirrorHandle {
    /// The counts now.
    pub fn counts(&self) -> MirrorCounts {
        let Tally {
            in_flight,
            sent,
            answered,
            failed,
            left_out,
        } = &*self.0;
        MirrorCounts {
            in_flight: in_flight.load(Ordering::Relaxed),
            sent: sent.load(Ordering::Relaxed),
            answered: answered.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            left_out: left_out.load(Ordering::Relaxed),
        }
    }
}
