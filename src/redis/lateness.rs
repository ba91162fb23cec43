//! Whether Redis answers in time, and who asks it when it does not.

use std::time::{Duration, Instant};

use super::pauses::Pauses;

/// A Redis that answers too late costs each call its whole deadline, and may do what was asked although nobody learns of it. So after some
/// calls in a row that were late, those that would wait no longer than they did are not made; now and then one of them is, and
/// when something is answered within that time, all are.
///
/// Calls have different deadlines: those that can wait for longer are not concerned.
#[derive(Clone, Debug)]
pub(super) struct Lateness {
    pauses: Pauses,
    /// Late calls in a row, each asked when the one before was known to be late: many that wait together for one slow moment are one.
    row: u32,
    /// The shortest of their deadlines.
    missed: Duration,
    /// When the last of them was known.
    known: Option<Instant>,
    hold: Option<Hold>,
}

/// Calls with these deadlines wait until the pause is over.
#[derive(Clone, Copy, Debug)]
struct Hold {
    within: Duration,
    since: Instant,
    pause: Duration,
}

/// Two may be chance.
const ROW: u32 = 3;

impl Lateness {
    pub(super) fn new(pauses: Pauses) -> Self {
        Self {
            pauses,
            row: 0,
            missed: Duration::MAX,
            known: None,
            hold: None,
        }
    }

    /// Whether nothing speaks against asking, whoever asks.
    pub(super) fn is_none(&self) -> bool {
        self.row == 0 && self.hold.is_none()
    }

    /// The deadline that is too short, and the time until it is tried again.
    pub(super) fn held(&self, now: Instant) -> Option<(Duration, Duration)> {
        let hold = self.hold?;
        let passed = now.saturating_duration_since(hold.since);
        Some((hold.within, hold.pause.saturating_sub(passed)))
    }

    /// Whether to ask with this deadline; if not, the one that is too short.
    pub(super) fn turn(&mut self, deadline: Duration, now: Instant) -> Result<(), Duration> {
        let Some(hold) = self.hold.as_mut() else {
            return Ok(());
        };
        if deadline > hold.within {
            return Ok(());
        }
        if now.saturating_duration_since(hold.since) < hold.pause {
            return Err(hold.within);
        }
        // Who asks may go away before there is an answer; then the next one is here in a pause.
        hold.since = now;
        Ok(())
    }

    /// A call that asked at that time is late.
    pub(super) fn missed(&mut self, deadline: Duration, asked: Instant, now: Instant, random: u64) {
        if let Some(hold) = self.hold.as_mut().filter(|hold| deadline <= hold.within) {
            // Others are from before.
            if asked >= hold.since {
                (hold.since, hold.pause) = (now, self.pauses.next(random));
            }
            return;
        }
        if self.known.is_some_and(|known| asked < known) {
            return;
        }
        self.missed = match self.row {
            0 => deadline,
            _ => self.missed.min(deadline),
        };
        (self.row, self.known) = (self.row + 1, Some(now));
        if self.row == ROW {
            self.row = 0;
            self.hold = Some(Hold {
                within: self.missed,
                since: now,
                pause: self.pauses.next(random),
            });
        }
    }

    /// There was an answer, after so long. What one call waits, all wait: commands are done one after the other.
    pub(super) fn answered(&mut self, after: Duration) {
        if after <= self.missed {
            self.row = 0;
        }
        if self.hold.is_some_and(|hold| after <= hold.within) {
            self.hold = None;
            self.pauses.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const SHORT: Duration = ms(5);

    /// Pauses of 100, 200 and 300 ms.
    struct Test(Lateness, Instant);

    impl Test {
        fn new() -> Self {
            let pauses = Pauses::new((ms(100), ms(300)));
            Self(Lateness::new(pauses), Instant::now())
        }

        fn asks(&mut self, deadline: Duration, at: u64) -> bool {
            self.0.turn(deadline, self.1 + ms(at)).is_ok()
        }

        fn misses(&mut self, deadline: Duration, asked: u64) {
            let asked = self.1 + ms(asked);
            self.0.missed(deadline, asked, asked + deadline, u64::MAX);
        }

        /// Until it is held at 15 ms.
        fn held() -> Self {
            let mut test = Self::new();
            for asked in [0, 5, 10] {
                assert!(test.asks(SHORT, asked));
                test.misses(SHORT, asked);
            }
            test
        }
    }

    #[test]
    fn who_is_late_again_and_again_is_asked_seldom() {
        let mut test = Test::held();
        let mut since = 15;
        for pause in [100, 200, 300, 300] {
            assert!(!test.asks(SHORT, since) && !test.asks(SHORT, since + pause - 1));
            since += pause;
            assert!(test.asks(SHORT, since));
            assert!(!test.asks(SHORT, since), "one at a time");
            test.misses(SHORT, since);
            since += 5;
        }
        let now = test.1 + ms(since + 100);
        assert_eq!(test.0.held(now), Some((SHORT, ms(200))));
        test.0.answered(ms(6));
        assert!(!test.asks(SHORT, since), "that was too late as well");
        test.0.answered(SHORT);
        assert!(test.asks(SHORT, since) && test.0.is_none());
        let mut again = Test::held();
        assert!(!again.asks(SHORT, 114) && again.asks(SHORT, 115));
        // It went away without an answer.
        assert!(!again.asks(SHORT, 214) && again.asks(SHORT, 215));
    }

    #[test]
    fn those_that_wait_together_count_once_and_an_answer_in_time_begins_anew() {
        let mut test = Test::new();
        for asked in [0, 1, 2, 3, 4, 4, 4] {
            test.misses(SHORT, asked);
        }
        test.misses(SHORT, 5);
        assert!(test.asks(SHORT, 9));
        test.0.answered(ms(6));
        test.0.answered(ms(4));
        assert!(test.0.is_none());
        for asked in [10, 15] {
            test.misses(SHORT, asked);
            assert!(test.asks(SHORT, asked) && !test.0.is_none());
        }
        test.misses(SHORT, 20);
        assert!(!test.asks(SHORT, 25));
        // What was on its way when it was held says nothing new.
        test.misses(SHORT, 24);
        assert!(test.asks(SHORT, 125));
    }

    #[test]
    fn who_can_wait_for_longer_is_not_held() {
        let mut test = Test::held();
        assert!(test.asks(ms(6), 15) && !test.asks(ms(4), 15));
        test.0.answered(ms(50));
        for asked in [20, 120, 220] {
            assert!(test.asks(ms(100), asked));
            test.misses(ms(100), asked);
        }
        assert!(!test.asks(ms(100), 320) && test.asks(ms(101), 320));
        // Of a row, the shortest: who can wait for longer finds out by themselves.
        let mut mixed = Test::new();
        for (deadline, asked) in [(SHORT, 0), (ms(100), 5), (SHORT, 105)] {
            mixed.misses(deadline, asked);
        }
        assert!(!mixed.asks(SHORT, 110) && mixed.asks(ms(100), 110));
    }
}
