//! HTTP/2 on either side, and TLS to the backend.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::Barrier};
use tower_gateway::{Gateway, Route, Upstream};

use crate::support;

/// A backend that speaks HTTP/2 in clear with at most two streams at a time, counts its connections, and answers
/// when `together` requests are there.
async fn two_streams(together: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let barrier = Arc::new(Barrier::new(together));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let barrier = barrier.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let barrier = barrier.clone();
                async move {
                    assert_eq!(request.version(), Version::HTTP_2);
                    barrier.wait().await;
                    let body = request.into_body().collect().await.unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-trailer", "kept".parse().unwrap());
                    // Of unknown length, as what has trailers is.
                    let frames = [Frame::data(body.to_bytes()), Frame::trailers(trailers)];
                    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
                    let mut response = Response::new(body);
                    // hyper's HTTP/1 server sends the trailers that are announced.
                    response
                        .headers_mut()
                        .insert("trailer", "x-trailer".parse().unwrap());
                    Ok::<_, Infallible>(response)
                }
            });
            let mut server = http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(2);
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, connections)
}

async fn gateway(upstream: Upstream) -> SocketAddr {
    let gateway = Gateway::builder()
        .upstream("backend", upstream)
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .unwrap();
    support::serve(gateway).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_are_opened_when_the_streams_run_out() {
    // Ten requests are answered only when all ten are there: they need five connections of two streams.
    let (backend, connections) = two_streams(10).await;
    let address = gateway(Upstream::http([format!("http://{backend}")]).http2_only()).await;
    for _ in 0..3 {
        let answers =
            join_all((0..10).map(|_| support::send(address, support::request("GET", "/a")))).await;
        assert!(answers.iter().all(|answer| answer.status() == 200));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn body_and_trailers_pass_from_http2_to_http1() {
    let (backend, _) = two_streams(1).await;
    let address = gateway(Upstream::http([format!("http://{backend}")]).http2_only()).await;
    let mut request = support::request("POST", "/a");
    *request.body_mut() = Full::new(Bytes::from(vec![7; 300_000]));
    request
        .headers_mut()
        .insert("te", "trailers".parse().unwrap());
    let answer = support::send(address, request)
        .await
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(answer.trailers().unwrap()["x-trailer"], "kept");
    assert_eq!(answer.to_bytes(), vec![7; 300_000]);
}
