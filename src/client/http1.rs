//! One HTTP/1.1 connection.

use std::{
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::{
    io::Io,
    pool::{Pool, Slot},
    timer::Timer,
};
use crate::{
    body::Body,
    clock,
    error::{Error, ErrorKind},
};

/// How long a connection that has just come back may take to settle before a fresh one is opened instead.
const SETTLE: Duration = Duration::from_millis(100);

/// A connection in use.
pub(crate) struct Http1 {
    tx: SendRequest<Body>,
    pub(crate) timer: Timer,
    opened: Instant,
    reused: bool,
    slot: Slot,
}

/// A connection at rest in its pool, which counts it.
pub(crate) struct Idle {
    tx: SendRequest<Body>,
    timer: Timer,
    pub(crate) opened: Instant,
    pub(crate) since: Instant,
}

impl Idle {
    pub(crate) fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.tx.is_ready()
    }
}

/// Starts to speak HTTP/1.1.
pub(crate) async fn open(io: Io, slot: Slot) -> Result<Http1, (Error, Slot)> {
    match http1::Builder::new().handshake(TokioIo::new(io)).await {
        Ok((tx, connection)) => {
            // The task ends when the connection does, or when nobody can send on it any more. What went wrong is
            // told to the request that was under way.
            tokio::spawn(async move {
                let _ = connection.with_upgrades().await;
            });
            Ok(Http1 {
                tx,
                timer: Timer::new(),
                opened: clock::now(),
                reused: false,
                slot,
            })
        }
        Err(error) => Err((Error::new(ErrorKind::Connect).with_source(error), slot)),
    }
}

impl Http1 {
    pub(crate) fn reuse(idle: Idle, slot: Slot) -> Self {
        Self {
            tx: idle.tx,
            timer: idle.timer,
            opened: idle.opened,
            reused: true,
            slot,
        }
    }

    pub(crate) fn into_idle(self, since: Instant) -> Idle {
        self.slot.keep();
        Idle {
            tx: self.tx,
            timer: self.timer,
            opened: self.opened,
            since,
        }
    }

    pub(crate) fn sender(&mut self) -> &mut SendRequest<Body> {
        &mut self.tx
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// It has served a request: the next one may meet its end.
    pub(crate) fn used(&mut self) {
        self.reused = true;
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    pub(crate) fn pool(&self) -> Option<Arc<Pool>> {
        self.slot.pool().cloned()
    }

    /// Waits until the connection can take a request; false if it can not.
    pub(crate) async fn settle(&mut self) -> bool {
        if self.tx.is_ready() {
            return true;
        }
        let tx = &mut self.tx;
        let ready = std::future::poll_fn(|cx| match tx.poll_ready(cx) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => Poll::Pending,
        });
        tokio::time::timeout(SETTLE, ready).await.unwrap_or(false)
    }
}
