use super::super::directives::Directives;
use super::super::freshness::{self, Lifetime};
use super::*;

const EXPIRES: (&str, &str) = ("expires", "Sat, 01 Jun 2024 00:01:00 GMT");

fn lifetime(status: u16, fields: &[(&str, &str)]) -> Lifetime {
    let headers = headers(fields);
    let status = StatusCode::from_u16(status).unwrap();
    let directives = Directives::of(&headers, None);
    Lifetime::of(&directives, status, &headers, NOW, &Settings::default())
}

#[test]
fn the_response_says_how_long_it_is_fresh() {
    let cdn = ("cdn-cache-control", "a");
    let date = ("date", DATE);
    let minute_ago = ("date", "Fri, 31 May 2024 23:59:00 GMT");
    let past = ("expires", "Fri, 31 May 2024 23:59:00 GMT");
    for (fields, expected) in [
        (&[("cache-control", "max-age=5")][..], 5),
        (&[("cache-control", "max-age=5, s-maxage=9")], 9),
        (&[("cache-control", "s-maxage=1, max-age=3600")], 1),
        (&[("cache-control", "max-age=0, s-maxage=9"), past], 9),
        (&[("cache-control", "max-age=5, s-maxage=x")], 0),
        (&[("cache-control", "max-age=5"), EXPIRES], 5),
        (&[("cache-control", "max-age=0"), EXPIRES], 0),
        (&[("cache-control", "max-age=5"), ("expires", "0")], 5),
        (&[("cdn-cache-control", "max-age=5"), EXPIRES], 5),
        (&[("cdn-cache-control", "max-age=0"), EXPIRES], 0),
        (
            &[
                ("cdn-cache-control", "max-age=5"),
                ("cache-control", "max-age=1"),
            ],
            5,
        ),
        (&[EXPIRES], 60),
        (&[EXPIRES, date], 60),
        (&[EXPIRES, minute_ago], 120),
        (&[EXPIRES, ("date", "Sat, 01 Jun 2024 00:00:50 GMT")], 10),
        (&[EXPIRES, ("date", "Sat, 01 Jun 2024 00:02:00 GMT")], 0),
        (&[EXPIRES, ("date", "foo")], 60),
        (&[EXPIRES, date, minute_ago], 60),
        (&[("expires", DATE), date], 0),
        (&[past, date], 0),
        (&[("expires", "0"), date], 0),
        (&[("expires", "-1"), date], 0),
        (&[("expires", ""), date], 0),
        (&[EXPIRES, EXPIRES], 0),
        (&[EXPIRES, past], 0),
        (&[("expires", "Saturday, 01-Jun-24 00:01:00 GMT")], 60),
        (&[("expires", "Sat Jun  1 00:01:00 2024")], 60),
        (&[("expires", "SAT, 01 JUN 2024 00:01:00 gmt")], 60),
        (&[("expires", "sATURDAY, 01-jUN-24 00:01:00 Gmt")], 60),
        (&[("expires", "sat jun  1 00:01:00 2024")], 60),
        (&[("expires", "Sat, 01 Jun 2024 00:01:00 UTC")], 0),
        (&[("expires", "Sat, 01 Jun 2024 00:01:00 AEST")], 0),
        (&[("expires", "Sat 01 Jun 2024 00:01:00 GMT")], 0),
        (&[("expires", "Sat, 01  Jun  2024 00:01:00 GMT")], 0),
        (&[("expires", "Sat, 01-Jun-2024 00:01:00 GMT")], 0),
        (&[("expires", "Sat, 01 Jun 2024 00.01.00 GMT")], 0),
        (&[("expires", "Sat, 01 Jun 2024 0:01:00 GMT")], 0),
        (&[("expires", "Sat, 01 Jun 24 00:01:00 GMT")], 0),
        (&[("expires", "Sun, 21 Nov 2286 04:46:39 GMT")], 1 << 31),
    ] {
        assert_eq!(
            lifetime(200, fields),
            Lifetime::Explicit(expected * 1000),
            "{fields:?}"
        );
        assert_eq!(
            lifetime(599, fields),
            Lifetime::Explicit(expected * 1000),
            "{fields:?}"
        );
    }
    assert_eq!(lifetime(200, &[cdn, EXPIRES]), Lifetime::Heuristic(0));
    assert_eq!(lifetime(599, &[cdn, EXPIRES]), Lifetime::Unknown);
}

#[test]
fn it_is_guessed_where_it_may_be() {
    let modified = ("last-modified", "Fri, 31 May 2024 00:00:00 GMT");
    let tenth = Lifetime::Heuristic(8_640_000);
    for status in 100..=999 {
        let is_guessed = [
            200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 451, 501,
        ]
        .contains(&status);
        let expected = if is_guessed { tenth } else { Lifetime::Unknown };
        assert_eq!(lifetime(status, &[modified]), expected, "{status}");
        assert_eq!(
            lifetime(status, &[modified, ("cache-control", "public")]),
            tenth,
            "{status}"
        );
    }
    for (fields, expected) in [
        (&[][..], 0),
        (&[modified, ("date", "Fri, 31 May 2024 00:00:05 GMT")], 500),
        (&[modified, ("date", DATE)], 8_640_000),
        (
            &[
                modified,
                ("cache-control", "no-cache"),
                ("pragma", "no-cache"),
            ],
            8_640_000,
        ),
        (&[("last-modified", "Sat, 01 Jun 2024 00:00:01 GMT")], 0),
        (
            &[("last-modified", "Mon, 01 Jan 1990 00:00:00 GMT")],
            86_400_000,
        ),
        (&[("last-modified", "yesterday")], 0),
        (&[modified, modified], 0),
    ] {
        assert_eq!(
            lifetime(200, fields),
            Lifetime::Heuristic(expected),
            "{fields:?}"
        );
    }
    let settings = Settings {
        heuristic_percent: 50,
        heuristic_max: 3600,
        ..Settings::default()
    };
    for (at, expected) in [(86_400, 3600), (7000, 3500)] {
        let headers = headers(&[modified, ("cache-control", "public")]);
        let of = Lifetime::of(
            &Directives::of(&headers, None),
            StatusCode::OK,
            &headers,
            NOW - 86_400_000 + at * 1000,
            &settings,
        );
        assert_eq!(of, Lifetime::Heuristic(expected * 1000));
    }
}

#[test]
fn the_age_is_what_is_said_or_seen() {
    let date = ("date", "Fri, 31 May 2024 23:59:50 GMT");
    for (fields, asked_at, expected) in [
        (&[][..], NOW, 0),
        (&[("age", "7")], NOW, 7000),
        (&[("age", " 7\t")], NOW, 7000),
        (&[("age", "7"), date], NOW, 10_000),
        (&[("age", "12"), date], NOW, 12_000),
        (&[("age", "7")], NOW - 1500, 8500),
        (&[date], NOW - 1500, 10_000),
        (&[date], NOW - 11_500, 11_500),
        // Clocks that differ.
        (&[("date", "Sat, 01 Jun 2024 01:00:00 GMT")], NOW, 0),
        (&[("age", "7")], NOW + 1500, 7000),
        (&[("date", "foo")], NOW, 0),
        // The first, if it is a number.
        (&[("age", "7, 0")], NOW, 7000),
        (&[("age", "0, 7")], NOW, 0),
        (&[("age", "7"), ("age", "0")], NOW, 7000),
        (&[("age", "0"), ("age", "7")], NOW, 0),
        (&[("age", "x, 7")], NOW, 0),
        (&[("age", "")], NOW, 0),
        (&[("age", "-7")], NOW, 0),
        (&[("age", "7.0")], NOW, 0),
        (&[("age", "7;a=b")], NOW, 0),
        (&[("age", "2147483648")], NOW, 2_147_483_648_000),
        (&[("age", "99999999999999999999")], NOW, 2_147_483_648_000),
    ] {
        assert_eq!(
            freshness::initial_age(&headers(fields), asked_at, NOW),
            expected,
            "{fields:?}"
        );
    }
    // The part of a second does not make it older.
    let headers = headers(&[("date", DATE)]);
    assert_eq!(freshness::initial_age(&headers, NOW + 999, NOW + 999), 0);
    assert_eq!(
        freshness::initial_age(&headers, NOW + 1001, NOW + 1001),
        1000
    );
    for (asked_at, answered_at) in [(0, u64::MAX), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
        let _ = freshness::initial_age(&headers, asked_at, answered_at);
    }
}
