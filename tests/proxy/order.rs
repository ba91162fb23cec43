//! The order in which a request goes through the layers, by what they see of it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower::{ServiceExt, service_fn, util::MapRequestLayer};
use tower_gateway::{Body, Gateway, GatewayBuilder, RequestContext, Route, StickyKey, Upstream};

type Seen = Arc<Mutex<Vec<String>>>;

/// A layer that writes down its name and what it sees: the route, a param, the path.
fn tag(
    name: &'static str,
    seen: &Seen,
) -> MapRequestLayer<impl Fn(Request<Body>) -> Request<Body> + Clone + Send + Sync + 'static + use<>>
{
    let seen = seen.clone();
    MapRequestLayer::new(move |request: Request<Body>| {
        let context = request.extensions().get::<RequestContext>().unwrap();
        let route = context.route().unwrap_or("-");
        let param = context.param("rest").unwrap_or("-");
        let path = request.uri().path();
        seen.lock()
            .unwrap()
            .push(format!("{name} {route} {param} {path}"));
        request
    })
}

fn says(text: &'static str) -> Upstream {
    Upstream::service(service_fn(move |_: Request<Body>| async move {
        Ok::<_, Infallible>(Response::new(Body::from(text)))
    }))
}

async fn status(gateway: GatewayBuilder, request: Request<Body>) -> StatusCode {
    let gateway = gateway.build().unwrap();
    gateway.oneshot(request).await.unwrap().status()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path)
        .header("host", "t.example")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn layers_stand_where_the_pipeline_says() {
    let seen = Seen::default();
    let gateway = Gateway::builder()
        .layer(tag("gateway 1", &seen))
        .layer(tag("gateway 2", &seen))
        .upstream(
            "app",
            says("fine")
                .layer(tag("upstream 1", &seen))
                .layer(tag("upstream 2", &seen)),
        )
        .route(
            Route::new("/api/{*rest}")
                .name("api")
                .to("app")
                .strip_prefix("/api")
                .layer(tag("route 1", &seen))
                .layer(tag("route 2", &seen)),
        );
    assert_eq!(status(gateway, get("/api/./x")).await, 200);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "gateway 1 - - /api/x",
            "gateway 2 - - /api/x",
            "route 1 api x /api/x",
            "route 2 api x /api/x",
            "upstream 1 api x /x",
            "upstream 2 api x /x",
        ]
    );
}

#[tokio::test]
async fn a_body_over_the_limit_comes_to_no_layer_of_the_route() {
    let seen = Seen::default();
    let gateway = Gateway::builder()
        .layer(tag("gateway", &seen))
        .upstream("app", says("fine").layer(tag("upstream", &seen)))
        .route(
            Route::new("/{*rest}")
                .to("app")
                .body_limit(4)
                .layer(tag("route", &seen)),
        );
    let mut request = get("/a");
    *request.method_mut() = Method::POST;
    *request.body_mut() = Body::from("12345");
    assert_eq!(status(gateway, request).await, 413);
    assert_eq!(*seen.lock().unwrap(), ["gateway - - /a"]);
}

#[tokio::test]
async fn a_layer_of_the_gateway_comes_before_the_match() {
    let seen = Seen::default();
    let gateway = || {
        Gateway::builder()
            .layer(tag("gateway", &seen))
            .layer(MapRequestLayer::new(|mut request: Request<Body>| {
                if request.headers().contains_key("x-moved") {
                    *request.uri_mut() = "/there".parse().unwrap();
                }
                request
            }))
            .upstream("app", says("fine"))
            .route(Route::new("/there").to("app"))
    };
    let mut moved = get("/here");
    moved
        .headers_mut()
        .insert("x-moved", HeaderValue::from_static("1"));
    assert_eq!(status(gateway(), moved).await, 200);
    assert_eq!(status(gateway(), get("/here")).await, 404);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_split_is_decided_by_what_the_client_sent() {
    let gateway = || {
        Gateway::builder()
            .upstream("a", says("a"))
            .upstream("b", says("b"))
            .route(
                Route::new("/{*rest}")
                    .split([("a", 1), ("b", 1)])
                    .sticky(StickyKey::header("x-user".parse().unwrap()))
                    .rewrite(|to| to.request_header_set("x-user", "everybody")),
            )
            .build()
            .unwrap()
    };
    let mut places = std::collections::HashSet::new();
    for user in 0..64 {
        let mut request = get("/x");
        request
            .headers_mut()
            .insert("x-user", HeaderValue::from(user));
        let answer = gateway().oneshot(request).await.unwrap();
        let body = http_body_util::BodyExt::collect(answer.into_body())
            .await
            .unwrap();
        places.insert(body.to_bytes());
    }
    assert_eq!(places.len(), 2);
}

#[cfg(all(
    feature = "catch-panic",
    feature = "cors",
    feature = "decompression",
    feature = "sensitive-headers"
))]
mod outer {
    use http::{HeaderName, header};
    use tower_http::{cors::CorsLayer, decompression::RequestDecompressionLayer};

    use super::*;

    const ALLOWED: &str = "access-control-allow-origin";

    fn to(upstream: Upstream) -> GatewayBuilder {
        Gateway::builder()
            .upstream("app", upstream)
            .route(Route::new("/{*rest}").to("app"))
            .cors(CorsLayer::permissive())
    }

    async fn answer(gateway: GatewayBuilder, request: Request<Body>) -> Response<Body> {
        gateway.build().unwrap().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn what_the_other_layers_answer_is_for_browsers_too() {
        let mut coded = get("/a");
        *coded.method_mut() = Method::POST;
        *coded.body_mut() = Body::from("x");
        let rot13 = HeaderValue::from_static("rot13");
        coded.headers_mut().insert("content-encoding", rot13);
        let gateway = to(says("fine")).decompression(RequestDecompressionLayer::new());
        let refused = answer(gateway, coded).await;
        assert_eq!(refused.status(), 415);
        assert!(refused.headers().contains_key(ALLOWED));

        let panics = service_fn(|_: Request<Body>| async {
            if true {
                panic!("on purpose")
            }
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let panicked = answer(to(Upstream::service(panics)).catch_panic(), get("/a")).await;
        assert_eq!(panicked.status(), 500);
        assert!(panicked.headers().contains_key(ALLOWED));
    }

    #[tokio::test]
    async fn only_a_preflight_is_answered_by_cors() {
        let mut asked = get("/a");
        *asked.method_mut() = Method::OPTIONS;
        let origin = HeaderValue::from_static("https://shop.example");
        asked.headers_mut().insert(header::ORIGIN, origin);
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = asked.method().clone();
        head.uri = asked.uri().clone();
        head.headers = asked.headers().clone();
        let body = |answer: Response<Body>| async {
            let body = http_body_util::BodyExt::collect(answer.into_body());
            body.await.unwrap().to_bytes()
        };
        assert_eq!(body(answer(to(says("mine")), asked).await).await, "mine");
        let post = HeaderValue::from_static("POST");
        head.headers
            .insert(header::ACCESS_CONTROL_REQUEST_METHOD, post);
        let preflight = answer(to(says("mine")), Request::from_parts(head, Body::empty())).await;
        assert!(
            preflight
                .headers()
                .contains_key("access-control-allow-methods")
        );
        assert_eq!(body(preflight).await, "");
    }

    #[tokio::test]
    async fn a_sensitive_field_of_an_answer_is_marked() {
        let cookies = service_fn(|_: Request<Body>| async {
            let mut answer = Response::new(Body::empty());
            for name in ["set-cookie", "x-plain"] {
                let value = HeaderValue::from_static("sid=1");
                answer
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
            Ok::<_, Infallible>(answer)
        });
        let gateway = to(Upstream::service(cookies)).sensitive_headers([header::SET_COOKIE]);
        let answer = answer(gateway, get("/a")).await;
        assert!(answer.headers()["set-cookie"].is_sensitive());
        assert!(!answer.headers()["x-plain"].is_sensitive());
    }
}
