//! Limits of request bodies: known lengths and unknown ones, for all routes and for one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract::Request, routing::post};
use http_body_util::Full;
use tower_gateway::{Gateway, Route, Upstream};

use crate::support::{Recorder, axum_backend, request, say, send, serve, text, upstream};

fn echo() -> Router {
    Router::new().route("/{*rest}", post(|body: String| async move { body }))
}

async fn gateway(echo: Upstream) -> std::net::SocketAddr {
    let gateway = Gateway::builder()
        .upstream("echo", echo)
        .route(Route::new("/{*rest}").to("echo"))
        .route(Route::new("/large/{*rest}").to("echo").body_limit(8))
        .route(Route::new("/small/{*rest}").to("echo").body_limit(2))
        .route(Route::new("/none/{*rest}").to("echo").body_limit(0))
        .route(Route::new("/any/{*rest}").to("echo").body_limit(u64::MAX))
        .body_limit(4)
        .build()
        .unwrap();
    serve(gateway).await
}

const CASES: [(&str, usize, u16); 11] = [
    ("/a", 4, 200),
    ("/a", 5, 413),
    ("/large/a", 8, 200),
    ("/large/a", 9, 413),
    ("/small/a", 2, 200),
    ("/small/a", 3, 413),
    ("/none/a", 0, 200),
    ("/none/a", 1, 413),
    ("/any/a", 0, 200),
    ("/any/a", 100_000, 200),
    ("/a", 100_000, 413),
];

#[tokio::test]
async fn a_known_length_is_refused_before_anything_is_sent() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let counted = echo().layer(axum::middleware::map_request(move |request: Request| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(request)
    }));
    let address = gateway(Upstream::service(counted)).await;
    for (path, size, status) in CASES {
        let mut asked = request("POST", path);
        *asked.body_mut() = Full::new(vec![b'x'; size].into());
        let answer = send(address, asked).await;
        assert_eq!(answer.status(), status, "{path} {size}");
        if status == 413 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
            assert!(text(answer).await.contains("too large"));
        }
    }
    let let_through = CASES.iter().filter(|case| case.2 == 200).count();
    assert_eq!(calls.load(Ordering::Relaxed), let_through);
}

#[tokio::test]
async fn an_unknown_length_is_cut_off_where_it_passes_the_limit() {
    let backend = axum_backend(echo()).await;
    for echo in [upstream(backend), Upstream::service(echo())] {
        let address = gateway(echo.clone()).await;
        for (path, size, status) in CASES {
            let chunks = match size {
                0 => String::new(),
                // The first one is always within the limits but for the least.
                1 => "1\r\nx\r\n".to_owned(),
                _ => format!("1\r\nx\r\n{:x}\r\n{}\r\n", size - 1, "x".repeat(size - 1)),
            };
            let asked = format!(
                "POST {path} HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
            );
            let heard = say(address, asked.as_bytes()).await;
            let said = String::from_utf8_lossy(&heard.bytes);
            assert_eq!(
                heard.status(),
                Some(status),
                "{echo:?} {path} {size}: {said}"
            );
            let is_problem =
                said.contains("application/problem+json") && said.contains("too large");
            assert_eq!(is_problem, status == 413, "{echo:?} {path} {size}: {said}");
        }
    }
}

#[tokio::test]
async fn a_backend_never_takes_a_part_for_the_whole() {
    let (recorder, backend) = Recorder::start().await;
    let address = gateway(upstream(backend)).await;
    let asked = b"POST /a HTTP/1.1\r\nHost: t.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                  4\r\nxxxx\r\n1\r\nx\r\n0\r\n\r\n";
    assert_eq!(say(address, asked).await.status(), Some(413));
    assert!(recorder.requests().is_empty(), "{:?}", recorder.requests());
}
