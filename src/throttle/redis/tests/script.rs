//! The script, in a real Redis, beside the local store.

use std::time::{Duration, Instant};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::runtime::Runtime;

use super::server::Server;
use crate::{
    clock,
    redis::Redis,
    throttle::{
        Ask, LocalStore, Policy, RedisLimiter,
        redis::{
            limit::{Shared, State, named},
            script::{Action, Question, ask_at},
        },
    },
};

const LONG: Duration = Duration::from_secs(20);
/// Some day in 2023: a whole number of each window's segments.
const START: u64 = 1_700_000_000_000_000;

struct Test {
    runtime: Runtime,
    redis: Redis,
    limiter: RedisLimiter,
    server: Server,
}

impl Test {
    fn new() -> Self {
        let server = Server::start();
        let redis = Redis::new(server.url())
            .timeout(LONG)
            .connect_timeout(LONG)
            .stall_timeout(LONG);
        Self {
            runtime: Runtime::new().unwrap(),
            limiter: RedisLimiter::new(redis.clone()),
            redis,
            server,
        }
    }

    fn say(&self, line: &str) {
        self.runtime.block_on(self.server.say(line));
    }

    fn ask(
        &self,
        action: Action,
        questions: &[Question],
        micros: u64,
    ) -> crate::throttle::redis::script::Answer {
        let answer = ask_at(&self.redis, action, questions, Some(micros));
        self.runtime.block_on(answer).unwrap()
    }
}

fn run<S: Strategy>(cases: u32, strategy: S, mut test: impl FnMut(S::Value)) {
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let test = std::cell::RefCell::new(&mut test);
    let outcome = TestRunner::new(config).run(&strategy, |value| {
        test.borrow_mut()(value);
        Ok(())
    });
    outcome.unwrap();
}

/// All are of whole microseconds, so both are exact.
fn policies() -> [Policy; 6] {
    let window = |limit, seconds| Policy::sliding_window(limit, Duration::from_secs(seconds));
    [
        Policy::per_second(10).burst(3),
        Policy::per_minute(6_000).burst(250),
        Policy::rate(1, Duration::from_secs(86_400)).burst(2),
        window(20, 60),
        window(1_000, 70),
        window(1 << 40, 100),
    ]
}

#[test]
fn it_decides_as_the_local_store_does() {
    let test = Test::new();
    let ask = (0_usize..6, 0_u8..2, 0_u64..8, any::<u64>());
    let asks = prop::collection::vec(ask, 1..5);
    let steps = prop::collection::vec((asks, 0_u64..12, any::<u64>(), 0_u8..12), 1..30);
    let mut case = 0;
    let policies = policies();
    run(250, steps, |steps| {
        case += 1;
        // It counts from when it was made: paused, the clock tells us when.
        let (store, epoch) = local();
        let mut passed = Duration::from_secs(40_000);
        let origin = START - micros_of(passed);
        for (asks, kind, noise, action) in steps {
            let later = match kind {
                0..5 => noise % 3,
                5..9 => noise % 200_000,
                9..11 => noise % 20_000_000,
                _ => noise % 200_000_000,
            };
            passed += Duration::from_micros(later);
            let now = epoch + passed;
            let micros = origin + micros_of(passed);
            let keys: Vec<_> = asks.iter().map(|ask| format!("{case}-{}", ask.1)).collect();
            let asks: Vec<_> = asks
                .iter()
                .zip(&keys)
                .map(|(&(policy, _, share, noise), key)| {
                    let policy = &policies[policy];
                    let cost = match share {
                        0..5 => 1,
                        5 => 0,
                        6 => noise % (policy.quota() + 2),
                        _ => noise % (policy.quota() / 4 + 1),
                    };
                    let key = key.as_bytes();
                    Ask { policy, key, cost }
                })
                .collect();
            let mut questions = test.limiter.questions(&asks).unwrap();
            if action == 0 {
                for (question, ask) in questions.iter_mut().zip(&asks) {
                    question.cost = ask.cost;
                    store.charge(ask, now);
                }
                test.ask(Action::Charge, &questions, micros);
                continue;
            }
            let answer = test.ask(Action::Acquire, &questions, micros);
            let (decisions, _) = answer.decide(&questions).unwrap();
            let expected = store.check_all(&asks, now);
            let is_same = |one: &Ask<'_>, other: &Ask<'_>| {
                one.policy.id() == other.policy.id() && one.key == other.key
            };
            let is_twice = |ask| asks.iter().filter(|other| is_same(ask, other)).count() > 1;
            // Of two that are the same, either may be the one for which there is not enough.
            match asks.iter().any(is_twice) && !expected.is_allowed() {
                true => assert!(!decisions.is_allowed(), "{asks:?}"),
                false => assert_eq!(decisions, expected, "{asks:?}"),
            }
        }
    });
}

/// A store, and when it was made.
fn local() -> (LocalStore, Instant) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { (LocalStore::new(), clock::now()) })
}

fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

#[test]
fn fractions_are_as_exact_as_whole_numbers() {
    let test = Test::new();
    let rates = (
        prop_oneof![1_u64..20, 1_u64..3_000_000, Just(999_999_937)],
        prop_oneof![
            Just(1_000_000_000_u64),
            1_u64..2_000_000_000,
            Just(86_400_000_000_000)
        ],
        prop_oneof![1_u64..20, 1_u64..2_000_000],
    );
    let steps = prop::collection::vec((0_u64..25, 0_u8..10, any::<u64>()), 1..40);
    let mut case = 0;
    run(250, (rates, steps), |((limit, period, burst), steps)| {
        case += 1;
        let policy = Policy::rate(limit, Duration::from_nanos(period)).burst(burst);
        let Ok(shared @ Shared::Rate(rate)) = Shared::new(&policy) else {
            return;
        };
        let (mut micros, mut state) = (START, State::Rate(0));
        let interval = rate.at(rate.whole, rate.part);
        for (tenths, share, noise) in steps {
            micros += period / limit / 10_000 * tenths + noise % 3;
            let cost = match share {
                0..6 => 1,
                6 => burst,
                7 => burst + 1,
                _ => noise % (burst + 2),
            };
            let key = format!("{case}");
            let ask = Ask {
                policy: &policy,
                key: key.as_bytes(),
                cost,
            };
            let mut questions = test.limiter.questions(&[ask]).unwrap();
            if share == 9 && noise % 3 == 0 {
                let cost = cost.min(rate.most_charge());
                questions[0].cost = cost;
                test.ask(Action::Charge, &questions, micros);
                let State::Rate(arrival) = state else { return };
                let held = arrival.max(rate.at(micros, 0));
                // The burst, and a debt of another one.
                let most = rate.at(micros, 0) + interval * u128::from(2 * burst);
                let next = held + interval * u128::from(cost);
                state = State::Rate(next.min(most).max(held));
                continue;
            }
            let answer = test.ask(Action::Acquire, &questions, micros);
            // That is from what was there, and fails if the script has decided otherwise.
            let (decisions, _) = answer.decide(&questions).unwrap();
            let (expected, next) = shared.check(state, cost, micros);
            assert_eq!(decisions.as_slice(), [expected], "{policy:?} {cost}");
            state = next;
        }
    });
}

#[test]
fn what_is_given_back_is_never_more_than_was_spent() {
    let test = Test::new();
    let steps = prop::collection::vec((0_u64..400_000, 0_u8..3, 1_u64..4), 1..40);
    let mut case = 0;
    let window = Policy::sliding_window(5, Duration::from_secs(2));
    run(250, (any::<bool>(), steps), |(is_rate, steps)| {
        case += 1;
        let rate = Policy::per_second(3).burst(5);
        let policy = if is_rate { &rate } else { &window };
        let key = format!("{case}");
        let question = |cost| {
            let key = key.as_bytes();
            let asks = [Ask { policy, key, cost }];
            test.limiter.questions(&asks).unwrap()
        };
        let mut micros = START;
        let mut kept: Vec<(u64, u64)> = Vec::new();
        let mut open: Vec<(Vec<Question>, usize)> = Vec::new();
        for (later, action, cost) in steps {
            micros += later;
            if action == 2 {
                if let Some((questions, index)) = open.pop() {
                    test.ask(Action::Return, &questions, micros);
                    kept[index].1 = 0;
                }
                continue;
            }
            let mut questions = question(cost);
            let answer = test.ask(Action::Acquire, &questions, micros);
            let (decisions, places) = answer.decide(&questions).unwrap();
            if decisions.is_allowed() {
                if action == 1 {
                    questions[0].place.clone_from(&places[0]);
                    open.push((questions, kept.len()));
                }
                kept.push((micros, cost));
            }
            if action == 1 && decisions.is_allowed() && later % 2 == 0 {
                // At once, it is as if it had not been.
                let (questions, index) = open.pop().unwrap();
                test.ask(Action::Return, &questions, micros);
                kept[index].1 = 0;
                let again = test.ask(Action::Acquire, &question(cost), micros);
                let (decisions, _) = again.decide(&question(cost)).unwrap();
                assert!(decisions.is_allowed());
                kept.push((micros, cost));
            }
        }
        // What was kept, and not what was given back, is within the limit in every span.
        for (first, (from, _)) in kept.iter().enumerate() {
            let mut spent = 0;
            for (until, cost) in &kept[first..] {
                spent += cost;
                let span = until - from;
                let most = match is_rate {
                    true => 5 + span * 3 / 1_000_000,
                    false if span < 2_000_000 => 5,
                    false => u64::MAX,
                };
                assert!(spent <= most, "{spent} in {span} us: {kept:?}");
            }
        }
    });
}

/// One of each kind: what a burst takes is whole microseconds, and is not.
fn all_kinds() -> [Policy; 3] {
    let second = Duration::from_secs(1);
    [
        Policy::rate(10, second).burst(5),
        Policy::rate(3, second).burst(5),
        Policy::sliding_window(5, second * 2),
    ]
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_the_policy() {
    let test = Test::new();
    let day = 86_400_000_000;
    for policy in all_kinds() {
        let of = |cost| {
            let key = b"x";
            let policy = &policy;
            test.limiter.questions(&[Ask { policy, key, cost }])
        };
        let allows = |cost, micros| {
            let questions = of(cost).unwrap();
            let answer = test.ask(Action::Acquire, &questions, micros);
            let (decisions, _) = answer.decide(&questions).unwrap();
            decisions.as_slice()[0]
        };
        for (debt, back) in [(0, 2 * day), (0, 1), (5, 2 * day), (5, 1)] {
            assert!(allows(5, START + 2 * day).is_allowed());
            if debt > 0 {
                let mut charge = of(debt).unwrap();
                charge[0].cost = debt.min(charge[0].limit.most_charge());
                test.ask(Action::Charge, &charge, START + 2 * day);
            }
            // All of it is spent there: it comes back from now on, and no sooner.
            let now = START + 2 * day - back;
            let decision = allows(1, now);
            assert!(!decision.is_allowed(), "{policy:?}");
            let retry = decision.retry_after().unwrap();
            // A debt is paid in the time that it takes: a third of a second for each, or a window.
            let longest = Duration::from_secs(3 + debt / 3);
            assert!(retry < longest, "{policy:?}: {retry:?}");
            let is_window = named(&policy).ends_with("5/2s");
            let least = Duration::from_millis(if is_window { 0 } else { debt * 1000 / 11 });
            assert!(retry > least, "{policy:?}: {retry:?}");
            let next = now + micros_of(retry);
            assert!(!allows(1, next - 1).is_allowed() && allows(1, next).is_allowed());
            test.say("FLUSHALL");
        }
    }
}

#[test]
fn what_is_given_back_to_a_redis_that_has_forgotten_it_is_nothing() {
    let test = Test::new();
    // Longer than what a test's keys stay for.
    let slow = Policy::rate(7, Duration::from_secs(10_000)).burst(5);
    for policy in all_kinds().into_iter().chain([slow]) {
        for later in [0, 1, 1_000, 999_999, 10_000_000] {
            let key = b"x";
            let of = |cost| {
                let policy = &policy;
                test.limiter.questions(&[Ask { policy, key, cost }])
            };
            let mut spent = of(4).unwrap();
            let answer = test.ask(Action::Acquire, &spent, START);
            let (_, places) = answer.decide(&spent).unwrap();
            spent[0].place.clone_from(&places[0]);
            test.say("FLUSHALL");
            // It may be that there is something again.
            for before in [0, 1] {
                let ask = |action, questions: &[Question]| {
                    let answer = test.ask(action, questions, START + later);
                    let (decisions, _) = answer.decide(questions).unwrap();
                    decisions.is_allowed()
                };
                ask(Action::Acquire, &of(before).unwrap());
                test.ask(Action::Return, &spent, START + later);
                let has_all = ask(Action::Acquire, &of(5).unwrap());
                assert!(has_all || before > 0, "{policy:?} {later}");
                let has_more = ask(Action::Acquire, &of(1).unwrap());
                assert!(!has_all || !has_more, "{policy:?} {later}");
                test.say("FLUSHALL");
            }
        }
    }
}
