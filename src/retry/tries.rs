//! What it takes to send a request again, and what is known of its tries so far.

use std::{
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{Request, Response};
use tower::{Service, ServiceExt, util::Oneshot};

use super::{counts::Extra, draft::Draft, policy::Outcome};
use crate::{body::Body, clock, context::Place, error::seen_in, random, timer::Timer};

/// A request that may be sent again. Its first try is in the future's own hands; there is at most one other at a time.
pub(super) struct Tries<S>
where
    S: Service<Request<Body>>,
{
    service: S,
    draft: Draft,
    /// How many there were, the one that is under way included.
    count: u32,
    /// How many of them were retries.
    retries: u32,
    second: Option<Second<S>>,
    /// Where the first try is, when there is a hedge elsewhere.
    first_place: Option<Place>,
    /// When the pause ends.
    retry_at: Option<Instant>,
    /// One for all that is waited for, made when there is something.
    timer: Timer,
}

/// The try that is under way beside the first one, or after it.
struct Second<S>
where
    S: Service<Request<Body>>,
{
    answer: Pin<Box<Oneshot<S, Request<Body>>>>,
    began: Instant,
    is_hedge: bool,
    _extra: Extra,
}

/// What it is time for.
pub(super) enum Event {
    FirstIsLate,
    SecondIsLate,
    Hedge,
    Retry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    First,
    Hedge,
    Retry,
}

type Ended<S> =
    Result<<S as Service<Request<Body>>>::Response, <S as Service<Request<Body>>>::Error>;

impl<S> Tries<S>
where
    S: Service<Request<Body>>,
{
    pub(super) fn new(service: S, draft: Draft) -> Self {
        Self {
            service,
            draft,
            count: 1,
            retries: 0,
            second: None,
            first_place: None,
            retry_at: None,
            timer: Timer::new(),
        }
    }

    /// The next thing that time brings.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>, first_runs: bool) -> Poll<Event> {
        let limit = self.draft.shared.settings.try_timeout;
        let late = |began: Instant, event| Some((began.checked_add(limit?)?, event));
        let events = match (&self.second, first_runs) {
            (None, false) => [self.retry_at.map(|at| (at, Event::Retry)), None],
            (None, true) => [
                late(self.draft.began, Event::FirstIsLate),
                self.draft.hedge_at.map(|at| (at, Event::Hedge)),
            ],
            (Some(second), first_runs) => [
                late(second.began, Event::SecondIsLate),
                first_runs
                    .then(|| late(self.draft.began, Event::FirstIsLate))
                    .flatten(),
            ],
        };
        let next = events.into_iter().flatten().min_by_key(|(at, _)| *at);
        let Some((at, event)) = next else {
            return Poll::Pending;
        };
        ready!(self.timer.poll(cx, at));
        Poll::Ready(event)
    }
}

impl<S, ResB> Tries<S>
where
    S: Service<Request<Body>, Response = Response<ResB>> + Clone,
    S::Error: 'static,
{
    pub(super) fn poll_second(&mut self, cx: &mut Context<'_>) -> Poll<Ended<S>> {
        match &mut self.second {
            Some(second) => second.answer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// The first try is over, and dropped. Gives what is to be the request's answer.
    pub(super) fn first_ended(&mut self, ended: Ended<S>) -> Option<Ended<S>> {
        let other_runs = self.second.is_some();
        self.ended(ended, Which::First, other_runs)
    }

    /// The same for the other try, which is dropped here.
    pub(super) fn second_ended(&mut self, ended: Ended<S>, first_runs: bool) -> Option<Ended<S>> {
        let which = match self.second.take() {
            Some(Second { is_hedge: true, .. }) => Which::Hedge,
            _ => Which::Retry,
        };
        self.ended(ended, which, first_runs)
    }

    fn ended(&mut self, ended: Ended<S>, which: Which, other_runs: bool) -> Option<Ended<S>> {
        let shared = &self.draft.shared;
        let settings = &shared.settings;
        let outcome = match &ended {
            Ok(response) => Outcome::of_response(response, clock::wall_seconds),
            Err(error) => Outcome::of_error(seen_in(error)),
        };
        if settings.policy.is_good(outcome) {
            if which == Which::Hedge {
                shared.counts.hedges_won.fetch_add(1, Relaxed);
            }
            if which == Which::First
                && let Some(place) = self.first_place.take()
            {
                self.draft.record(|notes| notes.set_place(place));
            }
            if let Some(latencies) = &shared.latencies
                && which != Which::Retry
                && self.draft.is_safe
            {
                // Of a hedge's answer it is known that the first would have taken at least as long.
                latencies.record(clock::now().saturating_duration_since(self.draft.began));
            }
            return Some(ended);
        }
        if other_runs {
            return None;
        }
        let Some(least) = settings.policy.again(self.draft.is_safe, outcome) else {
            return Some(ended);
        };
        if self.count >= settings.max_tries {
            return Some(ended);
        }
        // What was not asked at all has nothing to recover from, and is no load for anybody.
        let is_free = outcome.is_elsewhere();
        let pause = match is_free {
            true => Duration::ZERO,
            false => settings.backoff.delay(self.retries, random::next_u64()),
        };
        let retry_at = clock::now()
            .checked_add(least.saturating_add(pause))
            .filter(|at| self.draft.is_in_time(*at));
        if retry_at.is_none() {
            return Some(ended);
        }
        if !self.draft.is_replayable() {
            shared.counts.not_replayable.fetch_add(1, Relaxed);
            return Some(ended);
        }
        if !is_free && !shared.pay() {
            return Some(ended);
        }
        self.retry_at = retry_at;
        None
    }

    /// The pause is over. `false`: and so is the time, because it took longer than it was meant to.
    pub(super) fn retry(&mut self) -> bool {
        self.retry_at = None;
        let is_in_time = self.draft.is_in_time(clock::now());
        if is_in_time {
            self.retries += 1;
            self.begin(false);
        }
        is_in_time
    }

    /// The first try takes its time.
    pub(super) fn hedge(&mut self) {
        self.draft.hedge_at = None;
        let draft = &self.draft;
        let may = draft.is_in_time(clock::now()) && draft.is_complete() && draft.shared.pay();
        if may {
            let place = &mut self.first_place;
            draft.record(|notes| *place = Some(notes.place()));
            self.begin(true);
        }
    }

    fn begin(&mut self, is_hedge: bool) {
        self.count += 1;
        let now = clock::now();
        let request = self.draft.request(is_hedge, now);
        self.second = Some(Second {
            answer: Box::pin(self.service.clone().oneshot(request)),
            began: now,
            is_hedge,
            _extra: Extra::new(self.draft.shared.clone(), is_hedge),
        });
    }
}
