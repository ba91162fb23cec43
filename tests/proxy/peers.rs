//! Who the client is, what backends are told about it and about the way, and what an answer tells of the inside.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderValue;
use tokio::{net::TcpStream, sync::Notify};
use tower_gateway::{
    ForwardAction, ForwardHeaders, Gateway, GatewayBuilder, HostHeader, Route, Upstream,
};

use crate::support::{
    Recorded, Recorder, connect_http2, one_route, raw_backend, read_head, refusing, request,
    request_with, say, send, serve, text, upstream,
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

#[tokio::test]
async fn via_grows_by_the_version_that_the_client_spoke() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = Gateway::builder()
        .name("front")
        .upstream("backend", upstream(backend))
        .route(Route::new("/{*rest}").to("backend"));
    let gateway = serve(gateway.build().unwrap()).await;

    let lines: Lines = &[
        ("via", "1.0 fred, 1.1 p.example"),
        ("via", "2 other (front)"),
    ];
    assert_eq!(send(gateway, request_with("/a", lines)).await.status(), 200);
    assert_eq!(
        recorder.take().header("via"),
        ["1.0 fred, 1.1 p.example", "2 other (front)", "1.1 front"]
    );

    let old = b"GET /a HTTP/1.0\r\nHost: t.example\r\n\r\n";
    assert_eq!(say(gateway, old).await.status(), Some(200));
    assert_eq!(recorder.take().header("via"), ["1.0 front"]);

    let mut asked = request("GET", "http://t.example/a");
    asked.headers_mut().remove("host");
    let answer = connect_http2(gateway)
        .await
        .send_request(asked)
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let seen = recorder.take();
    assert_eq!(seen.header("via"), ["2 front"]);
    assert_eq!(seen.header("x-forwarded-host"), ["t.example"]);
}

#[tokio::test]
async fn a_circle_is_found() {
    let begin = Arc::new(OnceLock::<SocketAddr>::new());
    let back = begin.clone();
    // Connects the gateway to itself.
    let relay = raw_backend(move |_, mut stream| {
        let begin = *back.get().unwrap();
        async move {
            let mut again = TcpStream::connect(begin).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut again).await;
        }
    })
    .await;
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream(relay))).await;
    begin.set(gateway).unwrap();
    let answer = send(gateway, request("GET", "/a")).await;
    assert_eq!(answer.status(), 508);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");

    let (recorder, backend) = Recorder::start().await;
    let named = Gateway::builder()
        .name("front")
        .proxy_status(true)
        .upstream("backend", upstream(backend))
        .route(Route::new("/{*rest}").to("backend"));
    let gateway = serve(named.build().unwrap()).await;
    for (via, status) in [
        ("1.1 Front", 508),
        ("1.1 a, 2 front (x), 1.1 b", 508),
        ("1.1 front-2", 200),
        ("1.1 a (front)", 200),
    ] {
        let answer = send(gateway, request_with("/a", &[("via", via)])).await;
        assert_eq!(answer.status(), status, "{via}");
        let told = answer
            .headers()
            .get("proxy-status")
            .map(HeaderValue::as_bytes);
        assert_eq!(
            told,
            (status == 508).then_some(&b"front; error=proxy_loop_detected"[..])
        );
    }
    assert_eq!(recorder.requests().len(), 2);
}

#[tokio::test]
async fn the_backend_sees_its_own_host_or_the_clients_or_a_fixed_one() {
    let (recorder, backend) = Recorder::start().await;
    for (host, expected) in [
        (HostHeader::Rewrite, backend.to_string()),
        (HostHeader::Keep, "T.example:8080".to_owned()),
        (
            HostHeader::Fixed(HeaderValue::from_static("inner.example")),
            "inner.example".to_owned(),
        ),
    ] {
        let gateway = serve(one_route(
            Route::new("/a"),
            upstream(backend).host(host.clone()),
        ))
        .await;
        for target in ["/a", "http://T.example:8080/a"] {
            let raw = format!(
                "GET {target} HTTP/1.1\r\nHost: T.example:8080\r\nConnection: close\r\n\r\n"
            );
            assert_eq!(say(gateway, raw.as_bytes()).await.status(), Some(200));
            let seen = recorder.take();
            assert_eq!(seen.header("host"), [&expected], "{host:?} {target}");
            assert_eq!(seen.header("x-forwarded-host"), ["T.example:8080"]);
            assert_eq!(seen.target(), "/a");
        }
    }
}

#[tokio::test]
async fn proxy_status_says_what_went_wrong_and_nothing_of_the_inside() {
    let (_kept, refuses) = refusing();
    let stalls = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let babbles = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"secret-babble\r\n\r\n").await;
    })
    .await;
    let leaves = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let taken = Arc::new(Notify::new());
    let tell = taken.clone();
    let holds = raw_backend(move |_, mut stream| {
        let tell = tell.clone();
        async move {
            read_head(&mut stream).await;
            tell.notify_one();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let limit = Duration::from_millis(50);
    let port = |address: SocketAddr| address.port().to_string();
    let nameless = Upstream::http(["http://inner.secret-name.test"]).unwrap();
    let nameless = nameless.resolver(|_| async { Err(std::io::Error::other("secret-resolver")) });
    let full = upstream(holds)
        .max_connections(1)
        .waiting(0, Duration::from_secs(1));
    let cases = [
        (
            "/refuses",
            upstream(refuses),
            502,
            "connection_refused",
            port(refuses),
        ),
        ("/nameless", nameless, 502, "dns_error", "secret".to_owned()),
        (
            "/babbles",
            upstream(babbles),
            502,
            "http_protocol_error",
            port(babbles),
        ),
        (
            "/leaves",
            upstream(leaves),
            502,
            "http_response_incomplete",
            port(leaves),
        ),
        ("/full", full, 503, "connection_limit_reached", port(holds)),
        (
            "/stalls",
            upstream(stalls).head_timeout(limit),
            504,
            "http_response_timeout",
            port(stalls),
        ),
        (
            "/late",
            upstream(stalls).timeout(limit),
            504,
            "http_response_timeout",
            port(stalls),
        ),
    ];
    for told in [true, false] {
        let mut gateway = Gateway::builder().name("front").proxy_status(told);
        for (path, upstream, ..) in &cases {
            let name = format!("secret-upstream{}", path.replace('/', "-"));
            gateway = gateway
                .upstream(&name, upstream.clone())
                .route(Route::new(*path).name("secret-route").to(&name));
        }
        let gateway = serve(gateway.build().unwrap()).await;
        // Takes the only connection, and keeps it.
        let held = tokio::spawn(async move { send(gateway, request("GET", "/full")).await });
        taken.notified().await;
        for (path, _, status, error, secret) in &cases {
            let answer = send(gateway, request("GET", path)).await;
            assert_eq!(answer.status(), *status, "{path}");
            let header = answer.headers().get("proxy-status").cloned();
            let expected = format!("front; error={error}");
            assert_eq!(header, told.then(|| expected.parse().unwrap()), "{path}");
            let shown = format!("{:?}", answer.headers());
            let shown = shown + &text(answer).await;
            for secret in [
                secret.as_str(),
                "127.0.0.1",
                "secret",
                "refused)",
                "os error",
            ] {
                assert!(!shown.contains(secret), "{path} shows {secret}: {shown}");
            }
        }
        let answer = send(gateway, request("GET", "/nowhere")).await;
        assert_eq!(answer.headers().contains_key("proxy-status"), told);
        held.abort();
    }
}
