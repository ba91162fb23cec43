//! The connections of one endpoint on one runtime.
//!
//! HTTP/1: the most recently used idle connection first, so that the others can age away. HTTP/2: streams on the
//! connections there are, one more connection when the streams run out. Both under one hard cap, with a bounded queue
//! in front of it. Whatever is taken comes back when it is dropped, wherever the request ends.

mod slot;
mod state;
#[cfg(feature = "http2")]
mod streams;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
};

#[cfg(feature = "http2")]
use super::http2::{Entry, Stream};
use super::{
    ClientConfig, Protocol,
    attend::Look,
    connect::Connector,
    http1::{Http1, Idle},
    io::Io,
};
use crate::{
    clock,
    error::{Error, ErrorKind},
};

use slot::Opening;
pub(crate) use slot::Slot;
use state::{Grant, State, Waiter};

pub(crate) struct Pool {
    config: ClientConfig,
    /// The runtime has one thread: who gives way to other tasks runs again on it, and wakes nobody.
    pub(crate) is_single: bool,
    state: Mutex<State>,
}

/// What a request sends itself through.
pub(crate) enum Lease {
    Http1(Http1),
    #[cfg(feature = "http2")]
    Http2(Stream),
}

/// How a request gets a connection.
pub(crate) enum Plan {
    Use(Lease),
    Open(Opening),
    Wait(oneshot::Receiver<Grant>),
    Refuse,
}

/// A connection that is open, and what it speaks.
enum Made {
    Http1(Io),
    #[cfg(feature = "http2")]
    Http2(Entry),
}

impl Pool {
    pub(crate) fn new(config: ClientConfig) -> Arc<Self> {
        let http1 = config.protocol == Protocol::Http1;
        let is_single = Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread);
        Arc::new(Self {
            config,
            is_single,
            state: Mutex::new(State::new(http1)),
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
            Plan::Open(opening) => self.open(connector, opening).await,
            Plan::Refuse => Err(Error::new(ErrorKind::Saturated)),
            Plan::Wait(receiver) => {
                let limit = self.config.max_wait;
                let mut turn = Turn {
                    pool: self,
                    receiver,
                };
                match tokio::time::timeout(limit, &mut turn.receiver).await {
                    Ok(Ok(Grant::Http1(conn))) => Ok(Lease::Http1(conn)),
                    #[cfg(feature = "http2")]
                    Ok(Ok(Grant::Http2(stream))) => Ok(Lease::Http2(stream)),
                    Ok(Ok(Grant::Open(opening))) => self.open(connector, opening).await,
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
        if !state.http2.is_empty()
            && let Some(stream) = self.stream(state)
        {
            return Plan::Use(Lease::Http2(stream));
        }
        if !fresh && let Some(idle) = self.reusable(state) {
            return Plan::Use(Lease::Http1(Http1::reuse(idle, Slot::new(self.clone()))));
        }
        if !state.may_open(self.config.max_connections.get()) {
            // At the cap, an idle connection gives its place to a fresh one.
            let oldest = if fresh { state.idle.pop_front() } else { None };
            if oldest.is_none() {
                return self.queue(state, fresh);
            }
            state.open -= 1;
        }
        state.open += 1;
        state.opening += 1;
        Plan::Open(Opening::new(self.clone()))
    }

    fn queue(&self, state: &mut State, fresh: bool) -> Plan {
        if state.waiting.len() >= self.config.max_waiting {
            state.waiting.retain(|waiter| !waiter.sender.is_closed());
            if state.waiting.len() >= self.config.max_waiting {
                return Plan::Refuse;
            }
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(Waiter { sender, fresh });
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

    async fn open(
        self: &Arc<Self>,
        connector: &Connector,
        opening: Opening,
    ) -> Result<Lease, Error> {
        let made = connector.in_time(async {
            let opened = connector.open().await?;
            #[cfg(feature = "http2")]
            if opened.http2 {
                let pool = Arc::downgrade(self);
                let entry = super::http2::open(opened.io, pool, &self.config).await?;
                return Ok(Made::Http2(entry));
            }
            Ok(Made::Http1(opened.io))
        });
        match made.await {
            Err(error) => Err(opening.failed(error)),
            Ok(Made::Http1(io)) => {
                let slot = self.opened_http1(opening);
                Ok(Lease::Http1(Http1::open(io, slot, clock::now())))
            }
            #[cfg(feature = "http2")]
            Ok(Made::Http2(entry)) => Ok(Lease::Http2(self.opened_http2(entry, opening))),
        }
    }

    /// The endpoint speaks HTTP/1: those who waited to know it may open connections of their own.
    fn opened_http1(self: &Arc<Self>, opening: Opening) -> Slot {
        let mut state = self.lock();
        opening.forget();
        state.opening -= 1;
        state.http1 = true;
        self.hand_on(&mut state);
        Slot::new(self.clone())
    }

    /// Takes back a connection that can serve another request.
    pub(crate) fn release(self: &Arc<Self>, mut conn: Http1) {
        conn.used();
        let now = clock::now();
        if self.is_aged(conn.opened(), now) {
            return;
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Some(first) = state.first() {
            if first.fresh {
                // It gets the place and not the connection, as if it had found this one idle.
                drop(conn.into_idle(now));
                state.open -= 1;
                return self.hand_on(state);
            }
            match state.grant(Grant::Http1(conn)) {
                Some(Grant::Http1(back)) => conn = back,
                _ => return,
            }
        }
        state.idle.push_back(conn.into_idle(now));
        self.watch(state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free places under the cap to those who wait.
    fn hand_on(self: &Arc<Self>, state: &mut State) {
        while state.may_open(self.config.max_connections.get()) && state.first().is_some() {
            state.open += 1;
            state.opening += 1;
            let opening = Opening::new(self.clone());
            if let Some(Grant::Open(opening)) = state.grant(Grant::Open(opening)) {
                opening.forget();
                state.open -= 1;
                state.opening -= 1;
            }
        }
    }

    /// Looks after an answer while its client does not read it.
    pub(super) fn attend(self: &Arc<Self>, answer: Weak<dyn Look>) {
        let mut state = self.lock();
        state.attended.push(answer);
        self.watch(&mut state);
    }

    /// Has someone look after what is idle.
    fn watch(self: &Arc<Self>, state: &mut State) {
        // A connection may come back when its runtime has ended, from wherever a future is dropped.
        if !state.reaping
            && let Ok(runtime) = Handle::try_current()
        {
            state.reaping = true;
            runtime.spawn(reap(Arc::downgrade(self), self.config.idle_timeout));
        }
    }

    /// Drops what has been idle for too long; says whether anything is left to watch.
    fn reap(self: &Arc<Self>) -> bool {
        let now = clock::now();
        // Without the lock: what is given up here comes back to the pool.
        let mut attended = std::mem::take(&mut self.lock().attended);
        attended.retain(|answer| answer.upgrade().is_some_and(|answer| answer.look(now)));
        let mut state = self.lock();
        state.attended.append(&mut attended);
        let before = state.idle.len();
        state
            .idle
            .retain_mut(|idle| !self.is_stale(idle, now) && !idle.is_closed());
        let busy = now.checked_sub(REAP_EVERY);
        for idle in state.idle.iter_mut() {
            if busy.is_some_and(|busy| idle.since < busy) {
                idle.rest();
            }
        }
        state.open -= before - state.idle.len();
        state.reaping = !state.idle.is_empty() || !state.attended.is_empty();
        #[cfg(feature = "http2")]
        {
            self.reap_http2(&mut state, now);
            state.reaping |= !state.http2.is_empty();
        }
        self.hand_on(&mut state);
        state.reaping
    }
}

/// A place in the queue. A connection that was given to someone who had just gone is not lost.
struct Turn<'a> {
    pool: &'a Arc<Pool>,
    receiver: oneshot::Receiver<Grant>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Grant::Http1(conn)) = self.receiver.try_recv() {
            self.pool.release(conn);
        }
    }
}

/// How often idle connections are looked at: whether they have ended, and hold memory that they do not need.
const REAP_EVERY: Duration = Duration::from_secs(1);

/// Runs while there is anything idle, and ends with the pool.
async fn reap(pool: Weak<Pool>, idle_timeout: Duration) {
    let every = idle_timeout.clamp(Duration::from_millis(10), REAP_EVERY);
    loop {
        tokio::time::sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.reap() {
            return;
        }
    }
}
