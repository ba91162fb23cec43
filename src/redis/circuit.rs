//! Whether Redis is asked at the moment, and who tries it when it was away.

use std::time::{Duration, Instant};

use super::pauses::Pauses;

/// What somebody does who has something to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Ask: there is a connection.
    Ask,
    /// Connect.
    Connect,
    /// Wait for who is connecting.
    Wait,
    /// Do without.
    GiveUp,
}

/// A dead Redis costs one call its time for each attempt; the others know at once. The pauses between attempts become longer with each failure,
/// which is forgotten when something was answered.
#[derive(Clone, Debug)]
pub(super) struct Circuit {
    pauses: Pauses,
    /// For how long others wait for the first attempt.
    patience: Duration,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Apart,
    Connecting { since: Instant },
    Together,
    Down { since: Instant, pause: Duration },
}

impl Circuit {
    pub(super) fn new(pauses: Pauses, patience: Duration) -> Self {
        Self {
            pauses,
            patience,
            phase: Phase::Apart,
        }
    }

    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        match self.phase {
            Phase::Together => Turn::Ask,
            Phase::Connecting { since } => {
                let is_young = now.saturating_duration_since(since) < self.patience;
                match self.pauses.is_first() && is_young {
                    true => Turn::Wait,
                    false => Turn::GiveUp,
                }
            }
            Phase::Down { since, pause } if now.saturating_duration_since(since) < pause => {
                Turn::GiveUp
            }
            Phase::Apart | Phase::Down { .. } => {
                self.phase = Phase::Connecting { since: now };
                Turn::Connect
            }
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. })
    }

    /// The time until it is tried again, while it is left alone.
    pub(super) fn is_down_for(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Down { since, pause } => {
                Some(pause.saturating_sub(now.saturating_duration_since(since)))
            }
            _ => None,
        }
    }

    pub(super) fn connected(&mut self) {
        self.phase = Phase::Together;
    }

    /// Something was answered.
    pub(super) fn answered(&mut self) {
        self.pauses.reset();
    }

    /// It could not be reached, or has fallen silent.
    pub(super) fn failed(&mut self, now: Instant, random: u64) {
        let pause = self.pauses.next(random);
        self.phase = Phase::Down { since: now, pause };
    }

    /// The connection, or the attempt at one, has ended without a failure: servers end connections that are idle, and restart.
    pub(super) fn ended(&mut self) {
        self.phase = Phase::Apart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits of 100, 200, 300 ms between attempts, and of 50 for the first one.
    struct Test(Circuit, Instant);

    impl Test {
        fn new() -> Self {
            let ms = Duration::from_millis;
            let pauses = Pauses::new((ms(100), ms(300)));
            Self(Circuit::new(pauses, ms(50)), Instant::now())
        }

        fn at(&self, ms: u64) -> Instant {
            self.1 + Duration::from_millis(ms)
        }

        fn turn(&mut self, ms: u64) -> Turn {
            self.0.turn(self.at(ms))
        }

        fn failed(&mut self, ms: u64) {
            self.0.failed(self.at(ms), u64::MAX);
        }
    }

    #[test]
    fn everybody_waits_a_little_for_the_first_connection() {
        let mut test = Test::new();
        assert_eq!(test.turn(0), Turn::Connect);
        assert_eq!((test.turn(0), test.turn(49)), (Turn::Wait, Turn::Wait));
        assert_eq!(test.turn(50), Turn::GiveUp);
        test.0.connected();
        assert_eq!((test.turn(50), test.turn(9_999)), (Turn::Ask, Turn::Ask));
    }

    #[test]
    fn attempts_become_rarer_and_only_one_call_makes_each() {
        let mut test = Test::new();
        let mut now = 0;
        for delay in [100, 200, 300, 300] {
            assert_eq!(test.turn(now), Turn::Connect);
            if now > 0 {
                assert_eq!(test.turn(now), Turn::GiveUp, "somebody else is at it");
            }
            test.failed(now + 10);
            now += 10 + delay;
            assert_eq!(test.turn(now - 1), Turn::GiveUp);
        }
        assert_eq!(test.turn(now), Turn::Connect);
        test.0.connected();
        test.failed(now);
        assert_eq!(
            (test.turn(now + 299), test.turn(now + 300)),
            (Turn::GiveUp, Turn::Connect),
            "a connection alone proves nothing"
        );
        test.0.connected();
        test.0.answered();
        test.failed(now);
        assert_eq!(
            (test.turn(now + 99), test.turn(now + 100)),
            (Turn::GiveUp, Turn::Connect)
        );
    }

    #[test]
    fn a_pause_that_is_longer_than_time_itself_is_one() {
        let pauses = Pauses::new((Duration::MAX, Duration::MAX));
        let mut circuit = Circuit::new(pauses, Duration::MAX);
        let now = Instant::now();
        for _ in 0..3 {
            circuit.failed(now, 0);
            assert_eq!(circuit.turn(now), Turn::GiveUp);
        }
        assert!(circuit.is_down_for(now) >= Some(Duration::MAX / 2));
    }

    #[test]
    fn what_has_ended_is_begun_anew_at_once() {
        let mut test = Test::new();
        assert_eq!(test.turn(0), Turn::Connect);
        test.0.connected();
        test.0.ended();
        assert_eq!((test.turn(1), test.turn(1)), (Turn::Connect, Turn::Wait));
        assert!(test.0.is_connecting());
        test.0.ended();
        assert_eq!(test.turn(2), Turn::Connect);
    }
}
