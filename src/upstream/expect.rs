//! `Expect: 100-continue` from end to end (RFC 9110, section 10.1.1): the client's body is not asked for before the
//! backend asks for it, so that a backend can refuse it unseen.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::{body::Body, error::Error};

/// How long a backend that says nothing is waited for before the body is sent all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens a [`Gate`].
#[derive(Clone, Default)]
pub(super) struct Key(Arc<State>);

#[derive(Default)]
struct State {
    open: AtomicBool,
    waker: AtomicWaker,
}

impl Key {
    pub(super) fn open(&self) {
        self.0.open.store(true, Ordering::Release);
        self.0.waker.wake();
    }
}

/// A body that waits for its key.
struct Gate {
    body: Body,
    key: Key,
    patience: Pin<Box<Sleep>>,
}

/// Holds `body` back until the key opens it, or patience ends.
pub(super) fn gate(body: Body, key: Key) -> Body {
    Body::boxed(Gate {
        body,
        key,
        patience: Box::pin(tokio::time::sleep(PATIENCE)),
    })
}

impl http_body::Body for Gate {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let state = self.key.0.clone();
        if !state.open.load(Ordering::Acquire) {
            state.waker.register(cx.waker());
            if !state.open.load(Ordering::Acquire) {
                if std::future::Future::poll(self.patience.as_mut(), cx).is_pending() {
                    return Poll::Pending;
                }
                state.open.store(true, Ordering::Release);
            }
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
