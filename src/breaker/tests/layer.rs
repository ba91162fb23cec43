//! The layer around a backend, in paused time.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::atomic::Ordering::SeqCst,
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, load_shed, service_fn,
};

use super::support::{Backend, ask, request, small};
use crate::{
    body::Body,
    breaker::{CallResult, CircuitBreakerLayer, CircuitState, Verdict},
    error::{BoxError, Error, ErrorKind, Rejection},
};

const SECOND: Duration = Duration::from_secs(1);

/// Fails as often as it takes to open it, and no more often.
async fn open<S>(service: &S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    for status in [200, 200, 200, 200, 200, 500, 500, 500, 500, 500] {
        assert_eq!(ask(service, status).await.status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn it_opens_at_the_rate_and_refuses_without_asking_the_backend() {
    let backend = Backend::default();
    let layer = small();
    let service = layer.layer(backend.clone());
    for status in [200, 200, 200, 200, 200, 404, 500, 500, 500, 500] {
        ask(&service, status).await;
    }
    assert_eq!(layer.handle().state(), CircuitState::Closed, "40 %");
    ask(&service, 500).await;
    assert_eq!(layer.handle().state(), CircuitState::Open, "50 %");
    tokio::time::advance(Duration::from_millis(1)).await;
    let calls = backend.calls.load(SeqCst);
    let response = ask(&service, 200).await;
    assert_eq!(backend.calls.load(SeqCst), calls);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1", "999 ms, rounded up");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.0.kind(), ErrorKind::CircuitOpen);
    let wait = Duration::from_millis(999);
    assert_eq!(rejection.0.retry_after(), Some(wait));
    let figures = layer.handle().figures();
    assert_eq!((figures.calls, figures.failures), (10, 5));
    assert_eq!((figures.opened, figures.refused), (1, 1));
    assert_eq!(figures.failure_rate(), Some(50.0));
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_too() {
    let layer = small()
        .slow_call_duration(SECOND)
        .slow_call_rate(50.0)
        .minimum_calls(2);
    let service = layer.layer(Backend::default());
    for (wait, state) in [(1_000, CircuitState::Closed), (1_001, CircuitState::Open)] {
        let answer = service.clone().oneshot(request(200, wait)).await;
        assert_eq!(answer.unwrap().status(), 200);
        assert_eq!(layer.handle().state(), state, "{wait} ms");
    }
    assert_eq!(layer.handle().figures().slow_call_rate(), Some(50.0));
}

#[tokio::test(start_paused = true)]
async fn half_open_exactly_as_many_as_are_permitted_get_through() {
    for permitted in [1, 2, 7] {
        let backend = Backend::default();
        let layer = small().half_open_calls(permitted);
        let service = layer.layer(backend.clone());
        open(&service).await;
        tokio::time::advance(SECOND).await;
        let calls = (0..100).map(|_| service.clone().oneshot(request(200, 10)));
        let answers = join_all(calls).await;
        let good = answers.iter().flatten();
        let good = good.filter(|answer| answer.status() == 200).count();
        assert_eq!(good, permitted as usize);
        assert_eq!(backend.calls.load(SeqCst), 10 + permitted as usize);
        let refused = answers.into_iter().flatten().last().unwrap();
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(layer.handle().state(), CircuitState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn each_time_that_it_fails_again_it_stays_open_longer() {
    let layer = small().open_growth(2.0, 3 * SECOND);
    let service = layer.layer(Backend::default());
    open(&service).await;
    for told in ["1", "2", "3", "3"] {
        let refused = ask(&service, 200).await;
        assert_eq!(refused.headers()["retry-after"], told);
        tokio::time::advance(told.parse::<u32>().unwrap() * SECOND).await;
        assert_eq!(ask(&service, 500).await.status(), 500);
    }
    tokio::time::advance(3 * SECOND).await;
    for _ in 0..2 {
        ask(&service, 200).await;
    }
    open(&service).await;
    let refused = ask(&service, 200).await;
    assert_eq!(refused.headers()["retry-after"], "1", "it was closed");
}

#[tokio::test(start_paused = true)]
async fn half_open_calls_that_hang_do_not_keep_others_out_for_ever() {
    let layer = small().half_open_wait(5 * SECOND);
    let service = layer.layer(Backend::default());
    open(&service).await;
    tokio::time::advance(SECOND).await;
    let hang = || tokio::spawn(service.clone().oneshot(request(200, 3_600_000)));
    let hanging = [hang(), hang()];
    tokio::task::yield_now().await;
    assert_eq!(layer.handle().figures().half_open_calls, 2);
    tokio::time::advance(5 * SECOND).await;
    assert_eq!(ask(&service, 200).await.status(), 503);
    assert_eq!(layer.handle().state(), CircuitState::Open);
    assert_eq!(layer.handle().figures().opened, 2);
    hanging.iter().for_each(|call| call.abort());
}

/// Polls a call once, and drops it.
fn leave(future: impl Future) {
    let mut future = pin!(future);
    let polled = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_leaks_nothing_in_any_state() {
    let backend = Backend::default();
    let layer = small();
    let service = layer.layer(backend.clone());
    let handle = layer.handle();
    let leave = || {
        leave(service.clone().oneshot(request(200, 10)));
        // Or before it is polled at all.
        drop(service.clone().call(request(200, 10)));
    };
    leave();
    assert_eq!(handle.figures().calls, 0, "closed");
    open(&service).await;
    drop(service.clone().call(request(200, 10)));
    assert_eq!(handle.state(), CircuitState::Open);
    tokio::time::advance(SECOND).await;
    for _ in 0..9 {
        leave();
    }
    assert_eq!(handle.state(), CircuitState::HalfOpen);
    assert_eq!(handle.figures().half_open_calls, 0);
    assert_eq!(backend.running.load(SeqCst), 0);
    for _ in 0..2 {
        assert_eq!(ask(&service, 200).await.status(), 200);
    }
    assert_eq!(handle.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_has_failed() {
    let layer = small();
    let service = layer.layer(Backend::default());
    let panic = || AssertUnwindSafe(service.clone().oneshot(request(999, 0))).catch_unwind();
    assert!(panic().await.is_err());
    assert_eq!(layer.handle().figures().failures, 1);
    layer.handle().reset();
    open(&service).await;
    tokio::time::advance(SECOND).await;
    assert!(panic().await.is_err());
    assert_eq!(layer.handle().state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_applied_twice_has_one_circuit() {
    let layer = small();
    let services = [Backend::default(), Backend::default()].map(|backend| layer.layer(backend));
    open(&services[0]).await;
    assert_eq!(ask(&services[1], 200).await.status(), 503);
    let clone = layer.clone().layer(Backend::default());
    assert_eq!(ask(&clone, 200).await.status(), 503);
    let other = small().layer(Backend::default());
    assert_eq!(ask(&other, 200).await.status(), 200);
}

/// axum applies a layer to each route, and answers with a body of its own.
#[tokio::test(start_paused = true)]
async fn it_works_under_axum() {
    use axum::{Router, routing::get};

    let layer = small().consecutive_failures(2);
    let app = Router::new()
        .route("/good", get(|| async { "good" }))
        .route("/bad", get(|| async { StatusCode::BAD_GATEWAY }))
        .layer(layer.clone());
    let ask = |path: &str| {
        let request = Request::get(path).body(axum::body::Body::empty());
        app.clone().oneshot(request.unwrap())
    };
    for (path, status) in [("/good", 200), ("/bad", 502), ("/bad", 502), ("/good", 503)] {
        let response = ask(path).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body == "good", status == 200);
    }
    assert_eq!(layer.handle().state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_does_not_keep_a_permit() {
    let layer = small();
    let mut service = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(Backend::default());
    let busy = tokio::spawn(service.clone().oneshot(request(200, 3_600_000)));
    tokio::task::yield_now().await;
    layer.handle().force_open();
    let ready = service.ready().now_or_never();
    let refused = ready.unwrap().unwrap().call(request(200, 0)).now_or_never();
    assert_eq!(refused.unwrap().unwrap().status(), 503);
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_only_for_what_is_refused() {
    type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;
    let closure = |answer: fn() -> Result<Response<Body>, BoxError>| {
        service_fn(move |_: Request<Body>| -> Answer { Box::pin(std::future::ready(answer())) })
    };
    let fixed = Response::builder().status(203).body("sorry").unwrap();
    let foreign = service_fn(|request: Request<Body>| async move {
        let path = request.uri().path().to_owned();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(path))))
    });
    let upstream = crate::Upstream::service(foreign);
    let cases = [
        (small().fallback_response(fixed), 203, "sorry"),
        (small().fallback(foreign), 200, "/"),
        (small().fallback(upstream), 200, "/"),
        (
            small().fallback(closure(|| Ok(Response::new(Body::from("else"))))),
            200,
            "else",
        ),
        (
            small().fallback(closure(|| Err(Error::new(ErrorKind::Connect).into()))),
            502,
            r#"{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"The backend could not be reached"}"#,
        ),
    ];
    for (layer, status, body) in cases {
        let backend = Backend::default();
        let service = layer.layer(backend.clone());
        open(&service).await;
        for _ in 0..2 {
            let response = ask(&service, 200).await;
            assert_eq!(response.status(), status);
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(bytes, body);
        }
        assert_eq!(backend.calls.load(SeqCst), 10);
        assert_eq!(layer.handle().figures().refused, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn results_are_what_they_are_by_default() {
    type Result = std::result::Result<Response<Body>, BoxError>;
    let own = |kind: ErrorKind| move || -> Result { Err(Error::new(kind).into()) };
    let rejected = |kind: ErrorKind| move || -> Result { Ok(Error::new(kind).into_response()) };
    let status = |status: u16| {
        move || -> Result {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status)?;
            Ok(response)
        }
    };
    let grpc = |said: &'static str| {
        move || -> Result {
            let mut response = Response::new(Body::empty());
            let said = HeaderValue::from_static(said);
            response.headers_mut().insert("grpc-status", said);
            Ok(response)
        }
    };
    let cases: Vec<(Box<dyn Fn() -> Result>, Verdict)> = vec![
        (Box::new(grpc("0")), Verdict::Success),
        (Box::new(grpc("1")), Verdict::Success),
        (Box::new(grpc("2")), Verdict::Failure),
        (Box::new(grpc("3")), Verdict::Success),
        (Box::new(grpc("4")), Verdict::Failure),
        (Box::new(grpc("5")), Verdict::Success),
        (Box::new(grpc("8")), Verdict::Success),
        (Box::new(grpc("12")), Verdict::Success),
        (Box::new(grpc("13")), Verdict::Failure),
        (Box::new(grpc("14")), Verdict::Failure),
        (Box::new(grpc("15")), Verdict::Failure),
        (Box::new(grpc("16")), Verdict::Success),
        (Box::new(status(200)), Verdict::Success),
        (Box::new(status(101)), Verdict::Success),
        (Box::new(status(404)), Verdict::Success),
        (Box::new(status(429)), Verdict::Success),
        (Box::new(status(500)), Verdict::Failure),
        (Box::new(status(501)), Verdict::Success),
        (Box::new(status(503)), Verdict::Failure),
        (Box::new(status(505)), Verdict::Success),
        (Box::new(status(599)), Verdict::Failure),
        (Box::new(own(ErrorKind::Connect)), Verdict::Failure),
        (Box::new(own(ErrorKind::Deadline)), Verdict::Failure),
        (Box::new(own(ErrorKind::NoEndpoint)), Verdict::Failure),
        (Box::new(own(ErrorKind::BodyTooLarge)), Verdict::Neither),
        (Box::new(own(ErrorKind::ClientGone)), Verdict::Neither),
        (Box::new(own(ErrorKind::CircuitOpen)), Verdict::Neither),
        (Box::new(own(ErrorKind::Saturated)), Verdict::Neither),
        (Box::new(own(ErrorKind::Loop)), Verdict::Neither),
        (Box::new(own(ErrorKind::QuotaExceeded)), Verdict::Neither),
        (
            Box::new(rejected(ErrorKind::CapacityReduced)),
            Verdict::Neither,
        ),
        (
            Box::new(rejected(ErrorKind::ThrottleUnavailable)),
            Verdict::Neither,
        ),
        (Box::new(rejected(ErrorKind::Timeout)), Verdict::Failure),
        (Box::new(rejected(ErrorKind::BadRequest)), Verdict::Neither),
        (Box::new(rejected(ErrorKind::CircuitOpen)), Verdict::Neither),
        (
            Box::new(rejected(ErrorKind::NotImplemented)),
            Verdict::Neither,
        ),
        (Box::new(|| Err("boom".into())), Verdict::Failure),
        (
            Box::new(|| Err(load_shed::error::Overloaded::new().into())),
            Verdict::Neither,
        ),
    ];
    for (at, (result, verdict)) in cases.into_iter().enumerate() {
        let result = result();
        assert_eq!(
            CallResult::of(&result, SECOND).verdict(),
            verdict,
            "case {at}"
        );
    }
    // Not boxed, and an error that nobody knows.
    let own: std::result::Result<Response<Body>, Error> = Err(ErrorKind::Saturated.into());
    assert_eq!(CallResult::of(&own, SECOND).verdict(), Verdict::Neither);
    let unknown: std::result::Result<Response<Body>, u8> = Err(7);
    let unknown = CallResult::of(&unknown, SECOND);
    assert_eq!(unknown.verdict(), Verdict::Failure);
    assert_eq!(unknown.error_ref::<u8>(), Some(&7));
}

#[tokio::test(start_paused = true)]
async fn a_classification_sees_status_headers_and_time() {
    let layer =
        CircuitBreakerLayer::new()
            .consecutive_failures(1)
            .classify(|result: &CallResult<'_>| match result.headers() {
                Some(headers) if headers.contains_key("x-status") => Verdict::Failure,
                _ if result.elapsed() > SECOND => Verdict::Failure,
                _ if result.status() == Some(StatusCode::IM_A_TEAPOT) => Verdict::Failure,
                _ => Verdict::Neither,
            });
    let echo = service_fn(|request: Request<Body>| async move {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = request.headers().clone();
        Ok::<_, Infallible>(response)
    });
    let handle = layer.handle();
    let slow = layer.layer(Backend::default());
    assert!(slow.oneshot(request(500, 1_001)).await.is_ok());
    assert_eq!(handle.state(), CircuitState::Open, "by its time");
    handle.reset();
    ask(&layer.layer(Backend::default()), 418).await;
    assert_eq!(handle.state(), CircuitState::Open, "by its status");
    handle.reset();
    ask(&layer.layer(echo), 200).await;
    assert_eq!(handle.state(), CircuitState::Open, "by its headers");
    handle.reset();
    ask(&layer.layer(Backend::default()), 500).await;
    assert_eq!(handle.figures().calls, 0, "neither is not counted");
}

#[tokio::test(start_paused = true)]
async fn an_error_may_well_be_a_success() {
    let layer = small().classify(|_: &CallResult<'_>| Verdict::Success);
    let backend = service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(7_u8) });
    let answer = layer.layer(backend).oneshot(request(200, 0)).await;
    assert_eq!(answer.unwrap_err(), 7);
    let figures = layer.handle().figures();
    assert_eq!((figures.calls, figures.failures), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_takes_it() {
    let layer = small();
    let upstream = crate::Upstream::service(Backend::default()).layer(layer.clone());
    for status in [500; 10] {
        let answer = upstream.clone().oneshot(request(status, 0)).await;
        assert_eq!(answer.unwrap().status(), 500);
    }
    let refused = upstream.oneshot(request(200, 0)).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(layer.handle().state(), CircuitState::Open);
}
