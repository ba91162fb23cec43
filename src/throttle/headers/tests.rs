use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn text(field: Option<Field>) -> String {
    field.map_or(String::new(), |(_, value)| {
        value.to_str().unwrap().to_owned()
    })
}

fn field(said: &[(Policy, Decision)]) -> String {
    text(rate_limit(
        said.iter().map(|(policy, decision)| (policy, decision)),
    ))
}

fn burst() -> Policy {
    Policy::rate(100, Duration::from_secs(60)).named("burst")
}

fn daily() -> Policy {
    Policy::sliding_window(10_000, DAY).named("daily")
}

#[test]
fn policies_are_told_as_they_are() {
    for (policies, expected) in [
        (vec![], ""),
        (vec![burst()], r#""burst";q=100;w=60"#),
        (
            vec![burst(), daily()],
            r#""burst";q=100;w=60, "daily";q=10000;w=86400"#,
        ),
        (vec![Policy::per_second(10)], r#""default";q=10;w=1"#),
        // As long as the burst takes to come back, and at least a second.
        (
            vec![Policy::per_second(10).burst(25)],
            r#""default";q=25;w=3"#,
        ),
        (
            vec![Policy::per_second(10).burst(5)],
            r#""default";q=5;w=1"#,
        ),
        (
            vec![Policy::per_hour(1).burst(2)],
            r#""default";q=2;w=7200"#,
        ),
        (
            vec![burst().named("a \"b\" \\ c")],
            r#""a \"b\" \\ c";q=100;w=60"#,
        ),
        (vec![burst().named("é\u{1}x\n")], r#""x";q=100;w=60"#),
        (
            vec![Policy::rate(u64::MAX, DAY)],
            r#""default";q=999999999999999;w=86400"#,
        ),
        (
            vec![Policy::rate(0, Duration::ZERO)],
            r#""default";q=0;w=1"#,
        ),
    ] {
        assert_eq!(
            text(PolicyField::new(policies.iter()).get(policies.iter())),
            expected
        );
    }
}

#[test]
fn the_field_of_policies_is_made_once() {
    let (usual, other) = ([burst(), daily()], [burst().burst(7)]);
    let field = PolicyField::new(usual.iter());
    let (one, two) = (
        field.get(usual.iter()).unwrap(),
        field.get(usual.iter()).unwrap(),
    );
    assert_eq!(one.1.as_bytes().as_ptr(), two.1.as_bytes().as_ptr());
    assert_eq!(one.0, "ratelimit-policy");
    // Another order, others, fewer and more are not what it was made for.
    assert_eq!(text(field.get(other.iter())), r#""burst";q=7;w=5"#);
    let turned = field.get(usual.iter().rev());
    assert_eq!(
        text(turned),
        r#""daily";q=10000;w=86400, "burst";q=100;w=60"#
    );
    assert_eq!(
        text(field.get(usual.iter().take(1))),
        r#""burst";q=100;w=60"#
    );
    let more = field.get(usual.iter().chain(&other));
    assert!(text(more).ends_with(r#", "burst";q=7;w=5"#));
    assert_eq!(field.get([].iter()), None);
}

#[test]
fn what_is_left_is_told_with_the_time_in_which_it_comes_back() {
    let allowed = |left, reset| Decision::allowed(left, reset);
    for (policy, decision, expected) in [
        // What is left comes back evenly in `t`.
        (burst(), allowed(50, 30 * SECOND), r#""burst";r=50;t=30"#),
        (
            burst(),
            allowed(100, Duration::ZERO),
            r#""burst";r=100;t=60"#,
        ),
        (burst(), allowed(99, 600 * MILLI), r#""burst";r=99;t=60"#),
        (burst(), allowed(1, 59_400 * MILLI), r#""burst";r=1;t=1"#),
        // Nothing is left: the next one comes in 0.3 s, in 0.6 s, and at once.
        (burst(), allowed(0, 59_700 * MILLI), r#""burst";r=0;t=1"#),
        (burst(), allowed(0, 59_400 * MILLI), r#""burst";r=0;t=1"#),
        (
            Policy::per_hour(1),
            allowed(0, 1234 * SECOND),
            r#""default";r=0;t=1234"#,
        ),
        (
            Policy::per_hour(2),
            allowed(0, 3600 * SECOND),
            r#""default";r=0;t=1800"#,
        ),
        // A debt, after a cost that was not known.
        (
            Policy::per_hour(2),
            allowed(0, 7200 * SECOND),
            r#""default";r=0;t=5400"#,
        ),
        // A window has all back at once, but not before it is over.
        (daily(), allowed(0, 500 * SECOND), r#""daily";r=0;t=500"#),
        (
            daily(),
            allowed(5000, 86_000 * SECOND),
            r#""daily";r=5000;t=86000"#,
        ),
        (daily(), allowed(5000, SECOND), r#""daily";r=5000;t=43200"#),
        (
            daily(),
            allowed(10_000, Duration::ZERO),
            r#""daily";r=10000;t=86400"#,
        ),
        // Wrong settings, and a limiter that says what it likes.
        (
            Policy::rate(0, Duration::ZERO),
            allowed(7, SECOND),
            r#""default";r=7;t=1"#,
        ),
        (
            burst(),
            allowed(u64::MAX, Duration::MAX),
            r#""burst";r=999999999999999;t=18446744074"#,
        ),
    ] {
        assert_eq!(
            field(&[(policy.clone(), decision)]),
            expected,
            "{policy:?} {decision:?}"
        );
    }
    assert_eq!(field(&[]), "");
    let said = (burst(), Decision::allowed(1, SECOND));
    let (name, _) = rate_limit([(&said.0, &said.1)].into_iter()).unwrap();
    assert_eq!(name, "ratelimit");
}

#[test]
fn a_refusal_names_those_that_refuse() {
    let is_left = (daily(), Decision::allowed(9_900, DAY));
    let soon = (
        burst(),
        Decision::refused(0, 60 * SECOND, Some(600 * MILLI)),
    );
    let later = (
        Policy::per_hour(60).named("hourly"),
        Decision::refused(3, 3600 * SECOND, Some(120_001 * MILLI)),
    );
    let never = (
        burst().named("never"),
        Decision::refused(50, 30 * SECOND, None),
    );
    let wait = |said: &[(Policy, Decision)]| {
        let time = retry_after(said.iter().map(|(_, decision)| decision));
        time.map(|time| {
            assert_eq!(time.subsec_nanos(), 0);
            time.as_secs()
        })
    };
    for (said, expected, time) in [
        (vec![is_left.clone()], r#""daily";r=9900;t=86400"#, None),
        (vec![], "", None),
        (
            vec![is_left.clone(), soon.clone()],
            r#""burst";r=0;t=1"#,
            Some(1),
        ),
        (
            vec![later.clone(), is_left.clone(), soon.clone()],
            r#""hourly";r=3;t=121, "burst";r=0;t=1"#,
            Some(121),
        ),
        (
            vec![soon.clone(), never.clone()],
            r#""burst";r=0;t=1, "never";r=50;t=30"#,
            None,
        ),
        (
            vec![never, soon, later],
            r#""never";r=50;t=30, "burst";r=0;t=1, "hourly";r=3;t=121"#,
            None,
        ),
    ] {
        assert_eq!(field(&said), expected);
        assert_eq!(wait(&said), time, "{expected}");
    }
    let at_once = Decision::refused(0, SECOND, Some(Duration::ZERO));
    assert_eq!(
        wait(&[(burst(), at_once)]),
        Some(1),
        "a refusal is not told to come back now"
    );
}

#[test]
fn older_fields_are_of_the_nearest_limit() {
    let fields = |said: &[(Policy, Decision)]| {
        let said = said.iter().map(|(policy, decision)| (policy, decision));
        let fields: BTreeMap<_, _> = older(said)
            .map(|(name, value)| (name.to_string(), value))
            .collect();
        let number = |name: &str| Some(fields.get(name)?.to_str().unwrap().parse::<u64>().unwrap());
        let names = [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ];
        names.map(number)
    };
    let half = (burst(), Decision::allowed(50, 30_001 * MILLI));
    let less = (daily(), Decision::allowed(4_000, DAY));
    let same = (burst().burst(10), Decision::allowed(5, SECOND));
    let soon = (
        Policy::per_second(7),
        Decision::refused(3, SECOND, Some(MILLI)),
    );
    let later = (
        Policy::per_second(8),
        Decision::refused(4, SECOND, Some(SECOND)),
    );
    let never = (
        Policy::per_second(9),
        Decision::refused(9, Duration::ZERO, None),
    );
    for (said, expected) in [
        (vec![half.clone()], [100, 50, 31]),
        (vec![half.clone(), less.clone()], [10_000, 4_000, 86_400]),
        (vec![less.clone(), half.clone()], [10_000, 4_000, 86_400]),
        (vec![half.clone(), same.clone()], [100, 50, 31]),
        (vec![same, half.clone()], [10, 5, 1]),
        (vec![less.clone(), soon.clone()], [7, 3, 1]),
        (vec![later.clone(), less.clone(), soon.clone()], [8, 4, 1]),
        (vec![soon, never.clone(), later], [9, 9, 0]),
    ] {
        assert_eq!(fields(&said), expected.map(Some));
    }
    assert_eq!(fields(&[]), [None; 3]);
}

/// Reads a list of strings with integers as parameters, as RFC 9651 section 4.2 has it.
fn parse(field: &str) -> Option<Vec<(String, BTreeMap<String, u64>)>> {
    let mut rest = field;
    let mut items = Vec::new();
    loop {
        rest = rest.strip_prefix('"')?;
        let mut name = String::new();
        loop {
            let c = rest.chars().next()?;
            rest = &rest[c.len_utf8()..];
            match c {
                '"' => break,
                '\\' => {
                    let c = rest.chars().next().filter(|c| matches!(c, '"' | '\\'))?;
                    rest = &rest[1..];
                    name.push(c);
                }
                ' '..='~' => name.push(c),
                _ => return None,
            }
        }
        let mut parameters = BTreeMap::new();
        while let Some(more) = rest.strip_prefix(';') {
            let (key, more) = more.split_once('=')?;
            let end = more
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(more.len());
            let (digits, more) = more.split_at(end);
            if digits.is_empty() || digits.len() > 15 {
                return None;
            }
            parameters.insert(key.to_owned(), digits.parse().ok()?);
            rest = more;
        }
        items.push((name, parameters));
        if rest.is_empty() {
            return Some(items);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    let time = prop_oneof![
        Just(0),
        Just(u64::MAX),
        1..u64::MAX / 4,
        1..100_000_000_000_u64
    ];
    let number = prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 1..1000_u64];
    (number.clone(), time, any::<bool>(), number, "[ -~]{0,12}").prop_map(
        |(limit, time, is_window, burst, name)| {
            let time = Duration::from_nanos(time);
            let policy = match is_window {
                true => Policy::sliding_window(limit, time),
                false => Policy::rate(limit, time).burst(burst),
            };
            policy.named(name)
        },
    )
}

fn decisions() -> impl Strategy<Value = Decision> {
    (
        any::<u64>(),
        any::<u64>(),
        prop::option::of(prop::option::of(any::<u64>())),
    )
        .prop_map(|(left, reset, retry)| {
            let reset = Duration::from_nanos(reset);
            match retry {
                None => Decision::allowed(left, reset),
                Some(retry) => Decision::refused(left, reset, retry.map(Duration::from_nanos)),
            }
        })
}

proptest! {
    #[test]
    fn whatever_is_said_is_a_list(said in vec((policies(), decisions()), 1..6)) {
        let names = |of: &dyn Fn(&Decision) -> bool| -> Vec<_> {
            let told = said.iter().filter(|(_, decision)| of(decision));
            told.map(|(policy, _)| policy.name().to_owned()).collect()
        };
        let told = said.iter().map(|(policy, _)| policy);
        let of_policies = parse(&text(PolicyField::new(told.clone()).get(told))).unwrap();
        prop_assert_eq!(of_policies.iter().map(|item| item.0.clone()).collect::<Vec<_>>(), names(&|_| true));
        prop_assert!(of_policies.iter().all(|(_, parameters)| parameters.len() == 2 && parameters["w"] > 0));

        let limits = parse(&field(&said)).unwrap();
        let is_allowed = said.iter().all(|(_, decision)| decision.is_allowed());
        let expected = names(&|decision| is_allowed || !decision.is_allowed());
        prop_assert_eq!(limits.iter().map(|item| item.0.clone()).collect::<Vec<_>>(), expected);
        prop_assert!(limits.iter().all(|(_, parameters)| parameters.len() == 2 && parameters["t"] > 0));

        // What the draft asks for: nobody is told to come back before there is more.
        if let Some(time) = retry_after(said.iter().map(|(_, decision)| decision)) {
            prop_assert!(limits.iter().all(|(_, parameters)| parameters["t"] <= time.as_secs()));
        }
        prop_assert_eq!(older(said.iter().map(|(policy, decision)| (policy, decision))).count(), 3);
    }

    /// Who spreads what is left over the time that is told has no more than the limit allows, but for a second that was rounded.
    #[test]
    fn what_is_left_for_the_time_is_no_more_than_the_rate(limit in 1..10_000_u64, seconds in 1..100_000_u64, part in 0..=100_u64, reset in 0..100_000_u64, is_window: bool) {
        let period = Duration::from_secs(seconds);
        let policy = match is_window {
            true => Policy::sliding_window(limit, period),
            false => Policy::rate(limit, period),
        };
        let left = limit * part / 100;
        let decision = Decision::allowed(left, Duration::from_secs(reset));
        let items = parse(&field(&[(policy, decision)])).unwrap();
        let (r, t) = (items[0].1["r"], items[0].1["t"]);
        prop_assert_eq!(r, left);
        prop_assert!(u128::from(r) * u128::from(seconds) <= u128::from(t) * u128::from(limit));
    }
}
