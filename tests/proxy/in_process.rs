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
use tower_gateway::{Body, Error, ErrorKind, Gateway, RequestContext, Route, Upstream};

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
