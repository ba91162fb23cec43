//! The same as a slow model that follows the text of section 4.2 step by step.

use proptest::prelude::*;

use super::*;
use crate::{cache::rules::terms::Use, date};

#[derive(Clone, Debug)]
struct Case {
    max_age: Option<i128>,
    s_maxage: Option<i128>,
    /// Seconds from the time of the answer.
    expires: Option<i128>,
    date: Option<i128>,
    age: Option<i128>,
    delay: i128,
    later: i128,
    flags: [bool; 4],
    asked_max_age: Option<i128>,
    min_fresh: Option<i128>,
    max_stale: Option<i128>,
}

/// Whether section 4 allows it to be used without asking the backend.
fn may_be_used(case: &Case) -> bool {
    let response_time = i128::from(NOW) / 1000;
    let [no_cache, must_revalidate, proxy_revalidate, asks_no_cache] = case.flags;
    let date_value = case.date.map_or(response_time, |date| response_time + date);
    let freshness_lifetime = if let Some(seconds) = case.s_maxage.or(case.max_age) {
        seconds
    } else if let Some(expires) = case.expires {
        response_time + expires - date_value
    } else {
        0
    };
    let apparent_age = (response_time - date_value).max(0);
    let corrected_age_value = case.age.unwrap_or(0) + case.delay;
    let corrected_initial_age = apparent_age.max(corrected_age_value);
    let current_age = corrected_initial_age + case.later;
    let is_fresh = freshness_lifetime > current_age;
    if no_cache || asks_no_cache {
        return false;
    }
    let is_strict = must_revalidate || proxy_revalidate || case.s_maxage.is_some();
    let is_taken_stale = !is_strict
        && case
            .max_stale
            .is_some_and(|most| current_age - freshness_lifetime <= most);
    let is_old = case.asked_max_age.is_some_and(|most| current_age > most);
    let is_short = case
        .min_fresh
        .is_some_and(|least| freshness_lifetime - current_age < least);
    if (is_old || is_short) && !is_taken_stale {
        return false;
    }
    is_fresh || is_taken_stale
}

fn seconds() -> impl Strategy<Value = Option<i128>> {
    prop_oneof![Just(None), (0..20_i128).prop_map(Some)]
}

fn around() -> impl Strategy<Value = Option<i128>> {
    prop_oneof![Just(None), (-20..20_i128).prop_map(Some)]
}

prop_compose! {
    fn case()(
        max_age in seconds(), s_maxage in seconds(), expires in around(), date in around(), age in seconds(),
        delay in 0..3_i128, later in 0..20_i128, flags in prop::array::uniform4(prop::bool::weighted(0.1)),
        asked_max_age in seconds(), min_fresh in seconds(), max_stale in seconds(),
    ) -> Case {
        Case { max_age, s_maxage, expires, date, age, delay, later, flags, asked_max_age, min_fresh, max_stale }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn it_is_used_when_the_text_says_so(case in case()) {
        let at = |seconds: i128| date::format((i128::from(NOW) / 1000 + seconds) as u64);
        let mut lines = vec!["etag: \"a\"".to_owned()];
        let mut say = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("{name}{value}")));
        };
        say("cache-control: max-age=", case.max_age.map(|it| it.to_string()));
        say("cache-control: s-maxage=", case.s_maxage.map(|it| it.to_string()));
        say("expires: ", case.expires.map(at));
        say("date: ", case.date.map(at));
        say("age: ", case.age.map(|it| it.to_string()));
        for (is_said, word) in case.flags.iter().zip(["no-cache", "must-revalidate", "proxy-revalidate"]) {
            say("cache-control: ", is_said.then(|| word.to_owned()));
        }
        let mut asked = vec!["cache-control: foo".to_owned()];
        let mut ask = |name: &str, value: Option<i128>| {
            asked.extend(value.map(|value| format!("cache-control: {name}{value}")));
        };
        ask("max-age=", case.asked_max_age);
        ask("min-fresh=", case.min_fresh);
        ask("max-stale=", case.max_stale);
        if case.flags[3] {
            asked.push("cache-control: no-cache".to_owned());
        }
        let strs = |lines: &[String]| -> HeaderMap {
            headers(&lines.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let answer = strs(&lines);
        let exchange = Exchange { asked_at: NOW - case.delay as u64 * 1000, ..exchange(&answer) };
        let terms = Terms::of(&exchange, &Rules::default(), None).map(|(terms, _)| terms);
        let terms = terms.expect("it has a validator");
        let verdict = terms.verdict(NOW, false, &Asked::of(&strs(&asked)), NOW + case.later as u64 * 1000);
        let is_used = matches!(verdict.what, Use::Fresh | Use::Stale);
        prop_assert_eq!(is_used, may_be_used(&case), "{:?}", verdict);
    }
}
