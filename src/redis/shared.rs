//! What clones share: the connection, and who makes it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::{
    circuit::{Circuit, Turn},
    error::RedisError,
    lateness::Lateness,
    link::Link,
    settings::{Ready, Settings},
    status::RedisStatus,
};
use crate::{clock, random};

pub(super) struct Shared {
    pub(super) settings: Settings,
    ready: OnceLock<Result<Ready, Arc<str>>>,
    /// What is asked, without a lock.
    open: ArcSwapOption<Link>,
    state: Mutex<State>,
    /// Something was late lately: whoever asks or is answered has to look at the state.
    is_doubted: AtomicBool,
}

struct State {
    circuit: Circuit,
    lateness: Lateness,
    attempt: Option<Attempt>,
    /// Why it is down.
    reason: RedisError,
}

type Outcome = Result<Arc<Link>, RedisError>;

/// Where the outcome of an attempt will be.
type Attempt = watch::Receiver<Option<Outcome>>;

enum Way {
    Open(Arc<Link>),
    Opening(Attempt),
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            ready: OnceLock::new(),
            open: ArcSwapOption::empty(),
            state: Mutex::new(State {
                circuit: settings.circuit(),
                lateness: settings.lateness(),
                attempt: None,
                reason: RedisError::unavailable("it has not been connected to yet"),
            }),
            is_doubted: AtomicBool::new(false),
            settings,
        }
    }

    /// What the settings come to.
    pub(super) fn ready(&self) -> Result<&Ready, RedisError> {
        let ready = self.ready.get_or_init(|| self.settings.ready());
        ready
            .as_ref()
            .map_err(|wrong| RedisError::unavailable(wrong.clone()))
    }

    /// The connection. Whoever leaves while it is made does not end the attempt.
    pub(super) async fn link(self: &Arc<Self>) -> Outcome {
        if let Some(link) = self.alive() {
            return Ok(link);
        }
        let mut attempt = match self.take_turn(clock::now())? {
            Way::Open(link) => return Ok(link),
            Way::Opening(attempt) => attempt,
        };
        let ended = || RedisError::unavailable("the runtime that was connecting has ended");
        let outcome = attempt
            .wait_for(Option::is_some)
            .await
            .map_err(|_| ended())?;
        outcome.clone().unwrap_or_else(|| Err(ended()))
    }

    /// Whether to ask with this deadline.
    pub(super) fn may_ask(&self, deadline: Duration, now: Instant) -> Result<(), RedisError> {
        if !self.is_doubted.load(Relaxed) {
            return Ok(());
        }
        let turn = self.state().lateness.turn(deadline, now);
        turn.map_err(|within| {
            RedisError::unavailable(format!("it does not answer within {within:?}"))
        })
    }

    /// It has answered something that was asked at that time.
    pub(super) fn answered(&self, link: &Link, asked: Instant) {
        if link.has_answered_first() {
            self.state().circuit.answered();
        }
        if self.is_doubted.load(Relaxed) {
            let after = clock::now().saturating_duration_since(asked);
            let mut state = self.state();
            state.lateness.answered(after);
            self.doubt(&state);
        }
    }

    /// An answer did not come in time. One that has said nothing at all to anybody is dead, and a new one is made.
    pub(super) fn late(&self, link: &Arc<Link>, deadline: Duration, asked: Instant, now: Instant) {
        // Who has spent the time on connecting knows little of answers.
        if now.saturating_duration_since(asked) >= deadline / 2 {
            let mut state = self.state();
            let random = random::next_u64();
            state.lateness.missed(deadline, asked, now, random);
            self.doubt(&state);
        }
        let silence = link.silent_for(now);
        if silence < self.settings.stall_timeout {
            return;
        }
        let millis = silence.as_millis();
        self.end(link, now, || {
            RedisError::unavailable(format!("it has said nothing for {millis} ms"))
        });
    }

    fn doubt(&self, state: &State) {
        self.is_doubted.store(!state.lateness.is_none(), Relaxed);
    }

    /// It answers, but is not the right one any more.
    pub(super) fn leave(&self, link: &Arc<Link>, now: Instant) {
        self.end(link, now, || RedisError::unavailable("it is a replica"));
    }

    /// How it is.
    pub(super) fn status(&self, now: Instant) -> RedisStatus {
        // Whoever has the lock may have taken it away to look at it.
        let state = self.state();
        if self.alive().is_some() {
            return match state.lateness.held(now) {
                Some((within, retry_after)) => RedisStatus::Late {
                    within,
                    retry_after,
                },
                None => RedisStatus::Connected,
            };
        }
        if state.circuit.is_connecting() {
            return RedisStatus::Connecting;
        }
        match state.circuit.is_down_for(now) {
            Some(retry_after) => RedisStatus::Down {
                retry_after,
                reason: state.reason.clone(),
            },
            None => RedisStatus::Idle,
        }
    }

    /// Once for each connection, however many notice it.
    fn end(&self, link: &Arc<Link>, now: Instant, reason: impl FnOnce() -> RedisError) {
        let mut state = self.state();
        let is_ours = self
            .open
            .load()
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, link));
        if is_ours {
            self.open.store(None);
            state.reason = reason();
            state.circuit.failed(now, random::next_u64());
            link.end();
        }
    }

    fn alive(&self) -> Option<Arc<Link>> {
        let open = self.open.load();
        open.as_ref().filter(|link| link.is_alive()).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, or the attempt at one to wait for.
    fn take_turn(self: &Arc<Self>, now: Instant) -> Result<Way, RedisError> {
        let mut state = self.state();
        if let Some(link) = self.open.swap(None) {
            if link.is_alive() {
                self.open.store(Some(link.clone()));
                return Ok(Way::Open(link));
            }
            match link.has_answered() {
                true => state.circuit.ended(),
                false => {
                    state.reason = RedisError::unavailable("it ends connections at once");
                    state.circuit.failed(now, random::next_u64());
                }
            }
        }
        let is_lost = |attempt: &Attempt| attempt.has_changed().is_err();
        if state.circuit.is_connecting() && state.attempt.as_ref().is_none_or(is_lost) {
            state.circuit.ended();
        }
        let turn = state.circuit.turn(now);
        match (turn, &state.attempt) {
            (Turn::Wait, Some(attempt)) => Ok(Way::Opening(attempt.clone())),
            (Turn::Connect, _) => {
                let (tell, attempt) = watch::channel(None);
                state.attempt = Some(attempt.clone());
                drop(state);
                tokio::spawn(self.clone().connect(tell));
                Ok(Way::Opening(attempt))
            }
            _ => Err(state.reason.clone()),
        }
    }

    async fn connect(self: Arc<Self>, tell: watch::Sender<Option<Outcome>>) {
        let within = self.settings.connect_timeout;
        let outcome = match tokio::time::timeout(within, self.open()).await {
            Ok(opened) => opened.map(Arc::new),
            Err(_) => Err(RedisError::unavailable(format!(
                "no connection within {within:?}"
            ))),
        };
        let mut state = self.state();
        match &outcome {
            Ok(link) => {
                state.circuit.connected();
                self.open.store(Some(link.clone()));
            }
            Err(reason) => {
                state.circuit.failed(clock::now(), random::next_u64());
                state.reason = reason.clone();
            }
        }
        state.attempt = None;
        drop(state);
        // Nobody may be waiting.
        let _ = tell.send(Some(outcome));
    }

    async fn open(self: &Arc<Self>) -> Result<Link, RedisError> {
        if self.ready.get().is_none() {
            // It may read what the system trusts, which takes longer than a call may.
            let shared = self.clone();
            let read = tokio::task::spawn_blocking(move || shared.ready().map(drop));
            read.await
                .map_err(|error| RedisError::unavailable(error.to_string()))??;
        }
        let ready = self.ready()?;
        Link::open(
            &ready.target,
            #[cfg(feature = "tls")]
            ready.tls.as_ref(),
        )
        .await
    }
}
