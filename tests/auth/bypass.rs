//! Ways around authentication, and forgeries of what backends are told.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    Body, BoxError, Claims, Gateway, Identity, RequestContext, Route, RouterLayer, Upstream,
    auth::{
        ApiKey, ApiKeyLayer, AuthenticateLayer, Authenticator, AuthorizeLayer, Denied,
        ForwardAuthLayer, IdentityHeadersLayer, IntrospectionLayer,
    },
};

/// Whoever says `x-pass` is believed.
struct Pass;

impl Authenticator for Pass {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let pass = head.headers.get("x-pass").ok_or_else(Denied::missing)?;
        let claims = Claims::new().with("sub", pass.to_str().unwrap());
        Ok(Identity::new("pass", claims))
    }
}

/// A service in this process that tells the fields and trailers it got.
fn tells() -> Upstream {
    Upstream::service(service_fn(|request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        let trailers = body.collect().await?.trailers().cloned();
        let told = format!(
            "{}{}",
            listed(&head.headers),
            listed(&trailers.unwrap_or_default())
        );
        Ok::<_, BoxError>(Response::new(Body::from(told)))
    }))
}

fn listed(headers: &HeaderMap) -> String {
    let fields = headers.iter().filter(|(name, _)| name.as_str() != "host");
    fields
        .map(|(name, value)| format!("{name}={};", String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

fn told() -> IdentityHeadersLayer {
    IdentityHeadersLayer::new().header("x-user", "{claims.sub}")
}

/// What the service behind a layer gets of a request with these fields: its status, and its fields.
async fn behind<L>(layer: L, lines: &[(&'static str, &'static str)]) -> (u16, String)
where
    L: Into<AuthenticateLayer>,
{
    let inner = service_fn(|request: Request<()>| async move {
        Ok::<_, BoxError>(Response::new(Body::from(listed(request.headers()))))
    });
    let mut request = Request::new(());
    for (name, value) in lines {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let response = layer.into().layer(inner).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (status, if status == 200 { text } else { String::new() })
}

/// Blanks that a recipient takes off, or takes for the one behind the scheme, do not make a token one of another kind.
#[tokio::test]
async fn a_token_that_a_backend_would_read_is_looked_at() {
    for value in [
        "Bearer\tforged!",
        " Bearer forged!",
        "\tbearer forged!",
        "Bearer \tforged!",
    ] {
        let layer = IntrospectionLayer::new("https://id.example/introspect");
        let key = ApiKeyLayer::new([ApiKey::new("a", "0123456789abcdef").unwrap()]);
        let optional = AuthenticateLayer::new(layer.clone()).optional();
        let (status, fields) = behind(optional, &[("authorization", value)]).await;
        assert_eq!((status, &*fields), (400, ""), "{value:?}");
        let either = AuthenticateLayer::any_of([key.into(), layer.into()]);
        let lines = [("authorization", value), ("x-api-key", "0123456789abcdef")];
        assert_eq!(
            behind(either, &lines).await,
            (200, String::new()),
            "{value:?}"
        );
    }
}

#[cfg(feature = "basic-auth")]
#[tokio::test]
async fn a_password_that_a_backend_would_read_is_looked_at() {
    use tower_gateway::auth::{BasicLayer, BasicUsers};
    for value in ["Basic\tYTpi", " Basic YTpi"] {
        let optional = AuthenticateLayer::new(BasicLayer::new(BasicUsers::new())).optional();
        let (status, _) = behind(optional, &[("authorization", value)]).await;
        assert!(status == 400 || status == 401, "{value:?}");
    }
}

#[tokio::test]
async fn a_backend_that_reads_aliases_sees_no_other_tenant() {
    let inner =
        service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(Body::empty())) });
    let layer = AuthorizeLayer::new().claim_is_header("tenant", "x-tenant");
    for (lines, status) in [
        (&[("x-tenant", "a")][..], 200),
        (&[("x-tenant", "a"), ("x_tenant", "a")], 200),
        (&[("x-tenant", "a"), ("x_tenant", "b")], 403),
        (&[("x_tenant", "b"), ("x-tenant", "a")], 403),
        (&[("x_tenant", "a")], 403),
    ] {
        let mut request = Request::new(());
        for (name, value) in lines {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let mut context = RequestContext::new();
        context.set_identity(Identity::new("pass", Claims::new().with("tenant", "a")));
        request.extensions_mut().insert(context);
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{lines:?}");
    }
}

/// A body whose trailers say who it is.
fn with_trailers(name: &'static str) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static(name), "root".parse().unwrap());
    trailers.insert("x-sum", "1".parse().unwrap());
    let frames = [Frame::data(Bytes::from("a")), Frame::trailers(trailers)];
    let frames = frames.map(Ok::<_, BoxError>);
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test]
async fn trailers_do_not_say_who_it_is() {
    let site = service_fn(|_: Request<Body>| async {
        Ok::<_, BoxError>(Response::new(Body::from("the site")))
    });
    let layer = RouterLayer::builder()
        .upstream("backend", tells())
        .route(Route::new("/").to("backend").identity_headers(told()))
        .build()
        .unwrap();
    for name in ["x-user", "x_user", "authorization"] {
        let request = Request::post("/").body(with_trailers(name)).unwrap();
        let response = layer.layer(site).oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "x-sum=1;", "{name}");
    }
}

#[tokio::test]
async fn what_a_service_says_of_one_route_nobody_says_on_another() {
    let user = HeaderName::from_static("x-auth-user");
    let forward = ForwardAuthLayer::new("https://sso.example/verify")
        .response_headers([user, http::header::AUTHORIZATION]);
    let router = RouterLayer::builder()
        .upstream("backend", tells())
        .route(Route::new("/").to("backend").authenticate(forward.clone()))
        .route(Route::new("/open").to("backend"))
        .build()
        .unwrap();
    let gateway = Gateway::builder()
        .upstream("backend", tells())
        .authenticate(AuthenticateLayer::any_of([forward.into()]))
        .route(Route::new("/open").to("backend").anonymous())
        .build()
        .unwrap();
    let site = service_fn(|_: Request<Body>| async {
        Ok::<_, BoxError>(Response::new(Body::from("the site")))
    });
    let request = || {
        Request::post("/open")
            .version(http::Version::HTTP_2)
            .header("host", "a.example")
            .header("x-auth-user", "root")
            .header("x_auth_user", "root")
            .header("authorization", "Own")
            .body(with_trailers("x-auth-user"))
            .unwrap()
    };
    let alone = router.layer(site).oneshot(request()).await.unwrap();
    let alone = alone.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(alone, "authorization=Own;x-sum=1;");
    let behind = gateway.oneshot(request()).await.unwrap();
    let behind = behind.into_body().collect().await.unwrap().to_bytes();
    let behind = String::from_utf8(behind.to_vec()).unwrap();
    assert!(
        !behind.contains("root") && behind.contains("authorization=Own"),
        "{behind}"
    );
}

/// A router layer inside of a gateway: what it alone tells, no client of the gateway does.
#[tokio::test]
async fn a_gateway_in_front_is_no_way_around_a_router_layer() {
    let router = RouterLayer::builder()
        .upstream("backend", tells())
        .route(
            Route::new("/known")
                .to("backend")
                .authenticate(Pass)
                .identity_headers(told()),
        )
        .route(Route::new("/open").to("backend"))
        .build()
        .unwrap();
    let site = service_fn(|_: Request<Body>| async {
        Ok::<_, BoxError>(Response::new(Body::from("the site")))
    });
    let gateway = Gateway::builder()
        .upstream("app", Upstream::service(router.layer(site)))
        .route(Route::new("/{*rest}").to("app"))
        .build()
        .unwrap();
    let request = Request::post("/open")
        .header("host", "a.example")
        .header("x-user", "root")
        .header("x_user", "root")
        .body(with_trailers("x-user"))
        .unwrap();
    let response = gateway.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(!body.contains("root"), "{body}");
}

/// And what the gateway in front tells goes on.
#[tokio::test]
async fn what_a_gateway_in_front_tells_goes_through_a_router_layer() {
    let router = RouterLayer::builder()
        .upstream("backend", tells())
        .route(
            Route::new("/known")
                .to("backend")
                .identity_headers(IdentityHeadersLayer::new().header("x-name", "{claims.sub}")),
        )
        .route(Route::new("/open").to("backend"))
        .build()
        .unwrap();
    let site = service_fn(|_: Request<Body>| async {
        Ok::<_, BoxError>(Response::new(Body::from("the site")))
    });
    let gateway = Gateway::builder()
        .upstream("app", Upstream::service(router.layer(site)))
        .authenticate(Pass)
        .identity_headers(told())
        .route(Route::new("/{*rest}").to("app"))
        .build()
        .unwrap();
    let request = Request::get("/open")
        .header("host", "a.example")
        .header("x-user", "root")
        .header("x-pass", "ada")
        .body(Body::empty())
        .unwrap();
    let response = gateway.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains("x-user=ada;"), "{body}");
}

#[tokio::test]
async fn a_key_in_the_query_is_nowhere_behind() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let backend = Upstream::service(service_fn(move |request: Request<Body>| {
        log.lock().unwrap().push(format!(
            "{:?}",
            request.extensions().get::<RequestContext>()
        ));
        async move {
            let uri = request.uri().to_string();
            Ok::<_, BoxError>(Response::new(Body::from(uri)))
        }
    }));
    let key = ApiKeyLayer::new([ApiKey::new("a", "0123456789abcdef").unwrap()]).query("k");
    let gateway = Gateway::builder()
        .upstream("backend", backend)
        .authenticate(key)
        .route(Route::new("/{id}").to("backend"))
        .build()
        .unwrap();
    let request = Request::get("/a?k=0123456789abcdef&b=1")
        .header("host", "a.example")
        .body(Body::empty())
        .unwrap();
    let response = gateway.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "/a?b=1");
    let seen = seen.lock().unwrap().join("");
    assert!(!seen.contains("0123456789abcdef"), "{seen}");
}

/// Somebody who is refused does not keep what others wait for.
#[tokio::test]
async fn who_is_refused_keeps_no_readiness() {
    let inner =
        service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(Body::empty())) });
    let limited = tower::limit::ConcurrencyLimitLayer::new(1).layer(inner);
    let mut service = told().layer(limited.clone());
    let mut other = told().layer(limited);
    let mut request = Request::new(());
    let mut context = RequestContext::new();
    context.set_identity(Identity::new(
        "pass",
        Claims::new().with("sub", "a".repeat(9_000)),
    ));
    request.extensions_mut().insert(context);
    let refused = service.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(refused.status(), 403);
    let ready = futures_util::poll!(std::pin::pin!(other.ready()));
    assert!(ready.is_ready());
    drop(service);
}
