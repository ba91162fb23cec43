//! HTTP/1.1 to an endpoint, spoken in the task of the request itself.
//!
//! hyper's client connection is a task of its own, reached through channels: two switches between tasks and several
//! allocations for each request. A gateway has a task for the request already, and that task can write the request and
//! read the answer. Parsing stays with `httparse`.

mod answer;
mod connection;
mod decoder;
mod head;
mod outbox;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::Response;

pub(crate) use answer::Switched;
use connection::Connection;

use super::{
    InFlight, Outgoing,
    io::Io,
    pool::{Pool, Slot},
    watch::Watch,
};
use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// A connection in use.
pub(crate) struct Http1 {
    conn: Box<Connection>,
    slot: Slot,
}

/// A connection at rest in its pool, which counts it.
pub(crate) struct Idle {
    conn: Box<Connection>,
    pub(crate) opened: Instant,
    pub(crate) since: Instant,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// The connection ended before a byte of the answer came.
    pub(crate) lost: bool,
}

/// What an endpoint has answered.
pub(crate) enum Answer {
    Body(Response<Body>),
    /// A 101, and the connection behind it.
    Switched(Box<(Response<()>, Switched)>),
}

impl Idle {
    /// Looks for the peer's farewell, or for bytes that nobody asked for.
    pub(crate) fn is_closed(&mut self) -> bool {
        !self.conn.is_quiet()
    }

    /// Lets go of the memory that only a connection in use needs.
    pub(crate) fn rest(&mut self) {
        self.conn.rest();
    }
}

impl Http1 {
    /// Starts to speak HTTP/1.1.
    pub(crate) fn open(io: Io, slot: Slot, now: Instant) -> Self {
        Self {
            conn: Box::new(Connection::new(io, now)),
            slot,
        }
    }

    pub(crate) fn reuse(idle: Idle, slot: Slot) -> Self {
        Self {
            conn: idle.conn,
            slot,
        }
    }

    pub(crate) fn into_idle(self, since: Instant) -> Idle {
        self.slot.keep();
        Idle {
            opened: self.conn.opened,
            conn: self.conn,
            since,
        }
    }

    /// Whether it has served a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.conn.served
    }

    pub(crate) fn opened(&self) -> Instant {
        self.conn.opened
    }

    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.slot.pool()
    }

    /// Takes a request's body and prepares its head. Nothing is written yet.
    pub(crate) fn begin(&mut self, outgoing: &mut Outgoing) {
        self.conn.begin(outgoing);
    }

    /// The body of a request of which the endpoint can have seen nothing.
    pub(crate) fn take_back(&mut self) -> Option<Body> {
        self.conn.outbox.take_back()
    }

    /// Sends the request, and waits for the head of its answer.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing,
        watch: &mut Watch,
    ) -> Poll<Result<Response<()>, Failed>> {
        self.conn.poll_head(cx, outgoing, watch)
    }

    /// The answer, with the body behind the head that has come.
    pub(crate) fn answer(
        mut self,
        response: Response<()>,
        watch: Watch,
        in_flight: InFlight,
    ) -> Answer {
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            return Answer::Switched(Box::new((response, Switched::new(self, in_flight))));
        }
        Answer::Body(match self.conn.take_whole() {
            Some(body) => {
                self.finish();
                response.map(|()| body)
            }
            None => answer::Streamed::new(self, watch, in_flight).into_response(response),
        })
    }

    /// The answer is over: back to the pool, if the connection can serve another request.
    fn finish(mut self) {
        self.conn.served = true;
        if self.conn.is_reusable()
            && let Some(pool) = self.pool().cloned()
        {
            pool.release(self);
        }
    }
}

impl Failed {
    fn new(kind: ErrorKind, source: impl Into<crate::error::BoxError>) -> Self {
        Self {
            error: Error::new(kind).with_source(source),
            lost: false,
        }
    }
}
