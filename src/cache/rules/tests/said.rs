//! How fields are read.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::cache::rules::{
    directives::Directives,
    status::{CacheStatus, Forwarded, name},
    targeted,
};

fn lifetime(lines: &[&str]) -> Option<i64> {
    terms(lines).ok().map(|terms| terms.lifetime)
}

#[test]
fn lifetimes_are_read_as_they_are_said() {
    const MOST: i64 = 1 << 31;
    for (line, seconds) in [
        ("max-age=3600", 3600),
        ("foo, max-age=3600", 3600),
        ("MaX-aGe=3600", 3600),
        ("max-age=\"3600\"", 3600),
        ("max-age=003600", 3600),
        ("max-age=3600 , foo", 3600),
        ("max-age=2147483647", MOST - 1),
        ("max-age=2147483648", MOST),
        ("max-age=99999999999999999999999999", MOST),
        ("s-maxage=5, max-age=3600", 5),
        ("max-age=3600, s-maxage=5", 5),
        ("foo=\"max-age=1\", max-age=3600", 3600),
        ("foo=\"a\\\", max-age=1\", max-age=3600", 3600),
        ("max-age=3600, foo=\"max-age=1", 3600),
        ("max-age=3600, max-age=3600", 3600),
        (",,max-age=3600,,", 3600),
        // What can not be read has expired, and so has what is said in two ways.
        ("max-age=0", 0),
        ("max-age=-3600", 0),
        ("max-age=3600.0", 0),
        ("max-age='3600'", 0),
        ("max-age=a3600", 0),
        ("max-age=3600a", 0),
        ("max-age= 3600", 0),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=\"\"", 0),
        ("max-age=1, max-age=3600", 0),
        ("max-age=3600, max-age=1", 0),
        ("s-maxage=x, max-age=3600", 0),
        // It is another name.
        ("max-age =3600", 0),
    ] {
        let line = format!("cache-control: {line}");
        assert_eq!(lifetime(&["etag: \"a\"", &line]), Some(seconds), "{line}");
    }
    let two = ["cache-control: max-age=1800", "cache-control: public"];
    assert_eq!(lifetime(&two), Some(1800));
}

#[test]
fn a_date_says_when_it_expires() {
    let hour = "expires: Thu, 01 Jan 2026 01:00:00 GMT";
    for (lines, seconds) in [
        (&["date: Thu, 01 Jan 2026 00:00:00 GMT", hour][..], 3600),
        (&[hour], 3600),
        (&["date: Thu, 01 Jan 2026 00:30:00 GMT", hour], 1800),
        (&["expires: Thursday, 01-Jan-26 01:00:00 GMT"], 3600),
        (&["expires: Thu Jan  1 01:00:00 2026"], 3600),
        (&["expires: Wed, 31 Dec 2025 23:59:00 GMT"], -60),
        (&["expires: 0"], 0),
        (&["expires: "], 0),
        (&[hour, hour], 0),
        (&[hour, "cache-control: max-age=7"], 7),
        (&["expires: 0", "cache-control: max-age=7"], 7),
        (&["expires: Fri, 01 Jan 9999 00:00:00 GMT"], 1 << 31),
    ] {
        let lines: Vec<_> = lines.iter().copied().chain(["etag: \"a\""]).collect();
        assert_eq!(lifetime(&lines), Some(seconds), "{lines:?}");
    }
}

#[test]
fn without_a_word_it_is_guessed() {
    let changed = "last-modified: Wed, 31 Dec 2025 22:20:00 GMT";
    assert_eq!(lifetime(&[changed]), Some(600));
    assert_eq!(
        lifetime(&["last-modified: Thu, 01 Jan 1970 00:00:00 GMT"]),
        Some(86_400)
    );
    assert_eq!(
        lifetime(&["last-modified: Thu, 01 Jan 2026 01:00:00 GMT"]),
        Some(0)
    );
    let of = |status: u16, lines: &[&str]| {
        let headers = headers(lines);
        let exchange = Exchange {
            status: StatusCode::from_u16(status).unwrap(),
            ..exchange(&headers)
        };
        let terms = Terms::of(&exchange, &Rules::default(), None);
        terms.map(|(terms, _)| terms.lifetime)
    };
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(of(status, &[changed]), Ok(600), "{status}");
    }
    for status in [201, 202, 302, 307, 400, 403, 500, 503, 599] {
        assert_eq!(of(status, &[changed]), Err(NotStored::Useless), "{status}");
        assert_eq!(of(status, &[changed, "cache-control: public"]), Ok(600));
        assert_eq!(of(status, &["cache-control: max-age=7"]), Ok(7), "{status}");
    }
}

#[test]
fn a_field_for_caches_like_this_one_counts_alone() {
    let own = HeaderName::from_static("gateway-cache-control");
    for (lines, seconds, is_targeted) in [
        (
            &["cdn-cache-control: max-age=7", "cache-control: no-store"][..],
            Some(7),
            true,
        ),
        (
            &[
                "gateway-cache-control: max-age=5",
                "cdn-cache-control: max-age=7",
            ],
            Some(5),
            true,
        ),
        (
            &["gateway-cache-control: ", "cdn-cache-control: max-age=7"],
            Some(7),
            true,
        ),
        (
            &[
                "cdn-cache-control: max-age=7;a=1;b",
                "cache-control: max-age=1",
            ],
            Some(7),
            true,
        ),
        (&["cdn-cache-control: foo, max-age=7"], Some(7), true),
        (
            &["cdn-cache-control: foo=(1 \"a\" b), max-age=7, c=:aGk=:, d=?0, e=@7, f=1.5"],
            Some(7),
            true,
        ),
        (
            &[
                "cdn-cache-control: max-age=1",
                "cdn-cache-control: max-age=7",
            ],
            Some(7),
            true,
        ),
        (
            &["cdn-cache-control: max-age=99999999999"],
            Some(1 << 31),
            true,
        ),
        // Not of the right type.
        (&["cdn-cache-control: max-age=\"7\""], Some(0), true),
        (&["cdn-cache-control: max-age=7.5"], Some(0), true),
        (&["cdn-cache-control: max-age=-7"], Some(0), true),
        (&["cdn-cache-control: foo"], None, true),
        // Not valid: it is as if it were not there.
        (
            &["cdn-cache-control: max-age =7", "cache-control: max-age=1"],
            Some(1),
            false,
        ),
        (
            &["cdn-cache-control: max-age= 7", "cache-control: max-age=1"],
            Some(1),
            false,
        ),
        (
            &["cdn-cache-control: Max-Age=7", "cache-control: max-age=1"],
            Some(1),
            false,
        ),
        (
            &["cdn-cache-control: max-age=7,", "cache-control: max-age=1"],
            Some(1),
            false,
        ),
        (
            &[
                "cdn-cache-control: max-age=7 foo",
                "cache-control: max-age=1",
            ],
            Some(1),
            false,
        ),
        (
            &[
                "cdn-cache-control: max-age=7, a=\"x",
                "cache-control: max-age=1",
            ],
            Some(1),
            false,
        ),
        (
            &[
                "cdn-cache-control: max-age=1234567890123456",
                "cache-control: max-age=1",
            ],
            Some(1),
            false,
        ),
        (
            &["cdn-cache-control: a=(1 2", "cache-control: max-age=1"],
            Some(1),
            false,
        ),
        (
            &["cdn-cache-control: a=?2", "cache-control: max-age=1"],
            Some(1),
            false,
        ),
        (&[], None, false),
    ] {
        let (directives, was) = targeted::directives(&headers(lines), Some(&own));
        assert_eq!(
            (directives.max_age.get(), was),
            (seconds, is_targeted),
            "{lines:?}"
        );
    }
    let expires = "expires: Thu, 01 Jan 2026 01:00:00 GMT";
    let lines = ["cdn-cache-control: foo", expires, "etag: \"a\""];
    assert_eq!(lifetime(&lines), Some(0), "Expires does not count either");
    assert_eq!(
        terms(&["cdn-cache-control: no-store", "cache-control: max-age=7"]),
        Err(NotStored::NoStore)
    );
    let is_false = ["cdn-cache-control: no-store=?0, max-age=7"];
    assert_eq!(lifetime(&is_false), Some(7));
}

#[test]
fn an_age_is_the_first_that_is_said() {
    let date = format!("date: {DATE}");
    for (line, seconds) in [
        ("7200", 7200),
        ("7200, 0", 7200),
        ("0, 7200", 0),
        ("abc", 0),
        ("-7200", 0),
        ("7200.0", 0),
        ("7200;a=b", 0),
        ("2147483648", 1 << 31),
        ("99999999999999999999", 1 << 31),
    ] {
        let line = format!("age: {line}");
        let terms = terms(&[&date, "cache-control: max-age=3600", &line]).unwrap();
        assert_eq!(terms.initial_age, seconds * 1000, "{line}");
    }
    let two = ["cache-control: max-age=9", "age: 7", "age: 3"];
    assert_eq!(terms(&two).unwrap().initial_age, 7000);
}

#[test]
fn the_way_and_a_clock_that_is_late_make_it_older() {
    for (date, age, delay, expected) in [
        ("Thu, 01 Jan 2026 00:00:00 GMT", "5", 0, 5_000),
        ("Thu, 01 Jan 2026 00:00:00 GMT", "5", 2_500, 7_500),
        ("Wed, 31 Dec 2025 23:59:00 GMT", "5", 2_500, 60_000),
        ("Thu, 01 Jan 2026 01:00:00 GMT", "0", 0, 0),
        ("nonsense", "0", 1, 1),
    ] {
        let lines = [
            format!("date: {date}"),
            format!("age: {age}"),
            "cache-control: max-age=9999".to_owned(),
        ];
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let headers = headers(&lines);
        let exchange = Exchange {
            asked_at: NOW - delay,
            ..exchange(&headers)
        };
        let (terms, _) = Terms::of(&exchange, &Rules::default(), None).ok().unwrap();
        assert_eq!(terms.initial_age, expected, "{date} {age} {delay}");
    }
}

#[test]
fn what_was_done_is_said_as_a_structured_field() {
    let status = CacheStatus {
        forwarded: Some(Forwarded::Stale),
        status: Some(304),
        ttl: Some(-3),
        is_stored: true,
        is_collapsed: true,
        key: Some("a\"b\u{e4}\\"),
        detail: Some("no-store"),
    };
    assert_eq!(
        status.write("gw"),
        "gw; fwd=stale; fwd-status=304; ttl=-3; stored; collapsed; key=\"a\\\"b\\\\\"; detail=no-store"
    );
    let hit = CacheStatus {
        ttl: Some(i64::MAX),
        ..CacheStatus::default()
    };
    assert_eq!(
        hit.write(&name("my cache\n")),
        "\"my cache\"; hit; ttl=999999999999999"
    );
    for (text, written) in [
        ("a.b:c/d", "a.b:c/d"),
        ("1a", "\"1a\""),
        ("", "\"\""),
        ("\u{e4}", "\"\""),
    ] {
        assert_eq!(name(text), written);
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..40), text in "[a-z=\", \\\\();?:@%0-9.*-]{0,30}") {
        for line in [&bytes[..], text.as_bytes()] {
            let _ = Directives::of([line].into_iter());
            if let Ok(value) = HeaderValue::from_bytes(line) {
                let mut headers = HeaderMap::new();
                for name in ["cache-control", "cdn-cache-control", "age", "expires", "date", "pragma"] {
                    headers.insert(name, value.clone());
                }
                let _ = Asked::of(&headers);
                let _ = Terms::of(&exchange(&headers), &Rules::default(), None).is_ok();
                let _ = targeted::directives(&headers, None);
            }
        }
    }
}
