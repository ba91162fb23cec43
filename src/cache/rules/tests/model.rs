//! Section 4.2 of RFC 9111 once more, slowly and in its own words, and random exchanges for both.

use proptest::{option, prelude::*, sample};

use super::*;
use crate::date;

const STATUSES: [u16; 8] = [200, 203, 204, 301, 302, 404, 500, 599];
/// What is stored without freshness, so that it can be asked for afterwards.
const VALIDATOR: (&str, &str) = ("etag", "\"a\"");

/// Seconds, and those that are dates count from the arrival of the answer on.
#[derive(Clone, Debug)]
struct History {
    status: u16,
    date: Option<i128>,
    expires: Option<i128>,
    last_modified: Option<i128>,
    age: Option<i128>,
    max_age: Option<i128>,
    s_maxage: Option<i128>,
    stale_while_revalidate: Option<i128>,
    stale_if_error: Option<i128>,
    public: bool,
    no_cache: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    is_identified: bool,
    /// In milliseconds.
    part_of_second: i128,
    delay: i128,
    elapsed: i128,
    wants: Wants,
}

#[derive(Clone, Debug)]
struct Wants {
    no_cache: bool,
    max_age: Option<i128>,
    min_fresh: Option<i128>,
    max_stale: Option<Option<i128>>,
    stale_if_error: Option<i128>,
}

/// What the model says of the answer from the store.
#[derive(Debug, PartialEq)]
enum Verdict {
    NotStored,
    Fresh,
    StaleWhileRevalidate,
    StaleForClient,
    Forbidden,
}

struct Model<'a>(&'a History);

impl Model<'_> {
    fn date_value(&self) -> i128 {
        self.0.date.unwrap_or(0)
    }

    fn current_age(&self) -> i128 {
        let apparent_age = (0 - self.date_value()).max(0) * 1000;
        let corrected_age_value = self.0.age.unwrap_or(0) * 1000 + self.0.delay;
        let corrected_initial_age = apparent_age.max(corrected_age_value);
        corrected_initial_age + self.0.elapsed.max(0)
    }

    fn is_heuristically_cacheable(&self) -> bool {
        [200, 203, 204, 301, 404].contains(&self.0.status) || self.0.public
    }

    fn is_explicit(&self) -> bool {
        self.0.max_age.is_some() || self.0.s_maxage.is_some() || self.0.expires.is_some()
    }

    fn freshness_lifetime(&self) -> i128 {
        if let Some(seconds) = self.0.s_maxage {
            return seconds * 1000;
        }
        if let Some(seconds) = self.0.max_age {
            return seconds * 1000;
        }
        if let Some(expires) = self.0.expires {
            return (expires - self.date_value()).max(0) * 1000;
        }
        match self.0.last_modified {
            Some(modified) => ((self.date_value() - modified).max(0) * 100).min(86_400_000),
            None => 0,
        }
    }

    fn is_stored(&self) -> bool {
        let is_for_all = self.0.public || self.0.must_revalidate || self.0.s_maxage.is_some();
        let is_permitted = self.is_explicit() || self.is_heuristically_cacheable();
        is_permitted && (is_for_all || !self.0.is_identified)
    }

    /// Whatever the answer says beside that.
    fn never_stale(&self) -> bool {
        let of = self.0;
        of.no_cache || of.must_revalidate || of.proxy_revalidate
    }

    /// Unless the answer says for how long.
    fn seldom_stale(&self) -> bool {
        self.never_stale() || self.0.s_maxage.is_some()
    }

    fn staleness(&self) -> i128 {
        self.current_age() - self.freshness_lifetime()
    }

    fn verdict(&self) -> Verdict {
        if !self.is_stored() {
            return Verdict::NotStored;
        }
        let (of, wants) = (self.0, &self.0.wants);
        if of.no_cache || wants.no_cache || wants.max_age == Some(0) {
            return Verdict::Forbidden;
        }
        if wants
            .max_age
            .is_some_and(|most| self.current_age() > most * 1000)
        {
            return Verdict::Forbidden;
        }
        if self.staleness() < 0 {
            return match wants
                .min_fresh
                .is_none_or(|least| -self.staleness() >= least * 1000)
            {
                true => Verdict::Fresh,
                false => Verdict::Forbidden,
            };
        }
        if self.never_stale() || wants.min_fresh.is_some() {
            return Verdict::Forbidden;
        }
        let client = match wants.max_stale {
            None => false,
            Some(None) => true,
            Some(Some(most)) => self.staleness() <= most * 1000,
        };
        let has_said_nothing = wants.max_stale.is_none() && wants.max_age.is_none();
        let window = of.stale_while_revalidate.unwrap_or(0) * 1000;
        if self.staleness() < window && (client || has_said_nothing) {
            return Verdict::StaleWhileRevalidate;
        }
        match client && !self.seldom_stale() {
            true => Verdict::StaleForClient,
            false => Verdict::Forbidden,
        }
    }

    fn may_answer_an_error(&self) -> bool {
        let (of, wants) = (self.0, &self.0.wants);
        let wanted = wants.stale_if_error.filter(|_| !self.seldom_stale());
        let is_in_window = [of.stale_if_error, wanted]
            .into_iter()
            .flatten()
            .any(|window| self.staleness() < window * 1000);
        !of.no_cache
            && !wants.no_cache
            && (self.staleness() < 0 || (is_in_window && !self.never_stale()))
    }
}

impl History {
    fn answered_at(&self) -> u64 {
        NOW + u64::try_from(self.part_of_second).unwrap()
    }

    fn response(&self) -> HeaderMap {
        let mut fields = vec![(VALIDATOR.0, VALIDATOR.1.to_owned())];
        let mut directives = Vec::new();
        let numbers = [
            ("stale-if-error", self.stale_if_error),
            ("max-age", self.max_age),
            ("s-maxage", self.s_maxage),
            ("stale-while-revalidate", self.stale_while_revalidate),
        ];
        for (name, seconds) in numbers {
            directives.extend(seconds.map(|seconds| format!("{name}={seconds}")));
        }
        let words = [
            ("public", self.public),
            ("no-cache", self.no_cache),
            ("must-revalidate", self.must_revalidate),
            ("proxy-revalidate", self.proxy_revalidate),
        ];
        for (name, is_there) in words {
            directives.extend(is_there.then(|| name.to_owned()));
        }
        fields.extend(directives.into_iter().map(|line| ("cache-control", line)));
        let dates = [
            ("date", self.date),
            ("expires", self.expires),
            ("last-modified", self.last_modified),
        ];
        for (name, seconds) in dates {
            let text = |seconds| {
                let at = i128::from(NOW / 1000) + seconds;
                (name, date::format(u64::try_from(at).unwrap()))
            };
            fields.extend(seconds.map(text));
        }
        fields.extend(self.age.map(|age| ("age", age.to_string())));
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        headers(&fields)
    }

    fn asked(&self) -> Asked {
        let wants = &self.wants;
        let mut line = String::from("extension");
        let numbers = [
            ("max-age", wants.max_age),
            ("min-fresh", wants.min_fresh),
            ("max-stale", wants.max_stale.flatten()),
            ("stale-if-error", wants.stale_if_error),
        ];
        for (name, seconds) in numbers {
            line += &seconds.map_or_else(String::new, |seconds| format!(", {name}={seconds}"));
        }
        if wants.max_stale == Some(None) {
            line += ", max-stale";
        }
        if wants.no_cache {
            line += ", no-cache";
        }
        Asked::of(&headers(&[("cache-control", &line)]))
    }

    fn stored(&self) -> Result<Storable, NotStored> {
        let (request, response) = (HeaderMap::new(), self.response());
        let exchange = Exchange {
            method: &Method::GET,
            request_headers: &request,
            is_identified: self.is_identified,
            status: StatusCode::from_u16(self.status).unwrap(),
            headers: &response,
            asked_at: self.answered_at() - u64::try_from(self.delay).unwrap(),
            answered_at: self.answered_at(),
            overridden: None,
        };
        Storable::of(&exchange, &Settings::default())
    }
}

/// Small numbers, so that they meet.
fn seconds() -> impl Strategy<Value = i128> {
    prop_oneof![0..20_i128, 0..200_i128]
}

fn now_and_then() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.06)
}

fn wants() -> impl Strategy<Value = Wants> {
    let numbers = || option::weighted(0.1, seconds());
    let stale = option::weighted(0.3, option::of(seconds()));
    (now_and_then(), numbers(), numbers(), stale, numbers()).prop_map(
        |(no_cache, max_age, min_fresh, max_stale, stale_if_error)| Wants {
            no_cache,
            max_age,
            min_fresh,
            max_stale,
            stale_if_error,
        },
    )
}

fn histories() -> impl Strategy<Value = History> {
    let number = || option::weighted(0.4, seconds());
    let date = || option::of(prop_oneof![-30..30_i128, -200..200_i128]);
    let dates = (
        date(),
        date(),
        option::of(prop_oneof![-3000..100_i128, -3_000_000..0_i128]),
    );
    let numbers = (
        number(),
        number(),
        option::weighted(0.1, seconds()),
        number(),
        number(),
    );
    let words = (
        now_and_then(),
        now_and_then(),
        now_and_then(),
        now_and_then(),
        now_and_then(),
    );
    // Whole seconds, to meet the ends of windows.
    let millis = prop_oneof![Just(0), 0..1000_i128];
    let elapsed = prop_oneof![3 => -20..150_i128, 1 => 0..90_000_i128];
    let times = (millis.clone(), 0..3000_i128, elapsed, millis);
    let status = sample::select(&STATUSES[..]);
    (status, dates, numbers, words, times, wants()).prop_map(
        |(status, dates, numbers, words, times, wants)| History {
            status,
            date: dates.0,
            expires: dates.1,
            last_modified: dates.2,
            age: numbers.0,
            max_age: numbers.1,
            s_maxage: numbers.2,
            stale_while_revalidate: numbers.3,
            stale_if_error: numbers.4,
            public: words.0,
            no_cache: words.1,
            must_revalidate: words.2,
            proxy_revalidate: words.3,
            is_identified: words.4,
            part_of_second: times.0,
            delay: times.1 / 1500 * 700,
            elapsed: times.2 * 1000 + times.3,
            wants,
        },
    )
}

fn verdict(reuse: Reuse) -> Verdict {
    match reuse {
        Reuse::Fresh(_) => Verdict::Fresh,
        Reuse::StaleWhileRevalidate(_) => Verdict::StaleWhileRevalidate,
        Reuse::Stale(_) => Verdict::StaleForClient,
        Reuse::Validate(_) | Reuse::Forward => Verdict::Forbidden,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_say_the_same(history in histories()) {
        let model = Model(&history);
        let Ok(stored) = history.stored() else {
            prop_assert_eq!(model.verdict(), Verdict::NotStored);
            return Ok(());
        };
        let kept = Kept { answered_at: history.answered_at(), is_invalid: false };
        let now = i128::from(kept.answered_at) + history.elapsed;
        let now = u64::try_from(now).unwrap();
        let asked = history.asked();
        let reuse = stored.terms.reuse(kept, &asked, now);
        prop_assert_eq!(verdict(reuse), model.verdict());

        let age = stored.terms.age(kept, now);
        prop_assert_eq!(i128::from(age.seconds), model.current_age() / 1000);
        let ttl = model.freshness_lifetime().div_euclid(1000) - model.current_age() / 1000;
        prop_assert_eq!(i128::from(age.ttl), ttl);
        let answers_error = stored.terms.stale_if_error(kept, &asked, now);
        prop_assert_eq!(answers_error.is_some(), model.may_answer_an_error());

        // Nor is it ever used after it was purged, unless its own words allow it.
        let purged = stored.terms.reuse(Kept { is_invalid: true, ..kept }, &asked, now);
        let is_allowed = history.stale_while_revalidate.is_some() && !model.never_stale();
        prop_assert!(is_allowed || verdict(purged) == Verdict::Forbidden);
    }
}

/// Random histories are worth something only if all of it happens.
#[test]
fn every_verdict_is_met() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut met = [0; 5];
    for _ in 0..1000 {
        let history = histories().new_tree(&mut runner).unwrap().current();
        met[match Model(&history).verdict() {
            Verdict::NotStored => 0,
            Verdict::Fresh => 1,
            Verdict::StaleWhileRevalidate => 2,
            Verdict::StaleForClient => 3,
            Verdict::Forbidden => 4,
        }] += 1;
    }
    assert!(met.iter().all(|times| *times >= 20), "{met:?}");
}
