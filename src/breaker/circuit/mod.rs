//! The circuit breaker without a service: who is let through, and what their results come to.
//!
//! Closed, a call costs a read of one word when it begins, and an entry in the window when it ends; only what changes the
//! state takes the lock.

mod count;
mod moment;
mod probes;
mod row;
mod settings;
mod state;
mod time;
mod window;

use std::time::{Duration, Instant};

use self::{
    moment::{End, ORIGIN, nanos},
    probes::{Probes, Verdict},
    row::{Ended, Row},
    settings::Rules,
    state::Word,
    sync::Ordering::{AcqRel, Acquire, Relaxed},
    window::Window,
};
// Whoever includes this module says what these are.
use super::sync;

pub use self::state::CircuitState;
pub(crate) use self::{
    settings::{Settings, WindowSize},
    window::{Counts, Outcome, Place},
};

/// When a call that is refused while others are tried out may come again.
const WHILE_HALF_OPEN: Duration = Duration::from_secs(1);

/// The circuit. Time is an argument; one that goes back or jumps ahead makes no state last longer than it should.
pub(crate) struct Circuit {
    rules: Rules,
    half_open_wait: u64,
    origin: Instant,
    /// A [`Word`]. Only who holds the lock changes more of it than the number of probes.
    word: sync::AtomicU64,
    row: Row,
    /// When a state that lasts for a time is over: of even and of odd generations, so that the next one's is written
    /// while the present one's is read.
    ends: [End; 2],
    window: Window,
    refused: sync::AtomicU64,
    locked: sync::Mutex<Locked>,
}

/// What only changes with the state, or half-open.
#[derive(Default)]
struct Locked {
    probes: Probes,
    /// How long it was open last, since it was closed.
    open_for: Option<Duration>,
    opened: u64,
    /// What was known when it opened.
    counts: Counts,
}

/// Where a success is entered, in case that it turns out to be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    place: Place,
    ended: Ended,
}

impl Entry {
    const NONE: Self = Self {
        place: Place::NONE,
        ended: Ended::NOTHING,
    };
}

/// Whether a call is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted(Ticket),
    /// With the time after which it is worth to come again, if it is known.
    Refused(Option<Duration>),
}

/// A call that was let through. It ends in one call of [`Circuit::record`] or [`Circuit::give_back`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    state: CircuitState,
    generation: u32,
}

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) state: CircuitState,
    pub(crate) counts: Counts,
    pub(crate) probes: u32,
    pub(crate) opened: u64,
    pub(crate) refused: u64,
}

impl Circuit {
    /// A closed circuit. A wrong setting is replaced by its default.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        let (sound, _) = settings.check();
        let word = Word {
            state: CircuitState::Closed,
            generation: 0,
            probes: 0,
        };
        Self {
            rules: Rules::new(&sound),
            half_open_wait: nanos(sound.half_open_wait),
            origin: now,
            word: sync::AtomicU64::new(word.to_bits()),
            row: Row::new(),
            ends: [End::new(), End::new()],
            window: Window::new(sound.window, word.generation, ORIGIN),
            refused: sync::AtomicU64::new(0),
            locked: sync::Mutex::new(Locked::default()),
        }
    }

    /// Asks for a call to be let through.
    #[inline]
    pub(crate) fn admit(&self, now: Instant) -> Admission {
        let word = self.word();
        if word.state == CircuitState::Closed {
            return Admission::Admitted(Ticket::of(word));
        }
        self.admit_unless_closed(now)
    }

    /// The call has ended. The entry is for [`Circuit::amend`].
    #[inline]
    pub(crate) fn record(&self, ticket: Ticket, outcome: Outcome, now: Instant) -> Entry {
        match ticket.state {
            CircuitState::Closed => self.count(ticket.generation, outcome, now),
            CircuitState::HalfOpen => {
                self.hear(ticket.generation, now, |probes| probes.add(outcome));
                Entry::NONE
            }
            _ => Entry::NONE,
        }
    }

    /// A call that was recorded as a success has failed after all.
    pub(crate) fn amend(&self, ticket: Ticket, entry: Entry, now: Instant) {
        match ticket.state {
            CircuitState::Closed if self.is_present(ticket) => {
                self.window
                    .amend(ticket.generation, entry.place, self.at(now));
                let is_row = self
                    .rules
                    .consecutive
                    .is_some_and(|limit| self.row.undo(ticket.generation, entry.ended) >= limit);
                self.judge(ticket.generation, is_row, now);
            }
            CircuitState::HalfOpen => self.hear(ticket.generation, now, Probes::fail),
            _ => {}
        }
    }

    /// The call has come to nothing that says how the backend fares.
    pub(crate) fn give_back(&self, ticket: Ticket) {
        if ticket.state != CircuitState::HalfOpen {
            return;
        }
        let mut word = self.word();
        while word.generation == ticket.generation {
            let given_back = Word {
                probes: word.probes.saturating_sub(1),
                ..word
            };
            match self.exchange(word, given_back) {
                Ok(()) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Opens or closes it until somebody says otherwise, or begins anew: closed, with nothing remembered.
    pub(crate) fn force(&self, state: CircuitState, now: Instant) {
        let mut locked = self.lock();
        if state == CircuitState::Closed {
            self.close(&mut locked);
        } else if self.word().state != state {
            locked.counts = self.counts(&locked, now);
            self.enter(state, 0);
        }
    }

    /// The state, and a number that is another one after each change of it.
    #[inline]
    pub(crate) fn state(&self) -> (CircuitState, u32) {
        let word = self.word();
        (word.state, word.generation)
    }

    pub(crate) fn figures(&self, now: Instant) -> Figures {
        let locked = self.lock();
        let word = self.word();
        let heard = match word.state {
            CircuitState::HalfOpen => locked.probes.counts.calls,
            _ => 0,
        };
        Figures {
            state: word.state,
            counts: self.counts(&locked, now),
            probes: word.probes.saturating_sub(heard as u32),
            opened: locked.opened,
            refused: self.refused.load(Relaxed),
        }
    }

    #[cold]
    fn admit_unless_closed(&self, now: Instant) -> Admission {
        let retry_after = loop {
            let word = self.word();
            match word.state {
                CircuitState::Closed | CircuitState::ForcedClosed => {
                    return Admission::Admitted(Ticket::of(word));
                }
                CircuitState::ForcedOpen => break None,
                CircuitState::Open => match self.left(word, now) {
                    0 => self.half_open(word, now),
                    left => break Some(Duration::from_nanos(left)),
                },
                CircuitState::HalfOpen if word.probes < self.rules.half_open_calls => {
                    let admitted = Word {
                        probes: word.probes + 1,
                        ..word
                    };
                    if self.exchange(word, admitted).is_ok() {
                        return Admission::Admitted(Ticket::of(word));
                    }
                }
                CircuitState::HalfOpen if self.left(word, now) > 0 => break Some(WHILE_HALF_OPEN),
                CircuitState::HalfOpen => self.give_up(word.generation, now),
            }
        };
        self.refused.fetch_add(1, Relaxed);
        Admission::Refused(retry_after)
    }

    fn count(&self, generation: u32, outcome: Outcome, now: Instant) -> Entry {
        if self.word().generation != generation {
            return Entry::NONE;
        }
        let place = self.window.record(generation, outcome, || self.at(now));
        let (ended, is_row) = match self.rules.consecutive {
            None => (Ended::NOTHING, false),
            Some(limit) if outcome.failed => (Ended::NOTHING, self.row.fail(generation) >= limit),
            Some(_) => (self.row.succeed(generation), false),
        };
        if !outcome.is_good() {
            self.judge(generation, is_row, now);
        }
        Entry { place, ended }
    }

    /// Opens the circuit if what was just entered is enough for it. Whoever enters the last of several outcomes sees all
    /// of them; if more than one does, the lock lets the first one open it.
    #[cold]
    fn judge(&self, generation: u32, is_row: bool, now: Instant) {
        let at = self.at(now);
        if !is_row && !self.rules.open_at(self.window.counts(generation, at)) {
            return;
        }
        let mut locked = self.lock();
        if self.word().generation == generation {
            locked.counts = self.window.counts(generation, at);
            self.open(&mut locked, at);
        }
    }

    /// Hears what a half-open call says, and goes by it.
    #[cold]
    fn hear(&self, generation: u32, now: Instant, note: impl FnOnce(&mut Probes)) {
        let mut locked = self.lock();
        if self.word().generation != generation {
            return;
        }
        note(&mut locked.probes);
        match locked.probes.verdict(&self.rules) {
            Some(Verdict::Open) => {
                locked.counts = locked.probes.counts;
                self.open(&mut locked, self.at(now));
            }
            Some(Verdict::Close) => self.close(&mut locked),
            None => {}
        }
    }

    /// All half-open calls are taken, and too few of them have ended for too long.
    fn give_up(&self, generation: u32, now: Instant) {
        let mut locked = self.lock();
        if self.word().generation == generation {
            locked.counts = locked.probes.counts;
            self.open(&mut locked, self.at(now));
        }
    }

    fn half_open(&self, seen: Word, now: Instant) {
        let mut locked = self.lock();
        if self.word() == seen {
            locked.probes = Probes::default();
            self.lasts(self.at(now), self.half_open_wait);
            self.enter(CircuitState::HalfOpen, 0);
        }
    }

    fn open(&self, locked: &mut Locked, at: u64) {
        let open_for = self.rules.open_for(locked.open_for);
        locked.open_for = Some(open_for);
        locked.opened += 1;
        self.lasts(at, nanos(open_for));
        self.enter(CircuitState::Open, 0);
    }

    fn close(&self, locked: &mut Locked) {
        locked.open_for = None;
        let generation = self.word().generation.wrapping_add(1);
        self.window.clear(generation);
        self.row.clear(generation);
        self.enter(CircuitState::Closed, 0);
    }

    /// For who holds the lock. Whatever belongs to the state has to be there before.
    fn enter(&self, state: CircuitState, probes: u32) {
        let next = Word {
            state,
            generation: self.word().generation.wrapping_add(1),
            probes,
        };
        self.word.swap(next.to_bits(), AcqRel);
    }

    /// How long the state after the present one lasts.
    fn lasts(&self, at: u64, span: u64) {
        let next = self.word().generation.wrapping_add(1);
        self.end(next).set(at, span);
    }

    fn left(&self, word: Word, now: Instant) -> u64 {
        self.end(word.generation).left(self.at(now))
    }

    fn end(&self, generation: u32) -> &End {
        let [even, odd] = &self.ends;
        if generation.is_multiple_of(2) {
            even
        } else {
            odd
        }
    }

    fn counts(&self, locked: &Locked, now: Instant) -> Counts {
        let word = self.word();
        match word.state {
            CircuitState::Closed => self.window.counts(word.generation, self.at(now)),
            CircuitState::HalfOpen => locked.probes.counts,
            _ => locked.counts,
        }
    }

    fn is_present(&self, ticket: Ticket) -> bool {
        self.word().generation == ticket.generation
    }

    #[inline]
    fn word(&self) -> Word {
        Word::from_bits(self.word.load(Acquire))
    }

    fn exchange(&self, old: Word, new: Word) -> Result<(), Word> {
        self.word
            .compare_exchange(old.to_bits(), new.to_bits(), AcqRel, Acquire)
            .map(drop)
            .map_err(Word::from_bits)
    }

    fn lock(&self) -> sync::MutexGuard<'_, Locked> {
        let locked = self.locked.lock();
        locked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn at(&self, now: Instant) -> u64 {
        moment::at(now, self.origin)
    }
}

impl Ticket {
    fn of(word: Word) -> Self {
        Self {
            state: word.state,
            generation: word.generation,
        }
    }
}
