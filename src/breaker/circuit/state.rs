//! The state, and the one word that everyone reads it from.

use std::fmt;

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// Every call is let through, and what comes of it is counted.
    Closed,
    /// Every call is refused. The first call after the open duration makes the circuit half-open; until one comes, it stays
    /// open.
    Open,
    /// A few calls are let through to see how the backend fares; the others are refused.
    HalfOpen,
    /// Every call is refused until somebody says otherwise.
    ForcedOpen,
    /// Every call is let through and none is counted, until somebody says otherwise.
    ForcedClosed,
}

impl CircuitState {
    const ALL: [Self; 5] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::ForcedClosed,
    ];
}

/// For logs: `closed`, `open`, `half-open`, `forced open`, `forced closed`.
impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
        })
    }
}

/// State, generation and half-open calls in one word, so that a call that is admitted has seen all three at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) state: CircuitState,
    /// Goes up with each change of the state. A result counts for the generation that its call was admitted in.
    pub(super) generation: u32,
    /// Half-open calls that are on their way or have ended with a verdict; at most [`Word::MOST_PROBES`].
    pub(super) probes: u32,
}

impl Word {
    pub(super) const MOST_PROBES: u32 = (1 << 24) - 1;

    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32
            | u64::from(self.probes & Self::MOST_PROBES) << 8
            | self.state as u64
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let state = CircuitState::ALL.get((bits & 0xff) as usize);
        Self {
            state: *state.unwrap_or(&CircuitState::Closed),
            generation: (bits >> 32) as u32,
            probes: (bits >> 8) as u32 & Self::MOST_PROBES,
        }
    }
}
