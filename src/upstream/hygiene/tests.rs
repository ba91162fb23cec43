use proptest::prelude::*;

use super::*;

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    lines.sort_unstable();
    lines
}

fn owned() -> OwnedHeaders {
    OwnedHeaders::new()
        .own([
            HeaderName::from_static("x-user-id"),
            HeaderName::from_static("x_roles"),
        ])
        .settle([HeaderName::from_static("x-request-id")])
}

const HOST: (&str, &str) = ("host", "t.example");

#[test]
fn hop_by_hop_ends_here() {
    for (sent, left) in [
        (&[HOST][..], &[HOST][..]),
        (&[HOST, ("connection", "close")], &[HOST]),
        (
            &[
                ("Keep-Alive", "timeout=5"),
                ("Proxy-Connection", "keep-alive"),
                HOST,
            ],
            &[HOST],
        ),
        (
            &[("transfer-encoding", "chunked"), ("trailer", "x-t")],
            &[("trailer", "x-t")],
        ),
        (
            &[
                ("proxy-authorization", "Basic eA=="),
                ("proxy", "http://evil.example"),
                ("Proxy-Authenticate", "Basic"),
                ("Proxy-Features", "x"),
                ("Proxy-Status", "p; error=x"),
                ("Alt-Svc", "h3=\":443\""),
                ("proxied", "1"),
            ],
            &[("proxied", "1")],
        ),
        (
            &[
                ("connection", "upgrade, HTTP2-Settings"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMA"),
            ],
            &[],
        ),
        (&[("upgrade", "h2c"), ("http2-settings", "AAMA")], &[]),
        (
            &[
                ("transfer_encoding", "chunked"),
                ("content_length", "5"),
                ("content-length", "5"),
            ],
            &[("content-length", "5")],
        ),
        // What `Connection` names, over all its lines.
        (
            &[
                ("connection", "keep-alive, X-Hop , X-Hop2"),
                ("connection", "x-hop3"),
                ("x-hop", "1"),
                ("x-hop", "2"),
                ("x-hop2", "1"),
                ("x-hop3", "1"),
                ("x-hop4", "1"),
            ],
            &[("x-hop4", "1")],
        ),
        (
            &[("connection", "x-none, ,\t, not a name, x-a"), ("x-a", "1")],
            &[],
        ),
        // ... except what is meant for every recipient.
        (
            &[
                ("connection", "Host, Content-Length, Authorization, Cookie"),
                HOST,
                ("content-length", "5"),
                ("authorization", "x"),
                ("cookie", "a=b"),
            ],
            &[
                ("authorization", "x"),
                ("content-length", "5"),
                ("cookie", "a=b"),
                HOST,
            ],
        ),
    ] {
        let mut headers = map(sent);
        strip_request(&mut headers, &owned(), false);
        assert_eq!(lines(&headers), left, "{sent:?}");
    }
}

#[test]
fn te_keeps_its_trailers() {
    for (sent, left) in [
        (&["trailers"][..], Some("trailers")),
        (&["gzip;q=0.5, Trailers"], Some("trailers")),
        (&["gzip", "trailers"], Some("trailers")),
        (&["trailers", "trailers"], Some("trailers")),
        (&["gzip"], None),
        (&["trailersx", "x trailers"], None),
        (&[], None),
    ] {
        let mut headers: HeaderMap = map(&[("connection", "te")]);
        for value in sent {
            headers.append("te", value.parse().unwrap());
        }
        let stripped = strip_request(&mut headers, &owned(), false);
        let values: Vec<_> = headers.get_all("te").iter().collect();
        assert_eq!(values, left.as_slice(), "{sent:?}");
        assert_eq!(stripped.trailers, left.is_some());
    }
}

#[test]
fn an_upgrade_is_reported_and_restored() {
    for (sent, asked) in [
        (
            &[("connection", "Upgrade"), ("upgrade", "websocket")][..],
            Some("websocket"),
        ),
        (
            &[
                ("connection", "keep-alive, upgrade"),
                ("upgrade", "WebSocket"),
            ],
            Some("WebSocket"),
        ),
        (
            &[
                ("connection", "keep-alive"),
                ("connection", "upgrade"),
                ("upgrade", "h2c"),
            ],
            Some("h2c"),
        ),
        (&[("upgrade", "websocket")], None),
        (
            &[("connection", "keep-alive"), ("upgrade", "websocket")],
            None,
        ),
        (&[("connection", "upgrade")], None),
        (&[("connection", "upgrade"), ("upgrade", "")], None),
        (
            &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
            None,
        ),
        (
            &[
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("upgrade", "h2c"),
            ],
            None,
        ),
    ] {
        let mut headers = map(sent);
        let stripped = strip_request(&mut headers, &owned(), false);
        assert_eq!(
            stripped.upgrade.as_ref().map(|v| v.to_str().unwrap()),
            asked,
            "{sent:?}"
        );
        assert!(headers.is_empty());
        if let Some(protocol) = stripped.upgrade {
            restore_upgrade(&mut headers, protocol);
            assert_eq!(
                lines(&headers),
                [("connection", "upgrade"), ("upgrade", asked.unwrap())]
            );
        }
    }
}

#[test]
fn owned_fields_are_removed_in_any_spelling() {
    for (name, from_client, from_trusted) in [
        ("x-user-id", false, false),
        ("x_user_id", false, false),
        ("X_User-Id", false, false),
        ("x-user_id", false, false),
        ("x_roles", false, false),
        ("x-roles", false, false),
        ("x-user-ids", true, true),
        ("x-user", true, true),
        ("x-request-id", true, true),
        ("x_request_id", false, false),
        ("x-forwarded-for", false, true),
        ("X-Forwarded-Anything", false, true),
        ("x_forwarded_for", false, false),
        ("x-forwarded_for", false, false),
        ("X_Forwarded_Proto", false, false),
        ("forwarded", false, true),
        ("x-real-ip", false, true),
        ("x_real-ip", false, false),
        ("x-real-ipx", true, true),
        ("x-forwarded", true, true),
        ("x-for", true, true),
        ("forwarded-x", true, true),
        ("accept", true, true),
    ] {
        for (trusted, stays) in [(false, from_client), (true, from_trusted)] {
            let mut headers = map(&[(name, "1"), (name, "2"), HOST]);
            strip_request(&mut headers, &owned(), trusted);
            assert_eq!(
                headers.contains_key(name),
                stays,
                "{name}, trusted: {trusted}"
            );
            assert!(headers.contains_key("host"));
        }
    }
}

#[test]
fn connection_cannot_delete_what_a_trusted_peer_said() {
    let mut headers = map(&[
        ("connection", "X-Forwarded-For, x-request-id, x-a"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-request-id", "7"),
        ("x-a", "1"),
    ]);
    strip_request(&mut headers, &owned(), true);
    assert_eq!(
        lines(&headers),
        [("x-forwarded-for", "1.2.3.4"), ("x-request-id", "7")]
    );
}

#[test]
fn responses() {
    let mut headers = map(&[
        (
            "connection",
            "close, X-Hop, Set-Cookie, Cache-Control, content-length",
        ),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("alt-svc", "h3=\":443\""),
        ("proxy-authenticate", "Basic"),
        ("proxy-status", "cdn; error=x"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("cache-control", "no-store"),
        ("content-length", "5"),
        ("trailer", "x-t"),
        ("x_under", "1"),
    ]);
    strip_response(&mut headers);
    assert_eq!(
        lines(&headers),
        [
            ("cache-control", "no-store"),
            ("content-length", "5"),
            ("proxy-status", "cdn; error=x"),
            ("set-cookie", "a=b"),
            ("set-cookie", "c=d"),
            ("trailer", "x-t"),
            ("x_under", "1"),
        ]
    );
}

#[test]
fn cookies_are_joined() {
    for (crumbs, expected) in [
        (&[][..], None),
        (&["a=b"], Some("a=b")),
        (&["a=b", "c=d; e=f", "g=h"], Some("a=b; c=d; e=f; g=h")),
    ] {
        let mut headers = HeaderMap::new();
        for crumb in crumbs {
            headers.append("cookie", crumb.parse().unwrap());
        }
        join_cookies(&mut headers);
        let values: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(values, expected.as_slice());
    }
}

proptest! {
    #[test]
    fn nothing_of_one_hop_survives(
        sent in proptest::collection::vec((
            prop_oneof!["[a-c]", "x[-_]user[-_]id", "x[-_]forwarded[-_][a-c]", "connection", "te", "upgrade", "keep-alive", "host"],
            prop_oneof!["[a-c](, ?[a-c]){0,2}", "upgrade, host, a", "trailers", "x-forwarded-a"],
        ), 0..10),
        from_trusted: bool,
    ) {
        let mut headers = map(&sent.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>());
        let before = headers.clone();
        strip_request(&mut headers, &owned(), from_trusted);
        for (name, value) in &headers {
            prop_assert!(!matches!(name.as_str(), "connection" | "upgrade" | "keep-alive"));
            prop_assert!(name != "te" || value == "trailers");
            prop_assert_ne!(name.as_str().replace('_', "-"), "x-user-id");
            prop_assert!(from_trusted && !name.as_str().contains('_') || !name.as_str().replace('_', "-").starts_with("x-forwarded"));
            let is_named = elements(&before, header::CONNECTION).any(|option| option == name.as_str().as_bytes());
            prop_assert!(!is_named || name == "host" || name == "te" || name.as_str().starts_with("x-forwarded"), "{}", name);
        }
        prop_assert_eq!(headers.get_all("host").iter().count(), before.get_all("host").iter().count());
        let again = headers.clone();
        strip_request(&mut headers, &owned(), from_trusted);
        prop_assert_eq!(headers, again);
    }
}
