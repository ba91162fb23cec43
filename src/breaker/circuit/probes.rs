//! What the half-open calls say.

use super::{
    settings::Rules,
    window::{Counts, Outcome},
};

/// The outcomes of the half-open calls.
#[derive(Clone, Copy, Default)]
pub(super) struct Probes {
    pub(super) counts: Counts,
    /// Failures in a row.
    run: u32,
}

/// What follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Open,
    Close,
}

impl Probes {
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.counts.calls += 1;
        self.counts.slow += u64::from(outcome.slow);
        if outcome.failed {
            self.fail();
        } else {
            self.run = 0;
        }
    }

    /// One of the successes is none.
    pub(super) fn fail(&mut self) {
        self.counts.failures += 1;
        self.run = self.run.saturating_add(1);
    }

    /// As soon as the calls that are still to come can not change it.
    pub(super) fn verdict(&self, rules: &Rules) -> Option<Verdict> {
        let calls = u64::from(rules.half_open_calls);
        let left = calls.saturating_sub(self.counts.calls);
        let if_all_left = |bad: u64| Counts {
            calls,
            failures: self.counts.failures + bad,
            slow: self.counts.slow + bad,
        };
        // A longer row than there are calls would never be seen.
        let limit = rules.consecutive.map(|limit| u64::from(limit).min(calls));
        let is_row = |bad: u64| limit.is_some_and(|limit| u64::from(self.run) + bad >= limit);
        if rules.is_reached(if_all_left(0)) || is_row(0) {
            Some(Verdict::Open)
        } else if !rules.is_reached(if_all_left(left)) && !is_row(left) {
            Some(Verdict::Close)
        } else {
            None
        }
    }
}
