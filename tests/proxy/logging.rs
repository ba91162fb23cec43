//! The access log, request ids and traces of a served gateway.
#![cfg(feature = "tracing")]

pub mod capture;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use http::{HeaderName, StatusCode};
use http_body_util::BodyExt;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify};
use tower_gateway::{Gateway, ObserveLayer, Route, Upstream};
use tracing::Level;

use crate::support::{
    Recorder, axum_backend, in_front_of, raw_backend, read_head, refusing, request, request_with,
    say, send, serve, text, upstream,
};
use capture::Log;

#[tokio::test]
async fn an_answer_is_logged_with_all_that_is_known_of_it() {
    let log = Log::start();
    let (recorder, backend) = Recorder::start().await;
    let gateway = Gateway::builder()
        .upstream("orders", upstream(backend))
        .route(Route::get("/orders/{id}").name("order").to("orders"));
    let gateway = serve(gateway.build().unwrap()).await;
    let answer = send(gateway, request("GET", "/orders/./7?page=2")).await;
    let id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(text(answer).await, "ok");
    let access = log.next().await;
    let seen = recorder.take();
    let [parent] = seen.header("traceparent")[..] else {
        panic!("{}", seen.head)
    };
    assert_eq!(access.level, Level::INFO);
    let endpoint = format!("http://{backend}");
    for (field, value) in [
        ("method", "GET"),
        ("path", "/orders/./7"),
        ("route", "order"),
        ("upstream", "orders"),
        ("endpoint", &endpoint),
        ("status", "200"),
        ("bytes", "2"),
        ("tries", "1"),
        ("outcome", "ok"),
        ("request_id", &id),
        ("trace_id", &parent[3..35]),
    ] {
        assert_eq!(access.get(field), value, "{field}");
    }
    assert_eq!(seen.header("x-request-id"), [&id]);
    let millis = |field| access.get(field).parse::<f64>().unwrap();
    assert!(
        0.0 < millis("head_ms") && millis("head_ms") <= millis("total_ms"),
        "{access:?}"
    );
    for field in ["rejection", "origin", "error"] {
        assert!(!access.fields.contains_key(field), "{access:?}");
    }
    let kept = log.kept();
    let [span] = &kept.spans[..] else {
        panic!("{:?}", kept.spans)
    };
    assert_eq!((&*span["method"], &*span["request_id"]), ("GET", &*id));
}

#[tokio::test]
async fn each_end_has_its_outcome() {
    let log = Log::start();
    let (_kept, refuses) = refusing();
    let stalls = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let fails = Router::new().fallback(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "sorry") });
    let error = tower::service_fn(|_: http::Request<tower_gateway::Body>| async {
        Err::<http::Response<tower_gateway::Body>, _>(std::io::Error::other("broken inside"))
    });
    let limit = Duration::from_millis(20);
    let gateway = Gateway::builder()
        .upstream("refuses", upstream(refuses))
        .upstream("stalls", upstream(stalls).head_timeout(limit))
        .upstream("fails", upstream(axum_backend(fails).await))
        .upstream("error", Upstream::service(error))
        .route(Route::new("/refuses").to("refuses"))
        .route(Route::new("/stalls").to("stalls"))
        .route(
            Route::new("/deadline")
                .to("stalls")
                .timeout(Duration::from_millis(10)),
        )
        .route(Route::new("/fails").to("fails"))
        .route(Route::new("/error").to("error"))
        .route(Route::post("/post").to("fails"));
    let gateway = serve(gateway.build().unwrap()).await;
    for (method, path, verdict, upstream, level) in [
        ("GET", "/fails", ["500", "ok", "", ""], "fails", Level::INFO),
        (
            "HEAD",
            "/fails",
            ["500", "ok", "", ""],
            "fails",
            Level::INFO,
        ),
        (
            "GET",
            "/nowhere",
            ["404", "rejected", "RouteNotFound", "client"],
            "",
            Level::INFO,
        ),
        (
            "GET",
            "/post",
            ["405", "rejected", "MethodNotAllowed", "client"],
            "",
            Level::INFO,
        ),
        (
            "GET",
            "/%zz",
            ["400", "rejected", "BadRequest", "client"],
            "",
            Level::INFO,
        ),
        (
            "GET",
            "/refuses",
            ["502", "upstream_error", "Connect", "upstream"],
            "refuses",
            Level::WARN,
        ),
        (
            "GET",
            "/stalls",
            ["504", "upstream_error", "Timeout", "upstream"],
            "stalls",
            Level::WARN,
        ),
        (
            "GET",
            "/deadline",
            ["504", "rejected", "Deadline", "gateway"],
            "stalls",
            Level::WARN,
        ),
        (
            "GET",
            "/error",
            ["500", "rejected", "Internal", "gateway"],
            "error",
            Level::WARN,
        ),
    ] {
        let answer = send(gateway, request(method, path)).await;
        assert_eq!(answer.status().as_str(), verdict[0], "{path}");
        let length = text(answer).await.len();
        let access = log.next().await;
        assert_eq!(access.verdict(), verdict, "{path}");
        assert_eq!(access.get("upstream"), upstream, "{path}");
        assert_eq!(access.level, level, "{path}");
        assert_eq!(access.get("bytes"), length.to_string(), "{path}");
        assert_eq!(
            access.get("tries"),
            if upstream.is_empty() { "0" } else { "1" },
            "{path}"
        );
        assert_eq!(
            access.fields.contains_key("error"),
            verdict[1] != "ok",
            "{access:?}"
        );
    }
}

#[tokio::test]
async fn clones_of_an_upstream_share_connections_and_are_logged_under_their_own_names() {
    let log = Log::start();
    let backend = raw_backend(|number, mut stream| async move {
        while stream.peek(&mut [0]).await.is_ok_and(|length| length > 0) {
            read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let inside = Upstream::service(Router::new().fallback(async || "0"));
    let again = tower::layer::layer_fn(|inner: tower_gateway::Next| inner);
    let mut gateway = Gateway::builder();
    for (name, upstream) in [
        ("plain", upstream(backend)),
        ("layered", upstream(backend).layer(again)),
        ("inside", inside),
    ] {
        for name in [format!("{name}-1"), format!("{name}-2")] {
            let route = Route::new(format!("/{name}")).to(&name);
            gateway = gateway.upstream(&name, upstream.clone()).route(route);
        }
    }
    let gateway = serve(gateway.build().unwrap()).await;
    let mut said = String::new();
    for name in ["plain", "layered", "inside"] {
        for name in [format!("{name}-1"), format!("{name}-2")] {
            said += &text(send(gateway, request("GET", &format!("/{name}"))).await).await;
            assert_eq!(log.next().await.get("upstream"), name);
        }
    }
    assert_eq!(said, "001100", "connections");
}

/// A backend that says this much, tells that it has, and when it shall resets the connection.
async fn breaks_after(said: &'static str) -> (SocketAddr, Arc<Notify>, Arc<Notify>) {
    let (told, reset) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let shared = (told.clone(), reset.clone());
    let backend = raw_backend(move |_, mut stream| {
        let (told, reset) = shared.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            told.notify_one();
            reset.notified().await;
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    })
    .await;
    (backend, told, reset)
}

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";

#[tokio::test]
async fn a_client_that_leaves_is_logged() {
    for (said, verdict, bytes) in [
        ("", ["499", "client_gone", "", ""], "0"),
        (HALF, ["200", "client_gone", "", ""], "4"),
    ] {
        let log = Log::start();
        let (backend, told, _reset) = breaks_after(said).await;
        let gateway = in_front_of(backend).await;
        let mut client = TcpStream::connect(gateway).await.unwrap();
        client
            .write_all(b"GET /a HTTP/1.1\r\nHost: t.example\r\n\r\n")
            .await
            .unwrap();
        told.notified().await;
        if !said.is_empty() {
            assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200"));
            tokio::io::AsyncReadExt::read_exact(&mut client, &mut [0; 4])
                .await
                .unwrap();
        }
        assert!(log.kept().accesses.is_empty());
        drop(client);
        let access = log.next().await;
        assert_eq!(access.verdict(), verdict);
        assert_eq!(access.get("bytes"), bytes);
        assert_eq!(
            (access.get("route"), access.get("upstream")),
            ("/{*rest}", "backend")
        );
        assert_eq!(access.level, Level::INFO);
        assert_eq!(access.fields.contains_key("head_ms"), !said.is_empty());
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_logged() {
    for said in [
        HALF,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let log = Log::start();
        let (backend, _told, reset) = breaks_after(said).await;
        let mut body = send(in_front_of(backend).await, request("GET", "/a"))
            .await
            .into_body();
        body.frame().await.unwrap().unwrap();
        reset.notify_one();
        body.collect().await.unwrap_err();
        let access = log.next().await;
        assert_eq!(
            access.verdict(),
            ["200", "broken", "Incomplete", "upstream"]
        );
        assert_eq!((access.get("bytes"), access.level), ("4", Level::WARN));
    }
}

#[tokio::test]
async fn an_upgrade_is_logged_with_its_answer() {
    let log = Log::start();
    let backend = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mut client = TcpStream::connect(in_front_of(backend).await)
        .await
        .unwrap();
    let asked = "GET /ws HTTP/1.1\r\nHost: t.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(asked.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101"));
    assert_eq!(log.next().await.verdict(), ["101", "ok", "", ""]);
}

#[tokio::test]
async fn no_secret_is_logged() {
    const SECRET: &str = "S3CR3T";
    let log = Log::start();
    let (_kept, refuses) = refusing();
    let says =
        Router::new().fallback(|| async { [("set-cookie", "sid=S3CR3T"), ("x-token", "S3CR3T")] });
    let gateway = Gateway::builder()
        .upstream("says", upstream(axum_backend(says).await))
        .upstream("refuses", upstream(refuses))
        .observe(
            ObserveLayer::new()
                .log_query(true)
                .secret_parameters(["tenant-pin"]),
        )
        .trust_proxies(["127.0.0.1"])
        .route(Route::new("/says/{*rest}").to("says"))
        .route(Route::new("/refuses/{*rest}").to("refuses"))
        .route(
            Route::new("/rewritten")
                .to("says")
                .rewrite_path("/x/{query.token}"),
        );
    let gateway = serve(gateway.build().unwrap()).await;
    let lines = [
        ("authorization", "Bearer S3CR3T"),
        ("proxy-authorization", "Basic S3CR3T"),
        ("cookie", "sid=S3CR3T"),
        ("x-api-key", "S3CR3T"),
        ("referer", "http://t.example/?token=S3CR3T"),
        ("x-forwarded-for", "S3CR3T"),
        ("traceparent", "S3CR3T"),
        ("tracestate", "a=S3CR3T"),
    ];
    for path in [
        "/says/a?token=S3CR3T&a=1",
        "/says/a?a=1&access_token=S3CR3T",
        "/says/a?%74oken=S3CR3T&api_key=S3CR3T&TenantPin=S3CR3T",
        "/says/a?next=/x%3Ftoken%3DS3CR3T",
        "/says/a;jsessionid=S3CR3T/b",
        "/refuses/a?code=S3CR3T",
        "/nowhere?signature=S3CR3T",
        "/says/..%2f?password=S3CR3T",
        "/rewritten?token=S3CR3T",
        // Two ways to read it: refused.
        "/rewritten?token=..%2fS3CR3T",
    ] {
        let answer = send(gateway, request_with(path, &lines)).await;
        text(answer).await;
        let access = log.next().await;
        assert!(
            access.get("path").contains("***") || access.get("status") == "400",
            "{access:?}"
        );
    }
    // The authority is not logged at all.
    let raw = "GET http://user:S3CR3T@t.example/says/a HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n";
    let _ = say(gateway, raw.as_bytes()).await;
    log.next().await;
    let kept = log.kept();
    assert!(kept.all.contains("a=1"), "the query is logged");
    let shown = kept.all.lines().find(|line| line.contains(SECRET));
    assert_eq!(shown, None);
}

#[tokio::test]
async fn a_request_id_is_made_or_kept() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = |observe: ObserveLayer, trusted: Option<&str>| {
        Gateway::builder()
            .upstream("backend", upstream(backend))
            .route(Route::new("/a").to("backend"))
            .observe(observe)
            .trust_proxies(trusted)
            .build()
            .unwrap()
    };
    let other = || ObserveLayer::new().request_id(HeaderName::from_static("correlation-id"));
    let near = Some("127.0.0.1");
    for (observe, trusted, header, sent, kept) in [
        (ObserveLayer::new(), None, "x-request-id", "abc-1", false),
        (ObserveLayer::new(), near, "x-request-id", "abc-1", true),
        (ObserveLayer::new(), near, "x-request-id", "a b", false),
        (ObserveLayer::new(), near, "x_request_id", "abc-1", false),
        (other(), None, "correlation-id", "abc-1", false),
        (other(), near, "correlation-id", "abc-1", true),
    ] {
        let gateway = serve(gateway(observe, trusted)).await;
        let name = header.replace('_', "-");
        for connection in ["close", &format!("close, {name}")] {
            let asked = request_with("/a", &[(header, sent), ("connection", connection)]);
            let answer = send(gateway, asked).await;
            let told = answer.headers()[&name].to_str().unwrap();
            assert_eq!(
                recorder.take().header(&name),
                [told],
                "{header}: {sent}, {trusted:?}"
            );
            assert_eq!(told == sent, kept, "{header}: {sent}, {trusted:?}");
            assert!(kept || told.len() == 32, "{told}");
        }
    }
    // Without an id of its own the gateway has no business with the header.
    let gateway = serve(gateway(ObserveLayer::new().request_id(None), None)).await;
    let answer = send(gateway, request_with("/a", &[("x-request-id", "abc-1")])).await;
    assert!(!answer.headers().contains_key("x-request-id"));
    assert_eq!(recorder.take().header("x-request-id"), ["abc-1"]);
}

#[tokio::test]
async fn a_trace_is_continued_or_begun() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let log = Log::start();
    let (recorder, backend) = Recorder::start().await;
    let gateway = in_front_of(backend).await;
    type Lines = &'static [(&'static str, &'static str)];
    let cases: [(Lines, bool, &[&str]); 6] = [
        (&[], false, &[]),
        (&[("traceparent", PARENT)], true, &[]),
        (
            &[("traceparent", PARENT), ("tracestate", "a=1,b=2")],
            true,
            &["a=1,b=2"],
        ),
        (
            &[
                ("traceparent", PARENT),
                ("connection", "traceparent"),
                ("tracestate", "a=1"),
            ],
            true,
            &["a=1"],
        ),
        (
            &[("traceparent", "rubbish"), ("tracestate", "a=1")],
            false,
            &[],
        ),
        (
            &[("traceparent", PARENT), ("traceparent", PARENT)],
            false,
            &[],
        ),
    ];
    for (lines, continued, state) in cases {
        text(send(gateway, request_with("/a", lines)).await).await;
        let access = log.next().await;
        let seen = recorder.take();
        let [parent] = seen.header("traceparent")[..] else {
            panic!("{lines:?}: {}", seen.head)
        };
        assert_eq!(parent.len(), PARENT.len(), "{lines:?}");
        assert_eq!(parent[3..35] == PARENT[3..35], continued, "{lines:?}");
        assert_eq!(
            parent.ends_with("-00"),
            continued,
            "the caller's flag, or sampled"
        );
        assert_ne!(parent[36..52], PARENT[36..52], "{lines:?}");
        assert_eq!(seen.header("tracestate"), state, "{lines:?}");
        assert_eq!(access.get("trace_id"), &parent[3..35], "{lines:?}");
    }
}
