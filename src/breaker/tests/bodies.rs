//! What becomes of a call whose answer has a good head and a body.

use std::{convert::Infallible, panic::AssertUnwindSafe, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use super::support::{Backend, ask, small};
use crate::{
    body::Body,
    breaker::{CircuitBreakerLayer, CircuitState},
    error::{BoxError, Error, ErrorKind},
};

/// How a body goes on after its first bytes.
#[derive(Clone, Copy, Debug)]
enum Rest {
    End,
    Break,
    /// The error is the client's.
    Gone,
    Panic,
    Never,
}

/// The answer of a breaker around a backend whose bodies do this.
async fn answer(layer: &CircuitBreakerLayer, rest: Rest) -> Response<Body> {
    let backend = service_fn(move |_: Request<Body>| async move {
        let first = stream::once(async { Ok(Frame::data(Bytes::from("abc"))) });
        let then = stream::iter([rest]).filter_map(|rest| async move {
            match rest {
                Rest::End => None,
                Rest::Break => Some(Err::<_, BoxError>("broken".into())),
                Rest::Gone => Some(Err(Error::new(ErrorKind::ClientGone).into())),
                Rest::Panic => panic!("the body panics"),
                Rest::Never => std::future::pending().await,
            }
        });
        Ok::<_, Infallible>(Response::new(StreamBody::new(first.chain(then).boxed())))
    });
    let service = layer.layer(backend);
    service.oneshot(Request::new(Body::empty())).await.unwrap()
}

/// Reads it to its end, whatever that is.
async fn read(response: Response<Body>) {
    let all = response.into_body().collect();
    let _ = AssertUnwindSafe(all).catch_unwind().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_a_failure_and_counts_once() {
    for (rest, failures) in [
        (Rest::End, 0),
        (Rest::Break, 1),
        (Rest::Gone, 0),
        (Rest::Panic, 1),
    ] {
        for layer in [small(), small().time_window(Duration::from_secs(10))] {
            let response = answer(&layer, rest).await;
            let figures = layer.handle().figures();
            assert_eq!((figures.calls, figures.failures), (1, 0), "at the head");
            read(response).await;
            let figures = layer.handle().figures();
            assert_eq!((figures.calls, figures.failures), (1, failures), "{rest:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_as_good_as_its_head() {
    let layer = small();
    for frames in [0, 1] {
        let mut body = answer(&layer, Rest::Never).await.into_body();
        for _ in 0..frames {
            assert!(body.frame().await.is_some());
        }
    }
    let figures = layer.handle().figures();
    assert_eq!((figures.calls, figures.failures), (2, 0));
}

/// More than half of what is full of good calls.
#[tokio::test(start_paused = true)]
async fn a_backend_that_breaks_every_body_opens_it() {
    let layer = small().failure_rate(100.0);
    for _ in 0..20 {
        read(answer(&layer, Rest::End).await).await;
    }
    for _ in 0..9 {
        read(answer(&layer, Rest::Break).await).await;
    }
    assert_eq!(layer.handle().state(), CircuitState::Closed);
    read(answer(&layer, Rest::Break).await).await;
    let figures = layer.handle().figures();
    assert_eq!((figures.calls, figures.failures), (10, 10));
    assert_eq!(layer.handle().state(), CircuitState::Open);
}

/// A good head ends a row only if a good body comes after it.
#[tokio::test(start_paused = true)]
async fn bodies_that_break_are_a_row() {
    let layer = || small().failure_rate(None).consecutive_failures(3);
    for rest in [Rest::Break, Rest::Panic] {
        let layer = layer();
        for calls in 1..=3 {
            assert_eq!(layer.handle().state(), CircuitState::Closed, "{calls}");
            read(answer(&layer, rest).await).await;
        }
        assert_eq!(layer.handle().state(), CircuitState::Open);
    }
    let layer = layer();
    for _ in 0..3 {
        for rest in [Rest::Break, Rest::Break, Rest::End] {
            read(answer(&layer, rest).await).await;
        }
    }
    assert_eq!(layer.handle().state(), CircuitState::Closed);
    // One that is still under way was well when the others broke.
    let endless = answer(&layer, Rest::Never).await;
    read(answer(&layer, Rest::Break).await).await;
    read(answer(&layer, Rest::Break).await).await;
    let other = answer(&layer, Rest::Never).await;
    let last = answer(&layer, Rest::Break).await;
    read(last).await;
    assert_eq!(layer.handle().state(), CircuitState::Closed);
    drop((endless, other));
}

async fn half_open(layer: &CircuitBreakerLayer) {
    let service = layer.layer(Backend::default());
    for _ in 0..10 {
        ask(&service, 500).await;
    }
    assert_eq!(layer.handle().state(), CircuitState::Open);
    tokio::time::advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn endless_answers_do_not_keep_it_half_open() {
    let layer = small();
    half_open(&layer).await;
    let endless = [
        answer(&layer, Rest::Never).await,
        answer(&layer, Rest::Never).await,
    ];
    assert_eq!(layer.handle().state(), CircuitState::Closed);
    drop(endless);
    assert_eq!(layer.handle().figures().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_half_open_takes_its_success_back() {
    let layer = small().half_open_calls(3);
    half_open(&layer).await;
    read(answer(&layer, Rest::Break).await).await;
    assert_eq!(layer.handle().state(), CircuitState::HalfOpen);
    let figures = layer.handle().figures();
    assert_eq!((figures.calls, figures.failures), (1, 1));
    read(answer(&layer, Rest::Break).await).await;
    assert_eq!(layer.handle().state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_an_earlier_state_does_not_count_for_this_one() {
    let layer = small();
    let early = answer(&layer, Rest::Break).await;
    layer.handle().reset();
    read(early).await;
    assert_eq!(layer.handle().figures().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn bodies_pass_unchanged() {
    let trailers =
        http::HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
    let backend = service_fn(move |_: Request<Body>| {
        let body = http_body_util::Full::new(Bytes::from("abc"));
        let trailers = trailers.clone();
        let body = body.with_trailers(async { Some(Ok(trailers)) });
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let service = small().layer(backend);
    let answer = service.oneshot(Request::new(Body::empty())).await;
    let all = answer.unwrap().into_body().collect().await.unwrap();
    assert_eq!(all.trailers().unwrap()[http::header::ETAG], "x");
    assert_eq!(all.to_bytes(), "abc");
    let full = service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::from("abc"))))
    });
    let answer = small().layer(full).oneshot(Request::new(Body::empty()));
    assert_eq!(answer.await.unwrap().body().size_hint().exact(), Some(3));
    let empty = ask(&small().layer(Backend::default()), 200).await;
    assert!(empty.body().is_end_stream());
}
