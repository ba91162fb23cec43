//! The layer: how long a permit lasts, who waits and until when, and what passes through.

use std::{convert::Infallible, sync::atomic::Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::support::{Fickle, get, is_shed, limited, ms, poll, start, text};
use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{ErrorKind, Rejection},
    load::{ConcurrencyLimitLayer, Priority},
};

#[tokio::test(start_paused = true)]
async fn a_permit_lasts_to_the_end_of_the_body() {
    let (backend, mut service, handle) = limited(ConcurrencyLimitLayer::max(1));
    let data = || Ok::<_, crate::Error>(Frame::data(Bytes::from("x")));
    let trailers = || Ok(Frame::trailers(HeaderMap::new()));
    let broken = || Err(ErrorKind::Incomplete.into());
    let stream = |frames: Vec<_>| Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    // The body, and in how many frames it ends; none: it is dropped after one.
    for (body, frames) in [
        (Body::empty(), Some(0)),
        (Body::from("abc"), Some(2)),
        (stream(vec![data(), data()]), Some(3)),
        (stream(vec![data(), trailers()]), Some(2)),
        (stream(vec![data(), broken()]), Some(2)),
        (stream(vec![data(), data()]), None),
        (Body::from("abc"), None),
    ] {
        let mut call = start(&mut service, get("/"));
        is_shed(poll(&mut service.call(get("/"))));
        backend.answer(body);
        let mut response = poll(&mut call).unwrap().unwrap();
        drop(call);
        for _ in 0..frames.unwrap_or(1) {
            assert_eq!(handle.in_flight(), 1);
            let _ = response.body_mut().frame().await;
        }
        assert_eq!(handle.in_flight(), u32::from(frames.is_none()));
        drop(response);
        assert_eq!(handle.in_flight(), 0);
    }
    assert_eq!((handle.admitted(), handle.shed(Priority::Normal)), (7, 7));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_has_no_permit() {
    let (backend, mut service, handle) = limited(ConcurrencyLimitLayer::max(1));
    let mut call = start(&mut service, get("/"));
    let mut response = Response::new(Body::from("tunnel"));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    backend.take().answer.send(response).unwrap();
    let response = poll(&mut call).unwrap().unwrap();
    assert_eq!(handle.in_flight(), 0);
    drop(response);
    assert_eq!(handle.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shed_request_is_told_when_to_come_back() {
    let layer = ConcurrencyLimitLayer::max(1).retry_after(ms(1500));
    let (_backend, mut service, _) = limited(layer);
    let _call = start(&mut service, get("/"));
    let shed = poll(&mut service.call(get("/"))).unwrap().unwrap();
    assert_eq!(shed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shed.headers()[header::RETRY_AFTER], "2");
    assert_eq!(
        shed.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
    let Rejection(error) = shed.extensions().get().unwrap();
    assert_eq!(error.kind(), ErrorKind::Saturated);
    assert!(error.is_retryable());
    assert!(text(shed).await.contains("Too many requests at the moment"));
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_in_order_and_under_overload_in_reverse() {
    let layer = ConcurrencyLimitLayer::max(1).queue(8, ms(500));
    let (backend, mut service, handle) = limited(layer);
    let mut calls = ["/0", "/1", "/2", "/3", "/4"]
        .map(|path| start(&mut service, get(path)))
        .into_iter()
        .collect::<Vec<_>>();
    let mut answer_and_poll = || {
        backend.answer("");
        calls.retain_mut(|call| poll(call).is_none());
        // The permit may have gone to one that was asked before.
        calls.retain_mut(|call| poll(call).is_none());
        backend.asked().join(" ")
    };
    assert_eq!(answer_and_poll(), "/1");
    tokio::time::advance(ms(101)).await;
    assert_eq!(answer_and_poll(), "/4");
    assert_eq!(answer_and_poll(), "/3");
    assert_eq!(answer_and_poll(), "/2");
    assert_eq!(answer_and_poll(), "");
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
    assert_eq!(handle.admitted(), 5);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_too_long() {
    let layer = ConcurrencyLimitLayer::max(1).queue(2, ms(200));
    let (_backend, mut service, handle) = limited(layer);
    let begin = clock::now();
    let _call = start(&mut service, get("/"));
    let waiting = [0, 1].map(|_| tokio::spawn(service.clone().oneshot(get("/"))));
    tokio::task::yield_now().await;
    assert_eq!(handle.waiting(), 2);
    is_shed(poll(&mut service.call(get("/"))));
    for waiting in waiting {
        is_shed(Some(waiting.await.unwrap()));
        assert_eq!(clock::now() - begin, ms(200));
    }
    assert_eq!((handle.in_flight(), handle.waiting()), (1, 0));
    assert_eq!((handle.admitted(), handle.shed(Priority::Normal)), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_its_deadline() {
    let layer = ConcurrencyLimitLayer::max(1).queue(9, ms(200));
    let (_backend, mut service, handle) = limited(layer);
    let begin = clock::now();
    let _call = start(&mut service, get("/"));
    for (deadline, waits) in [(0, 0), (50, 50), (500, 200)] {
        let now = clock::now();
        let mut request = get("/");
        let mut context = RequestContext::new();
        context.limit_deadline(now + ms(deadline));
        request.extensions_mut().insert(context);
        let response = service.clone().oneshot(request).await;
        is_shed(Some(response));
        assert_eq!(clock::now() - now, ms(waits), "deadline {deadline}");
    }
    assert_eq!((handle.waiting(), clock::now() - begin), (0, ms(250)));
}

#[tokio::test(start_paused = true)]
async fn who_is_cancelled_leaves_nothing_behind() {
    let layer = ConcurrencyLimitLayer::max(1).queue(9, ms(200));
    let (backend, mut service, handle) = limited(layer);
    let first = start(&mut service, get("/first"));
    let never_polled = service.call(get("/never"));
    let waiting = start(&mut service, get("/waiting"));
    let granted = start(&mut service, get("/granted"));
    let mut last = start(&mut service, get("/last"));
    assert_eq!((handle.in_flight(), handle.waiting()), (1, 4));
    drop(never_polled);
    drop(waiting);
    assert_eq!((handle.in_flight(), handle.waiting()), (1, 2));
    drop(first);
    assert_eq!((handle.in_flight(), handle.waiting()), (1, 1), "handed on");
    drop(granted);
    assert_eq!((handle.in_flight(), handle.waiting()), (1, 0), "handed on");
    assert!(poll(&mut last).is_none());
    assert_eq!(backend.asked(), ["/last"]);
    let _ = backend.take();
    backend.answer("a body");
    let response = poll(&mut last).unwrap().unwrap();
    drop(last);
    assert_eq!(handle.in_flight(), 1);
    drop(response);
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
    assert_eq!(handle.shed(Priority::Normal), 0, "who left was not shed");
}

#[tokio::test(start_paused = true)]
async fn a_panic_gives_the_permit_back() {
    #[derive(Clone)]
    struct Panics(u8);
    impl Service<Request<Body>> for Panics {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = futures_util::future::BoxFuture<'static, Result<Response<Body>, Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            assert_ne!(self.0, 0);
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            assert_ne!(self.0, 1);
            let when = self.0;
            Box::pin(async move {
                assert_ne!(when, 2);
                let body = futures_util::stream::poll_fn(|_| panic!("in the body"));
                Ok(Response::new(Body::new(StreamBody::new(
                    body.map(Ok::<_, Infallible>),
                ))))
            })
        }
    }
    use futures_util::StreamExt;
    let layer = ConcurrencyLimitLayer::max(1);
    let handle = layer.handle();
    for when in 0..4 {
        let service = layer.layer(Panics(when));
        let task = async move { text(service.oneshot(get("/")).await.unwrap()).await };
        assert!(tokio::spawn(task).await.unwrap_err().is_panic());
        assert_eq!(handle.in_flight(), 0, "{when}");
    }
    assert_eq!(handle.admitted(), 4);
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_share_its_count() {
    let layer = ConcurrencyLimitLayer::max(1);
    let (_backend, mut one, handle) = limited(layer.clone());
    let (_backend, mut two, _) = limited(layer.clone());
    let (_backend, mut other, _) = limited(layer.retry_after(ms(1)));
    let _call = start(&mut one, get("/"));
    is_shed(poll(&mut two.call(get("/"))));
    is_shed(poll(&mut one.clone().call(get("/"))));
    let _other = start(&mut other, get("/"));
    assert_eq!((handle.in_flight(), handle.admitted()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_greater_max_wakes_who_waits_and_a_smaller_one_takes_nothing_back() {
    let layer = ConcurrencyLimitLayer::max(1).queue(9, ms(200));
    let (backend, service, handle) = limited(layer);
    let calls = [0; 5].map(|_| tokio::spawn(service.clone().oneshot(get("/"))));
    tokio::task::yield_now().await;
    assert_eq!((handle.in_flight(), handle.waiting()), (1, 4));
    handle.set_max(3);
    tokio::task::yield_now().await;
    assert_eq!((handle.in_flight(), handle.waiting()), (3, 2));
    assert_eq!(backend.asked().len(), 3);
    handle.set_max(0);
    assert_eq!((handle.limit(), handle.in_flight()), (1, 3));
    for _ in 0..5 {
        backend.answer("");
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_for_when_there_is_a_permit_and_not_kept() {
    let (fickle, free) = Fickle::new(1);
    let layer = ConcurrencyLimitLayer::max(1).queue(9, ms(200));
    let mut service = layer.layer(fickle);
    std::future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .unwrap();
    assert_eq!(free.load(Ordering::Relaxed), 1, "being ready takes nothing");
    let mut answered = service.call(get("/"));
    let waiting = start(&mut service, get("/"));
    assert_eq!(free.load(Ordering::Relaxed), 1);
    let response = poll(&mut answered).unwrap().unwrap();
    drop(waiting);
    assert_eq!(text(response).await, "ready");

    free.store(0, Ordering::Relaxed);
    let mut calling = start(&mut service, get("/"));
    assert_eq!(layer.handle().in_flight(), 1, "its time is the backend's");
    free.store(1, Ordering::Relaxed);
    assert!(poll(&mut calling).is_some());
    assert_eq!(free.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn priorities_are_said_by_a_closure_or_by_the_extensions() {
    use Priority::{Critical, Normal, Sheddable};
    let by_path = |request: &http::request::Parts| match request.uri.path() {
        "/healthz" => Critical,
        "/batch" => Sheddable,
        _ => Normal,
    };
    for by_closure in [true, false] {
        let mut layer = ConcurrencyLimitLayer::max(4).queue(2, ms(200));
        if by_closure {
            layer = layer.priority(by_path);
        }
        let (backend, mut service, handle) = limited(layer);
        let mut call = |path| {
            let mut request = get(path);
            if !by_closure && path != "/" {
                let (parts, body) = request.into_parts();
                let priority = by_path(&parts);
                request = Request::from_parts(parts, body);
                request.extensions_mut().insert(priority);
            }
            let mut future = Box::pin(service.call(request));
            (poll(&mut future).is_some(), future)
        };
        // Three of four for a batch, four for the rest, and one more for health checks.
        let mut calls = ["/batch"; 3].map(&mut call).to_vec_of_futures();
        let (batch_shed, batch) = call("/batch");
        assert!(!batch_shed, "it waits");
        calls.extend(["/", "/healthz"].map(&mut call).to_vec_of_futures());
        assert_eq!((handle.in_flight(), handle.waiting()), (5, 1));
        assert!(call("/batch").0, "half of the queue");
        let (_, mut normal) = call("/");
        let (_, mut health) = call("/healthz");
        drop(batch);
        assert_eq!(
            [Sheddable, Normal, Critical].map(|p| handle.shed(p)),
            [1, 0, 0]
        );
        assert!(call("/").0);
        let seen = backend.take().request.extensions().get().copied();
        assert_eq!(seen, Some(Sheddable), "the service inside knows too");
        drop(calls.remove(0));
        assert!(poll(&mut normal).is_none() && poll(&mut health).is_none());
        assert_eq!(backend.asked().last().unwrap(), "/healthz", "it goes first");
    }
}

/// The futures of calls that are not answered yet.
trait Open<F> {
    fn to_vec_of_futures(self) -> Vec<F>;
}

impl<F, const N: usize> Open<F> for [(bool, F); N] {
    fn to_vec_of_futures(self) -> Vec<F> {
        let open = self.into_iter().inspect(|(answered, _)| assert!(!answered));
        open.map(|(_, future)| future).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_ours_passes_unchanged() {
    let trailers = || HeaderMap::from_iter([(header::ETAG, "x".parse().unwrap())]);
    let backend = service_fn(move |_: Request<Full<Bytes>>| async move {
        let body =
            Full::new(Bytes::from("abc")).with_trailers(std::future::ready(Some(Ok(trailers()))));
        Ok::<_, crate::BoxError>(Response::new(body))
    });
    let service = ConcurrencyLimitLayer::max(1).layer(backend);
    let response = service.oneshot(Request::default()).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers()));
    assert_eq!(collected.to_bytes(), "abc");

    let backend = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("abc"))))
    });
    let service = ConcurrencyLimitLayer::max(1).layer(backend);
    let response = service.oneshot(Request::default()).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn it_is_a_layer_for_axum() {
    let layer = ConcurrencyLimitLayer::max(1);
    let handle = layer.handle();
    let app = axum::Router::new()
        .route("/", axum::routing::get(async || "hello"))
        .layer(layer);
    let get = || Request::new(axum::body::Body::empty());
    let first = app.clone().oneshot(get()).await.unwrap();
    let shed = app.clone().oneshot(get()).await.unwrap();
    assert_eq!(shed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(handle.in_flight(), 1);
    assert_eq!(text(first).await, "hello");
    let second = app.oneshot(get()).await.unwrap();
    assert_eq!(second.status(), StatusCode::OK);
}
