//! What may be stored.

use http::header;

use super::*;

#[test]
fn what_may_not_be_stored_is_not() {
    for (line, why) in [
        ("no-store", NotStored::NoStore),
        ("No-StOrE, max-age=60", NotStored::NoStore),
        ("no-store=1, max-age=60", NotStored::NoStore),
        ("private, max-age=60", NotStored::Private),
        ("private=\"\", max-age=60", NotStored::Private),
        ("private=\"not a name\", max-age=60", NotStored::Private),
        ("max-age=0", NotStored::Useless),
        ("no-cache, max-age=60", NotStored::Useless),
        ("foo", NotStored::Useless),
    ] {
        let line = format!("cache-control: {line}");
        assert_eq!(terms(&[&line]), Err(why), "{line}");
    }
    assert_eq!(terms(&[]), Err(NotStored::Useless));
    // It can be validated.
    for line in ["max-age=0", "no-cache", "foo"] {
        let line = format!("cache-control: {line}");
        assert!(terms(&[&line, "etag: \"a\""]).is_ok(), "{line}");
    }
    assert!(terms(&["cache-control: max-age=0, stale-if-error=9"]).is_ok());
}

#[test]
fn the_request_and_the_kind_of_answer_have_a_say() {
    let fresh = headers(&["cache-control: max-age=60"]);
    let part = headers(&["cache-control: max-age=60", "content-range: bytes 0-1/3"]);
    let cookie = headers(&["cache-control: max-age=60", "set-cookie: a=b"]);
    let hidden = headers(&[
        "cache-control: max-age=60, no-cache=\"Set-Cookie\"",
        "set-cookie: a=b",
    ]);
    let no_store = Asked::of(&headers(&["cache-control: no-store"]));
    let base = exchange(&fresh);
    let of = |exchange: Exchange<'_>, rules: &Rules| Terms::of(&exchange, rules, None).err();
    let rules = Rules::default();
    let status = |status: u16| StatusCode::from_u16(status).unwrap();
    assert_eq!(of(base, &rules), None);
    assert_eq!(
        of(
            Exchange {
                method: &Method::HEAD,
                ..base
            },
            &rules
        ),
        None
    );
    for method in [Method::POST, Method::PUT, Method::OPTIONS] {
        assert_eq!(
            of(
                Exchange {
                    method: &method,
                    ..base
                },
                &rules
            ),
            Some(NotStored::Method)
        );
    }
    for code in [101, 206, 304] {
        let it = Exchange {
            status: status(code),
            ..base
        };
        assert_eq!(of(it, &rules), Some(NotStored::Status), "{code}");
    }
    assert_eq!(of(exchange(&part), &rules), Some(NotStored::Status));
    assert_eq!(
        of(
            Exchange {
                asked: no_store,
                ..base
            },
            &rules
        ),
        Some(NotStored::Request)
    );
    assert_eq!(of(exchange(&cookie), &rules), Some(NotStored::SetCookie));
    assert_eq!(
        of(exchange(&hidden), &rules),
        None,
        "it is not stored with it"
    );
    let keeps = Rules {
        keeps_set_cookie: true,
        ..Rules::default()
    };
    assert_eq!(of(exchange(&cookie), &keeps), None);
    let understood = headers(&["cache-control: must-understand, no-store, max-age=60"]);
    for (code, why) in [
        (200, None),
        (404, None),
        (599, Some(NotStored::NotUnderstood)),
        (418, Some(NotStored::NotUnderstood)),
    ] {
        let it = Exchange {
            status: status(code),
            ..exchange(&understood)
        };
        assert_eq!(of(it, &rules), why, "{code}");
    }
}

#[test]
fn who_shows_who_they_are_shares_what_is_said_to_be_shared() {
    for (line, is_shared) in [
        ("max-age=60", false),
        ("max-age=60, public", true),
        ("s-maxage=60", true),
        ("max-age=60, must-revalidate", true),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, private", false),
    ] {
        let headers = headers(&[&format!("cache-control: {line}")]);
        let exchange = Exchange {
            is_identified: true,
            ..exchange(&headers)
        };
        let terms = Terms::of(&exchange, &Rules::default(), None).ok();
        assert_eq!(
            terms.is_some_and(|(terms, _)| terms.is_shareable),
            is_shared,
            "{line}"
        );
    }
    // What somebody unknown was given is everybody's.
    assert!(terms(&["cache-control: max-age=60"]).unwrap().is_shareable);
}

#[test]
fn named_fields_are_left_out() {
    let headers = headers(&[
        "cache-control: max-age=60, private=\"a, B\"",
        "cache-control: no-cache=c, no-cache=\" set-cookie \"",
    ]);
    let (terms, names) = Terms::of(&exchange(&headers), &Rules::default(), None)
        .ok()
        .unwrap();
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    assert_eq!(names, ["a", "b", "c", header::SET_COOKIE.as_str()]);
    assert!(!terms.no_cache);
}

#[test]
fn people_may_say_what_an_answer_does_not() {
    // What the answer says holds, unless it is overruled.
    assert_eq!(given(&[], 60, false).unwrap().lifetime, 60);
    assert_eq!(
        given(&["cache-control: max-age=7"], 60, false)
            .unwrap()
            .lifetime,
        7
    );
    assert_eq!(
        given(&["cache-control: no-store"], 60, false),
        Err(NotStored::NoStore)
    );
    assert_eq!(
        given(&["cache-control: no-cache"], 60, false),
        Err(NotStored::Useless)
    );
    let changed = "last-modified: Wed, 31 Dec 2025 22:20:00 GMT";
    assert_eq!(
        given(&[changed], 60, false).unwrap().lifetime,
        60,
        "a guess is none of its words"
    );
    for line in [
        "no-store",
        "private, max-age=7",
        "no-cache",
        "max-age=0, must-revalidate",
    ] {
        let terms = given(&[&format!("cache-control: {line}")], 60, true).unwrap();
        assert_eq!(
            (terms.lifetime, terms.no_cache, terms.must_revalidate),
            (60, false, false),
            "{line}"
        );
        assert!(terms.is_overridden);
    }
    assert_eq!(
        given(&["set-cookie: a=b"], 60, true),
        Err(NotStored::SetCookie)
    );
    let kept = given(&["cache-control: no-store, stale-if-error=9"], 60, true).unwrap();
    assert_eq!(kept.stale_if_error, 9);
}

#[test]
fn how_stale_an_answer_may_be_is_its_own_affair_first() {
    let of = |line: &str| {
        let headers = headers(&[&format!("cache-control: max-age=9, {line}")]);
        let rules = Rules {
            stale_if_error: Some(100),
            stale_while_revalidate: Some(50),
            ..Rules::default()
        };
        let (terms, _) = Terms::of(&exchange(&headers), &rules, None).ok().unwrap();
        (terms.stale_while_revalidate, terms.stale_if_error)
    };
    assert_eq!(of("foo"), (50, 100));
    assert_eq!(of("stale-if-error=5, stale-while-revalidate=6"), (6, 5));
    assert_eq!(of("stale-if-error=5, stale-if-error=7"), (50, 5));
    assert_eq!(of("stale-if-error=x"), (50, 0));
    for line in ["must-revalidate", "proxy-revalidate"] {
        assert_eq!(of(&format!("{line}, stale-if-error=5")), (0, 0));
    }
    assert_eq!(of("s-maxage=9"), (0, 0));
    assert_eq!(of("s-maxage=9, stale-while-revalidate=6"), (6, 0));
}
