//! A client that asks for an answer and does not read it holds nothing of the backend for longer than it may.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc};
use tower::ServiceExt;
use tower_gateway::{Route, Upstream};

use crate::{
    keeping::pass,
    support::{axum_backend, one_route, request, serve},
    wire::soon,
};

/// A backend whose answers never end, and each end that it meets.
async fn endless() -> (Vec<Upstream>, mpsc::UnboundedReceiver<()>) {
    struct Guard(mpsc::UnboundedSender<()>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, ends) = mpsc::unbounded_channel();
    let answer = move || {
        let guard = Guard(sender.clone());
        async move {
            let pieces = stream::repeat_with(move || {
                let _ = &guard;
                Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 16 * 1024]))
            });
            Body::from_stream(pieces)
        }
    };
    let backend = axum_backend(Router::new().route("/endless", get(answer))).await;
    let upstream = || {
        Upstream::http([format!("http://{backend}")])
            .idle_timeout(Duration::from_millis(20))
            .max_connections(1)
    };
    let upstreams = vec![
        upstream(),
        #[cfg(feature = "http2")]
        upstream().http2_only(),
    ];
    (upstreams, ends)
}

const LIMIT: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Several times as long as it takes the pool to look.
const LOOK: Duration = Duration::from_millis(100);

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_at_the_backend() {
    let (upstreams, mut ends) = endless().await;
    for upstream in upstreams {
        for upstream in [
            upstream.clone().activity_timeout(LIMIT),
            upstream.clone().timeout(LIMIT),
        ] {
            let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
            let mut client = TcpStream::connect(gateway).await.unwrap();
            let asked = b"GET /endless HTTP/1.1\r\nHost: t.example\r\n\r\n";
            client.write_all(asked).await.unwrap();
            soon("the end", ends.recv()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_reads_later_is_told_that_the_answer_broke_off() {
    let (upstreams, mut ends) = endless().await;
    for upstream in upstreams {
        let upstream = upstream.activity_timeout(LIMIT);
        let request = request("GET", "/endless");
        let answer = upstream.oneshot(request).await.unwrap();
        let mut body = answer.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        soon("the end", ends.recv()).await.unwrap();
        assert!(!http_body::Body::is_end_stream(&body));
        let end = soon("the end", body.collect()).await;
        assert!(end.is_err());
    }
}

#[tokio::test]
async fn who_reads_slowly_reads_on() {
    let (upstreams, mut ends) = endless().await;
    for upstream in upstreams {
        let upstream = upstream.activity_timeout(HOUR);
        let answer = upstream.oneshot(request("GET", "/endless")).await.unwrap();
        let mut body = answer.into_body();
        for _ in 0..4 {
            assert!(body.frame().await.unwrap().is_ok());
            // Shorter than the limit, and several of them longer. The pool looks before and after.
            let look = tokio::time::timeout(LOOK, ends.recv());
            assert!(look.await.is_err());
            pass(HOUR / 2).await;
            let look = tokio::time::timeout(LOOK, ends.recv());
            assert!(look.await.is_err());
        }
        drop(body);
        soon("the end", ends.recv()).await.unwrap();
    }
}
