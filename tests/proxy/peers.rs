//! Who the client is, and what backends are told about it.

use std::net::SocketAddr;

use tower_gateway::{ForwardAction, ForwardHeaders, Gateway, GatewayBuilder, Route};

use crate::support::{
    Recorded, Recorder, connect_http2, one_route, request_with, say, send, serve, upstream,
};

type Lines = &'static [(&'static str, &'static str)];

/// What a recorder behind a gateway with these settings gets of a request.
async fn seen(settings: impl FnOnce(GatewayBuilder) -> GatewayBuilder, lines: Lines) -> Recorded {
    let (recorder, backend) = Recorder::start().await;
    let gateway = Gateway::builder()
        .name("front")
        .upstream("backend", upstream(backend))
        .route(Route::new("/{*rest}").to("backend"));
    let gateway = serve(settings(gateway).build().unwrap()).await;
    assert_eq!(send(gateway, request_with("/a", lines)).await.status(), 200);
    recorder.take()
}

#[tokio::test]
async fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
    const NEAR: &str = "127.0.0.0/8";
    for (trusted, lines, client) in [
        (&[][..], &[][..], "127.0.0.1"),
        (&[], &[("x-forwarded-for", "6.6.6.6")], "127.0.0.1"),
        (
            &["192.0.2.0/24"],
            &[("x-forwarded-for", "6.6.6.6, 192.0.2.1")],
            "127.0.0.1",
        ),
        (&[NEAR], &[], "127.0.0.1"),
        (
            &[NEAR],
            &[("x-forwarded-for", "203.0.113.7")],
            "203.0.113.7",
        ),
        (
            &[NEAR],
            &[("x-forwarded-for", "6.6.6.6, 203.0.113.7")],
            "203.0.113.7",
        ),
        (
            &[NEAR, "10.0.0.0/8"],
            &[("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.2")],
            "203.0.113.7",
        ),
        (
            &[NEAR, "10.0.0.0/8"],
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "203.0.113.7"),
                ("x-forwarded-for", "10.0.0.2"),
            ],
            "203.0.113.7",
        ),
        (
            &[NEAR, "10.0.0.0/8"],
            &[("x-forwarded-for", "203.0.113.7, unknown, 10.0.0.2")],
            "10.0.0.2",
        ),
        (
            &[NEAR, "10.0.0.0/8"],
            &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")],
            "10.0.0.3",
        ),
        (
            &[NEAR],
            &[("x-forwarded-for", "203.0.113.7:4711")],
            "203.0.113.7",
        ),
        (
            &[NEAR],
            &[("x-forwarded-for", "[2001:db8::1]:4711")],
            "2001:db8::1",
        ),
        (
            &["::ffff:127.0.0.1"],
            &[("x-forwarded-for", "::ffff:203.0.113.7")],
            "203.0.113.7",
        ),
        // `Forwarded` is not what this gateway was told to read.
        (&[NEAR], &[("forwarded", "for=203.0.113.7")], "127.0.0.1"),
    ] {
        let seen = seen(
            |gateway| gateway.trust_proxies(trusted.iter().copied()),
            lines,
        )
        .await;
        assert_eq!(
            seen.header("x-forwarded-for"),
            [client],
            "{trusted:?} {lines:?}"
        );
    }
}

#[tokio::test]
async fn the_forwarded_field_is_read_when_asked() {
    for (lines, client, proto, host) in [
        (
            &[(
                "forwarded",
                "for=6.6.6.6, for=\"[2001:db8::1]:4711\";proto=https;host=\"shop.example\"",
            )][..],
            "2001:db8::1",
            "https",
            "shop.example",
        ),
        (
            &[
                ("forwarded", "for=6.6.6.6"),
                ("forwarded", "For=203.0.113.7;by=_x"),
            ],
            "203.0.113.7",
            "http",
            "t.example",
        ),
        (
            &[("forwarded", "for=unknown")],
            "127.0.0.1",
            "http",
            "t.example",
        ),
        (
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-proto", "https"),
            ],
            "127.0.0.1",
            "http",
            "t.example",
        ),
    ] {
        let trusting =
            |gateway: GatewayBuilder| gateway.trust_proxies(["127.0.0.1"]).read_forwarded();
        let seen = seen(trusting, lines).await;
        assert_eq!(seen.header("x-forwarded-for"), [client], "{lines:?}");
        assert_eq!(seen.header("x-forwarded-proto"), [proto], "{lines:?}");
        assert_eq!(seen.header("x-forwarded-host"), [host], "{lines:?}");
    }
}

#[tokio::test]
async fn scheme_and_host_are_believed_from_trusted_peers() {
    let lines: Lines = &[
        ("x-forwarded-proto", "http, https"),
        ("x-forwarded-host", "shop.example:8443"),
        ("x-forwarded-prefix", "/forged"),
        ("x-forwarded-anything", "1"),
        ("x-real-ip", "6.6.6.6"),
    ];
    let believed = seen(|gateway| gateway.trust_proxies(["127.0.0.1"]), lines).await;
    for (name, values) in [
        ("x-forwarded-proto", &["https"][..]),
        ("x-forwarded-host", &["shop.example:8443"]),
        ("x-forwarded-prefix", &[]),
        ("x-forwarded-anything", &["1"]),
        ("x-real-ip", &["6.6.6.6"]),
    ] {
        assert_eq!(believed.header(name), values, "{name}");
    }
    let dropped = seen(|gateway| gateway, lines).await;
    for (name, values) in [
        ("x-forwarded-proto", &["http"][..]),
        ("x-forwarded-host", &["t.example"]),
        ("x-forwarded-prefix", &[]),
        ("x-forwarded-anything", &[]),
        ("x-real-ip", &[]),
    ] {
        assert_eq!(dropped.header(name), values, "{name}");
    }
    let encrypted = seen(|gateway| gateway.is_tls(|_| true), &[]).await;
    assert_eq!(encrypted.header("x-forwarded-proto"), ["https"]);
}

#[tokio::test]
async fn the_scheme_that_a_request_claims_is_not_believed() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = serve(one_route(Route::new("/a"), upstream(backend))).await;
    say(
        gateway,
        b"GET https://t.example/a HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(recorder.take().header("x-forwarded-proto"), ["http"]);
    let mut client = connect_http2(gateway).await;
    let request = http::Request::get("https://t.example/a");
    let request = request.body(http_body_util::Full::default()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
    assert_eq!(recorder.take().header("x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn routes_see_the_host_that_a_trusted_peer_reports() {
    let (recorder, backend) = Recorder::start().await;
    for (trusted, status) in [(Some("127.0.0.1"), 200), (None, 404)] {
        let gateway = Gateway::builder()
            .upstream("backend", upstream(backend))
            .route(Route::new("/a").host("shop.example").to("backend"))
            .trust_proxies(trusted);
        let gateway = serve(gateway.build().unwrap()).await;
        let asked = request_with("/a", &[("x-forwarded-host", "shop.example")]);
        assert_eq!(send(gateway, asked).await.status(), status, "{trusted:?}");
    }
    assert_eq!(recorder.requests().len(), 1);
}

#[tokio::test]
async fn the_peer_comes_from_where_the_server_puts_it() {
    let elsewhere: SocketAddr = "[2001:db8::7]:9".parse().unwrap();
    let seen = seen(
        move |gateway| gateway.peer_addr(move |_| Some(elsewhere)),
        &[],
    )
    .await;
    assert_eq!(seen.header("x-forwarded-for"), ["2001:db8::7"]);
}

#[tokio::test]
async fn each_forwarded_field_is_set_appended_removed_or_left() {
    use ForwardAction::{Append, Off, Remove, Set};
    let lines: Lines = &[
        ("x-forwarded-for", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
    ];
    let forward = ForwardHeaders::new();
    for (forward, client, forwarded) in [
        (forward, &["203.0.113.7"][..], &["for=203.0.113.7"][..]),
        (
            forward.x_forwarded_for(Append).forwarded(Append),
            &["203.0.113.7", "127.0.0.1"],
            &[
                "for=203.0.113.7",
                "proto=http;host=\"t.example\";for=127.0.0.1",
            ],
        ),
        (
            forward.x_forwarded_for(Remove).forwarded(Set),
            &[],
            &["proto=http;host=\"t.example\";for=203.0.113.7"],
        ),
        (
            forward.x_forwarded_for(Off).forwarded(Remove),
            &["203.0.113.7"],
            &[],
        ),
    ] {
        let settings = |gateway: GatewayBuilder| {
            gateway
                .trust_proxies(["127.0.0.1"])
                .forward_headers(forward)
        };
        let seen = seen(settings, lines).await;
        assert_eq!(seen.header("x-forwarded-for"), client, "{forward:?}");
        assert_eq!(seen.header("forwarded"), forwarded, "{forward:?}");
    }
}

#[tokio::test]
async fn an_ipv6_address_is_quoted_in_forwarded() {
    let forward = ForwardHeaders::new().forwarded(ForwardAction::Set);
    let peer: SocketAddr = "[2001:db8::1]:4711".parse().unwrap();
    let settings = |gateway: GatewayBuilder| {
        gateway
            .peer_addr(move |_| Some(peer))
            .forward_headers(forward)
    };
    let lines: Lines = &[("forwarded", "for=6.6.6.6")];
    let seen = seen(settings, lines).await;
    assert_eq!(
        seen.header("forwarded"),
        ["proto=http;host=\"t.example\";for=\"[2001:db8::1]\""]
    );
}
