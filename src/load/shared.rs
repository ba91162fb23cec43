//! What all services of a layer share, and what a request holds of it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, request::Parts};

use super::{
    adaptive::{Control, Sample},
    layer::{Bound, PriorityOf, Settings},
    limit::{Entry, Limit},
    priority::Priority,
    queue::{Key, Turn},
};
use crate::{
    body::{End, Witness},
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
};

pub(super) struct Shared {
    pub(super) limit: Limit,
    control: Option<Control>,
    settings: Settings,
    admitted: AtomicU64,
    shed: [AtomicU64; 3],
}

/// Leave to send a request to the service inside. Given back when it is dropped.
pub(super) struct Permit {
    shared: Arc<Shared>,
    trial: Option<Trial>,
}

/// What has to be known of a request until it says something about the backend.
struct Trial {
    since: Instant,
    deadline: Option<Instant>,
}

/// A place in the queue. Given up when it is dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    key: Option<Key>,
    pub(super) priority: Priority,
    /// When it has been long enough.
    pub(super) until: Instant,
    deadline: Option<Instant>,
}

/// What a request gets that comes in.
pub(super) enum Entrance {
    Admitted(Permit),
    Waiting(Place),
    Shed(Error),
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let (first, control) = match &settings.bound {
            Bound::Fixed(max) => (*max, None),
            Bound::Adaptive(adaptive) => {
                let control = Control::new(adaptive, clock::now());
                (adaptive.first(), Some(control))
            }
        };
        Arc::new(Self {
            limit: Limit::new(first, settings.room, settings.lifo_after),
            control,
            settings,
            admitted: AtomicU64::new(0),
            shed: Default::default(),
        })
    }

    /// How much a request matters.
    #[inline]
    pub(super) fn priority<B>(&self, request: &mut Request<B>) -> Priority {
        match &self.settings.priority {
            None => request.extensions().get().copied().unwrap_or_default(),
            Some(priority_of) => ask(priority_of, request),
        }
    }

    pub(super) fn enter<B>(self: &Arc<Self>, priority: Priority, request: &Request<B>) -> Entrance {
        let deadline = || {
            let context = request.extensions().get::<RequestContext>();
            context.and_then(RequestContext::patience)
        };
        if self.limit.try_acquire(priority) {
            let deadline = self.control.as_ref().and_then(|_| deadline());
            return Entrance::Admitted(self.permit(deadline));
        }
        if self.settings.room == 0 {
            return Entrance::Shed(self.refuse(priority));
        }
        let (now, deadline) = (clock::now(), deadline());
        match self.limit.enter(priority, deadline, now) {
            Entry::Admitted => Entrance::Admitted(self.permit(deadline)),
            Entry::Shed => Entrance::Shed(self.refuse(priority)),
            Entry::Waiting(key) => {
                let until = now + self.settings.max_wait;
                Entrance::Waiting(Place {
                    shared: self.clone(),
                    key: Some(key),
                    priority,
                    until: deadline.map_or(until, |deadline| deadline.min(until)),
                    deadline,
                })
            }
        }
    }

    /// The answer to a request that is shed.
    pub(super) fn refuse(&self, priority: Priority) -> Error {
        self.shed[priority as usize].fetch_add(1, Relaxed);
        Error::new(ErrorKind::Saturated)
            .with_detail(DETAIL)
            .with_retry_after(self.settings.retry_after)
    }

    pub(super) fn set_max(&self, max: u32) {
        let limit = match &self.control {
            Some(control) => control.set_max(max),
            None => max,
        };
        self.limit.set(limit, clock::now());
    }

    pub(super) fn admitted(&self) -> u64 {
        self.admitted.load(Relaxed)
    }

    pub(super) fn shed(&self, priority: Priority) -> u64 {
        self.shed[priority as usize].load(Relaxed)
    }

    pub(super) fn latencies(&self) -> (Option<Duration>, Option<Duration>) {
        let control = self.control.as_ref();
        control.map_or((None, None), Control::latencies)
    }

    fn permit(self: &Arc<Self>, deadline: Option<Instant>) -> Permit {
        self.admitted.fetch_add(1, Relaxed);
        let trial = self.control.as_ref().map(|_| Trial {
            since: clock::now(),
            deadline,
        });
        Permit {
            shared: self.clone(),
            trial,
        }
    }
}

/// Asks a closure, which wants to see the head and nothing else, and leaves what it says in the extensions.
fn ask<B>(priority_of: &PriorityOf, request: &mut Request<B>) -> Priority {
    let (mut parts, ()) = Request::new(()).into_parts();
    let swap = |request: &mut Request<B>, parts: &mut Parts| {
        std::mem::swap(request.method_mut(), &mut parts.method);
        std::mem::swap(request.uri_mut(), &mut parts.uri);
        std::mem::swap(request.version_mut(), &mut parts.version);
        std::mem::swap(request.headers_mut(), &mut parts.headers);
        std::mem::swap(request.extensions_mut(), &mut parts.extensions);
    };
    swap(request, &mut parts);
    let priority = priority_of(&parts);
    swap(request, &mut parts);
    request.extensions_mut().insert(priority);
    priority
}

/// What the client of a request that is shed is told.
const DETAIL: &str = "Too many requests at the moment";

impl Permit {
    /// The request said this of the backend, or nothing.
    #[inline]
    pub(super) fn settle(&mut self, outcome: impl FnOnce() -> Outcome) {
        if let Some(trial) = self.trial.take() {
            let now = clock::now();
            let sample = match outcome() {
                Outcome::Good => Sample::Answer(now.saturating_duration_since(trial.since)),
                Outcome::Overload => Sample::Drop,
                Outcome::Nothing => return,
            };
            self.record(sample, now);
        }
    }

    fn record(&self, sample: Sample, now: Instant) {
        let limit = &self.shared.limit;
        if let Some(control) = &self.shared.control
            && let Some(moved) = control.record(sample, limit.in_flight(), now)
        {
            limit.set(moved, now);
        }
    }
}

/// What a request says of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Overload,
    Nothing,
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Given up before the head: a client that left says nothing, a time that ran out does.
        if let Some(trial) = self.trial.take()
            && let Some(deadline) = trial.deadline
        {
            let now = clock::now();
            if deadline <= now {
                self.record(Sample::Drop, now);
            }
        }
        self.shared.limit.release(clock::now);
    }
}

impl Witness for Permit {
    fn end(self, _: End<'_>) {}
}

impl Place {
    /// Waits for a permit, as long as nobody says that there is none for this one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        let limit = &self.shared.limit;
        match self.key.as_ref().map(|key| limit.poll(key, cx.waker())) {
            Some(Turn::Waiting) => return Poll::Pending,
            Some(Turn::Admitted) => {}
            Some(Turn::Shed) | None => return Poll::Ready(None),
        }
        if let Some(key) = self.key.take() {
            limit.leave(key, true, clock::now);
        }
        Poll::Ready(Some(self.shared.permit(self.deadline)))
    }

    /// The answer to one that waited in vain.
    pub(super) fn refuse(&self) -> Error {
        self.shared.refuse(self.priority)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.shared.limit.leave(key, false, clock::now);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimit")
            .field("limit", &self.limit.limit())
            .field("in_flight", &self.limit.in_flight())
            .field("waiting", &self.limit.waiting())
            .finish()
    }
}
