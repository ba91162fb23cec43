//! What is known of the calls that have ended lately.

use super::{count::CountWindow, settings::WindowSize, time::TimeWindow};

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

impl Outcome {
    pub(super) fn is_good(self) -> bool {
        !self.failed && !self.slow
    }
}

/// How many calls there were, and how many of them failed or were slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

/// Where a success stands in the window, in case that it turns out to be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(super) u64);

impl Place {
    pub(super) const NONE: Self = Self(u64::MAX);
}

/// The outcomes of the last calls, or of those of the last while.
///
/// Each part of it carries the generation of the circuit that it was cleared for. Whoever finds another one than its own
/// is late, and leaves it alone: so nothing of an earlier generation gets into the present one, however long a thread
/// was held up on its way.
pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    pub(super) fn new(size: WindowSize, generation: u32, at: u64) -> Self {
        match size {
            WindowSize::Calls(calls) => Self::Count(CountWindow::new(calls, generation)),
            WindowSize::Time(length) => Self::Time(TimeWindow::new(length, generation, at)),
        }
    }

    /// Enters an outcome. The time is worked out only where it matters.
    #[inline]
    pub(super) fn record(
        &self,
        generation: u32,
        outcome: Outcome,
        at: impl FnOnce() -> u64,
    ) -> Place {
        match self {
            Self::Count(window) => window.record(generation, outcome),
            Self::Time(window) => window.record(generation, outcome, at()),
        }
    }

    /// Makes a failure of the success at this place; it is a call of its own if it is not there any more.
    pub(super) fn amend(&self, generation: u32, place: Place, at: u64) {
        let is_amended = match self {
            Self::Count(window) => window.amend(generation, place),
            Self::Time(window) => window.amend(generation, place, at),
        };
        if !is_amended {
            let failure = Outcome {
                failed: true,
                slow: false,
            };
            self.record(generation, failure, || at);
        }
    }

    pub(super) fn counts(&self, generation: u32, at: u64) -> Counts {
        match self {
            Self::Count(window) => window.counts(generation),
            Self::Time(window) => window.counts(generation, at),
        }
    }

    /// Forgets everything. Whoever comes with another generation from now on is late.
    pub(super) fn clear(&self, generation: u32) {
        match self {
            Self::Count(window) => window.clear(generation),
            Self::Time(window) => window.clear(generation),
        }
    }
}
