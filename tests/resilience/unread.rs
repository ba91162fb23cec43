//! Clients that ask and do not read: no server polls such an answer, and what it holds goes back in time all the same.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};
use tower_gateway::{
    Body, ConcurrencyLimitLayer, DeadlineLayer, Gateway, Route, Upstream,
    load::ConcurrencyLimitHandle,
};

use crate::{
    backend::until,
    support::{request, send, serve, text},
};

const SECOND: Duration = Duration::from_secs(1);
/// More than sockets hold, so that it is never sent as a whole.
const LARGE: usize = 64 * 1024 * 1024;

/// Answers `/large` with a body that has no end, and all else with one that is whole.
fn service() -> Upstream {
    Upstream::service(tower::service_fn(async |request: Request<Body>| {
        let body = match request.uri().path() {
            "/large" => {
                let first = Frame::data(Bytes::from(vec![0; LARGE]));
                let first = stream::iter([Ok::<_, Infallible>(first)]);
                Body::new(StreamBody::new(first.chain(stream::pending())))
            }
            _ => Body::from("whole"),
        };
        Ok::<_, Infallible>(Response::new(body))
    }))
}

/// A limit of one, and something that ends an answer after five seconds: in each place where both may be.
fn limited(place: usize) -> (Gateway, ConcurrencyLimitHandle) {
    let limit = ConcurrencyLimitLayer::max(1).queue(1, 60 * SECOND);
    let handle = limit.handle();
    let deadline = DeadlineLayer::new().timeout(5 * SECOND);
    let (builder, upstream) = (Gateway::builder(), service());
    let route = Route::new("/{*rest}").to("a");
    let (builder, route, upstream) = match place {
        0 => (
            builder.deadline(deadline).concurrency_limit(limit),
            route,
            upstream,
        ),
        1 => (
            builder.deadline(deadline),
            route.concurrency_limit(limit),
            upstream,
        ),
        2 => (
            builder,
            route.deadline(deadline).concurrency_limit(limit),
            upstream,
        ),
        3 => (
            builder,
            route.timeout(5 * SECOND).concurrency_limit(limit),
            upstream,
        ),
        4 => (
            builder,
            route.timeout(5 * SECOND),
            upstream.concurrency_limit(limit),
        ),
        _ => (
            builder,
            route,
            upstream.layer(deadline).concurrency_limit(limit),
        ),
    };
    let gateway = builder.upstream("a", upstream).route(route).build();
    (gateway.unwrap(), handle)
}

/// A client that asks, and reads nothing.
async fn stalled(gateway: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(gateway).await.unwrap();
    let asked = b"GET /large HTTP/1.1\r\nHost: t.example\r\n\r\n";
    client.write_all(asked).await.unwrap();
    client
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_gives_its_permit_back_at_the_deadline() {
    for place in 0..6 {
        let (gateway, permits) = limited(place);
        let gateway = serve(gateway).await;
        let start = Instant::now();
        let client = stalled(gateway).await;
        until("it has its permit", async || permits.in_flight() == 1).await;
        tokio::time::advance(SECOND).await;
        // In red it waits until its own time is up.
        let response = send(gateway, request("GET", "/whole")).await;
        assert_eq!(response.status(), 200, "{place}");
        assert_eq!(text(response).await, "whole");
        let waited = start.elapsed();
        assert!(waited >= 5 * SECOND && waited < 6 * SECOND, "{waited:?}");
        until("all permits are back", async || permits.in_flight() == 0).await;
        drop(client);
    }
}
