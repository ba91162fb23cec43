//! Answers that a client does not read.
//!
//! A server that can not write asks for no more of a body, so that nothing looks at the body's clock. The pool looks at it
//! each second, and takes from the body what it holds of the endpoint when its time is over.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{pool::Pool, watch::Limits};
use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// A body that is looked after while nobody asks for more of it.
struct Attended<B>(Arc<Held<B>>);

struct Held<B> {
    limits: Limits,
    state: Mutex<State<B>>,
}

struct State<B> {
    body: Option<B>,
    rest: Rest,
    /// Why the body was taken away.
    taken: Option<ErrorKind>,
}

/// Whether a client has to ask for more.
#[derive(Clone, Copy)]
enum Rest {
    /// It waits, and the body's own clock runs; or there is no more.
    Awaited,
    /// It has got a frame since the last look.
    Given,
    /// It had it already then.
    Since(Instant),
}

/// What the pool looks after.
pub(super) trait Look: Send + Sync {
    /// Gives up what was not read in time. False if there is nothing left to look after.
    fn look(&self, now: Instant) -> bool;
}

/// Has the pool look after a body.
pub(super) fn attend<B>(body: B, limits: Limits, pool: Option<&Arc<Pool>>) -> Body
where
    B: http_body::Body<Data = Bytes, Error = Error> + Send + Unpin + 'static,
{
    let Some(pool) = pool.filter(|_| limits.activity.is_some() || limits.deadline.is_some()) else {
        return Body::boxed(body);
    };
    let held = Arc::new(Held {
        limits,
        state: Mutex::new(State {
            body: Some(body),
            rest: Rest::Given,
            taken: None,
        }),
    });
    let weak: Weak<Held<B>> = Arc::downgrade(&held);
    pool.attend(weak);
    Body::boxed(Attended(held))
}

impl<B> Held<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Send> Look for Held<B> {
    fn look(&self, now: Instant) -> bool {
        let Ok(mut state) = self.state.try_lock() else {
            return true;
        };
        let since = match state.rest {
            Rest::Awaited => return state.body.is_some(),
            Rest::Given => {
                state.rest = Rest::Since(now);
                now
            }
            Rest::Since(since) => since,
        };
        let silence = now.saturating_duration_since(since);
        let kind = if self.limits.deadline.is_some_and(|deadline| deadline <= now) {
            ErrorKind::Deadline
        } else if self.limits.activity.is_some_and(|limit| limit <= silence) {
            ErrorKind::ClientGone
        } else {
            return true;
        };
        state.taken = Some(kind);
        let body = state.body.take();
        drop(state);
        // It tells the pool.
        drop(body);
        false
    }
}

impl<B> http_body::Body for Attended<B>
where
    B: http_body::Body<Data = Bytes, Error = Error> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut state = self.0.lock();
        let Some(body) = &mut state.body else {
            return Poll::Ready(state.taken.take().map(|kind| Err(kind.into())));
        };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let goes_on = matches!(frame, Poll::Ready(Some(Ok(_)))) && !body.is_end_stream();
        state.rest = match goes_on {
            true => Rest::Given,
            false => Rest::Awaited,
        };
        frame
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.lock();
        match &state.body {
            Some(body) => body.is_end_stream(),
            None => state.taken.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.0.lock();
        state
            .body
            .as_ref()
            .map_or_else(SizeHint::default, B::size_hint)
    }
}
