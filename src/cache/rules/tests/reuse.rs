use super::*;

/// What a request that says `line` gets so many seconds after a response with these directives was stored.
fn reuse(response: &str, line: &str, seconds: u64) -> Reuse {
    with(response, line, seconds, false)
}

fn with(response: &str, line: &str, seconds: u64, is_invalid: bool) -> Reuse {
    let terms = terms(&[("cache-control", response), ("etag", "\"a\"")]);
    let asked = Asked::of(&headers(&[("cache-control", line)]));
    terms.reuse(
        Kept {
            is_invalid,
            ..kept()
        },
        &asked,
        NOW + seconds * 1000,
    )
}

fn word(reuse: Reuse) -> &'static str {
    match reuse {
        Reuse::Fresh(_) => "fresh",
        Reuse::StaleWhileRevalidate(_) => "revalidate",
        Reuse::Stale(_) => "stale",
        Reuse::Validate(Fwd::Request) => "request",
        Reuse::Validate(Fwd::Stale) => "validate",
        Reuse::Validate(_) => unreachable!(),
        Reuse::Forward => "forward",
    }
}

#[test]
fn a_fresh_response_is_the_answer_unless_it_is_not_wanted() {
    for (line, seconds, expected) in [
        ("", 0, "fresh"),
        ("", 99, "fresh"),
        ("", 100, "validate"),
        ("extension", 99, "fresh"),
        ("no-cache", 0, "request"),
        ("no-cache", 100, "validate"),
        ("no-store", 0, "forward"),
        ("no-store", 100, "forward"),
        ("no-store, only-if-cached", 0, "fresh"),
        ("only-if-cached", 0, "fresh"),
        ("only-if-cached", 100, "validate"),
        ("max-age=0", 0, "request"),
        ("max-age=1", 1, "fresh"),
        ("max-age=1", 2, "request"),
        ("max-age=1, max-stale", 2, "request"),
        ("max-age=200", 99, "fresh"),
        ("max-age=200", 150, "validate"),
        ("max-age=120, max-stale", 110, "stale"),
        ("max-age=120, max-stale", 130, "validate"),
        ("min-fresh=40", 60, "fresh"),
        ("min-fresh=40", 61, "request"),
        ("min-fresh=40, max-stale", 110, "validate"),
        ("min-fresh=x", 0, "request"),
        ("max-stale", 1_000_000, "stale"),
        ("max-stale=50", 150, "stale"),
        ("max-stale=50", 151, "validate"),
        ("max-stale=x", 101, "validate"),
    ] {
        assert_eq!(
            word(reuse("max-age=100", line, seconds)),
            expected,
            "{line} {seconds}"
        );
    }
}

#[test]
fn staleness_is_allowed_by_the_response_and_may_be_forbidden_by_it() {
    for (response, line, seconds, expected) in [
        ("stale-while-revalidate=20", "", 99, "fresh"),
        ("stale-while-revalidate=20", "", 100, "revalidate"),
        ("stale-while-revalidate=20", "", 119, "revalidate"),
        ("stale-while-revalidate=20", "", 120, "validate"),
        ("stale-while-revalidate=x", "", 100, "validate"),
        ("stale-while-revalidate=20", "no-cache", 100, "validate"),
        ("stale-while-revalidate=20", "max-age=500", 101, "validate"),
        ("stale-while-revalidate=20", "min-fresh=0", 101, "validate"),
        (
            "stale-while-revalidate=20",
            "max-stale=5",
            105,
            "revalidate",
        ),
        ("stale-while-revalidate=20", "max-stale=5", 106, "validate"),
        ("stale-while-revalidate=20", "max-stale=50", 130, "stale"),
        (
            "stale-while-revalidate=20, must-revalidate",
            "",
            99,
            "fresh",
        ),
        (
            "stale-while-revalidate=20, must-revalidate",
            "",
            101,
            "validate",
        ),
        (
            "stale-while-revalidate=20, proxy-revalidate",
            "",
            101,
            "validate",
        ),
        (
            "stale-while-revalidate=20, s-maxage=100",
            "",
            101,
            "revalidate",
        ),
        ("stale-while-revalidate=20, no-cache", "", 101, "validate"),
        ("must-revalidate", "max-stale", 101, "validate"),
        ("proxy-revalidate", "max-stale", 101, "validate"),
        ("s-maxage=100", "max-stale", 101, "validate"),
        ("no-cache", "", 0, "validate"),
        ("no-cache", "no-cache", 0, "validate"),
        ("no-cache", "max-stale", 0, "validate"),
        ("no-cache=\"a\"", "", 0, "fresh"),
    ] {
        let response = format!("max-age=100, {response}");
        assert_eq!(
            word(reuse(&response, line, seconds)),
            expected,
            "{response} {line} {seconds}"
        );
    }
}

#[test]
fn what_was_purged_softly_is_stale() {
    for (response, line, expected) in [
        ("max-age=100", "", "validate"),
        ("max-age=100", "max-stale", "validate"),
        ("max-age=100, stale-while-revalidate=1", "", "revalidate"),
        (
            "max-age=100, stale-while-revalidate=1, must-revalidate",
            "",
            "validate",
        ),
    ] {
        assert_eq!(
            word(with(response, line, 10, true)),
            expected,
            "{response} {line}"
        );
    }
    let purged = with("max-age=100, stale-while-revalidate=1", "", 10, true);
    assert_eq!(
        purged,
        Reuse::StaleWhileRevalidate(Age {
            seconds: 10,
            ttl: 0
        })
    );
}

#[test]
fn an_error_may_be_answered() {
    for (response, line, seconds, expected) in [
        ("", "", 100, None),
        ("", "", 99, Some(1)),
        ("stale-if-error=20", "", 119, Some(-19)),
        ("stale-if-error=20", "", 120, None),
        ("stale-if-error=x", "", 100, None),
        ("", "stale-if-error=20", 119, Some(-19)),
        ("stale-if-error=20", "stale-if-error=5", 119, Some(-19)),
        ("stale-if-error=5", "stale-if-error=20", 119, Some(-19)),
        (
            "stale-if-error=20",
            "max-age=1, min-fresh=9",
            119,
            Some(-19),
        ),
        ("stale-if-error=20", "no-cache", 101, None),
        ("stale-if-error=20", "no-store", 101, None),
        ("stale-if-error=20, must-revalidate", "", 99, Some(1)),
        ("stale-if-error=20, must-revalidate", "", 101, None),
        (
            "stale-if-error=20, proxy-revalidate",
            "stale-if-error=20",
            101,
            None,
        ),
        ("stale-if-error=20, s-maxage=100", "", 101, Some(-1)),
        ("s-maxage=100", "stale-if-error=20", 101, None),
        ("stale-if-error=20, no-cache", "", 1, None),
    ] {
        let terms = terms(&[
            ("cache-control", &format!("max-age=100, {response}")),
            ("etag", "\"a\""),
        ]);
        let asked = Asked::of(&headers(&[("cache-control", line)]));
        let age = terms.stale_if_error(kept(), &asked, NOW + seconds * 1000);
        assert_eq!(
            age.map(|age| age.ttl),
            expected,
            "{response} {line} {seconds}"
        );
        if let Some(age) = age {
            assert_eq!(age.seconds, seconds);
        }
    }
    let purged = Kept {
        is_invalid: true,
        ..kept()
    };
    for (response, expected) in [("max-age=9", false), ("max-age=9, stale-if-error=1", true)] {
        let terms = terms(&[("cache-control", response)]);
        let age = terms.stale_if_error(purged, &Asked::default(), NOW);
        assert_eq!(age.is_some(), expected, "{response}");
    }
}

#[test]
fn the_age_is_told() {
    let at = |response: &str, millis: u64| {
        let terms = terms(&[("cache-control", response), ("age", "30")]);
        let age = terms.age(kept(), NOW + millis);
        (age.seconds, age.ttl)
    };
    assert_eq!(at("max-age=100", 0), (30, 70));
    assert_eq!(at("max-age=100", 3999), (33, 67));
    assert_eq!(at("max-age=100", 70_000), (100, 0));
    assert_eq!(at("max-age=100", 70_001), (100, 0));
    assert_eq!(at("max-age=100", 75_000), (105, -5));
}
