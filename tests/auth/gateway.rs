//! Authentication, authorisation and what backends are told, in a gateway over sockets.

use axum::{Router, routing::any};
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use tower_gateway::{
    Claims, Gateway, GatewayBuilder, Identity, Route,
    auth::{AuthenticateLayer, Authenticator, AuthorizeLayer, Denied, IdentityHeadersLayer},
};

use crate::support::{axum_backend, request_with, send, serve, text, upstream};

/// Whoever says `x-pass: name scope scope` is believed.
struct Pass;

impl Authenticator for Pass {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let challenge = HeaderValue::from_static("Pass");
        let Some(pass) = head.headers.get("x-pass") else {
            return Err(Denied::missing().with_challenge(challenge));
        };
        let pass = pass.to_str().unwrap();
        let (name, scopes) = pass.split_once(' ').unwrap_or((pass, ""));
        match name {
            "mallory" => Err(Denied::invalid("mallory").with_challenge(challenge)),
            name => Ok(Identity::new(
                "pass",
                Claims::new().with("sub", name).with("scope", scopes),
            )),
        }
    }

    fn strip(&self, head: &mut Parts) {
        head.headers.remove("x-pass");
    }

    fn owned(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static("x-owned")]
    }
}

struct Wrong;

impl Authenticator for Wrong {
    async fn authenticate(&self, _: &Parts) -> Result<Identity, Denied> {
        Err(Denied::missing())
    }

    fn mistakes(&self) -> Vec<String> {
        vec!["the leeway is wrong".to_owned()]
    }
}

/// Tells which of the fields that matter it has seen.
async fn seen(headers: HeaderMap) -> String {
    let mut seen: Vec<_> = headers
        .iter()
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "host" | "via" | "x-request-id" | "traceparent"
            )
        })
        .filter(|(name, _)| !name.as_str().starts_with("x-forwarded-"))
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    seen.sort();
    seen.join(" ")
}

async fn builder() -> GatewayBuilder {
    let backend = axum_backend(Router::new().fallback(any(seen))).await;
    Gateway::builder().upstream("backend", upstream(backend))
}

fn told() -> IdentityHeadersLayer {
    IdentityHeadersLayer::new().header("x-user", "{claims.sub}")
}

#[tokio::test]
async fn who_is_known_and_may_goes_on_and_the_backend_is_told() {
    let gateway = builder()
        .await
        .authenticate(Pass)
        .identity_headers(told())
        .route(Route::new("/open").to("backend").anonymous())
        .route(Route::new("/known").to("backend"))
        .route(
            Route::new("/write")
                .to("backend")
                .authorize(AuthorizeLayer::new().all_scopes(["write"])),
        )
        .route(
            Route::new("/users/{id}")
                .to("backend")
                .authorize(AuthorizeLayer::new().claim_is_param("sub", "id")),
        )
        .route(
            Route::new("/maybe")
                .to("backend")
                .authenticate(AuthenticateLayer::new(Pass).optional())
                .identity_headers(
                    IdentityHeadersLayer::new().header("x-name", "{claims.sub}/{request.method}"),
                ),
        )
        .build()
        .unwrap();
    let gateway = serve(gateway).await;
    let forged = [
        ("x-user", "root"),
        ("x_user", "root"),
        ("x-name", "root"),
        ("x-owned", "root"),
        ("x_owned", "root"),
        ("x-keep", "1"),
    ];
    for (path, pass, status, expected) in [
        ("/open", None, 200, "x-keep=1"),
        ("/open", Some("alice"), 200, "x-keep=1 x-pass=alice"),
        ("/known", None, 401, ""),
        ("/known", Some("mallory"), 401, ""),
        ("/known", Some("alice"), 200, "x-keep=1 x-user=alice"),
        ("/write", Some("alice read"), 403, ""),
        (
            "/write",
            Some("alice read write"),
            200,
            "x-keep=1 x-user=alice",
        ),
        ("/users/alice", Some("alice"), 200, "x-keep=1 x-user=alice"),
        (
            "/users/%61lice",
            Some("alice"),
            200,
            "x-keep=1 x-user=alice",
        ),
        ("/users/bob", Some("alice"), 403, ""),
        (
            "/users/bob/../alice",
            Some("alice"),
            200,
            "x-keep=1 x-user=alice",
        ),
        ("/maybe", None, 200, "x-keep=1"),
        ("/maybe", Some("alice"), 200, "x-keep=1 x-name=alice/GET"),
        ("/maybe", Some("mallory"), 401, ""),
        ("/nowhere", None, 404, ""),
    ] {
        let lines: Vec<_> = forged
            .into_iter()
            .chain(pass.map(|pass| ("x-pass", pass)))
            .collect();
        let response = send(gateway, request_with(path, &lines)).await;
        assert_eq!(response.status(), status, "{path} {pass:?}");
        let challenges: Vec<_> = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .cloned()
            .collect();
        match (status, path) {
            (401, _) => assert_eq!(challenges, ["Pass"]),
            (403, "/write") => assert_eq!(
                challenges,
                ["Bearer error=\"insufficient_scope\", scope=\"write\""]
            ),
            _ => assert!(challenges.is_empty()),
        }
        if status >= 400 {
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
            assert_eq!(response.headers()["cache-control"], "no-store");
        }
        let body = text(response).await;
        assert!(status >= 400 || body == expected, "{path} {pass:?}: {body}");
    }
}

#[tokio::test]
async fn a_connection_header_can_not_delete_who_it_is() {
    let gateway = builder().await.authenticate(Pass).identity_headers(told());
    let gateway = gateway
        .route(Route::new("/").to("backend"))
        .build()
        .unwrap();
    let gateway = serve(gateway).await;
    let lines = [
        ("connection", "x-user, close"),
        ("x-user", "root"),
        ("x-pass", "alice"),
    ];
    let response = send(gateway, request_with("/", &lines)).await;
    assert_eq!(text(response).await, "x-user=alice");
}

#[tokio::test]
async fn grpc_clients_are_told_in_their_own_terms() {
    let gateway = builder()
        .await
        .authenticate(Pass)
        .route(
            Route::new("/{*rest}")
                .to("backend")
                .authorize(AuthorizeLayer::new().any_scope(["call"])),
        )
        .build()
        .unwrap();
    let gateway = serve(gateway).await;
    for (pass, expected) in [(None, "16"), (Some("alice"), "7")] {
        let lines: Vec<_> = [("content-type", "application/grpc")]
            .into_iter()
            .chain(pass.map(|pass| ("x-pass", pass)))
            .collect();
        let mut request = request_with("/a.B/C", &lines);
        *request.method_mut() = http::Method::POST;
        let response = send(gateway, request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], expected);
    }
}

#[tokio::test]
async fn the_order_is_not_that_in_which_it_was_asked_for() {
    let limit = tower_gateway::ConcurrencyLimitLayer::max(1);
    let gateway = builder()
        .await
        .route(
            Route::new("/")
                .to("backend")
                .concurrency_limit(limit)
                .identity_headers(told())
                .authorize(AuthorizeLayer::new())
                .authenticate(Pass),
        )
        .build()
        .unwrap();
    let plan = gateway.pipeline().to_owned();
    let expected = "AuthenticateLayer > AuthorizeLayer > IdentityHeadersLayer > ConcurrencyLimitLayer > upstream backend";
    assert!(plan.contains(expected), "{plan}");
}

#[tokio::test]
async fn every_mistake_is_reported_with_its_route() {
    let error = builder()
        .await
        .authenticate(Wrong)
        .route(
            Route::new("/a")
                .name("a")
                .to("backend")
                .anonymous()
                .authenticate(Pass),
        )
        .route(
            Route::new("/b")
                .name("b")
                .to("backend")
                .anonymous()
                .authorize(AuthorizeLayer::new()),
        )
        .route(
            Route::new("/c/{id}")
                .name("c")
                .to("backend")
                .authorize(AuthorizeLayer::new().claim_is_param("sub", "other")),
        )
        .route(
            Route::new("/d")
                .name("d")
                .to("backend")
                .authorize(AuthorizeLayer::new().all_scopes(["a b"])),
        )
        .route(
            Route::new("/e")
                .name("e")
                .to("backend")
                .identity_headers(IdentityHeadersLayer::new().header("x-user", "{id}")),
        )
        .route(Route::new("/f").name("f").to("backend").authenticate(Wrong))
        .build()
        .unwrap_err();
    let mistakes: Vec<_> = error.mistakes().collect();
    let expected = [
        ("route `a`", "anonymous"),
        ("route `b`", "needs `authenticate`"),
        ("route `c`", "no param `other`"),
        ("route `d`", "\"a b\""),
        ("route `e`", "no param `id`"),
        ("route `f`", "the leeway is wrong"),
        ("", "the leeway is wrong"),
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for ((route, what), mistake) in expected.iter().zip(&mistakes) {
        assert!(
            mistake.starts_with(route) && mistake.contains(what),
            "{mistake}"
        );
    }
}

#[tokio::test]
async fn a_router_layer_has_it_too() {
    let backend = axum_backend(Router::new().fallback(any(seen))).await;
    let layer = tower_gateway::RouterLayer::builder()
        .upstream("backend", upstream(backend))
        .route(
            Route::new("/known")
                .to("backend")
                .authenticate(Pass)
                .identity_headers(told()),
        )
        .route(Route::new("/open").to("backend"))
        .build()
        .unwrap();
    let app = Router::new().layer(layer);
    let address = axum_backend(app).await;
    let lines = [("x-user", "root"), ("x_user", "root")];
    assert_eq!(
        send(address, request_with("/known", &lines)).await.status(),
        401
    );
    let response = send(address, request_with("/open", &lines)).await;
    assert_eq!(
        text(response).await,
        "",
        "what one route tells, nobody says on another"
    );
}
