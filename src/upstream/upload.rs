//! Whether a request's body comes from its client as fast as the endpoint takes it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::{body::Body, clock, error::Error};

/// Since when the endpoint has all that the client has sent; `None`: the endpoint waits for more.
pub(super) struct Upload(Mutex<Option<Instant>>);

/// A body that tells how it gets on.
struct Followed {
    body: Body,
    upload: Arc<Upload>,
}

impl Upload {
    /// Looks at a body that is still to come; what is here already never keeps an endpoint waiting.
    pub(super) fn follow(body: &mut Body) -> Option<Arc<Self>> {
        if body.is_end_stream() || body.is_full() {
            return None;
        }
        let upload = Arc::new(Self(Mutex::new(Some(clock::now()))));
        *body = Body::boxed(Followed {
            body: std::mem::take(body),
            upload: upload.clone(),
        });
        Some(upload)
    }

    pub(super) fn passed(&self) -> Option<Instant> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        *self.upload.lock() = polled.is_ready().then(clock::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
