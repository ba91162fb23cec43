//! The connections of one endpoint on one runtime.
//!
//! HTTP/1: the most recently used idle connection first, so that the others can age away. HTTP/2: streams on the
//! connections there are, one more connection when the streams run out. Both under one hard cap, with a bounded queue
//! in front of it. Whatever is taken comes back when it is dropped, wherever the request ends.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

#[cfg(feature = "http2")]
use super::http2::{Entry, Stream};
use super::{
    ClientConfig,
    connect::Connector,
    http1::{Http1, Idle},
};
use crate::{
    clock,
    error::{Error, ErrorKind},
};

pub(crate) struct Pool {
    config: ClientConfig,
    state: Mutex<State>,
}

struct State {
    mode: Mode,
    /// Connections there are, idle ones and those being opened included.
    open: usize,
    /// The one that was used last stands at the back.
    idle: VecDeque<Idle>,
    #[cfg(feature = "http2")]
    http2: Vec<Entry>,
    waiting: VecDeque<oneshot::Sender<Grant>>,
    reaping: bool,
}

/// What the endpoint speaks, once it is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Unknown,
    Http1,
    #[cfg(feature = "http2")]
    Http2,
}

/// What a request sends itself through.
pub(crate) enum Lease {
    Http1(Http1),
    #[cfg(feature = "http2")]
    Http2(Stream),
}

/// What the first in the queue gets.
pub(crate) enum Grant {
    Http1(Http1),
    #[cfg(feature = "http2")]
    Http2(Stream),
    /// Leave to open a connection.
    Slot(Slot),
    Failed(Error),
}

/// How a request gets a connection.
pub(crate) enum Plan {
    Use(Lease),
    Open(Slot),
    Wait(oneshot::Receiver<Grant>),
    Refuse,
}

impl Pool {
    pub(crate) fn new(config: ClientConfig) -> Arc<Self> {
        let mode = match config.protocol {
            super::Protocol::Http1 => Mode::Http1,
            #[cfg(feature = "http2")]
            super::Protocol::Http2 => Mode::Http2,
            _ => Mode::Unknown,
        };
        Arc::new(Self {
            config,
            state: Mutex::new(State {
                mode,
                open: 0,
                idle: VecDeque::new(),
                #[cfg(feature = "http2")]
                http2: Vec::new(),
                waiting: VecDeque::new(),
                reaping: false,
            }),
        })
    }

    /// Waits for the connection that was planned.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        plan: Plan,
        connector: &Connector,
    ) -> Result<Lease, Error> {
        match plan {
            Plan::Use(lease) => Ok(lease),
            Plan::Open(slot) => self.open(connector, slot).await,
            Plan::Refuse => Err(Error::new(ErrorKind::Saturated)),
            Plan::Wait(grant) => {
                let limit = self.config.max_wait;
                match tokio::time::timeout(limit, grant).await {
                    Ok(Ok(Grant::Http1(conn))) => Ok(Lease::Http1(conn)),
                    #[cfg(feature = "http2")]
                    Ok(Ok(Grant::Http2(stream))) => Ok(Lease::Http2(stream)),
                    Ok(Ok(Grant::Slot(slot))) => self.open(connector, slot).await,
                    Ok(Ok(Grant::Failed(error))) => Err(error),
                    Ok(Err(_)) | Err(_) => {
                        Err(Error::new(ErrorKind::Saturated).with_source(format!(
                            "no connection to {} was free within {limit:?}",
                            connector.address()
                        )))
                    }
                }
            }
        }
    }

    /// A connection to use: one there is, or, if `fresh`, one that has never been used.
    pub(crate) fn plan(self: &Arc<Self>, fresh: bool) -> Plan {
        let mut guard = self.lock();
        let state = &mut *guard;
        #[cfg(feature = "http2")]
        if state.mode != Mode::Http1
            && let Some(stream) = self.stream(state)
        {
            return Plan::Use(Lease::Http2(stream));
        }
        if !fresh && let Some(idle) = self.reusable(state) {
            return Plan::Use(Lease::Http1(Http1::reuse(idle, self.slot())));
        }
        if state.may_open(self.config.max_connections.get()) {
            state.open += 1;
            return Plan::Open(self.slot());
        }
        if fresh && let Some(oldest) = state.idle.pop_front() {
            // At the cap: an idle connection gives its place to the fresh one.
            drop(oldest);
            return Plan::Open(self.slot());
        }
        state.waiting.retain(|waiter| !waiter.is_closed());
        if state.waiting.len() >= self.config.max_waiting {
            return Plan::Refuse;
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(sender);
        Plan::Wait(receiver)
    }

    /// The idle connection that was used last and is still good.
    fn reusable(&self, state: &mut State) -> Option<Idle> {
        let now = clock::now();
        while let Some(mut idle) = state.idle.pop_back() {
            if !self.is_stale(&idle, now) && !idle.is_closed() {
                return Some(idle);
            }
            state.open -= 1;
        }
        None
    }

    fn is_stale(&self, idle: &Idle, now: Instant) -> bool {
        now.saturating_duration_since(idle.since) >= self.config.idle_timeout
            || self.is_aged(idle.opened, now)
    }

    fn is_aged(&self, opened: Instant, now: Instant) -> bool {
        self.config
            .max_age
            .is_some_and(|age| now.saturating_duration_since(opened) >= age)
    }

    async fn open(self: &Arc<Self>, connector: &Connector, slot: Slot) -> Result<Lease, Error> {
        let opened = match connector.open().await {
            Ok(opened) => opened,
            Err(error) => return Err(slot.failed(error)),
        };
        #[cfg(feature = "http2")]
        if opened.http2 {
            return match super::http2::open(opened.io, Arc::downgrade(self)).await {
                Ok(entry) => Ok(Lease::Http2(self.opened_http2(entry, slot))),
                Err(error) => Err(slot.failed(error)),
            };
        }
        self.opened_http1();
        Ok(Lease::Http1(Http1::open(opened.io, slot, clock::now())))
    }

    /// The endpoint speaks HTTP/1: those who waited to know it may open connections of their own.
    fn opened_http1(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.mode == Mode::Unknown {
            state.mode = Mode::Http1;
            while state.open < self.config.max_connections.get() && !state.waiting.is_empty() {
                state.open += 1;
                if state
                    .grant(Grant::Slot(self.slot()))
                    .is_some_and(Grant::forget)
                {
                    state.open -= 1;
                }
            }
        }
    }

    /// Takes back a connection that can serve another request.
    pub(crate) fn release(self: &Arc<Self>, conn: Http1) {
        let now = clock::now();
        if self.is_aged(conn.opened(), now) {
            return;
        }
        let mut state = self.lock();
        let conn = if state.waiting.is_empty() {
            conn
        } else {
            match state.grant(Grant::Http1(conn)) {
                Some(Grant::Http1(conn)) => conn,
                _ => return,
            }
        };
        let idle = conn.into_idle(now);
        state.idle.push_back(idle);
        if !state.reaping {
            state.reaping = true;
            tokio::spawn(reap(Arc::downgrade(self), self.config.idle_timeout));
        }
    }

    fn slot(self: &Arc<Self>) -> Slot {
        Slot(Some(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what has been idle for too long; says whether anything is left to watch.
    fn reap(self: &Arc<Self>) -> bool {
        let now = clock::now();
        let mut state = self.lock();
        let before = state.idle.len();
        state
            .idle
            .retain_mut(|idle| !self.is_stale(idle, now) && !idle.is_closed());
        state.idle.iter_mut().for_each(Idle::rest);
        state.open -= before - state.idle.len();
        #[cfg(feature = "http2")]
        self.reap_http2(&mut state, now);
        self.hand_on(&mut state);
        #[cfg(feature = "http2")]
        let watched = !state.idle.is_empty() || !state.http2.is_empty();
        #[cfg(not(feature = "http2"))]
        let watched = !state.idle.is_empty();
        state.reaping = watched;
        watched
    }

    /// Gives free places under the cap to those who wait.
    fn hand_on(self: &Arc<Self>, state: &mut State) {
        state.waiting.retain(|waiter| !waiter.is_closed());
        while !state.waiting.is_empty() && state.may_open(self.config.max_connections.get()) {
            state.open += 1;
            if state
                .grant(Grant::Slot(self.slot()))
                .is_some_and(Grant::forget)
            {
                state.open -= 1;
            }
        }
    }
}

#[cfg(feature = "http2")]
impl Pool {
    /// A stream on a connection that has one left.
    fn stream(self: &Arc<Self>, state: &mut State) -> Option<Stream> {
        let now = clock::now();
        let before = state.http2.len();
        state
            .http2
            .retain(|entry| !entry.is_closed() && !self.is_aged(entry.opened, now));
        state.open -= before - state.http2.len();
        let most = self.config.max_streams.get();
        let entry = state.http2.iter_mut().find(|entry| entry.has_room(most))?;
        Some(entry.take(self.clone()))
    }

    fn opened_http2(self: &Arc<Self>, mut entry: Entry, slot: Slot) -> Stream {
        let mut state = self.lock();
        slot.keep();
        state.mode = Mode::Http2;
        let stream = entry.take(self.clone());
        state.http2.push(entry);
        self.distribute(&mut state);
        if !state.reaping {
            state.reaping = true;
            tokio::spawn(reap(Arc::downgrade(self), self.config.idle_timeout));
        }
        stream
    }

    /// A connection has learnt how many streams its peer allows.
    pub(crate) fn learnt(self: &Arc<Self>) {
        let mut state = self.lock();
        self.distribute(&mut state);
    }

    /// Gives streams, and then leave to open a connection, to those who wait.
    fn distribute(self: &Arc<Self>, state: &mut State) {
        state.waiting.retain(|waiter| !waiter.is_closed());
        while !state.waiting.is_empty() {
            let Some(stream) = self.stream(state) else {
                break;
            };
            if let Some(Grant::Http2(stream)) = state.grant(Grant::Http2(stream)) {
                state.give_back(stream.forget());
            }
        }
        self.hand_on(state);
    }

    /// A stream has ended; its connection is not to be used again if it is `broken`.
    pub(crate) fn end_stream(self: &Arc<Self>, id: u64, broken: bool) {
        let mut state = self.lock();
        state.give_back(id);
        if broken {
            let before = state.http2.len();
            state.http2.retain(|entry| entry.id != id);
            state.open -= before - state.http2.len();
        }
        if !state.waiting.is_empty() {
            self.distribute(&mut state);
        }
    }

    fn reap_http2(&self, state: &mut State, now: Instant) {
        let before = state.http2.len();
        let limit = self.config.idle_timeout;
        state
            .http2
            .retain(|entry| !entry.is_closed() && !entry.is_idle(now, limit));
        state.open -= before - state.http2.len();
    }
}

impl State {
    /// Under the cap, and not while a connection is on its way that may have room for many.
    fn may_open(&self, cap: usize) -> bool {
        let wait = match self.mode {
            Mode::Unknown => self.open > 0,
            Mode::Http1 => false,
            #[cfg(feature = "http2")]
            Mode::Http2 => self.open > self.http2.len() || self.http2.iter().any(Entry::is_new),
        };
        !wait && self.open < cap
    }

    /// Gives to the first who still waits, or back.
    fn grant(&mut self, mut grant: Grant) -> Option<Grant> {
        while let Some(waiter) = self.waiting.pop_front() {
            match waiter.send(grant) {
                Ok(()) => return None,
                Err(back) => grant = back,
            }
        }
        Some(grant)
    }

    #[cfg(feature = "http2")]
    fn give_back(&mut self, id: u64) {
        if let Some(entry) = self.http2.iter_mut().find(|entry| entry.id == id) {
            entry.give_back(clock::now());
        }
    }
}

impl Grant {
    /// Lets go of a slot that nobody took, without a look at the pool, which is locked. True: its place is to be
    /// counted down.
    fn forget(self) -> bool {
        match self {
            Self::Slot(slot) => {
                slot.keep();
                true
            }
            _ => false,
        }
    }
}

/// Leave to have one connection, counted against the cap until it is dropped.
pub(crate) struct Slot(Option<Arc<Pool>>);

impl Slot {
    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.0.as_ref()
    }

    /// The connection is counted by the pool from here on.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }

    /// No connection came of it. If there is none at all, those who wait would wait in vain.
    fn failed(mut self, error: Error) -> Error {
        let Some(pool) = self.0.take() else {
            return error;
        };
        let mut state = pool.lock();
        state.open -= 1;
        if state.open > 0 {
            pool.hand_on(&mut state);
            return error;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waiter in waiting {
            let _ = waiter.send(Grant::Failed(error.clone()));
        }
        error
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            let mut state = pool.lock();
            state.open -= 1;
            pool.hand_on(&mut state);
        }
    }
}

/// Runs while there is anything idle, and ends with the pool.
async fn reap(pool: std::sync::Weak<Pool>, every: std::time::Duration) {
    let every = every.max(std::time::Duration::from_millis(10));
    loop {
        tokio::time::sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.reap() {
            return;
        }
    }
}
