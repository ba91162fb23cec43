//! How many calls have failed one after the other.
//!
//! A success ends a row, and a good head is one until its body breaks. Then it has ended nothing: the row is what it was, and
//! one more.

use super::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

/// The present row. A success while there is none writes nothing.
pub(super) struct Row(AtomicU64);

/// What a success has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    round: u64,
    row: u32,
}

#[derive(Clone, Copy)]
struct Word {
    generation: u64,
    /// Another one when a success has ended a row, and when there was one more after it.
    round: u64,
    /// The success that began the round has ended a row.
    is_undecided: bool,
    row: u32,
}

const GENERATION: u64 = 0xFFFF;
const ROUND: u64 = 0x7FFF;

impl Row {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Begins anew.
    pub(super) fn clear(&self, generation: u32) {
        self.0
            .swap((u64::from(generation) & GENERATION) << 48, AcqRel);
    }

    /// How many it is with this failure.
    pub(super) fn fail(&self, generation: u32) -> u32 {
        self.change(generation, Word::fail).row
    }

    pub(super) fn succeed(&self, generation: u32) -> Ended {
        let mut ended = Ended::NOTHING;
        self.change(generation, |word| {
            let next = word.succeed();
            ended = Ended {
                round: next.round,
                row: word.row,
            };
            next
        });
        ended
    }

    /// How many it is without this success, which was a failure.
    pub(super) fn undo(&self, generation: u32, ended: Ended) -> u32 {
        self.change(generation, |word| word.undo(ended)).row
    }

    fn change(&self, generation: u32, mut by: impl FnMut(Word) -> Word) -> Word {
        let mut bits = self.0.load(Acquire);
        loop {
            let word = Word::of(bits);
            if word.generation != u64::from(generation) & GENERATION {
                return Word { row: 0, ..word };
            }
            let next = by(word);
            if next.bits() == bits {
                return next;
            }
            match self.0.compare_exchange(bits, next.bits(), AcqRel, Acquire) {
                Ok(_) => return next,
                Err(now) => bits = now,
            }
        }
    }
}

impl Ended {
    pub(super) const NOTHING: Self = Self {
        round: u64::MAX,
        row: 0,
    };
}

impl Word {
    fn of(bits: u64) -> Self {
        Self {
            generation: bits >> 48,
            round: bits >> 33 & ROUND,
            is_undecided: bits >> 32 & 1 == 1,
            row: bits as u32,
        }
    }

    fn bits(self) -> u64 {
        let Self {
            generation,
            round,
            is_undecided,
            row,
        } = self;
        generation << 48 | round << 33 | u64::from(is_undecided) << 32 | u64::from(row)
    }

    fn fail(self) -> Self {
        let row = self.row.saturating_add(1);
        Self { row, ..self }
    }

    fn succeed(self) -> Self {
        if self.row == 0 && !self.is_undecided {
            return self;
        }
        Self {
            round: (self.round + 1) & ROUND,
            is_undecided: self.row > 0,
            row: 0,
            ..self
        }
    }

    fn undo(self, ended: Ended) -> Self {
        let before = match ended.round == self.round {
            true => ended.row,
            // There were others since: it is one that has failed now.
            false => 0,
        };
        let row = self.row.saturating_add(before);
        Self { row, ..self }.fail()
    }
}
