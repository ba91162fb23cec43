//! Services in this process as backends: they have no more time than others.

use std::{
    convert::Infallible,
    future::{pending, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tower::{Service, ServiceExt, layer::util::Identity, service_fn};
use tower_gateway::{Body, BoxError, Error, ErrorKind, Gateway, RequestContext, Route, Upstream};

use crate::support::request;

const LIMIT: Duration = Duration::from_secs(7);

/// A service that never answers (`/silent`), or whose body stops in the middle (`/stops`), never ends (`/endless`), or
/// ends in time.
fn service() -> Upstream {
    Upstream::service(service_fn(|request: Request<Body>| async move {
        let context = request.extensions().get::<RequestContext>();
        let deadline = context.and_then(RequestContext::deadline);
        let chunk = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"chunk")));
        let body = match request.uri().path() {
            "/silent" => pending().await,
            "/stops" => stream::once(ready(chunk()))
                .chain(stream::pending())
                .boxed(),
            "/endless" => stream::repeat_with(chunk).boxed(),
            _ => stream::iter([chunk(), chunk()]).boxed(),
        };
        let mut response = Response::new(StreamBody::new(body));
        response.extensions_mut().insert(deadline);
        Ok::<_, Infallible>(response)
    }))
}

fn gateways() -> [Gateway; 3] {
    let route = || Route::new("/{*rest}").to("service");
    [
        (service(), route().timeout(LIMIT)),
        (service().timeout(LIMIT), route()),
        (
            service().timeout(LIMIT).layer(Identity::new()),
            route().timeout(LIMIT * 2),
        ),
    ]
    .map(|(upstream, route)| {
        let gateway = Gateway::builder()
            .upstream("service", upstream)
            .route(route);
        gateway.build().unwrap()
    })
}

/// Fails when it takes much longer than it should.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT * 3, work)
        .await
        .expect("a limit was not kept")
}

async fn ends_late<S>(service: S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<Body>, Error: std::fmt::Debug> + Clone,
{
    let began = tokio::time::Instant::now();
    let stops = service.clone().oneshot(request("GET", "/stops"));
    let stops = stops.await.unwrap();
    assert_eq!(stops.status(), 200);
    let error: Error = soon(stops.into_body().collect()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    let took = began.elapsed();
    assert!(
        took >= LIMIT && took < LIMIT + Duration::from_secs(1),
        "{took:?}"
    );

    let endless = service.oneshot(request("GET", "/endless")).await.unwrap();
    let mut body = endless.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    // It is always ready, so that nobody would look at a timer.
    tokio::time::advance(LIMIT).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_whole_time_is_for_the_body_too() {
    for gateway in gateways() {
        let silent = gateway.clone().oneshot(request("GET", "/silent"));
        assert_eq!(soon(silent).await.unwrap().status(), 504);
        ends_late(gateway.clone()).await;
        let response = gateway.oneshot(request("GET", "/ends")).await.unwrap();
        let deadline = response.extensions().get::<Option<std::time::Instant>>();
        assert!(
            deadline.is_some_and(Option::is_some),
            "the service knows its deadline"
        );
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "chunkchunk");
    }
}

#[tokio::test(start_paused = true)]
async fn also_without_a_gateway() {
    let service = service().timeout(LIMIT);
    let silent = service.clone().oneshot(request("GET", "/silent"));
    let error = soon(silent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    ends_late(service).await;
}

/// A body of nobody's making, which breaks after a chunk.
fn breaks() -> StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>>> {
    let chunk = Ok(Frame::data(Bytes::from_static(b"chunk")));
    StreamBody::new(stream::iter([chunk, Err("the disk is full".into())]))
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn an_answer_that_breaks_is_not_the_clients_fault() {
    use tower_gateway::RouterLayer;

    let log = crate::logging::capture::Log::start();
    let foreign =
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(breaks())) });
    let own = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::new(breaks())))
    });
    // What a backend of its own says, as hyper tells it.
    let backend = crate::support::raw_backend(|_, mut stream| async move {
        crate::support::read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nchunk";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head)
            .await
            .unwrap();
    })
    .await;
    let relay = service_fn(move |_: Request<Body>| async move {
        Ok::<_, Infallible>(crate::support::send(backend, request("GET", "/")).await)
    });
    let relay_own = service_fn(move |_: Request<Body>| async move {
        let answer = crate::support::send(backend, request("GET", "/")).await;
        Ok::<_, Infallible>(answer.map(Body::from))
    });
    // A layer around everything, and whose inside is a foreign service.
    let routes = RouterLayer::builder().build().unwrap();
    let upstreams = [
        ("foreign", Upstream::service(foreign)),
        ("own", Upstream::service(own)),
        ("relay", Upstream::service(relay)),
        ("relay_own", Upstream::service(relay_own)),
        (
            "limited",
            Upstream::service(foreign)
                .timeout(LIMIT)
                .layer(Identity::new()),
        ),
        (
            "router",
            Upstream::service(tower::Layer::layer(&routes, foreign)),
        ),
    ];
    for (name, upstream) in upstreams {
        let gateway = crate::support::one_route(Route::new("/a"), upstream);
        let answer = gateway.oneshot(request("GET", "/a")).await.unwrap();
        let mut body = answer.into_body();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "chunk"
        );
        let error: Error = body.collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{name}");
        let access = log.next().await;
        assert_eq!(
            access.verdict(),
            ["200", "broken", "Internal", "gateway"],
            "{name}"
        );
    }

    // A request's body that breaks is the client's still, also when it is what the answer is made of.
    let echo = service_fn(|request: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::new(
            request.into_body().map_frame(|frame| frame),
        )))
    });
    let gateway = crate::support::one_route(Route::new("/a"), Upstream::service(echo));
    let asked = Request::post("/a")
        .header("host", "t.example")
        .body(breaks());
    let answer = gateway.oneshot(asked.unwrap()).await.unwrap();
    let error: Error = answer.into_body().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientGone);
    assert_eq!(
        log.next().await.verdict(),
        ["200", "broken", "ClientGone", "client"]
    );
}
