use proptest::prelude::*;

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A clock of its own, and keys that have the `kid` "known".
struct Source {
    schedule: Schedule,
    now: Instant,
}

impl Source {
    fn new(timing: Timing) -> Self {
        let schedule = Schedule::new(timing);
        let now = Instant::now();
        Self { schedule, now }
    }

    /// With keys since now.
    fn loaded() -> Self {
        let mut source = Self::new(Timing::default());
        source.load(None);
        source
    }

    fn load(&mut self, fresh_for: Option<Duration>) {
        self.schedule.begin();
        self.succeed(fresh_for);
    }

    fn succeed(&mut self, fresh_for: Option<Duration>) {
        let is_known = |kid: &str| kid == "known";
        self.schedule.loaded(fresh_for, is_known, self.now, 0);
    }

    fn fail(&mut self) {
        self.schedule.begin();
        self.schedule.failed(self.now, 0);
    }

    fn ask(&mut self, kid: Option<&str>) -> Ask {
        let ticket = self.schedule.ticket();
        self.schedule.ask(kid, ticket, self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// In how many seconds the next load begins.
    fn due(&self) -> u64 {
        let due = self.schedule.due(self.now);
        due.map_or(0, |due| (due - self.now).as_secs())
    }
}

#[test]
fn keys_are_loaded_again_before_they_are_old() {
    for (fresh_for, expected) in [
        (None, 600),
        (Some(secs(1000)), 1000),
        (Some(Duration::ZERO), 60),
        (Some(secs(59)), 60),
        (Some(secs(86_401)), 86_400),
        (Some(Duration::MAX), 86_400),
    ] {
        for (random, part) in [(0, 80), (u64::MAX / 2, 75), (u64::MAX, 70)] {
            let mut source = Source::new(Timing::default());
            source.schedule.begin();
            let known = |_: &str| true;
            source.schedule.loaded(fresh_for, known, source.now, random);
            let wrong = source.due().abs_diff(expected * part / 100);
            assert!(wrong <= 1, "{fresh_for:?}: {}", source.due());
        }
    }
}

#[test]
fn a_source_that_fails_is_asked_less_and_less() {
    let mut source = Source::loaded();
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        source.fail();
        assert_eq!(source.due(), expected);
        source.pass(secs(expected));
        assert_eq!(source.due(), 0);
    }
    source.schedule.begin();
    source.schedule.failed(source.now, u64::MAX);
    assert_eq!(source.due(), 45, "a quarter less at most");
    source.load(None);
    source.fail();
    assert_eq!(source.due(), 1, "as if nothing had been");
}

#[test]
fn keys_are_used_for_as_long_as_an_outage_is_tolerated() {
    let mut source = Source::loaded();
    let until = source.now + secs(24 * 3600);
    source.pass(secs(23 * 3600));
    source.fail();
    assert_eq!(source.schedule.usable_until(), Some(until));
    assert_eq!(source.ask(None), Ask::Enough);
    source.pass(secs(3600 - 1));
    source.fail();
    source.pass(secs(1));
    assert_eq!(source.ask(None), Ask::Failed, "too old by now");
    source.pass(secs(1));
    assert_eq!(source.ask(None), Ask::Wait, "it is tried once more");
    source.load(None);
    assert_eq!(source.ask(None), Ask::Enough);
}

#[test]
fn the_first_keys_are_waited_for() {
    let mut source = Source::new(Timing::default());
    assert_eq!(source.due(), 0);
    assert_eq!(source.ask(None), Ask::Wait);
    source.schedule.begin();
    assert_eq!(source.ask(None), Ask::Wait, "for the same");
    source.schedule.failed(source.now, 0);
    assert_eq!(source.ask(None), Ask::Failed);
    source.pass(secs(1));
    source.load(None);
    assert_eq!(source.ask(None), Ask::Enough);
}

#[test]
fn a_load_that_is_dropped_is_still_wanted() {
    let mut source = Source::loaded();
    assert_eq!(source.ask(Some("new")), Ask::Wait);
    source.schedule.begin();
    assert_eq!(source.due(), 0);
    source.load(None);
    assert_eq!(source.due(), 480);
}

#[test]
fn an_unknown_kid_causes_one_load_in_a_cooldown() {
    let mut source = Source::loaded();
    assert_eq!(source.ask(Some("a")), Ask::Wait);
    assert_eq!(source.ask(Some("b")), Ask::Wait, "for the same");
    source.load(None);
    for kid in ["a", "b", "c"] {
        assert_eq!(source.ask(Some(kid)), Ask::Enough);
    }
    source.pass(secs(29));
    assert_eq!(source.ask(Some("b")), Ask::Enough);
    source.pass(secs(1));
    assert_eq!(source.ask(Some("a")), Ask::Enough, "it was looked for");
    assert_eq!(source.ask(Some("b")), Ask::Wait);
}

#[test]
fn a_load_that_fails_is_no_word_on_a_kid() {
    let mut source = Source::loaded();
    assert_eq!(source.ask(Some("a")), Ask::Wait);
    source.fail();
    assert_eq!(source.ask(Some("a")), Ask::Failed);
    assert_eq!(source.ask(Some("b")), Ask::Failed);
    assert_eq!(
        source.ask(None),
        Ask::Enough,
        "those that are known still are"
    );
    source.pass(secs(1));
    assert_eq!(source.ask(Some("a")), Ask::Wait);
    source.load(None);
    source.pass(secs(30));
    assert_eq!(source.ask(Some("a")), Ask::Wait, "it was never answered");
}

#[test]
fn what_began_after_the_question_answers_it() {
    let mut source = Source::loaded();
    source.schedule.begin();
    let ticket = source.schedule.ticket();
    let ask = |source: &mut Source| source.schedule.ask(Some("a"), ticket, source.now);
    assert_eq!(ask(&mut source), Ask::Wait);
    source.succeed(None);
    assert_eq!(
        ask(&mut source),
        Ask::Wait,
        "that began before: perhaps too early"
    );
    source.load(None);
    assert_eq!(ask(&mut source), Ask::Enough);
    source.pass(secs(3600));
    assert_eq!(ask(&mut source), Ask::Enough);
}

#[test]
fn a_kid_that_is_looked_for_in_vain_waits_longer_each_time() {
    let mut source = Source::loaded();
    for wait in [60, 120, 240, 300, 300] {
        assert_eq!(source.ask(Some("old")), Ask::Wait);
        source.load(Some(Duration::MAX));
        source.pass(secs(wait - 1));
        assert_eq!(source.ask(Some("old")), Ask::Enough, "{wait}");
        source.pass(secs(1));
    }
    // A key that has come and gone is new again.
    assert_eq!(source.ask(Some("old")), Ask::Wait);
    source.load(None);
    source.schedule.begin();
    source.schedule.loaded(None, |_| true, source.now, 0);
    source.load(None);
    source.pass(secs(30));
    assert_eq!(source.ask(Some("old")), Ask::Wait);
}

#[test]
fn so_many_unknown_kids_are_remembered() {
    let mut source = Source::loaded();
    for number in 0..1000 {
        assert_eq!(source.ask(Some(&number.to_string())), Ask::Wait);
        source.load(Some(Duration::MAX));
        source.pass(secs(30));
        assert!(source.schedule.unknown.len() <= 64);
    }
}

#[test]
fn wrong_settings_are_named() {
    let timing = Timing::default;
    assert_eq!(timing().mistakes(), [""; 0]);
    let cases = [
        (
            Timing {
                cache_duration: Duration::ZERO,
                ..timing()
            },
            "cache_duration is 0",
        ),
        (
            Timing {
                cooldown: Duration::ZERO,
                ..timing()
            },
            "cooldown is 0",
        ),
        (
            Timing {
                bounds: Duration::ZERO..=secs(1),
                ..timing()
            },
            "cache_duration_within is 0",
        ),
        (
            Timing {
                bounds: secs(2)..=secs(1),
                ..timing()
            },
            "cache_duration_within is from 2s to 1s",
        ),
        (
            Timing {
                outage_tolerance: secs(86_399),
                ..timing()
            },
            "outage_tolerance is 86399s; it is at least",
        ),
    ];
    for (timing, wrong) in cases {
        let mistakes = timing.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(wrong),
            "{mistakes:?}"
        );
    }
    let endless = Timing {
        cache_duration: Duration::MAX,
        bounds: Duration::MAX..=Duration::MAX,
        outage_tolerance: Duration::MAX,
        cooldown: Duration::MAX,
    };
    assert_eq!(endless.mistakes(), [""; 0]);
    let mut source = Source::new(endless);
    source.load(None);
    assert_eq!(source.ask(Some("a")), Ask::Wait);
    source.load(None);
    assert_eq!(source.ask(Some("b")), Ask::Enough);
}

proptest! {
    /// Whatever `kid`s come whenever, and however loads end.
    #[test]
    fn kids_cause_at_most_one_load_in_a_cooldown(
        steps in prop::collection::vec((0..40_000_u64, 0..8_u8, 0..4_u8), 1..200),
    ) {
        let mut source = Source::loaded();
        let mut caused: Vec<Instant> = Vec::new();
        for (millis, kid, end) in steps {
            source.pass(Duration::from_millis(millis));
            let was_due = source.due() == 0;
            let asked = source.ask(Some(&kid.to_string()));
            if asked == Ask::Wait && !was_due {
                if let Some(last) = caused.last() {
                    prop_assert!(source.now - *last >= secs(30));
                }
                caused.push(source.now);
            }
            prop_assert!(asked != Ask::Failed || source.schedule.failures() > 0);
            if asked == Ask::Wait {
                match end {
                    0 => source.fail(),
                    1 => source.schedule.begin(),
                    _ => source.load(Some(secs(60))),
                }
            }
            prop_assert!(source.schedule.unknown.len() <= 64);
        }
    }
}
