//! A timer for hyper's server that costs next to nothing for each request.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Instant,
};

use hyper::rt::{Sleep, Timer};

/// The timer of one connection.
///
/// hyper begins a new sleep for each request whose head it waits for, and lets go of it when the head has come. Of
/// these, thousands in a second, hardly one ever ends. Here they share one entry in the runtime's timer wheel, which is
/// moved only when it fires before it should.
#[derive(Clone, Default)]
pub struct ConnectionTimer(Arc<Mutex<Resting>>);

type Resting = Option<Pin<Box<tokio::time::Sleep>>>;

struct Alarm {
    due: Instant,
    sleep: Resting,
    timer: ConnectionTimer,
}

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: std::time::Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, due: Instant) -> Pin<Box<dyn Sleep>> {
        let mut sleep = self.resting().take();
        match &mut sleep {
            Some(sleep) if sleep.deadline() > due.into() => sleep.as_mut().reset(due.into()),
            Some(_) => {}
            None => sleep = Some(Box::pin(tokio::time::sleep_until(due.into()))),
        }
        Box::pin(Alarm {
            due,
            sleep,
            timer: self.clone(),
        })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl ConnectionTimer {
    fn resting(&self) -> std::sync::MutexGuard<'_, Resting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sleep for Alarm {}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.due.into();
        let Some(sleep) = &mut self.sleep else {
            return Poll::Ready(());
        };
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        *self.timer.resting() = self.sleep.take();
    }
}
