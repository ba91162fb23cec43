use super::*;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const ETAG: (&str, &str) = ("etag", "\"a\"");

fn outcome(status: u16, fields: &[(&str, &str)]) -> Result<(), NotStored> {
    judge(status, fields, &Settings::default(), |_| ()).map(|_| ())
}

#[test]
fn statuses_are_stored_with_freshness() {
    let never = [206, 304, 412, 416, 428, 429, 431, 511];
    for status in 100..=999 {
        let expected = match status < 200 || never.contains(&status) {
            true => Err(NotStored::Status),
            false => Ok(()),
        };
        assert_eq!(outcome(status, &[FRESH]), expected, "{status}");
        let forced = judge(status, &[FRESH], &Settings::default(), |question| {
            question.overridden = Some(Override {
                ttl: 1,
                force: true,
            });
        });
        assert_eq!(forced.map(|_| ()), expected, "{status}");
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(
            outcome(status, &[ETAG]),
            Err(NotStored::NoFreshness),
            "{status}"
        );
        assert_eq!(
            outcome(status, &[ETAG, ("cache-control", "public")]),
            Ok(()),
            "{status}"
        );
        let no_cache = [ETAG, ("cache-control", "no-cache, must-revalidate")];
        assert_eq!(
            outcome(status, &no_cache),
            Err(NotStored::NoFreshness),
            "{status}"
        );
    }
}

#[test]
fn what_forbids_is_found() {
    use NotStored as Not;
    for (line, expected) in [
        ("max-age=60", Ok(())),
        ("no-store", Err(Not::NoStore)),
        ("max-age=60, No-Store", Err(Not::NoStore)),
        ("max-age=60, no-store=\"a\"", Err(Not::NoStore)),
        ("private, max-age=60", Err(Not::Private)),
        ("public, private, s-maxage=60", Err(Not::Private)),
        ("private=\"a\", max-age=60", Ok(())),
        ("max-age=60, a=\"", Err(Not::Malformed)),
        ("max-age=60, no-store, must-understand", Ok(())),
        ("max-age=60, no-store, must-understand=1", Err(Not::NoStore)),
        ("max-age=60, must-understand, private", Err(Not::Private)),
    ] {
        assert_eq!(outcome(200, &[("cache-control", line)]), expected, "{line}");
        let targeted = [("cdn-cache-control", "max-age=60"), ("cache-control", line)];
        assert_eq!(outcome(200, &targeted), Ok(()), "{line}");
    }
    for (status, expected) in [
        (200, Ok(())),
        (404, Ok(())),
        (503, Ok(())),
        (599, Err(Not::NotUnderstood)),
        (299, Err(Not::NotUnderstood)),
    ] {
        for line in [
            "max-age=60, must-understand",
            "max-age=60, no-store, must-understand",
        ] {
            assert_eq!(
                outcome(status, &[("cache-control", line)]),
                expected,
                "{status} {line}"
            );
        }
    }
    for line in ["private", "no-store"] {
        assert!(
            outcome(200, &[FRESH, ("cdn-cache-control", line)]).is_err(),
            "{line}"
        );
    }
    for lines in [
        &["*"][..],
        &["*, *"],
        &["*", "*"],
        &[", *"],
        &["", "*"],
        &["*, Foo"],
        &["Foo, *"],
        &["Foo,\t* "],
    ] {
        let mut fields = vec![FRESH];
        fields.extend(lines.iter().map(|line| ("vary", *line)));
        assert_eq!(outcome(200, &fields), Err(Not::VaryAny), "{lines:?}");
    }
    assert_eq!(outcome(200, &[FRESH, ("vary", "a, *b")]), Ok(()));
}

#[test]
fn the_request_matters() {
    let settings = Settings::default();
    for method in [
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::OPTIONS,
        "FOO".parse().unwrap(),
    ] {
        let post = judge(200, &[FRESH], &settings, |question| {
            question.method = method.clone()
        });
        assert_eq!(post, Err(NotStored::Method), "{method}");
    }
    let request = headers(&[("cache-control", "max-age=0, no-store")]);
    let no_store = judge(200, &[FRESH], &settings, |question| {
        question.headers = request.clone();
        question.overridden = Some(Override {
            ttl: 1,
            force: true,
        });
    });
    assert_eq!(no_store, Err(NotStored::RequestNoStore));
    let request = headers(&[("cache-control", "no-cache"), ("cookie", "a=b")]);
    assert!(
        judge(200, &[FRESH], &settings, |question| question.headers =
            request.clone())
        .is_ok()
    );
}

#[test]
fn what_somebody_got_is_for_others_only_if_it_says_so() {
    let authorization = headers(&[("authorization", "Bearer a")]);
    for (line, is_for_all) in [
        ("max-age=60", false),
        ("max-age=60, proxy-revalidate", false),
        ("max-age=60, public=1", false),
        ("max-age=60, no-cache=\"a\"", false),
        ("max-age=60, no-store, must-understand", false),
        ("max-age=60, public", true),
        ("max-age=60, must-revalidate", true),
        ("s-maxage=60", true),
    ] {
        let judge = |has_field: bool, is_identified, settings: &Settings| {
            judge(200, &[("cache-control", line)], settings, |question| {
                question.is_identified = is_identified;
                if has_field {
                    question.headers = authorization.clone();
                }
            })
        };
        let shared = Settings::default();
        let own = Settings {
            is_keyed_by_identity: true,
            ..Settings::default()
        };
        assert!(
            judge(false, false, &shared).unwrap().terms.is_shareable(),
            "{line}"
        );
        for (has_field, is_identified) in [(true, false), (false, true), (true, true)] {
            let stored = judge(has_field, is_identified, &shared);
            assert_eq!(stored.is_ok(), is_for_all, "{line}");
            if let Err(why) = stored {
                assert_eq!(why, NotStored::Identified);
            }
            let stored = judge(has_field, is_identified, &own).unwrap();
            assert_eq!(stored.terms.is_shareable(), is_for_all, "{line}");
        }
        let forced = super::judge(200, &[("cache-control", line)], &shared, |question| {
            question.is_identified = true;
            question.overridden = Some(Override {
                ttl: 1,
                force: true,
            });
        });
        assert_eq!(forced.is_ok(), is_for_all, "{line}");
    }
    let own = Settings {
        is_keyed_by_identity: true,
        ..Settings::default()
    };
    let private = judge(
        200,
        &[("cache-control", "private, max-age=60")],
        &own,
        |question| question.is_identified = true,
    );
    assert_eq!(private, Err(NotStored::Private));
}

#[test]
fn cookies_are_not_given_to_others() {
    let cookie = ("set-cookie", "a=b");
    assert_eq!(outcome(200, &[FRESH, cookie]), Err(NotStored::SetCookie));
    assert_eq!(
        outcome(200, &[("cache-control", "public, max-age=60"), cookie]),
        Err(NotStored::SetCookie)
    );
    let keeps = Settings {
        keeps_set_cookie: true,
        ..Settings::default()
    };
    assert!(judge(200, &[FRESH, cookie], &keeps, |_| ()).is_ok());

    let fields = [FRESH, cookie, ("cache-control", "no-cache=\"Set-Cookie\"")];
    let stored = judge(200, &fields, &Settings::default(), |_| ()).unwrap();
    let mut headers = headers(&fields);
    stored.strip(&mut headers);
    assert!(!headers.contains_key("set-cookie"));
}

#[test]
fn what_could_never_be_used_is_not_stored() {
    let old = ("age", "60");
    let modified = ("last-modified", DATE);
    for (fields, expected) in [
        (&[][..], false),
        (&[ETAG], true),
        (&[modified], true),
        (&[("last-modified", "soon")], false),
        (&[("cache-control", "max-age=0")], false),
        (&[("cache-control", "max-age=0"), ETAG], true),
        (
            &[("cache-control", "max-age=0, stale-while-revalidate=1")],
            true,
        ),
        (&[("cache-control", "max-age=0, stale-if-error=1")], true),
        (
            &[(
                "cache-control",
                "max-age=0, stale-if-error=1, must-revalidate",
            )],
            false,
        ),
        (&[("cache-control", "max-age=60, no-cache")], false),
        (
            &[("cache-control", "max-age=60, no-cache, stale-if-error=1")],
            false,
        ),
        (&[("cache-control", "max-age=60, no-cache"), ETAG], true),
        // Somebody may take it stale.
        (&[FRESH, old], true),
        (
            &[("cache-control", "max-age=60, must-revalidate"), old],
            false,
        ),
        (&[("cache-control", "s-maxage=60"), old], false),
        (
            &[("cache-control", "max-age=61, must-revalidate"), old],
            true,
        ),
    ] {
        let expected = if expected {
            Ok(())
        } else {
            Err(NotStored::Useless)
        };
        assert_eq!(outcome(200, fields), expected, "{fields:?}");
    }
}

#[test]
fn settings_count_where_the_response_is_silent() {
    let judge = |status, fields: &[(&str, &str)], ttl, force| {
        let stored = judge(status, fields, &Settings::default(), |question| {
            question.overridden = Some(Override { ttl, force });
        });
        stored.map(|stored| {
            (
                stored.terms.age(kept(), NOW).ttl,
                stored.terms.is_overridden(),
            )
        })
    };
    let modified = ("last-modified", "Fri, 31 May 2024 00:00:00 GMT");
    let silent = ("x", "y");
    let set = Ok((7, true));
    for (fields, weak, forced) in [
        (&[silent][..], set, set),
        (&[modified], set, set),
        (&[("cache-control", "public")], set, set),
        (&[FRESH], Ok((60, false)), set),
        (&[FRESH, ("age", "10")], Ok((50, false)), set),
        (&[("age", "10")], set, set),
        (&[("expires", "0"), ETAG], Ok((0, false)), set),
        (
            &[("cache-control", "no-store")],
            Err(NotStored::NoStore),
            set,
        ),
        (
            &[("cache-control", "no-cache")],
            Err(NotStored::Useless),
            set,
        ),
        (
            &[("cache-control", "private")],
            Err(NotStored::Private),
            Err(NotStored::Private),
        ),
        (
            &[("set-cookie", "a")],
            Err(NotStored::SetCookie),
            Err(NotStored::SetCookie),
        ),
        (
            &[("vary", "*")],
            Err(NotStored::VaryAny),
            Err(NotStored::VaryAny),
        ),
    ] {
        for status in [200, 404, 500, 599] {
            assert_eq!(judge(status, fields, 7, false), weak, "{status} {fields:?}");
            assert_eq!(
                judge(status, fields, 7, true),
                forced,
                "{status} {fields:?}"
            );
        }
    }
    assert_eq!(judge(200, &[silent], 0, false), Err(NotStored::Useless));

    let settings = Settings {
        stale_while_revalidate: 3,
        stale_if_error: 4,
        ..Settings::default()
    };
    for (line, expected) in [
        ("max-age=1", (3, 4)),
        (
            "max-age=1, stale-while-revalidate=0, stale-if-error=9",
            (0, 9),
        ),
        (
            "max-age=1, stale-while-revalidate, stale-if-error=x",
            (0, 0),
        ),
    ] {
        let stored = super::judge(200, &[("cache-control", line)], &settings, |_| ()).unwrap();
        let terms = stored.terms;
        assert_eq!(
            (terms.stale_while_revalidate, terms.stale_if_error),
            expected,
            "{line}"
        );
    }
}

#[test]
fn fields_of_the_connection_are_not_stored() {
    let fields = [
        ("cache-control", "max-age=60, private=\"Own, other\""),
        ("connection", "close, A"),
        ("connection", "b,, (bad)"),
        ("a", "1"),
        ("b", "1"),
        ("own", "1"),
        ("own", "2"),
        ("other", "1"),
        ("keep-alive", "1"),
        ("proxy-authenticate", "1"),
        ("proxy-authentication-info", "1"),
        ("proxy-authorization", "1"),
        ("proxy-connection", "1"),
        ("te", "1"),
        ("trailer", "1"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "1"),
        ("age", "1"),
        ("c", "1"),
        ("date", DATE),
        ("content-length", "3"),
        ("cache-status", "x"),
    ];
    let stored = judge(200, &fields, &Settings::default(), |_| ()).unwrap();
    assert_eq!(stored.unstored_fields.as_slice(), ["own", "other"]);
    let mut headers = headers(&fields);
    stored.strip(&mut headers);
    let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "c",
            "cache-control",
            "cache-status",
            "content-length",
            "date"
        ]
    );
}

#[test]
fn reasons_are_tokens() {
    use NotStored as Not;
    let all = [
        Not::Method,
        Not::Status,
        Not::RequestNoStore,
        Not::Malformed,
        Not::NotUnderstood,
        Not::NoStore,
        Not::Private,
        Not::Identified,
        Not::VaryAny,
        Not::SetCookie,
        Not::NoFreshness,
        Not::Useless,
    ];
    let mut words: Vec<_> = all.into_iter().map(NotStored::as_str).collect();
    assert!(words.iter().all(|word| {
        word.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    }));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all.len());
}
