//! What a pool knows, and who waits for it.

use std::{collections::VecDeque, sync::Weak};

use tokio::sync::oneshot;

use super::slot::Opening;
#[cfg(feature = "http2")]
use crate::client::http2::{Entry, Stream};
use crate::{
    client::{
        attend::Look,
        http1::{Http1, Idle},
    },
    error::Error,
};

pub(super) struct State {
    /// A connection takes one request at a time, as far as is known: it speaks HTTP/1.
    pub(super) http1: bool,
    /// Connections that count against the cap: being opened, in use, idle, and on their way out.
    pub(super) open: usize,
    /// Those of them that are being opened.
    pub(super) opening: usize,
    /// Those that are idle. The one that was used last stands at the back.
    pub(super) idle: VecDeque<Idle>,
    /// Those that take streams.
    #[cfg(feature = "http2")]
    pub(super) http2: Vec<Entry>,
    /// Those that take no more streams and are not closed yet, by their id.
    #[cfg(feature = "http2")]
    pub(super) draining: Vec<u64>,
    pub(super) waiting: VecDeque<Waiter>,
    /// Answers on their way to clients.
    pub(super) attended: Vec<Weak<dyn Look>>,
    pub(super) reaping: bool,
}

pub(super) struct Waiter {
    pub(super) sender: oneshot::Sender<Grant>,
    /// A connection that has been used is not good enough.
    pub(super) fresh: bool,
}

/// What the first in the queue gets.
pub(crate) enum Grant {
    Http1(Http1),
    #[cfg(feature = "http2")]
    Http2(Stream),
    Open(Opening),
    Failed(Error),
}

impl State {
    pub(super) fn new(http1: bool) -> Self {
        Self {
            http1,
            open: 0,
            opening: 0,
            idle: VecDeque::new(),
            #[cfg(feature = "http2")]
            http2: Vec::new(),
            #[cfg(feature = "http2")]
            draining: Vec::new(),
            waiting: VecDeque::new(),
            attended: Vec::new(),
            reaping: false,
        }
    }

    /// Under the cap, and not while a connection is on its way that may have room for many.
    pub(super) fn may_open(&self, cap: usize) -> bool {
        self.open < cap && (self.http1 || self.opening == 0)
    }

    /// The first who still waits.
    pub(super) fn first(&mut self) -> Option<&Waiter> {
        while self.waiting.front()?.sender.is_closed() {
            self.waiting.pop_front();
        }
        self.waiting.front()
    }

    /// Gives to the first who still waits, or back.
    pub(super) fn grant(&mut self, mut grant: Grant) -> Option<Grant> {
        while let Some(waiter) = self.waiting.pop_front() {
            match waiter.sender.send(grant) {
                Ok(()) => return None,
                Err(back) => grant = back,
            }
        }
        Some(grant)
    }
}
