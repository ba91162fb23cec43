//! The settings.

use std::{fmt, sync::Arc, time::Duration};

use http::request::Parts;
use tower::Layer;

use super::{
    adaptive::Adaptive, handle::ConcurrencyLimitHandle, limit::MOST, priority::Priority,
    service::ConcurrencyLimit, shared::Shared,
};

/// Limits how many requests are in flight at once: see the [module](crate::load).
///
/// The layer owns the count. All services that it and its clones make share it, and so does the [handle](Self::handle); a
/// setting makes a layer with a count of its own, so settings come first.
///
/// A wrong setting is a mistake that a gateway reports when it is built; a layer without a gateway uses the default in its
/// place.
#[derive(Clone)]
pub struct ConcurrencyLimitLayer {
    settings: Settings,
    shared: Arc<Shared>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) bound: Bound,
    pub(super) room: u32,
    pub(super) max_wait: Duration,
    pub(super) lifo_after: Duration,
    pub(super) retry_after: Duration,
    pub(super) priority: Option<PriorityOf>,
}

#[derive(Clone)]
pub(super) enum Bound {
    Fixed(u32),
    Adaptive(Adaptive),
}

pub(super) type PriorityOf = Arc<dyn Fn(&Parts) -> Priority + Send + Sync>;

/// resilience4j's, in the place of a zero.
const MAX: u32 = 25;
const MAX_WAIT: Duration = Duration::from_millis(100);
const LIFO_AFTER: Duration = Duration::from_millis(100);
const RETRY_AFTER: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

impl ConcurrencyLimitLayer {
    /// At most `max` requests at once, from 1 to 2^30. There is no default, because no number fits two backends (a zero
    /// counts as resilience4j's 25); [`adaptive`](Self::adaptive) finds one.
    pub fn max(max: u32) -> Self {
        Self::with(Bound::Fixed(max))
    }

    /// As many requests at once as the backend can take.
    pub fn adaptive(adaptive: Adaptive) -> Self {
        Self::with(Bound::Adaptive(adaptive))
    }

    /// How many requests wait when no permit is free, and for how long at most; what does not fit in is shed. Default: 0,
    /// everything is shed at once. At most 2^30 requests; more than zero and at most an hour, if any may wait.
    pub fn queue(self, len: u32, max_wait: Duration) -> Self {
        self.change(|settings| (settings.room, settings.max_wait) = (len, max_wait))
    }

    /// For how long the queue may have been in use without a break until it is overload, and the last one to come goes
    /// first. Zero: always, [`Duration::MAX`]: never. Default: 100 ms.
    pub fn lifo_after(self, after: Duration) -> Self {
        self.change(|settings| settings.lifo_after = after)
    }

    /// When a client that was shed may ask again: `Retry-After`, in whole seconds, rounded up. More than zero, at most a
    /// day. Default: 1 s, for overload that a client can wait for is over in moments, and no answer is earlier than that.
    pub fn retry_after(self, delay: Duration) -> Self {
        self.change(|settings| settings.retry_after = delay)
    }

    /// Says how much a request matters. The answer is left in the request's extensions, where limits further in find it.
    /// Default: what is in the extensions, [`Priority::Normal`] if there is none.
    pub fn priority(self, priority: impl Fn(&Parts) -> Priority + Send + Sync + 'static) -> Self {
        self.change(|settings| settings.priority = Some(Arc::new(priority)))
    }

    /// A look at it, and a hand on it.
    pub fn handle(&self) -> ConcurrencyLimitHandle {
        ConcurrencyLimitHandle::new(self.shared.clone())
    }

    /// What is wrong with the settings: each names the field and what is allowed.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.settings.checked().1
    }

    fn with(bound: Bound) -> Self {
        let settings = Settings {
            bound,
            room: 0,
            max_wait: MAX_WAIT,
            lifo_after: LIFO_AFTER,
            retry_after: RETRY_AFTER,
            priority: None,
        };
        let shared = Shared::new(settings.checked().0);
        Self { settings, shared }
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.shared = Shared::new(self.settings.checked().0);
        self
    }
}

impl<S> Layer<S> for ConcurrencyLimitLayer {
    type Service = ConcurrencyLimit<S>;

    fn layer(&self, inner: S) -> ConcurrencyLimit<S> {
        ConcurrencyLimit::new(inner, self.shared.clone())
    }
}

impl Settings {
    /// The settings that can be used, and what is wrong with those that were given.
    fn checked(&self) -> (Self, Vec<String>) {
        let mut used = self.clone();
        let mut mistakes = Vec::new();
        match &mut used.bound {
            Bound::Fixed(max) if *max == 0 || *max > MOST => {
                mistakes.push(format!("concurrency limit max {max} is not from 1 to 2^30"));
                *max = MAX;
            }
            Bound::Fixed(_) => {}
            Bound::Adaptive(adaptive) => (*adaptive, mistakes) = adaptive.checked(),
        }
        if self.room > MOST {
            let room = self.room;
            mistakes.push(format!(
                "concurrency limit queue len {room} is not from 0 to 2^30"
            ));
            used.room = 0;
        }
        if self.room > 0 && (self.max_wait.is_zero() || self.max_wait > HOUR) {
            let max_wait = self.max_wait;
            mistakes.push(format!(
                "concurrency limit queue max_wait {max_wait:?} is not more than 0 and at most an hour"
            ));
            used.max_wait = MAX_WAIT;
        }
        if self.retry_after.is_zero() || self.retry_after > HOUR * 24 {
            let delay = self.retry_after;
            mistakes.push(format!(
                "concurrency limit retry_after {delay:?} is not more than 0 and at most a day"
            ));
            used.retry_after = RETRY_AFTER;
        }
        (used, mistakes)
    }
}

impl fmt::Debug for ConcurrencyLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
