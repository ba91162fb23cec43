//! Timeouts, caps, and what `build` refuses.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tower_gateway::{Gateway, Route, Upstream};

use crate::support;

async fn gateway(upstream: Upstream) -> std::net::SocketAddr {
    let gateway = Gateway::builder()
        .upstream("backend", upstream)
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .unwrap();
    support::serve(gateway).await
}

/// A backend that reads a request head and then says this much and no more.
async fn stalls_after(said: &'static str) -> std::net::SocketAddr {
    support::raw_backend(move |_, mut stream| async move {
        support::read_head(&mut stream).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_backend_without_an_answer_is_a_504() {
    let backend = stalls_after("").await;
    let upstream = || Upstream::http([format!("http://{backend}")]);
    let limit = Duration::from_millis(50);
    let whole = Gateway::builder()
        .upstream("backend", upstream())
        .route(Route::new("/{*rest}").to("backend").timeout(limit))
        .build()
        .unwrap();
    for address in [
        gateway(upstream().head_timeout(limit)).await,
        gateway(upstream().activity_timeout(limit)).await,
        gateway(upstream().timeout(limit)).await,
        support::serve(whole).await,
    ] {
        let answer = support::send(address, support::request("GET", "/a")).await;
        assert_eq!(answer.status(), 504);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_backend_that_falls_silent_breaks_the_body() {
    use http_body_util::BodyExt;
    let backend = stalls_after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    let upstream = Upstream::http([format!("http://{backend}")]);
    let address = gateway(upstream.activity_timeout(Duration::from_millis(500))).await;
    let answer = support::send(address, support::request("GET", "/a")).await;
    assert_eq!(answer.status(), 200);
    answer
        .into_body()
        .collect()
        .await
        .expect_err("half a body is no body");
}

#[tokio::test]
async fn over_the_cap_there_is_a_503() {
    let backend = stalls_after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    let upstream = Upstream::http([format!("http://{backend}")]);
    let address = gateway(
        upstream
            .max_connections(1)
            .waiting(0, Duration::from_secs(1)),
    )
    .await;
    let held = support::send(address, support::request("GET", "/a")).await;
    assert_eq!(held.status(), 200);
    let refused = support::send(address, support::request("GET", "/a")).await;
    assert_eq!(refused.status(), 503);
}

#[tokio::test]
#[cfg(unix)]
async fn a_unix_socket_is_a_backend() {
    let folder = std::env::temp_dir().join(format!("tower-gateway-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("backend.sock");
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let app = axum::Router::new().route("/a", axum::routing::get(|| async { "from a socket" }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let address = gateway(Upstream::http([format!("unix:{}", path.display())])).await;
    let answer = support::send(address, support::request("GET", "/a")).await;
    assert_eq!(support::text(answer).await, "from a socket");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
#[cfg(all(feature = "cors", feature = "catch-panic"))]
async fn the_outer_layers_are_at_their_places() {
    use axum::routing::{get, post};
    use tower_http::cors::{Any, CorsLayer};
    let app = axum::Router::new()
        .route("/echo", post(|body: String| async move { body }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        );
    let gateway = Gateway::builder()
        .upstream("app", Upstream::service(app))
        .route(Route::new("/{*rest}").to("app"))
        .catch_panic()
        .cors(CorsLayer::new().allow_origin(Any))
        .body_limit(4)
        .build()
        .unwrap();
    let address = support::serve(gateway).await;
    let with_body = |size: usize| {
        let mut request = support::request("POST", "/echo");
        *request.body_mut() = http_body_util::Full::new(vec![b'x'; size].into());
        request
    };
    assert_eq!(support::send(address, with_body(4)).await.status(), 200);
    assert_eq!(support::send(address, with_body(5)).await.status(), 413);
    assert_eq!(
        support::send(address, support::request("GET", "/panic"))
            .await
            .status(),
        500
    );
    let refused = support::send(address, support::request("GET", "/%zz")).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(
        refused.headers()["access-control-allow-origin"],
        "*",
        "refusals are for browsers too"
    );
}

#[tokio::test]
async fn the_longest_limit_is_none_and_a_get_keeps_its_body() {
    let app =
        axum::Router::new().route("/a", axum::routing::any(|body: String| async move { body }));
    let backend = support::axum_backend(app).await;
    let upstream = Upstream::http([format!("http://{backend}")]);
    let upstream = upstream
        .activity_timeout(Duration::MAX)
        .head_timeout(Duration::MAX)
        .timeout(Duration::MAX);
    let address = gateway(upstream).await;
    let raw = b"GET /a HTTP/1.1\r\nHost: t.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let heard = support::say(address, raw).await;
    assert_eq!(heard.status(), Some(200));
    assert!(
        heard.bytes.ends_with(b"hello"),
        "{}",
        String::from_utf8_lossy(&heard.bytes)
    );
}

#[tokio::test]
async fn the_heads_time_begins_when_the_body_is_sent() {
    let backend = stalls_after("").await;
    let upstream = Upstream::http([format!("http://{backend}")]);
    let address = gateway(upstream.head_timeout(Duration::from_millis(50))).await;
    let mut request = support::request("POST", "/a");
    *request.body_mut() = http_body_util::Full::new("hello".into());
    assert_eq!(support::send(address, request).await.status(), 504);
}

#[tokio::test]
async fn a_slow_body_is_no_late_answer() {
    use tokio::io::AsyncReadExt;
    let half = std::sync::Arc::new(tokio::sync::Notify::new());
    let arrived = half.clone();
    let backend = support::raw_backend(move |_, mut stream| {
        let arrived = arrived.clone();
        async move {
            if support::read_head(&mut stream).await.starts_with("GET") {
                return std::future::pending().await;
            }
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            arrived.notify_one();
            stream.read_exact(&mut body).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let upstream = Upstream::http([format!("http://{backend}")]);
    let address = gateway(upstream.head_timeout(Duration::from_millis(200))).await;
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = b"POST /a HTTP/1.1\r\nHost: t.example\r\nContent-Length: 10\r\n\r\nhello";
    slow.write_all(head).await.unwrap();
    half.notified().await;
    // One whole limit passes while the body is on its way.
    let other = support::send(address, support::request("GET", "/b")).await;
    assert_eq!(other.status(), 504);
    slow.write_all(b"world").await.unwrap();
    let answer = support::read_head(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_prefix_is_told_only_when_it_shall_be() {
    use tower_gateway::{ForwardAction, ForwardHeaders};
    let app = axum::Router::new().fallback(|headers: http::HeaderMap| async move {
        headers.contains_key("x-forwarded-prefix").to_string()
    });
    for (action, told) in [
        (ForwardAction::Set, "true"),
        (ForwardAction::Remove, "false"),
    ] {
        let gateway = Gateway::builder()
            .upstream("app", Upstream::service(app.clone()))
            .route(Route::new("/api/{*rest}").to("app").strip_prefix("/api"))
            .forward_headers(ForwardHeaders::new().x_forwarded_prefix(action))
            .build()
            .unwrap();
        let answer = support::send(
            support::serve(gateway).await,
            support::request("GET", "/api/a"),
        )
        .await;
        assert_eq!(support::text(answer).await, told);
    }
}
