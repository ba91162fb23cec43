//! Whose doing it is when time runs out: an endpoint is judged by what it was given the time for.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http::{HeaderName, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;
use tower_gateway::{
    Balance, Body, DeadlineLayer, Gateway, OutlierEjection, RetryLayer, Route, Upstream,
    UpstreamHandle, deadline::DeadlineHeader,
};

use crate::support::{raw_backend, read_head};

const SECOND: Duration = Duration::from_secs(1);
const TRIES: usize = 3;

/// Takes the head of a request, says this, and nothing else; what is sent to it is read.
async fn says(what: &'static str) -> SocketAddr {
    raw_backend(move |_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(what.as_bytes()).await.unwrap();
        while stream.read_u8().await.is_ok() {}
    })
    .await
}

/// Everything goes to this endpoint, until it is ejected, which takes three failures.
fn upstream(at: SocketAddr) -> Upstream {
    let url = format!("http://{at}");
    let first = url.clone();
    let pick = move |all: tower_gateway::Candidates<'_>| {
        let mut urls = 0..all.len();
        urls.find(|at| all.url(*at) == first).unwrap_or(0)
    };
    let ejection = OutlierEjection::new()
        .consecutive_failures(TRIES as u32)
        .failure_percentage(None, 1, SECOND);
    Upstream::http([url, "http://127.0.0.1:1".to_owned()])
        .balance(Balance::custom(pick))
        .outlier_ejection(ejection)
}

fn is_ejected(handle: &UpstreamHandle) -> bool {
    handle.endpoints()[0].ejections > 0
}

fn gateway(upstream: Upstream, route: Route) -> (UpstreamHandle, Gateway) {
    let handle = upstream.handle();
    let gateway = Gateway::builder()
        .upstream("a", upstream)
        .route(route.to("a"))
        .trust_proxies(["10.0.0.0/8"])
        .peer_addr(|_| Some("10.0.0.1:1".parse().unwrap()));
    (handle, gateway.build().unwrap())
}

fn any() -> Route {
    Route::new("/{*rest}")
}

fn get() -> Request<Body> {
    let request = Request::get("/").header("host", "t.example");
    request.body(Body::empty()).unwrap()
}

/// An upload that gives some bytes, and then waits or ends.
fn post(ends: bool) -> Request<Body> {
    let frame = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abc")));
    let rest = if ends {
        stream::empty().left_stream()
    } else {
        stream::pending().right_stream()
    };
    let body = Body::new(StreamBody::new(stream::iter([frame]).chain(rest)));
    let request = Request::post("/").header("host", "t.example");
    request.body(body).unwrap()
}

async fn ask(gateway: &Gateway, request: Request<Body>) -> Response<Body> {
    gateway.clone().oneshot(request).await.unwrap()
}

/// Whoever sets the time, a client that does not send is not the endpoint's failure, and an endpoint that has it all is.
#[tokio::test(start_paused = true)]
async fn an_upload_that_does_not_come_is_the_clients() {
    let limits: [fn(Upstream) -> (UpstreamHandle, Gateway); 4] = [
        |upstream| gateway(upstream, any().timeout(3 * SECOND)),
        |upstream| gateway(upstream.timeout(3 * SECOND), any()),
        |upstream| gateway(upstream.activity_timeout(3 * SECOND), any()),
        |upstream| {
            let retry = RetryLayer::new().try_timeout(3 * SECOND).max_tries(1);
            gateway(upstream.retry(retry), any())
        },
    ];
    for (at, limit) in limits.into_iter().enumerate() {
        for is_whole in [false, true] {
            let (handle, gateway) = limit(upstream(says("").await));
            for _ in 0..TRIES {
                assert_eq!(ask(&gateway, post(is_whole)).await.status(), 504, "{at}");
            }
            assert_eq!(is_ejected(&handle), is_whole, "{at}");
        }
    }
}

/// An upload that ends just before the time does leaves none to the endpoint.
#[tokio::test(start_paused = true)]
async fn an_upload_that_takes_all_the_time_leaves_none() {
    for (seconds, expected) in [(2.5, false), (1.5, true)] {
        let (handle, gateway) = gateway(upstream(says("").await), any().timeout(3 * SECOND));
        for _ in 0..TRIES {
            let late = stream::once(async move {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abc")))
            });
            let request = post(true).map(|_| Body::new(StreamBody::new(late)));
            assert_eq!(ask(&gateway, request).await.status(), 504);
        }
        assert_eq!(is_ejected(&handle), expected, "{seconds}");
    }
}

/// A deadline in the answer is held against who was waited for.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_the_clients() {
    const PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc";
    for is_read in [false, true] {
        let (handle, gateway) = gateway(upstream(says(PART).await), any().timeout(3 * SECOND));
        for _ in 0..TRIES {
            let mut body = ask(&gateway, get()).await.into_body();
            assert!(body.frame().await.unwrap().is_ok());
            if !is_read {
                tokio::time::sleep(4 * SECOND).await;
            }
            assert!(body.frame().await.unwrap().is_err());
        }
        assert_eq!(is_ejected(&handle), is_read);
    }
}

/// What has been coming all the time is long, and not late.
#[tokio::test(start_paused = true)]
async fn an_answer_that_keeps_coming_is_no_failure() {
    let steady = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n";
        let mut gone = stream.write_all(head).await.is_err();
        while !gone {
            tokio::time::sleep(SECOND / 2).await;
            gone = stream.write_all(b"x").await.is_err();
        }
    })
    .await;
    let (handle, gateway) = gateway(upstream(steady), any().timeout(3 * SECOND));
    for _ in 0..TRIES {
        let answer = ask(&gateway, get()).await;
        assert!(answer.into_body().collect().await.is_err());
    }
    assert!(!is_ejected(&handle));
}

/// A caller's own haste says nothing of an endpoint.
#[tokio::test(start_paused = true)]
async fn a_deadline_that_nobody_could_meet_is_the_callers() {
    let left = HeaderName::from_static("x-left");
    let honour = || DeadlineLayer::new().honour(DeadlineHeader::millis(left.clone()));
    for (millis, expected) in [(5, false), (900, false), (1100, true)] {
        let route = any().deadline(honour());
        let (handle, gateway) = gateway(upstream(says("").await), route);
        for _ in 0..TRIES {
            let mut request = get();
            request.headers_mut().insert("x-left", millis.into());
            assert_eq!(ask(&gateway, request).await.status(), 504);
        }
        assert_eq!(is_ejected(&handle), expected, "{millis}");
    }
}

/// An upstream's own time counts, however short, and that of a try.
#[tokio::test(start_paused = true)]
async fn an_upstreams_own_time_counts() {
    let limits: [fn(Upstream) -> Upstream; 4] = [
        |upstream| upstream.timeout(SECOND / 10),
        |upstream| upstream.head_timeout(SECOND / 10),
        |upstream| upstream.activity_timeout(SECOND / 10),
        |upstream| upstream.retry(RetryLayer::new().try_timeout(SECOND / 10).max_tries(1)),
    ];
    for (at, limit) in limits.into_iter().enumerate() {
        let upstream = limit(upstream(says("").await));
        let (handle, gateway) = gateway(upstream, any().timeout(5 * SECOND));
        for _ in 0..TRIES {
            assert_eq!(ask(&gateway, get()).await.status(), 504, "{at}");
        }
        assert!(is_ejected(&handle), "{at}");
    }
}

/// Who waits for a connection has not been there.
#[tokio::test(start_paused = true)]
async fn a_queue_of_our_own_is_not_the_endpoints() {
    const PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc";
    let limits: [fn(Upstream) -> (UpstreamHandle, Gateway); 2] = [
        |upstream| gateway(upstream, any().timeout(3 * SECOND)),
        |upstream| {
            let retry = RetryLayer::new().try_timeout(3 * SECOND).max_tries(1);
            gateway(upstream.retry(retry), any())
        },
    ];
    for limit in limits {
        let upstream = upstream(says(PART).await).max_connections(1);
        let (handle, gateway) = limit(upstream);
        let held = ask(&gateway, get()).await;
        assert_eq!(held.status(), 200);
        let waited = join_all((0..TRIES).map(|_| ask(&gateway, get()))).await;
        assert!(
            waited
                .iter()
                .all(|answer| answer.status().is_server_error())
        );
        assert!(!is_ejected(&handle));
    }
}

/// A protocol that nobody asked for is a bad answer.
#[tokio::test(start_paused = true)]
async fn a_switch_that_nobody_asked_for_is_a_failure() {
    const SWITCH: &str = "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let (handle, gateway) = gateway(upstream(says(SWITCH).await), any());
    for _ in 0..TRIES {
        assert_eq!(ask(&gateway, get()).await.status(), 502);
    }
    assert!(is_ejected(&handle));
}
