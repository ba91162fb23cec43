//! What is said to the log, with the feature `tracing`.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::refusal::Refusal;
use crate::{clock, error::BoxError};

/// Whether the log has it that the limiter fails.
#[derive(Default)]
pub(super) struct Failing {
    has_told: AtomicBool,
    seldom: Seldom,
}

/// What happens often, and is told seldom.
#[derive(Default)]
pub(super) struct Seldom {
    /// When it was told last.
    at: Mutex<Option<Instant>>,
    /// How often it has happened since.
    times: AtomicU64,
}

/// It is told once in this time.
const PAUSE: Duration = Duration::from_secs(10);

impl Failing {
    /// Once when it begins, and once when it is over. One key or every other call may fail for long, and that fills no log.
    pub(super) fn tell(&self, error: Option<&BoxError>) {
        let has_told = self.has_told.load(Relaxed);
        let is_news = match error {
            None => has_told && self.has_told.swap(false, Relaxed),
            Some(_) => !has_told && self.begins(),
        };
        if is_news {
            failing(error);
        }
    }

    fn begins(&self) -> bool {
        let is_time = self.seldom.happened().is_some();
        if is_time {
            self.has_told.store(true, Relaxed);
        }
        is_time
    }
}

impl Seldom {
    /// Once more. How often since it was told last, if it is to be told now.
    fn happened(&self) -> Option<u64> {
        self.times.fetch_add(1, Relaxed);
        let now = clock::now();
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = |at| now.saturating_duration_since(at) < PAUSE;
        if at.is_some_and(is_early) {
            return None;
        }
        *at = Some(now);
        Some(self.times.swap(0, Relaxed))
    }
}

/// The limiter begins to fail, or is back.
fn failing(error: Option<&BoxError>) {
    #[cfg(feature = "tracing")]
    match error {
        Some(error) => {
            tracing::warn!(target: "tower_gateway::throttle", %error, "the limiter fails");
        }
        None => tracing::info!(target: "tower_gateway::throttle", "the limiter is back"),
    }
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// Charges that too many others are waited for before, or that nobody can wait for.
pub(super) fn dropping(seldom: &Seldom) {
    let times = seldom.happened();
    #[cfg(feature = "tracing")]
    if let Some(times) = times {
        tracing::warn!(target: "tower_gateway::throttle", times, "charges are dropped, because the limiter is slow");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = times;
}

/// In a dry run; `times` is how many requests since the last one of which it was told, with this one.
pub(super) fn would_refuse(seldom: &Seldom, refusal: &Refusal) {
    let Some(times) = seldom.happened() else {
        return;
    };
    #[cfg(feature = "tracing")]
    {
        let error = refusal.error();
        let reason = std::error::Error::source(error).map(ToString::to_string);
        let (status, reason) = (error.status().as_u16(), reason.unwrap_or_default());
        tracing::info!(target: "tower_gateway::throttle", status, reason, times, "a dry run would have refused a request");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (refusal, times);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_often_is_told_seldom_with_how_often_it_was() {
        let seldom = Seldom::default();
        assert_eq!(seldom.happened(), Some(1));
        assert_eq!([seldom.happened(), seldom.happened()], [None; 2]);
        tokio::time::advance(PAUSE - Duration::from_nanos(1)).await;
        assert_eq!(seldom.happened(), None);
        tokio::time::advance(Duration::from_nanos(1)).await;
        assert_eq!(seldom.happened(), Some(4));
        assert_eq!(seldom.happened(), None);
    }
}
