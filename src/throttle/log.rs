//! What is said to the log, with the feature `tracing`.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::refusal::Refusal;
use crate::{clock, error::BoxError};

/// Whether the log has it that the limiter fails.
#[derive(Default)]
pub(super) struct Failing {
    has_told: AtomicBool,
    /// When it was told so last.
    at: Mutex<Option<Instant>>,
}

/// A failure is told once in this time.
const PAUSE: Duration = Duration::from_secs(10);

impl Failing {
    /// Once when it begins, and once when it is over. One key or every other call may fail for long, and that fills no log.
    pub(super) fn tell(&self, error: Option<&BoxError>) {
        let has_told = self.has_told.load(Relaxed);
        let is_news = match error {
            None => has_told && self.has_told.swap(false, Relaxed),
            Some(_) => !has_told && self.is_time(),
        };
        if is_news {
            failing(error);
        }
    }

    fn is_time(&self) -> bool {
        let now = clock::now();
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = |at| now.saturating_duration_since(at) < PAUSE;
        if at.is_some_and(is_early) {
            return false;
        }
        *at = Some(now);
        self.has_told.store(true, Relaxed);
        true
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

/// In a dry run.
pub(super) fn would_refuse(refusal: &Refusal) {
    #[cfg(feature = "tracing")]
    {
        let error = refusal.error();
        let reason = std::error::Error::source(error).map(ToString::to_string);
        let (status, reason) = (error.status().as_u16(), reason.unwrap_or_default());
        tracing::info!(target: "tower_gateway::throttle", status, reason, "a dry run would have refused a request");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = refusal;
}
