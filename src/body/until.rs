//! A body that ends by a moment, whether somebody reads it or not.
//!
//! A server that can not write asks for no more of a body, so that what a body does when it is asked can not keep a time. Here
//! the timer wakes the body and not its reader. That costs no task, and no list that cores share: an answer that ends in
//! time has nothing but its timer.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::{runtime::Handle, task::coop::unconstrained};

use super::Body;
use crate::{
    clock,
    error::{Error, ErrorKind},
    timer::Timer,
};

/// How long a reader that waits has to ask again when time is up: so a body that knows better can say what it waits for.
const GRACE: Duration = Duration::from_secs(1);

/// A body that is let go at a moment.
struct Until {
    held: Arc<Held>,
    /// Has the body for its task. Gone with the reader, and with it the timer's hold on the body.
    _timer: Timer,
}

struct Held {
    end: Instant,
    state: Mutex<State>,
}

struct State {
    /// `None`: it has ended, or was let go.
    body: Option<Body>,
    /// Whoever has asked for more and waits.
    reader: Option<Waker>,
    is_over: bool,
    /// It was let go, and the reader does not know yet.
    is_untold: bool,
}

impl Body {
    /// Breaks with an [`ErrorKind::Deadline`] what is not passed on by `end`, and lets go of all that it holds although nobody
    /// asks for more. What is here as a whole holds nothing, and is left as it is.
    ///
    /// The timer may have waited for the same moment before.
    pub(crate) fn until(self, end: Instant, mut timer: Timer) -> Self {
        if self.is_full() || self.is_end_stream() {
            return self;
        }
        let held = Arc::new(Held {
            end,
            state: Mutex::new(State {
                body: Some(self),
                reader: None,
                is_over: false,
                is_untold: false,
            }),
        });
        let waker = Waker::from(held.clone());
        // A task that has used up its turn would be woken at once instead, and not in time.
        let armed = pin!(unconstrained(poll_fn(|cx| timer.poll(cx, end))));
        if armed.poll(&mut Context::from_waker(&waker)).is_ready() {
            held.let_go();
        }
        Self::boxed(Until {
            held,
            _timer: timer,
        })
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self) {
        let body = self.lock().let_go();
        // Whatever it tells is told without the lock.
        drop(body);
    }

    /// Time is up. A reader that waits asks once more; one that does not may never do.
    async fn end(self: Arc<Self>) {
        let reader = {
            let mut state = self.lock();
            state.is_over = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
            tokio::time::sleep(GRACE).await;
        }
        self.let_go();
    }
}

impl Wake for Held {
    /// The timer does it, which is nobody to let go of what others wrote.
    fn wake(self: Arc<Self>) {
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(self.end())),
            Err(_) => self.let_go(),
        }
    }
}

impl State {
    fn let_go(&mut self) -> Option<Body> {
        let body = self.body.take();
        self.is_untold = body.as_ref().is_some_and(|body| !body.is_end_stream());
        body
    }

    /// The frame, and a body that is of no use any more.
    fn poll(&mut self, cx: &mut Context<'_>, end: Instant) -> (Polled, Option<Body>) {
        let Some(body) = &mut self.body else {
            let late = std::mem::take(&mut self.is_untold);
            return (Poll::Ready(late.then(broken)), None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let is_late = match &polled {
            Poll::Pending => self.is_over,
            // One that never stops coming may never let the timer run.
            Poll::Ready(Some(Ok(_))) => !body.is_end_stream() && end <= clock::now(),
            Poll::Ready(_) => return (polled, self.body.take()),
        };
        if is_late {
            return (Poll::Ready(Some(broken())), self.body.take());
        }
        match (&polled, &mut self.reader) {
            (Poll::Pending, Some(reader)) => reader.clone_from(cx.waker()),
            (Poll::Pending, reader) => *reader = Some(cx.waker().clone()),
            (_, reader) => *reader = None,
        }
        (polled, None)
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, Error>>>;

fn broken() -> Result<Frame<Bytes>, Error> {
    Err(ErrorKind::Deadline.into())
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let (polled, over) = self.held.lock().poll(cx, self.held.end);
        drop(over);
        polled
    }

    fn is_end_stream(&self) -> bool {
        let state = self.held.lock();
        match &state.body {
            Some(body) => body.is_end_stream(),
            None => !state.is_untold,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.held.lock();
        match &state.body {
            Some(body) => body.size_hint(),
            None if state.is_untold => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        // Without waiting for whoever looks after it at this moment.
        let body = self.held.lock().body.take();
        drop(body);
    }
}

#[cfg(test)]
mod tests;
