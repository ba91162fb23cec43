//! When a stored answer may be used.

use super::*;
use crate::cache::rules::terms::Use;

const BY_REQUEST: Use = Use::Validate { by_request: true };
const STALE: Use = Use::Validate { by_request: false };

#[test]
fn it_is_fresh_until_its_lifetime_is_over() {
    let line = ["cache-control: max-age=60"];
    for (later, what, ttl) in [
        (0, Use::Fresh, 60),
        (59, Use::Fresh, 1),
        (60, STALE, 0),
        (90, STALE, -30),
    ] {
        let verdict = verdict(&line, "foo", later);
        assert_eq!((verdict.what, verdict.age, verdict.ttl), (what, later, ttl));
    }
    let older = ["cache-control: max-age=60", "age: 59"];
    assert_eq!(verdict(&older, "foo", 0).what, Use::Fresh);
    assert_eq!(verdict(&older, "foo", 1).what, STALE);
}

#[test]
fn the_client_may_want_more_or_less() {
    let plain = ["cache-control: max-age=60"];
    let strict = ["cache-control: max-age=60, must-revalidate"];
    let shared = ["cache-control: s-maxage=60"];
    let none = ["cache-control: no-cache", "etag: \"a\""];
    for (line, asked, later, what) in [
        (&plain[..], "no-cache", 0, BY_REQUEST),
        (&plain, "no-store", 0, BY_REQUEST),
        (&plain, "max-age=10", 10, Use::Fresh),
        (&plain, "max-age=10", 11, BY_REQUEST),
        (&plain, "max-age=x", 1, BY_REQUEST),
        (&plain, "max-age=0", 0, Use::Fresh),
        (&plain, "max-age=10, max-stale", 11, Use::Fresh),
        (&plain, "min-fresh=50", 10, Use::Fresh),
        (&plain, "min-fresh=50", 11, BY_REQUEST),
        (&plain, "min-fresh=5, min-fresh=50", 11, BY_REQUEST),
        (&plain, "max-stale=5", 65, Use::Stale),
        (&plain, "max-stale=5", 66, STALE),
        (&plain, "max-stale=5, max-stale=1", 65, STALE),
        (&plain, "max-stale=x", 65, STALE),
        (&plain, "max-stale", 1_000_000, Use::Stale),
        (&strict, "max-stale", 61, STALE),
        (&shared, "max-stale", 61, STALE),
        (&none, "max-stale", 0, STALE),
        (&plain, "only-if-cached", 59, Use::Fresh),
    ] {
        let told = verdict(line, asked, later).what;
        assert_eq!(told, what, "{line:?} {asked} {later}");
    }
    let pragma = Asked::of(&headers(&["pragma: foo, No-Cache"]));
    assert!(pragma.no_cache);
    let both = Asked::of(&headers(&["pragma: no-cache", "cache-control: foo"]));
    assert!(!both.no_cache);
}

#[test]
fn it_is_used_while_it_is_validated_and_while_the_backend_fails() {
    let line = ["cache-control: max-age=60, stale-while-revalidate=10, stale-if-error=30"];
    for (later, what, if_error) in [
        (60, Use::WhileRevalidate, true),
        (69, Use::WhileRevalidate, true),
        (70, STALE, true),
        (90, STALE, true),
        (91, STALE, false),
    ] {
        let verdict = verdict(&line, "foo", later);
        assert_eq!(
            (verdict.what, verdict.if_error),
            (what, if_error),
            "{later}"
        );
    }
    let plain = ["cache-control: max-age=60"];
    assert!(!verdict(&plain, "foo", 61).if_error);
    assert!(verdict(&plain, "stale-if-error=5", 65).if_error);
    assert!(!verdict(&plain, "stale-if-error=5", 66).if_error);
    assert!(!verdict(&["cache-control: s-maxage=60"], "stale-if-error=5", 61).if_error);
}

#[test]
fn what_is_not_valid_any_more_is_validated() {
    let line = ["cache-control: max-age=60, stale-while-revalidate=10, stale-if-error=30"];
    let terms = terms(&line).unwrap();
    let asked = Asked::of(&headers(&["cache-control: max-stale"]));
    let verdict = terms.verdict(NOW, true, &asked, NOW + 1000);
    assert_eq!((verdict.what, verdict.if_error), (STALE, true));
}

#[test]
fn a_clock_that_goes_back_makes_nothing_younger() {
    let terms = terms(&["cache-control: max-age=60", "age: 50"]).unwrap();
    for now in [0, NOW - 1, NOW] {
        assert_eq!(terms.verdict(NOW, false, &Asked::default(), now).age, 50);
    }
    assert_eq!(
        terms.verdict(NOW, false, &Asked::default(), u64::MAX).what,
        STALE
    );
}
