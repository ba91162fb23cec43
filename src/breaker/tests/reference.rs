//! The circuit once more, in the plainest way: one thread, a queue of outcomes, and everything counted afresh each time.

use std::{collections::VecDeque, time::Duration};

use crate::breaker::circuit::{CircuitState, Counts, Outcome, Settings, WindowSize};

/// A call that was let through: in which state, and in which change of it.
#[derive(Clone, Copy)]
pub(super) struct Ticket(CircuitState, u32);

pub(super) struct Reference {
    settings: Settings,
    pub(super) state: CircuitState,
    changes: u32,
    /// Of the window, or half-open; each with the number of its call and its part of the time.
    outcomes: VecDeque<(u64, i64, Outcome)>,
    row: u32,
    /// The last success that has ended a row, and the row, while there was no other success.
    undone: Option<(u64, u32)>,
    successes: u64,
    newest: i64,
    next: u64,
    /// The part of the time of each number.
    parts: Vec<i64>,
    until: i64,
    span: i64,
    taken: u32,
    open_for: Option<Duration>,
    pub(super) opened: u64,
    pub(super) refused: u64,
    last: Counts,
}

/// Times are nanoseconds since the circuit was made, and may be negative.
impl Reference {
    pub(super) fn new(settings: Settings) -> Self {
        let mut new = Self {
            settings,
            state: CircuitState::Closed,
            changes: 0,
            outcomes: VecDeque::new(),
            row: 0,
            undone: None,
            successes: 0,
            newest: 0,
            next: 0,
            parts: Vec::new(),
            until: 0,
            span: 0,
            taken: 0,
            open_for: None,
            opened: 0,
            refused: 0,
            last: Counts::default(),
        };
        new.newest = new.part(0);
        new
    }

    pub(super) fn admit(&mut self, now: i64) -> Result<Ticket, Option<Duration>> {
        let is_timed = match self.state {
            CircuitState::HalfOpen => self.taken >= self.settings.half_open_calls,
            state => state == CircuitState::Open,
        };
        if is_timed {
            // A clock that went back makes nothing last longer.
            self.until = self.until.min(now + self.span);
        }
        let is_over = now >= self.until;
        let answer = match self.state {
            CircuitState::Closed | CircuitState::ForcedClosed => return Ok(self.ticket()),
            CircuitState::ForcedOpen => Err(None),
            CircuitState::Open if is_over => {
                self.enter(CircuitState::HalfOpen);
                self.lasts(now, self.settings.half_open_wait);
                self.outcomes.clear();
                self.row = 0;
                self.taken = 1;
                return Ok(self.ticket());
            }
            CircuitState::Open => Err(Some(self.until - now)),
            CircuitState::HalfOpen if self.taken < self.settings.half_open_calls => {
                self.taken += 1;
                return Ok(self.ticket());
            }
            CircuitState::HalfOpen if is_over => {
                self.open(now);
                Err(Some(self.until - now))
            }
            CircuitState::HalfOpen => Err(Some(1_000_000_000)),
        };
        self.refused += 1;
        answer.map_err(|left| left.map(|left| Duration::from_nanos(left as u64)))
    }

    /// The number is for [`Reference::amend`]; there is none while only good calls are known and the window is full.
    /// So is the other one.
    pub(super) fn record(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: i64,
    ) -> (Option<u64>, u64) {
        self.successes += 1;
        let success = self.successes;
        match ticket.0 {
            CircuitState::Closed | CircuitState::HalfOpen if ticket.1 == self.changes => {}
            _ => return (None, success),
        }
        let is_closed = self.state == CircuitState::Closed;
        let counts = self.counts(now);
        let is_good = !outcome.failed && !outcome.slow;
        if outcome.failed {
            self.row += 1;
        } else {
            self.undone = (self.row > 0).then_some((success, self.row));
            self.row = 0;
        }
        let all = self.size().map(|size| size as u64);
        let good = Counts {
            calls: all.unwrap_or(0),
            ..Counts::default()
        };
        let number = if is_closed && is_good && all.is_some() && counts == good {
            None
        } else {
            Some(self.push(outcome, now))
        };
        if !is_closed {
            self.judge_half_open(now);
        } else if !is_good {
            self.judge(now);
        }
        (number, success)
    }

    pub(super) fn amend(
        &mut self,
        ticket: Ticket,
        (number, success): (Option<u64>, u64),
        now: i64,
    ) {
        if ticket.1 != self.changes {
            return;
        }
        match ticket.0 {
            CircuitState::Closed => {
                if let Some((_, row)) = self.undone.filter(|undone| undone.0 == success) {
                    self.row += row;
                }
                self.row += 1;
                self.counts(now);
                // Those of one part of the time are all alike.
                let is_timed = self.size().is_none();
                let part = self.parts.get(number.unwrap_or(u64::MAX) as usize).copied();
                let is_it = |known: &&mut (u64, i64, Outcome)| match is_timed {
                    true => Some(known.1) == part && !known.2.failed,
                    false => Some(known.0) == number,
                };
                match self.outcomes.iter_mut().find(is_it) {
                    Some(known) => known.2.failed = true,
                    None => {
                        let outcome = Outcome {
                            failed: true,
                            slow: false,
                        };
                        self.push(outcome, now);
                    }
                }
                self.judge(now);
            }
            CircuitState::HalfOpen => {
                self.row += 1;
                let mut known = self.outcomes.iter_mut();
                let known = known.find(|known| Some(known.0) == number).unwrap();
                known.2.failed = true;
                self.judge_half_open(now);
            }
            _ => {}
        }
    }

    pub(super) fn give_back(&mut self, ticket: Ticket) {
        if ticket.0 == CircuitState::HalfOpen && ticket.1 == self.changes {
            self.taken -= 1;
        }
    }

    pub(super) fn force(&mut self, state: CircuitState, now: i64) {
        if state == CircuitState::Closed {
            self.close();
        } else {
            self.last = self.counts(now);
            self.enter(state);
        }
    }

    pub(super) fn probes(&self) -> u32 {
        match self.state {
            CircuitState::HalfOpen => self.taken - self.outcomes.len() as u32,
            _ => 0,
        }
    }

    /// What is known, without what is too old.
    pub(super) fn counts(&mut self, now: i64) -> Counts {
        match self.state {
            CircuitState::Closed => match self.size() {
                Some(size) => {
                    while self.outcomes.len() > size {
                        self.outcomes.pop_front();
                    }
                }
                None => {
                    let newest = self.move_on(now);
                    self.outcomes
                        .retain(|known| (0..10).contains(&(newest - known.1)));
                }
            },
            CircuitState::HalfOpen => {}
            _ => return self.last,
        }
        let count = |is: fn(Outcome) -> bool| {
            self.outcomes.iter().filter(|known| is(known.2)).count() as u64
        };
        Counts {
            calls: count(|_| true),
            failures: count(|outcome| outcome.failed),
            slow: count(|outcome| outcome.slow),
        }
    }

    fn size(&self) -> Option<usize> {
        match self.settings.window {
            WindowSize::Calls(calls) => Some(calls as usize),
            WindowSize::Time(_) => None,
        }
    }

    fn part(&self, now: i64) -> i64 {
        match self.settings.window {
            // The circuit's own zero lies a long time before it was made, and parts are counted from there.
            WindowSize::Time(length) => {
                (((1_i128 << 62) + i128::from(now)) / (length.as_nanos() as i128 / 10)) as i64
            }
            WindowSize::Calls(_) => 0,
        }
    }

    fn move_on(&mut self, now: i64) -> i64 {
        let part = self.part(now);
        if part > self.newest || self.newest - part > 10 {
            self.newest = part;
        }
        self.newest
    }

    fn push(&mut self, outcome: Outcome, now: i64) -> u64 {
        let part = match self.state {
            CircuitState::Closed => self.move_on(now),
            _ => 0,
        };
        let number = self.next;
        self.next += 1;
        self.parts.push(part);
        self.outcomes.push_back((number, part, outcome));
        number
    }

    fn judge(&mut self, now: i64) {
        let counts = self.counts(now);
        let minimum = self.settings.minimum_calls.unwrap_or_else(|| {
            let size = self.size().unwrap_or(usize::MAX);
            size.min(20) as u32
        });
        let is_row = |limit| self.row >= limit;
        if self.settings.consecutive_failures.is_some_and(is_row)
            || counts.calls >= u64::from(minimum) && self.is_reached(counts)
        {
            self.open(now);
        }
    }

    /// Tries all that the outstanding calls could still be.
    fn judge_half_open(&mut self, now: i64) {
        let calls = self.settings.half_open_calls;
        let known = self.counts(now);
        let left = u64::from(calls) - known.calls;
        let opens = |bad: u64| {
            let counts = Counts {
                calls: calls.into(),
                failures: known.failures + bad,
                slow: known.slow + bad,
            };
            let limit = self
                .settings
                .consecutive_failures
                .map(|limit| limit.min(calls));
            self.is_reached(counts)
                || limit.is_some_and(|limit| u64::from(self.row) + bad >= limit.into())
        };
        if opens(0) {
            self.open(now);
        } else if (0..=left).all(|bad| !opens(bad)) {
            self.close();
        }
    }

    fn is_reached(&self, counts: Counts) -> bool {
        let reaches = |bad: u64, rate: Option<f64>| {
            rate.is_some_and(|rate| bad as f64 * 100.0 / counts.calls as f64 >= rate)
        };
        reaches(counts.failures, self.settings.failure_rate)
            || reaches(counts.slow, self.settings.slow_call_rate)
    }

    fn open(&mut self, now: i64) {
        self.last = self.counts(now);
        let open_for = match (self.open_for, self.settings.open_growth) {
            (Some(last), Some((factor, longest))) => last.mul_f64(factor).min(longest),
            _ => self.settings.open_duration,
        };
        self.open_for = Some(open_for);
        self.opened += 1;
        self.enter(CircuitState::Open);
        self.lasts(now, open_for);
    }

    fn close(&mut self) {
        self.enter(CircuitState::Closed);
        self.outcomes.clear();
        self.row = 0;
        self.undone = None;
        self.open_for = None;
    }

    fn enter(&mut self, state: CircuitState) {
        self.state = state;
        self.changes += 1;
        self.taken = 0;
    }

    fn lasts(&mut self, now: i64, duration: Duration) {
        self.span = duration.as_nanos() as i64;
        self.until = now + self.span;
    }

    fn ticket(&self) -> Ticket {
        Ticket(self.state, self.changes)
    }
}
