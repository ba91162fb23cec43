use http::Request;
use proptest::prelude::*;

use super::*;

fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(uri);
    for (name, value) in fields {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

/// The token, or the status and the challenge.
fn found(bearer: &Bearer, head: &Parts) -> Result<String, (u16, String)> {
    match bearer.token(head) {
        Ok(token) => Ok(token.into_owned()),
        Err(denied) => {
            let response = denied.into_response::<bytes::Bytes>();
            let told = &response.headers()["www-authenticate"];
            Err((
                response.status().as_u16(),
                told.to_str().unwrap().to_owned(),
            ))
        }
    }
}

#[test]
fn one_token_is_found_in_the_field() {
    let bearer = Bearer::new();
    let long = format!("Bearer {}", "a".repeat(MAX_LENGTH));
    let too_long = format!("Bearer {}", "a".repeat(MAX_LENGTH + 1));
    let cases: &[(&[&str], Result<&str, u16>)] = &[
        (&[], Err(401)),
        (&["Bearer abc"], Ok("abc")),
        (&["bEARER aZ09-._~+/=="], Ok("aZ09-._~+/==")),
        (&["Bearer   abc  "], Ok("abc")),
        (&[&long], Ok(&long[7..])),
        (&[&too_long], Err(401)),
        (&["Basic abc"], Err(401)),
        (&["Bearerabc"], Err(401)),
        (&[""], Err(401)),
        (&["Bearer\tabc"], Err(400)),
        (&["Basic\tabc"], Err(401)),
        (&["Bearer \tabc"], Err(400)),
        (&["\t Bearer  abc\t "], Ok("abc")),
        (&["Bearer"], Err(400)),
        (&["Bearer "], Err(400)),
        (&["Bearer ="], Err(400)),
        (&["Bearer a=b"], Err(400)),
        (&["Bearer a b"], Err(400)),
        (&["Bearer a, Bearer a"], Err(400)),
        (&["Bearer \"a\""], Err(400)),
        (&["Bearer a\tb"], Err(400)),
        (&["Bearer ä"], Err(400)),
        (&["Bearer abc", "Bearer abc"], Err(400)),
        (&["Bearer abc", "Basic abc"], Err(400)),
        (&["Basic abc", "Bearer abc"], Err(400)),
    ];
    for (fields, expected) in cases {
        let fields: Vec<_> = fields
            .iter()
            .map(|field| ("authorization", *field))
            .collect();
        let found = found(
            &bearer,
            &head(
                "/?access_token=x",
                &[&fields[..], &[("cookie", "t=x")]].concat(),
            ),
        );
        let found = found.as_deref().map_err(|(status, _)| *status);
        assert_eq!(found, *expected, "{fields:.90?}");
    }
}

#[test]
fn other_places_are_looked_at_when_they_are_asked_for() {
    let bearer = Bearer::new()
        .cookie("t".into())
        .query("access_token".into());
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Result<&'a str, u16>);
    let cases: &[Case<'_>] = &[
        ("/", &[], Err(401)),
        ("/", &[("cookie", "t=a")], Ok("a")),
        ("/", &[("cookie", "t=")], Err(401)),
        ("/", &[("cookie", "T=a; x=t")], Err(401)),
        ("/?access_token=a", &[], Ok("a")),
        ("/?access%5ftoken=a%2Bb", &[], Ok("a+b")),
        ("/?access_token=a+b", &[], Err(400)),
        ("/?access_token=", &[], Err(400)),
        ("/?access_token", &[], Err(400)),
        ("/?access_token=a&access_token=b", &[], Err(400)),
        ("/?access_token=a&access_token=", &[], Err(400)),
        (
            "/?access_token=a&access_token=a",
            &[("cookie", "t=a")],
            Ok("a"),
        ),
        ("/?access_token=a", &[("cookie", "t=b")], Err(400)),
        ("/", &[("cookie", "t=a; t=b")], Err(400)),
        ("/", &[("cookie", "t=a"), ("cookie", "t=b")], Err(400)),
        (
            "/",
            &[("authorization", "Bearer a"), ("cookie", "t=a")],
            Ok("a"),
        ),
        (
            "/",
            &[("authorization", "Bearer a"), ("cookie", "t=b")],
            Err(400),
        ),
        (
            "/?access_token=b",
            &[("authorization", "Bearer a")],
            Err(400),
        ),
        (
            "/",
            &[("authorization", "Basic a"), ("cookie", "t=b")],
            Ok("b"),
        ),
        (
            "/",
            &[("authorization", "Bearer"), ("cookie", "t=b")],
            Err(400),
        ),
        ("/", &[("cookie", "t=\"a\"")], Err(400)),
    ];
    for (uri, fields, expected) in cases {
        let found = found(&bearer, &head(uri, fields));
        let found = found.as_deref().map_err(|(status, _)| *status);
        assert_eq!(found, *expected, "{uri} {fields:?}");
    }
}

#[test]
fn the_challenge_says_what_rfc_6750_has_and_no_more() {
    let bearer = Bearer::new().realm("the shop".into());
    let told = |fields: &[(&str, &str)]| found(&bearer, &head("/", fields)).unwrap_err().1;
    assert_eq!(told(&[]), r#"Bearer realm="the shop""#);
    assert_eq!(
        told(&[("authorization", "Bearer a b")]),
        r#"Bearer realm="the shop", error="invalid_request", error_description="One token is needed, in one place""#
    );
    let invalid = bearer
        .invalid("the signature")
        .into_response::<bytes::Bytes>();
    assert_eq!(
        invalid.headers()["www-authenticate"],
        r#"Bearer realm="the shop", error="invalid_token", error_description="The token is not valid""#
    );
}

#[test]
fn the_token_stays_behind_unless_it_is_forwarded() {
    let bearer = || Bearer::new().cookie("t".into()).query("key".into());
    let fields = [
        ("authorization", "bearer a"),
        ("cookie", "b=1; t=a"),
        ("x", "1"),
    ];
    let mut stripped = head("/p?a=1&key=a", &fields);
    bearer().strip(&mut stripped);
    assert_eq!(stripped.uri, "/p?a=1");
    assert_eq!(stripped.headers["cookie"], "b=1");
    assert_eq!(stripped.headers.len(), 2);

    let mut kept = head("/p?a=1&key=a", &fields);
    bearer().forward(true).strip(&mut kept);
    assert_eq!(kept.uri, "/p?a=1&key=a");
    assert_eq!(kept.headers.len(), 3);

    for (field, is_kept) in [
        ("Basic YTpi", true),
        ("Bearer a b", false),
        ("Bearer", false),
    ] {
        let mut head = head("/", &[("authorization", field)]);
        bearer().strip(&mut head);
        assert_eq!(
            head.headers.contains_key("authorization"),
            is_kept,
            "{field}"
        );
    }
}

#[test]
fn wrong_settings_are_named() {
    let bearer = Bearer::new;
    assert_eq!(
        bearer().cookie("t".into()).query("q".into()).mistakes(),
        [""; 0]
    );
    for (bearer, what) in [
        (bearer().realm("a\"b".into()), "realm"),
        (bearer().realm("ä".into()), "realm"),
        (bearer().max_length(0), "max_token_length"),
        (bearer().cookie("a b".into()), "\"a b\""),
        (bearer().cookie(String::new()), "cookie"),
        (bearer().query(String::new()), "query"),
    ] {
        let mistakes = bearer.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{mistakes:?}"
        );
    }
    let odd = bearer().realm("a\r\nb".into());
    assert_eq!(
        odd.challenge(""),
        "Bearer",
        "it is no way to split an answer"
    );
}

proptest! {
    #[test]
    fn what_is_found_is_a_token_that_was_sent(
        fields in prop::collection::vec("(Bearer |Basic )?[a-c=, \t\u{e4}]{0,5}", 0..3),
        crumbs in prop::collection::vec("t=[a-c=\"]{0,3}", 0..3),
        query in "(access_token=[a-c%2B+]{0,4}&?){0,3}",
    ) {
        let bearer = Bearer::new().cookie("t".into()).query("access_token".into());
        let mut all: Vec<_> = fields.iter().map(|field| ("authorization", &**field)).collect();
        all.extend(crumbs.iter().map(|crumb| ("cookie", &**crumb)));
        let mut head = head(&format!("/?{query}"), &all);
        if let Ok(token) = bearer.token(&head) {
            let token = token.into_owned();
            prop_assert!(fields.len() <= 1);
            prop_assert!(text(Cow::Borrowed(token.as_bytes())).is_some());
            for crumb in cookies(&head.headers, "t") {
                prop_assert!(crumb.is_empty() || crumb == token.as_bytes());
            }
            bearer.strip(&mut head);
            prop_assert!(bearer.token(&head).is_err());
        }
    }
}
