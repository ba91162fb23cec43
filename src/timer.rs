//! A timer that is armed rarely: one for a connection, not one for each request.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::time::Sleep;

use crate::clock;

/// Wakes its task when a moment has passed that moves on with each use.
///
/// While the moment only moves later, the entry in the runtime's timer wheel stays where it is; when it fires too
/// early it is armed anew. So a connection that serves thousands of requests a second arms a timer once in each
/// timeout, instead of once for each request.
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    pub(crate) fn new() -> Self {
        Self(None)
    }

    /// Ready when `due` has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let due = tokio::time::Instant::from_std(due);
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if clock::now() >= due.into_std() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn a_later_moment_is_waited_for_without_a_new_timer() {
        let start = clock::now();
        let mut timer = Timer::new();
        for seconds in [1, 5, 2] {
            let due = start + Duration::from_secs(seconds);
            let first = poll_fn(|cx| Poll::Ready(timer.poll(cx, due).is_ready())).await;
            assert!(!first);
        }
        poll_fn(|cx| timer.poll(cx, start + Duration::from_secs(3))).await;
        assert_eq!((clock::now() - start).as_secs(), 3);
        poll_fn(|cx| timer.poll(cx, start + Duration::from_secs(2))).await;
        poll_fn(|cx| timer.poll(cx, start + Duration::from_secs(7))).await;
        assert_eq!((clock::now() - start).as_secs(), 7);
    }
}
