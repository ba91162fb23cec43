//! What the gateway says of the way: to backends and the gateways behind it, and to clients when it went wrong.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::Router;
use http::{HeaderMap, HeaderValue, Uri};
use tokio::{net::TcpStream, sync::Notify};
use tower_gateway::{Gateway, HostHeader, Route, Upstream};

use crate::support::{
    Recorder, axum_backend, connect_http2, one_route, raw_backend, read_head, refusing, request,
    request_to, request_with, say, send, serve, text, upstream,
};

#[tokio::test]
async fn via_grows_by_the_version_that_the_client_spoke() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = Gateway::builder()
        .name("front")
        .upstream("backend", upstream(backend))
        .route(Route::new("/{*rest}").to("backend"));
    let gateway = serve(gateway.build().unwrap()).await;

    let lines: &[(&str, &str)] = &[
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
async fn an_http2_backend_sees_it_as_authority_and_in_no_host() {
    let says = Router::new().fallback(|uri: Uri, headers: HeaderMap| async move {
        let authority = uri.authority().map(ToString::to_string);
        format!("{authority:?} {:?}", headers.get("host"))
    });
    let backend = axum_backend(says).await;
    for (host, expected) in [
        (HostHeader::Rewrite, backend.to_string()),
        (HostHeader::Keep, "T.example:8080".to_owned()),
        (
            HostHeader::Fixed(HeaderValue::from_static("inner.example")),
            "inner.example".to_owned(),
        ),
    ] {
        let upstream = upstream(backend).http2_only().host(host.clone());
        let gateway = serve(one_route(Route::new("/a"), upstream)).await;
        let by_http1 = send(gateway, request_to("T.example:8080", "GET", "/a")).await;
        let mut asked = request("GET", "http://T.example:8080/a");
        asked.headers_mut().remove("host");
        let by_http2 = connect_http2(gateway).await.send_request(asked).await;
        for answer in [by_http1, by_http2.unwrap()] {
            let (version, told) = (answer.version(), text(answer).await);
            let expected = format!("{:?} None", Some(&expected));
            assert_eq!(told, expected, "{host:?} {version:?}");
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
    let nameless = Upstream::http(["http://inner.secret-name.test"]);
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
