//! Routing as a layer: alone, around other services, in axum, and inside a gateway.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::extract::ws::{Message, WebSocketUpgrade};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_gateway::{
    Body, BoxError, Gateway, ObserveLayer, PathPolicy, Rejection, RequestContext, Route,
    RouterLayer, Upstream, router::RouterLayerBuilder, routing::QueryMatch,
};

use crate::support::{Recorder, axum_backend, request, request_to, send, text, upstream};

/// A service that says its name, the URI that it sees, and the route and params in the context.
fn says<B: Send + 'static>(
    name: &'static str,
) -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |request: Request<B>| {
        let context = request.extensions().get::<RequestContext>();
        let route = context.and_then(RequestContext::route).unwrap_or("-");
        let params: Vec<_> = context
            .iter()
            .flat_map(|context| context.params().iter())
            .map(|(name, value)| format!("{name}={}", value.unwrap_or("none")))
            .collect();
        let said = format!("{name} {} {route} {}", request.uri(), params.join(","));
        ready(Ok(Response::new(Full::from(said.trim_end().to_owned()))))
    })
}

fn users() -> RouterLayerBuilder {
    RouterLayer::builder()
        .upstream("users", Upstream::service(says("users")))
        .route(Route::get("/users/{id}").to("users"))
}

async fn said(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.into()).unwrap()
}

fn ask(method: &str, uri: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn what_no_route_takes_goes_to_the_service_inside() {
    let router = users()
        .route(
            Route::new("/files/{*rest}")
                .to("users")
                .rewrite_path("/v2/{*rest}"),
        )
        .route(
            Route::new("/files/{*rest}")
                .name("old")
                .query(QueryMatch::exists("old"))
                .to("users"),
        )
        .route(
            Route::get("/shop")
                .host("shop.example")
                .to("users")
                .strip_prefix("/shop"),
        )
        .build()
        .unwrap();
    let service = ServiceBuilder::new().layer(router).service(says("inside"));
    for (method, uri, expected) in [
        ("GET", "/users/7?a=b", "users /users/7?a=b /users/{id} id=7"),
        ("GET", "/x/..//users/%37", "users /users/7 /users/{id} id=7"),
        ("POST", "/users/7", "inside /users/7 -"),
        ("GET", "/users/7/more", "inside /users/7/more -"),
        ("GET", "/a/./b//%7euser", "inside /a/b/~user -"),
        ("PUT", "/files/a/b", "users /v2/a/b /files/{*rest} rest=a/b"),
        ("PUT", "/files/a?old", "users /files/a?old old rest=a"),
        ("GET", "/shop", "inside /shop -"),
        (
            "GET",
            "http://shop.example/shop",
            "users http://shop.example/ /shop",
        ),
        ("OPTIONS", "*", "inside * -"),
        ("CONNECT", "t.example:443", "inside t.example:443 -"),
    ] {
        let response = service.clone().oneshot(ask(method, uri)).await.unwrap();
        assert_eq!(said(response).await, expected, "{method} {uri}");
    }
}

#[tokio::test]
async fn the_host_is_the_one_that_is_named_once() {
    let router = RouterLayer::builder()
        .upstream("shop", Upstream::service(says("shop")))
        .route(Route::new("/").host("shop.example").to("shop"))
        .build()
        .unwrap();
    let service = router.layer(says("inside"));
    for (hosts, expected) in [
        (&["Shop.Example:8080"][..], "shop"),
        (&["other.example"], "inside"),
        (&["shop.example", "shop.example"], "inside"),
        (&["shop.example/"], "inside"),
        (&["shop.example:"], "inside"),
        (&[], "inside"),
    ] {
        let mut asked = ask("GET", "/");
        for host in hosts {
            let host = host.parse().unwrap();
            asked.headers_mut().append(header::HOST, host);
        }
        let response = service.clone().oneshot(asked).await.unwrap();
        assert!(said(response).await.starts_with(expected), "{hosts:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_the_service_inside_does_not_see_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let inside = service_fn(move |_: Request<Full<Bytes>>| {
        counter.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let slow =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>());
    let router = users()
        .upstream("slow", Upstream::service(slow))
        .route(
            Route::new("/slow")
                .to("slow")
                .timeout(Duration::from_millis(20)),
        )
        .method_not_allowed(true)
        .build()
        .unwrap();
    let service = router.layer(inside);
    for (method, uri, status) in [
        ("GET", "/files/..%2fadmin", StatusCode::BAD_REQUEST),
        ("GET", "/../x", StatusCode::BAD_REQUEST),
        ("POST", "/users/7", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/slow", StatusCode::GATEWAY_TIMEOUT),
        ("HEAD", "/slow", StatusCode::GATEWAY_TIMEOUT),
    ] {
        let response = service.clone().oneshot(ask(method, uri)).await.unwrap();
        assert_eq!(response.status(), status, "{method} {uri}");
        let rejection = response.extensions().get::<Rejection>().unwrap();
        assert_eq!(rejection.0.status(), status);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let allow = response.headers().get(header::ALLOW);
        assert_eq!(
            allow.is_some(),
            status == StatusCode::METHOD_NOT_ALLOWED,
            "{allow:?}"
        );
        assert_eq!(
            said(response).await.is_empty(),
            method == "HEAD",
            "{method} {uri}"
        );
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let response = service.oneshot(ask("GET", "/nowhere")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn every_mistake_is_listed() {
    let error = users()
        .upstream("users", Upstream::service(says("twin")))
        .route(Route::new("/x").to("nobody"))
        .route(Route::get("/users/{name}").to("users"))
        .route(Route::new("no-slash").to("users"))
        .build()
        .unwrap_err();
    let text = error.to_string();
    for part in [
        "`users` is there twice",
        "no upstream `nobody`",
        "/users/{name}",
        "no-slash",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

/// Ready once, and only for the clone that was asked; it fails when it is called without.
struct OnceReady(bool);

impl Clone for OnceReady {
    fn clone(&self) -> Self {
        Self(false)
    }
}

impl<B> Service<Request<B>> for OnceReady {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = Ready<Result<Response<Body>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        assert!(!std::mem::replace(&mut self.0, true), "it was asked twice");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(if std::mem::take(&mut self.0) {
            Ok(Response::new(Body::from("inside")))
        } else {
            Err("it was not asked")
        })
    }
}

#[tokio::test]
async fn the_service_inside_is_asked_before_it_is_called_and_only_then() {
    let mut service = users().build().unwrap().layer(OnceReady(false));
    for (uri, expected) in [("/", "inside"), ("/users/7", "users"), ("/", "inside")] {
        let response = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service)
            .await
            .unwrap()
            .call(ask("GET", uri))
            .await
            .unwrap();
        assert!(said(response).await.starts_with(expected), "{uri}");
    }
}

#[tokio::test]
async fn a_service_inside_that_is_busy_holds_nobody_up() {
    let never = service_fn(|_: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Body>, BoxError>>()
    });
    let busy = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(never);
    let mut service = users().build().unwrap().layer(busy);
    let service = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service)
        .await
        .unwrap();
    // The routes neither wait for the one permit nor take it.
    for _ in 0..3 {
        let response = service.call(ask("GET", "/users/7")).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let mut first = Box::pin(service.call(ask("GET", "/")));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    let error = service.call(ask("GET", "/")).await.unwrap_err();
    assert!(error.is::<tower::load_shed::error::Overloaded>(), "{error}");
    let response = service.call(ask("GET", "/users/7")).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn in_axum_a_backend_gets_a_clean_request() {
    let (recorder, backend) = Recorder::start().await;
    let router = RouterLayer::builder()
        .upstream("backend", upstream(backend))
        .route(Route::new("/api/{*rest}").to("backend").rewrite(|rewrite| {
            rewrite
                .strip_prefix("/api")
                .request_header_set("x-rest", "{rest}")
        }))
        .build()
        .unwrap();
    let app = axum::Router::new()
        .route("/own", axum::routing::get(|| async { "own" }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "nobody") })
        .layer(router)
        // An id makes a context, which does not mean that the request is clean.
        .layer(axum::middleware::from_fn(
            |mut request: axum::extract::Request, next: axum::middleware::Next| {
                request.extensions_mut().insert(RequestContext::new());
                next.run(request)
            },
        ));
    let address = axum_backend(app).await;
    let mut asked = request("GET", "/api//orders/%31?a=b");
    for (name, value) in [
        ("connection", "x-named"),
        ("x-named", "1"),
        ("proxy-connection", "keep-alive"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x_forwarded_host", "evil.example"),
        ("x_rest", "forged"),
        ("accept", "*/*"),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(send(address, asked).await.status(), 200);
    let [seen] = &recorder.requests()[..] else {
        panic!("{:?}", recorder.requests())
    };
    assert!(
        seen.head.starts_with("GET /orders/1?a=b HTTP/1.1\r\n"),
        "{}",
        seen.head
    );
    assert_eq!(seen.header("x-forwarded-prefix"), ["/api"]);
    assert_eq!(seen.header("x-rest"), ["orders/1"]);
    assert_eq!(seen.header("accept"), ["*/*"]);
    for gone in [
        "x-named",
        "proxy-connection",
        "x-forwarded-for",
        "x_forwarded_host",
        "x_rest",
    ] {
        assert!(seen.header(gone).is_empty(), "{gone} in {}", seen.head);
    }
    assert_eq!(
        text(send(address, request("GET", "/own")).await).await,
        "own"
    );
    assert_eq!(
        text(send(address, request_to("t", "GET", "/x")).await).await,
        "nobody"
    );
}

#[tokio::test]
async fn an_upstream_behind_other_layers_gets_a_clean_request_too() {
    let (recorder, backend) = Recorder::start().await;
    let mut asked = request("GET", "/");
    for (name, value) in [
        ("connection", "x-named"),
        ("x-named", "1"),
        ("keep-alive", "9"),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    let service = ServiceBuilder::new()
        .layer(ObserveLayer::new())
        .service(upstream(backend));
    assert_eq!(service.oneshot(asked).await.unwrap().status(), 200);
    let seen = &recorder.requests()[0];
    for gone in ["connection", "x-named", "keep-alive"] {
        assert!(seen.header(gone).is_empty(), "{gone} in {}", seen.head);
    }
    assert_eq!(seen.header("x-request-id").len(), 1);
}

#[tokio::test]
async fn websockets_go_through_a_route() {
    let backend = axum::Router::new().route(
        "/ws",
        axum::routing::any(|upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(|mut socket| async move {
                let said = socket.recv().await.unwrap().unwrap();
                socket
                    .send(Message::Text(said.into_text().unwrap()))
                    .await
                    .unwrap();
            })
        }),
    );
    let router = RouterLayer::builder()
        .upstream("backend", upstream(axum_backend(backend).await))
        .route(Route::new("/ws").to("backend"))
        .build()
        .unwrap();
    let address = axum_backend(axum::Router::new().fallback(|| async {}).layer(router)).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://t.example/ws", stream)
        .await
        .unwrap();
    let sent = tungstenite::Message::text("hello");
    socket.send(sent.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), sent);
}

#[tokio::test]
async fn in_a_gateway_the_path_is_the_doors() {
    let gateway = Gateway::builder()
        .upstream("site", Upstream::service(says("site")))
        .route(Route::new("/{*rest}").to("site"))
        // With its own policy the layer would refuse this path.
        .path_policy(PathPolicy::new().allow_encoded_slash(true))
        .layer(users().build().unwrap())
        .build()
        .unwrap();
    for (path, expected) in [
        ("/users/a%2fb", "users /users/a%2Fb /users/{id} id=a%2Fb"),
        ("/other", "site /other /{*rest} rest=other"),
    ] {
        let response = gateway.clone().oneshot(request("GET", path)).await.unwrap();
        assert_eq!(said(response).await, expected);
    }
}
