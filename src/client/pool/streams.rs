//! HTTP/2 in the pool: streams on the connections there are, and connections on their way out.

use std::{sync::Arc, time::Instant};

use super::{Grant, Pool, State, slot::Opening};
use crate::{
    client::http2::{Entry, Stream},
    clock,
};

impl Pool {
    /// A stream on a connection that has one left.
    pub(super) fn stream(self: &Arc<Self>, state: &mut State) -> Option<Stream> {
        let now = clock::now();
        state.drain(|entry| entry.is_closed() || self.is_aged(entry.opened, now));
        let most = self.config.max_streams.get();
        let entry = state.http2.iter_mut().find(|entry| entry.has_room(most))?;
        Some(entry.take(self.clone(), now))
    }

    pub(super) fn opened_http2(self: &Arc<Self>, mut entry: Entry, opening: Opening) -> Stream {
        let mut state = self.lock();
        opening.forget();
        state.opening -= 1;
        state.http1 = false;
        let stream = entry.take(self.clone(), clock::now());
        if entry.is_gone() {
            // It has told so already, when nobody knew it.
            state.open -= 1;
        } else {
            state.http2.push(entry);
        }
        self.distribute(&mut state);
        self.watch(&mut state);
        stream
    }

    /// A connection has learnt how many streams its peer allows, or takes no more.
    pub(crate) fn learnt(self: &Arc<Self>) {
        self.distribute(&mut self.lock());
    }

    /// A connection is closed.
    pub(crate) fn closed(self: &Arc<Self>, id: u64) {
        let mut state = self.lock();
        if state.forget(id) {
            state.open -= 1;
            self.distribute(&mut state);
        }
    }

    /// A stream has ended; its connection is not to be used again if it is `broken`.
    pub(crate) fn end_stream(self: &Arc<Self>, id: u64, broken: bool) {
        let mut state = self.lock();
        state.give_back(id);
        if broken {
            state.drain(|entry| entry.id() == id);
        }
        if !state.waiting.is_empty() {
            self.distribute(&mut state);
        }
    }

    /// Gives streams, and then leave to open a connection, to those who wait.
    fn distribute(self: &Arc<Self>, state: &mut State) {
        while state.first().is_some() {
            let Some(stream) = self.stream(state) else {
                break;
            };
            if let Some(Grant::Http2(stream)) = state.grant(Grant::Http2(stream)) {
                state.give_back(stream.forget());
            }
        }
        self.hand_on(state);
    }

    pub(super) fn reap_http2(&self, state: &mut State, now: Instant) {
        let limit = self.config.idle_timeout;
        state.drain(|entry| entry.is_closed() || entry.is_idle(now, limit));
    }
}

impl State {
    /// Gives no more streams to the connections for which `ends` says so. Nobody holds such a connection but its
    /// streams: it closes with the last one, and counts until then.
    fn drain(&mut self, ends: impl Fn(&Entry) -> bool) {
        let draining = &mut self.draining;
        self.http2.retain(|entry| {
            let ends = ends(entry);
            if ends {
                draining.push(entry.id());
            }
            !ends
        });
    }

    /// True if the connection was counted.
    fn forget(&mut self, id: u64) -> bool {
        let before = self.http2.len() + self.draining.len();
        self.http2.retain(|entry| entry.id() != id);
        self.draining.retain(|draining| *draining != id);
        before > self.http2.len() + self.draining.len()
    }

    fn give_back(&mut self, id: u64) {
        if let Some(entry) = self.http2.iter_mut().find(|entry| entry.id() == id) {
            entry.give_back(clock::now());
        }
    }
}
