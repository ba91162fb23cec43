//! One request and its answer: who may still send, how long the silence lasts, and when the connection is free again.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::{InFlight, Limits, pool::Lease, timer::Timer};
use crate::{
    body::Body,
    clock,
    error::{Error, ErrorKind},
};

/// The clock of one exchange.
pub(crate) struct Watch {
    limits: Limits,
    last: Instant,
    upload: Option<Arc<Upload>>,
    headed: bool,
}

/// The state of a request's body, shared with the connection that sends it.
pub(crate) struct Upload {
    start: Instant,
    /// When a frame was last taken, in nanoseconds since the start.
    last: AtomicU64,
    ended: AtomicBool,
    stopped: AtomicBool,
    waker: AtomicWaker,
    /// Whoever waits for the head, whose time begins when the body has ended.
    watcher: AtomicWaker,
}

impl Watch {
    /// Starts the clock, and hands out the body to send instead of the given one.
    pub(crate) fn start(limits: Limits, body: Body) -> (Self, Body) {
        let now = clock::now();
        if body.is_end_stream() {
            return (
                Self {
                    limits,
                    last: now,
                    upload: None,
                    headed: false,
                },
                body,
            );
        }
        let upload = Arc::new(Upload {
            start: now,
            last: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            watcher: AtomicWaker::new(),
        });
        let body = Body::boxed(UploadBody {
            body,
            state: upload.clone(),
        });
        (
            Self {
                limits,
                last: now,
                upload: Some(upload),
                headed: false,
            },
            body,
        )
    }

    /// Starts the clock anew, for the same request on another connection.
    pub(crate) fn restart(&mut self) {
        self.last = clock::now();
    }

    pub(crate) fn headed(&mut self) {
        self.headed = true;
        self.last = clock::now();
    }

    /// Ready with the error when a limit has passed; until then the task is woken in time.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Error> {
        if let Some(upload) = &self.upload
            && self.limits.head.is_some()
            && !self.headed
        {
            upload.watcher.register(cx.waker());
        }
        loop {
            let Some((due, kind)) = self.due() else {
                return Poll::Pending;
            };
            if timer.poll(cx, due).is_pending() {
                return Poll::Pending;
            }
            // A frame may have moved the moment on while the timer slept.
            if self.due().is_some_and(|(later, _)| later <= due) {
                return Poll::Ready(Error::new(kind));
            }
        }
    }

    fn due(&self) -> Option<(Instant, ErrorKind)> {
        let upload = self.upload.as_deref();
        let last = upload.map_or(self.last, |upload| self.last.max(upload.last()));
        let silence = self
            .limits
            .activity
            .and_then(|limit| Some((last.checked_add(limit)?, ErrorKind::Timeout)));
        let whole = self
            .limits
            .deadline
            .map(|deadline| (deadline, ErrorKind::Deadline));
        let sent = upload.is_none_or(|upload| upload.ended.load(Ordering::Acquire));
        let head = match self.limits.head {
            Some(limit) if !self.headed && sent => {
                last.checked_add(limit).map(|due| (due, ErrorKind::Timeout))
            }
            _ => None,
        };
        [silence, whole, head]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due)
    }

    fn is_sent(&self) -> bool {
        self.upload
            .as_deref()
            .is_none_or(|upload| upload.ended.load(Ordering::Acquire))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The answer is over or nobody wants it: the connection must not wait for a client that may never send on.
        if let Some(upload) = &self.upload {
            upload.stopped.store(true, Ordering::Release);
            upload.waker.wake();
        }
    }
}

impl Upload {
    fn last(&self) -> Instant {
        self.start + Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.watcher.wake();
    }

    fn touch(&self) {
        let since = clock::now().saturating_duration_since(self.start);
        self.last.store(
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

/// A request's body on its way out.
struct UploadBody {
    body: Body,
    state: Arc<Upload>,
}

impl http_body::Body for UploadBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.state.waker.register(cx.waker());
        if self.state.stopped.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(
                Error::new(ErrorKind::ClientGone).with_source("the answer ended first")
            )));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                self.state.touch();
                if frame.is_trailers() || self.body.is_end_stream() {
                    self.state.end();
                }
            }
            Poll::Ready(None) => {
                self.state.touch();
                self.state.end();
            }
            Poll::Ready(Some(Err(_))) => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body on its way in. When it has ended, its connection goes back to the pool; when it is dropped
/// before that, the connection is closed (HTTP/1) or the stream reset (HTTP/2).
pub(crate) struct Download {
    body: Incoming,
    link: Option<Link>,
}

/// What an exchange holds until it is over.
struct Link {
    lease: Lease,
    watch: Watch,
    _in_flight: InFlight,
}

impl Download {
    pub(super) fn new(body: Incoming, lease: Lease, watch: Watch, in_flight: InFlight) -> Self {
        let mut this = Self {
            body,
            link: Some(Link {
                lease,
                watch,
                _in_flight: in_flight,
            }),
        };
        if this.body.is_end_stream() {
            this.finish();
        }
        this
    }

    /// The same for a connection that goes on as something else (101): it never goes back to the pool, and counts
    /// until this is dropped.
    pub(super) fn switched(
        body: Incoming,
        lease: Lease,
        watch: Watch,
        in_flight: InFlight,
    ) -> Self {
        Self {
            body,
            link: Some(Link {
                lease,
                watch,
                _in_flight: in_flight,
            }),
        }
    }

    fn finish(&mut self) {
        let Some(Link { lease, watch, .. }) = self.link.take() else {
            return;
        };
        match lease {
            Lease::Http1(conn) if watch.is_sent() => {
                if let Some(pool) = conn.pool() {
                    pool.release(conn);
                }
            }
            Lease::Http1(_) => {}
            #[cfg(feature = "http2")]
            Lease::Http2(_) => {}
        }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if this.body.is_end_stream() {
                    this.finish();
                } else if let Some(link) = &mut this.link {
                    let now = clock::now();
                    link.watch.last = now;
                    if link
                        .watch
                        .limits
                        .deadline
                        .is_some_and(|deadline| deadline <= now)
                    {
                        // An answer that never stops coming never lets the timer run.
                        this.link = None;
                        return Poll::Ready(Some(Err(Error::new(ErrorKind::Deadline))));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.link = None;
                Poll::Ready(Some(Err(super::send::upstream_error(error))))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(link) = &mut this.link else {
                    return Poll::Pending;
                };
                let Poll::Ready(error) = link.watch.poll(cx, link.lease.timer()) else {
                    return Poll::Pending;
                };
                this.link = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Lease {
    pub(super) fn timer(&mut self) -> &mut Timer {
        match self {
            Self::Http1(conn) => &mut conn.timer,
            #[cfg(feature = "http2")]
            Self::Http2(stream) => &mut stream.timer,
        }
    }
}
