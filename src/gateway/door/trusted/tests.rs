use proptest::prelude::*;

use super::*;

fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, line.parse().unwrap());
    }
    headers
}

fn trusted() -> TrustedProxies {
    TrustedProxies::new([
        "10.0.0.0/8",
        "fd00::/8",
        "192.0.2.1",
        "::ffff:172.16.0.0/108",
    ])
    .unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    for (peer, lines, client) in [
        // An untrusted peer is the client (CVE-2025-41235).
        ("203.0.113.1", &["10.0.0.2"][..], "203.0.113.1"),
        ("203.0.113.1", &[], "203.0.113.1"),
        ("::ffff:203.0.113.1", &["1.1.1.1"], "203.0.113.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, 2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", &["1.1.1.1", "2.2.2.2"], "2.2.2.2"),
        (
            "10.0.0.1",
            &["1.1.1.1,2.2.2.2,10.0.0.2\t,10.0.0.3"],
            "2.2.2.2",
        ),
        ("10.0.0.1", &["1.1.1.1, 2.2.2.2", "10.0.0.2"], "2.2.2.2"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("::ffff:10.0.0.1", &["2.2.2.2"], "2.2.2.2"),
        ("172.16.3.4", &["2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", &["2.2.2.2, ::ffff:10.0.0.2"], "2.2.2.2"),
        ("10.0.0.1", &["2.2.2.2, fd00::1"], "2.2.2.2"),
        ("192.0.2.1", &["2001:db8::7"], "2001:db8::7"),
        ("192.0.2.2", &["2001:db8::7"], "192.0.2.2"),
        // Ports and brackets, as some proxies write them.
        ("10.0.0.1", &["2.2.2.2:4711"], "2.2.2.2"),
        ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
        // A malformed element ends the walk; an empty one is none.
        ("10.0.0.1", &["2.2.2.2, x"], "10.0.0.1"),
        ("10.0.0.1", &["2.2.2.2, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["2.2.2.2, 10.0.0.02"], "10.0.0.1"),
        ("10.0.0.1", &["2.2.2.2, 10.0.0.2 10.0.0.3"], "10.0.0.1"),
        ("10.0.0.1", &["2.2.2.2, fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", &["2.2.2.2,, ,", ""], "2.2.2.2"),
        ("10.0.0.1", &["\"2.2.2.2"], "10.0.0.1"),
    ] {
        let headers = headers("x-forwarded-for", lines);
        assert_eq!(
            trusted().client_addr(ip(peer), &headers),
            ip(client),
            "{peer} {lines:?}"
        );
    }
}

#[test]
fn forwarded_is_walked_from_the_right() {
    for (lines, client) in [
        (&["for=2.2.2.2"][..], "2.2.2.2"),
        (&["For=\"2.2.2.2:80\";proto=http, for=10.0.0.2"], "2.2.2.2"),
        (
            &[
                "for=1.1.1.1, for=2.2.2.2",
                "by=_x; FOR=10.0.0.2 ; host=\"a,b;for=3.3.3.3\"",
            ],
            "2.2.2.2",
        ),
        (&["for=\"[2001:db8::7]\""], "2001:db8::7"),
        (&["for=\"[2001:db8::7]:_p\""], "2001:db8::7"),
        (&["for=\"[::ffff:2.2.2.2]\""], "2.2.2.2"),
        // A quote left open by the client does not swallow what the proxy wrote.
        (&["for=\"_evil, for=2.2.2.2"], "2.2.2.2"),
        (&["for=1.1.1.1;x=\"\\\", for=2.2.2.2"], "2.2.2.2"),
        (
            &["for=1.1.1.1;x=\"a\\\"b,c\", for=\"10.0.0.2\""],
            "10.0.0.2",
        ),
        (&[r#"x="\";for=6.6.6.6;y=\"""#], "10.0.0.1"),
        (&[r#"for=6.6.6.6, x="a,\"b";for=10.0.0.2"#], "10.0.0.1"),
        // No address, or more than one reading: the walk ends.
        (&["for=unknown"], "10.0.0.1"),
        (&["for=_hidden"], "10.0.0.1"),
        (&["proto=https"], "10.0.0.1"),
        (&["for=2.2.2.2;for=3.3.3.3"], "10.0.0.1"),
        (&["for=2001:db8::7"], "10.0.0.1"),
        (&["for=\"2001:db8::7\""], "10.0.0.1"),
        (&["for=\"[2.2.2.2]\""], "10.0.0.1"),
        (&["for=\"2.2.2.2:x\""], "10.0.0.1"),
        (&["for=\"2.2.2.2:\""], "10.0.0.1"),
        (&["for=\"[2001:db8::7]x\""], "10.0.0.1"),
        (&["for=\"2.2.2.2\"x"], "10.0.0.1"),
        (&["for=\"2.2.2.\\2\""], "10.0.0.1"),
        (&["2.2.2.2"], "10.0.0.1"),
        (&["for="], "10.0.0.1"),
    ] {
        let headers = headers("forwarded", lines);
        let trusted = trusted().read_forwarded(true);
        assert_eq!(
            trusted.client_addr(ip("10.0.0.1"), &headers),
            ip(client),
            "{lines:?}"
        );
        assert_eq!(trusted.client_addr(ip("9.9.9.9"), &headers), ip("9.9.9.9"));
    }
}

#[test]
fn one_kind_of_field_is_read() {
    let mut headers = headers("forwarded", &["for=1.1.1.1;proto=https;host=a"]);
    headers.insert("x-forwarded-for", "2.2.2.2".parse().unwrap());
    headers.insert("x-forwarded-proto", "http".parse().unwrap());
    headers.insert("x-forwarded-host", "b".parse().unwrap());
    let peer = ip("10.0.0.1");
    for (forwarded, client, scheme, host) in [
        (true, "1.1.1.1", "https", "a"),
        (false, "2.2.2.2", "http", "b"),
    ] {
        let trusted = trusted().read_forwarded(forwarded);
        assert_eq!(trusted.client_addr(peer, &headers), ip(client));
        assert_eq!(trusted.scheme(peer, &headers), Some(scheme));
        assert_eq!(trusted.host(peer, &headers).map(|at| at.host()), Some(host));
        assert_eq!(
            trusted.scheme(ip("::ffff:10.0.0.1"), &headers),
            Some(scheme)
        );
        assert_eq!(trusted.scheme(ip("9.9.9.9"), &headers), None);
        assert!(trusted.host(ip("9.9.9.9"), &headers).is_none());
    }
}

#[test]
fn scheme_and_host_are_the_last_element() {
    let peer = ip("10.0.0.1");
    for (lines, scheme) in [
        (&["HTTPS"][..], Some("https")),
        (&["https, http"], Some("http")),
        (&["http", "https"], Some("https")),
        (&["https, gopher"], None),
        (&[""], None),
        (&[], None),
    ] {
        let headers = headers("x-forwarded-proto", lines);
        assert_eq!(trusted().scheme(peer, &headers), scheme, "{lines:?}");
    }
    for (lines, host) in [
        (&["a.example:8443"][..], Some("a.example:8443")),
        (&["evil.example, a.example"], Some("a.example")),
        (&["a.example/x"], None),
    ] {
        let headers = headers("x-forwarded-host", lines);
        assert_eq!(
            trusted().host(peer, &headers).map(|at| at.as_str()),
            host,
            "{lines:?}"
        );
    }
}

#[test]
fn the_walk_is_bounded() {
    let list = |hops| format!("2.2.2.2{}", ",10.0.0.2".repeat(hops));
    let at = |hops: usize| {
        trusted().client_addr(ip("10.0.0.1"), &headers("x-forwarded-for", &[&list(hops)]))
    };
    assert_eq!(at(TrustedProxies::MAX_HOPS - 1), ip("2.2.2.2"));
    assert_eq!(at(TrustedProxies::MAX_HOPS), ip("10.0.0.2"));
}

#[test]
fn a_wrong_network_is_named() {
    for text in ["", "10.0.0.0/33", "proxy.example", "10.0.0/8"] {
        let error = TrustedProxies::new(["10.0.0.1", text]).unwrap_err();
        let [error] = &error[..] else {
            panic!("{error:?}")
        };
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
    assert!(!TrustedProxies::default().contains(ip("127.0.0.1")));
}

proptest! {
    /// Whatever stands at the left, the proxy's own element at the right decides.
    #[test]
    fn a_client_cannot_forge_its_address(evil in "[ -~]{0,40}", other in "[0-9a-z=:;,\" \\\\\\[\\]]{0,30}") {
        for (name, forwarded, own) in [("x-forwarded-for", false, "2.2.2.2"), ("forwarded", true, "for=2.2.2.2;x=\"a,b\"")] {
            let trusted = trusted().read_forwarded(forwarded);
            let headers = headers(name, &[&other, &format!("{evil},{own}")]);
            prop_assert_eq!(trusted.client_addr(ip("10.0.0.1"), &headers), ip("2.2.2.2"));
        }
    }

    #[test]
    fn the_client_is_the_peer_or_was_named(peer: std::net::Ipv4Addr, list in "[0-9., ]{0,40}") {
        let headers = headers("x-forwarded-for", &[&list]);
        let everyone = TrustedProxies::new(["0.0.0.0/0"]).unwrap();
        let client = everyone.client_addr(peer.into(), &headers);
        prop_assert!(client == peer || list.contains(&client.to_string()));
        prop_assert_eq!(TrustedProxies::default().client_addr(peer.into(), &headers), peer);
    }
}
