//! The keys of one source, loaded again and again by a task beside the requests.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::{timeout, timeout_at},
};

use super::{
    JwksStatus,
    load::{Loaded, Loader, Place},
    schedule::{Ask, Schedule, Timing},
};
use crate::{
    auth::{
        fetch::CallSettings,
        jose::{KeyId, KeySet},
    },
    background::Background,
    clock,
    error::BoxError,
    random,
};

/// How much of an error is kept; some of it the source has written.
const MAX_ERROR: usize = 500;

/// What clones of a source share.
pub(super) struct Live {
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "it is for logs"))]
    place: Place,
    loader: Option<Arc<Loader>>,
    mistakes: Vec<String>,
    /// How long a load is waited for, if nothing is heard of it.
    patience: Duration,
    view: ArcSwapOption<View>,
    core: Mutex<Core>,
    /// Tells the task that there is something to do.
    wake: Arc<Notify>,
    /// Tells whoever waits that a load has ended, or the task.
    bell: Arc<watch::Sender<()>>,
    background: Background,
}

/// What requests look at.
struct View {
    keys: KeySet,
    until: Instant,
}

struct Core {
    schedule: Schedule,
    loaded_at: Option<Instant>,
    last_error: Option<String>,
}

impl Live {
    pub(super) fn new(place: &Place, timing: &Timing, calls: &CallSettings) -> Self {
        let mut mistakes = timing.mistakes();
        if calls.timeout.is_zero() {
            mistakes.push("timeout is 0; it is above 0".to_owned());
        }
        let loader = Loader::new(place, calls).map_err(|mistake| mistakes.push(mistake));
        let bell = Arc::new(watch::Sender::default());
        Self {
            place: place.clone(),
            loader: loader.ok().filter(|_| mistakes.is_empty()).map(Arc::new),
            mistakes,
            patience: calls.timeout.saturating_mul(2),
            view: ArcSwapOption::empty(),
            core: Mutex::new(Core {
                schedule: Schedule::new(timing.clone()),
                loaded_at: None,
                last_error: None,
            }),
            wake: Arc::default(),
            background: Background::with_bell(bell.clone()),
            bell,
        }
    }

    pub(super) fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    pub(super) fn current(self: &Arc<Self>) -> Option<KeySet> {
        self.ensure();
        self.usable(clock::now())
    }

    pub(super) fn contains(self: &Arc<Self>, key: &KeyId) -> bool {
        self.ensure();
        // Not as a copy: its count would be written by all cores.
        let view = self.view.load();
        view.as_ref()
            .is_some_and(|view| view.keys.contains(key) && clock::now() < view.until)
    }

    pub(super) async fn refresh(
        self: &Arc<Self>,
        unknown_kid: Option<&str>,
    ) -> Result<KeySet, BoxError> {
        if !self.mistakes.is_empty() {
            return Err(self.mistakes.join("; ").into());
        }
        if Handle::try_current().is_err() {
            return Err("keys are loaded on a tokio runtime, and there is none here".into());
        }
        let ticket = self.core().schedule.ticket();
        let mut rung = self.bell.subscribe();
        loop {
            // Before the question, so that what ends right after it is heard.
            rung.mark_unchanged();
            self.ensure();
            if let Some(keys) = self.ask(unknown_kid, ticket)? {
                return Ok(keys);
            }
            self.wake.notify_one();
            // The task may be on a runtime that nobody drives at the moment.
            let heard = timeout(self.patience, rung.changed()).await;
            heard.map_err(|_| "the task that loads keys does not run")??;
        }
    }

    /// The keys to go on with; none, if a load has to be waited for.
    fn ask(&self, unknown_kid: Option<&str>, ticket: u64) -> Result<Option<KeySet>, BoxError> {
        let now = clock::now();
        let mut core = self.core();
        let current = self.usable(now);
        if let (Some(keys), Some(kid)) = (&current, unknown_kid)
            && has(keys, kid)
        {
            return Ok(current);
        }
        match core.schedule.ask(unknown_kid, ticket, now) {
            Ask::Wait => Ok(None),
            Ask::Enough if current.is_some() => Ok(current),
            Ask::Enough | Ask::Failed => {
                let error = core.last_error.as_deref();
                Err(error.unwrap_or("there are no keys").into())
            }
        }
    }

    fn usable(&self, now: Instant) -> Option<KeySet> {
        let view = self.view.load();
        let view = view.as_ref().filter(|view| now < view.until)?;
        Some(view.keys.clone())
    }

    fn ensure(self: &Arc<Self>) {
        if let Some(loader) = &self.loader {
            self.background.ensure(|| {
                let live = Arc::downgrade(self);
                run(live, loader.clone(), self.wake.clone())
            });
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, loaded: Result<Loaded, String>) {
        let (now, random) = (clock::now(), random::next_u64());
        let loaded = loaded.map_err(|error| shown(&error));
        // Not under the lock: whoever listens may want to know the status.
        #[cfg(feature = "tracing")]
        if let Err(error) = &loaded {
            tracing::warn!(target: "tower_gateway::keys", source = %self.place, error, "no keys were loaded");
        }
        let mut core = self.core();
        match loaded {
            Ok(Loaded { keys, fresh_for }) => {
                let is_known = |kid: &str| has(&keys, kid);
                core.schedule.loaded(fresh_for, is_known, now, random);
                core.loaded_at = Some(now);
                core.last_error = None;
                let until = core.schedule.usable_until().unwrap_or(now);
                self.view.store(Some(Arc::new(View { keys, until })));
            }
            Err(error) => {
                core.schedule.failed(now, random);
                core.last_error = Some(error);
            }
        }
        drop(core);
        self.bell.send_replace(());
    }

    pub(super) fn status(&self) -> JwksStatus {
        let now = clock::now();
        let current = self.usable(now);
        let core = self.core();
        JwksStatus {
            keys: current.as_ref().map_or(0, |keys| keys.keys().len()),
            skipped: current.map_or(0, |keys| keys.skipped().len()),
            age: core.loaded_at.map(|at| now.saturating_duration_since(at)),
            failures: core.schedule.failures(),
            last_error: core.last_error.clone(),
        }
    }
}

/// On one line, and not too long.
fn shown(error: &str) -> String {
    let chars = error.chars().take(MAX_ERROR);
    chars
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

fn has(keys: &KeySet, kid: &str) -> bool {
    keys.keys().iter().any(|key| key.kid() == Some(kid))
}

/// Loads when it is time, or somebody asks, for as long as there is somebody.
async fn run(live: Weak<Live>, loader: Arc<Loader>, wake: Arc<Notify>) {
    loop {
        let Some(due) = live
            .upgrade()
            .map(|live| live.core().schedule.due(clock::now()))
        else {
            return;
        };
        if let Some(due) = due {
            let _ = timeout_at(due.into(), wake.notified()).await;
            continue;
        }
        let Some(()) = live.upgrade().map(|live| live.core().schedule.begin()) else {
            return;
        };
        let loaded = loader.load().await;
        if let Some(live) = live.upgrade() {
            live.end(loaded);
        }
    }
}
