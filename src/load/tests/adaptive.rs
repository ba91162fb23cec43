//! What an adaptive limit takes from requests.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};

use super::support::{get, ms};
use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{BoxError, Error, ErrorKind},
    load::{Adaptive, ConcurrencyLimitLayer},
};

/// How a backend fares with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fares {
    /// This status after 10 ms.
    Answers(u16),
    /// 200 with this gRPC status.
    Says(u16),
    /// An answer of an inner layer of the crate.
    Rejects(ErrorKind),
    Fails(ErrorKind),
    /// The error of tower's timeout.
    Elapses,
    /// The client leaves after 10 ms.
    Leaves,
    /// Whoever had set a deadline gives up at it.
    GivesUp,
}

/// Lets 40 requests fare so, 20 at a time; the limit afterwards, and the latency.
async fn after(adaptive: Adaptive, fares: Fares) -> (u32, Option<Duration>) {
    let layer = ConcurrencyLimitLayer::adaptive(adaptive.initial(20));
    let handle = layer.handle();
    let backend = service_fn(move |_: Request<Body>| async move {
        tokio::time::sleep(ms(10)).await;
        let mut response = Response::new(Body::from("body"));
        match fares {
            Fares::Answers(status) => {
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
            }
            Fares::Says(grpc) => {
                response.headers_mut().insert("grpc-status", grpc.into());
            }
            Fares::Rejects(kind) => response = Error::new(kind).into_response(),
            Fares::Fails(kind) => return Err(Box::new(Error::new(kind)) as BoxError),
            Fares::Elapses => return Err(Box::new(tower::timeout::error::Elapsed::new())),
            Fares::Leaves | Fares::GivesUp => std::future::pending().await,
        }
        Ok::<_, BoxError>(response)
    });
    let service = layer.layer(backend);
    for _ in 0..2 {
        let call = || {
            let service = service.clone();
            let mut request = get("/");
            let mut context = RequestContext::new();
            context
                .limit_deadline(clock::now() + ms(if fares == Fares::GivesUp { 60 } else { 99 }));
            request.extensions_mut().insert(context);
            async move {
                let response = tokio::time::timeout(ms(60), service.oneshot(request)).await;
                tokio::time::sleep(ms(100)).await;
                drop(response);
            }
        };
        futures_util::future::join_all((0..20).map(|_| call())).await;
    }
    assert_eq!(handle.in_flight(), 0);
    (handle.limit(), handle.latency())
}

#[tokio::test(start_paused = true)]
async fn each_end_says_what_it_says() {
    use ErrorKind::*;
    for (fares, limit, sampled) in [
        (Fares::Answers(200), 21, true),
        (Fares::Answers(304), 21, true),
        (Fares::Answers(404), 20, false),
        (Fares::Answers(429), 20, false),
        (Fares::Answers(500), 20, false),
        (Fares::Answers(502), 20, false),
        (Fares::Answers(503), 10, false),
        (Fares::Answers(504), 10, false),
        (Fares::Says(0), 21, true),
        (Fares::Says(4), 10, false),
        (Fares::Says(5), 20, false),
        (Fares::Says(14), 10, false),
        (Fares::Rejects(Timeout), 10, false),
        (Fares::Rejects(Saturated), 20, false),
        (Fares::Rejects(CircuitOpen), 20, false),
        (Fares::Rejects(Connect), 20, false),
        (Fares::Fails(Timeout), 10, false),
        (Fares::Fails(ConnectTimeout), 10, false),
        (Fares::Fails(Deadline), 10, false),
        (Fares::Fails(BodyTooLarge), 20, false),
        (Fares::Elapses, 10, false),
        (Fares::Leaves, 20, false),
        (Fares::GivesUp, 10, false),
    ] {
        // The first 20 are no window yet: its time is not over.
        let adaptive = Adaptive::aimd(Duration::from_secs(1)).backoff(0.5);
        let (found, latency) = after(adaptive, fares).await;
        assert_eq!((found, latency.is_some()), (limit, sampled), "{fares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_is_that_to_the_head() {
    let (_, latency) = after(Adaptive::gradient(), Fares::Answers(200)).await;
    let latency = latency.unwrap();
    assert!((ms(10)..ms(12)).contains(&latency), "{latency:?}");
}
