//! Tokens of issuers, as clients send them.

mod limits;
mod revoked;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Extension, Router, routing::get};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_gateway::{
    Body, BoxError, Claims, Rejection, RequestContext,
    auth::{
        Issuer, JwtLayer, Revocation, RevocationList,
        jose::{Algorithm, KeySet, SigningKey},
        keys::KeySource,
    },
};

use crate::support::{axum_backend, request_with, send, text};

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

pub fn key(kid: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256)
        .unwrap()
        .with_kid(kid)
}

pub fn keys(all: &[&SigningKey]) -> KeySet {
    KeySet::new(all.iter().map(|key| key.key())).unwrap()
}

/// A token that is right, but for these members.
pub fn token(key: &SigningKey, changes: Value) -> String {
    let mut claims = json!({"iss": "https://a.example", "aud": "orders", "sub": "alice", "exp": now() + 600, "iat": now()});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    key.sign_claims(&claims).unwrap()
}

pub fn issuer(keys: impl KeySource) -> Issuer {
    Issuer::new("https://a.example", keys).audience(["orders"])
}

/// The answer to a request with this token: the subject that the service saw.
pub async fn ask(layer: &JwtLayer, token: &str) -> Response<Body> {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    send_to(layer, request.body(Body::empty()).unwrap()).await
}

async fn send_to(layer: &JwtLayer, request: Request<Body>) -> Response<Body> {
    let inner = tower::service_fn(async |request: Request<Body>| {
        let context: &RequestContext = request.extensions().get().unwrap();
        let subject = context.identity().unwrap().subject().unwrap_or_default();
        let mut response = Response::new(Body::from(subject.to_owned()));
        let header = request.headers().get("authorization").cloned();
        response
            .extensions_mut()
            .insert(Sent(header, request.uri().to_string()));
        Ok::<_, std::convert::Infallible>(response)
    });
    layer.layer(inner).oneshot(request).await.unwrap()
}

/// What of the token the service inside has seen.
#[derive(Clone, Debug)]
struct Sent(Option<http::HeaderValue>, String);

pub async fn status(layer: &JwtLayer, token: &str) -> u16 {
    ask(layer, token).await.status().as_u16()
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_not_told() {
    let (ours, theirs) = (key("a"), key("a"));
    let layer = JwtLayer::new(
        issuer(keys(&[&ours]))
            .types(["JWT"])
            .max_lifetime(Duration::from_secs(3_600))
            .require(["sub", "tenant.id"]),
    );
    let right = |changes: Value| {
        let mut whole = json!({"tenant": {"id": 7}});
        for (name, value) in changes.as_object().unwrap() {
            whole[name] = value.clone();
        }
        token(&ours, whole)
    };
    assert_eq!(status(&layer, &right(json!({}))).await, 200);
    let good = right(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other_payload = token(&ours, json!({"tenant": {"id": 7}, "sub": "root"}));
    let swapped = format!("{}.{signature}", other_payload.rsplit_once('.').unwrap().0);
    let wrong = [
        ("another key", token(&theirs, json!({"tenant": {"id": 7}}))),
        ("another payload", swapped),
        ("no signature", format!("{signed}.")),
        (
            "unsigned",
            format!("eyJhbGciOiJub25lIn0.{}.", signed.split_once('.').unwrap().1),
        ),
        ("four segments", format!("{good}.e30")),
        ("padding", format!("{good}=")),
        ("expired", right(json!({"exp": now() - 61}))),
        ("not yet", right(json!({"nbf": now() + 120}))),
        ("from the future", right(json!({"iat": now() + 120}))),
        ("for ever", right(json!({"exp": null}))),
        ("for too long", right(json!({"exp": now() + 3_700}))),
        ("nobody's", right(json!({"iss": null}))),
        (
            "another issuer's",
            right(json!({"iss": "https://a.example/"})),
        ),
        ("for others", right(json!({"aud": "billing"}))),
        ("for nobody", right(json!({"aud": null}))),
        ("without a subject", right(json!({"sub": null}))),
        ("without a tenant", right(json!({"tenant": {}}))),
        (
            "of another type",
            ours.clone()
                .with_typ("at+jwt")
                .sign_claims(&json!({"sub": "a"}))
                .unwrap(),
        ),
        ("too long", "a".repeat(9_000)),
        ("no token", "x".to_owned()),
    ];
    let mut told = Vec::new();
    for (what, token) in wrong {
        let response = ask(&layer, &token).await;
        assert_eq!(response.status(), 401, "{what}");
        let Rejection(error) = response.extensions().get().unwrap();
        assert!(
            std::error::Error::source(error).is_some(),
            "the log has a reason"
        );
        let challenge = response.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        told.push((challenge, body));
    }
    told.dedup();
    let [(challenge, _)] = &told[..] else {
        panic!("they can be told apart: {told:?}");
    };
    assert!(
        challenge.starts_with(r#"Bearer realm="api", error="invalid_token", error_description=""#),
        "{challenge}"
    );
}

#[tokio::test]
async fn without_a_token_there_is_no_error_code() {
    let layer = JwtLayer::new(issuer(keys(&[&key("a")]))).realm("orders");
    let response = send_to(&layer, Request::new(Body::empty())).await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        "Bearer realm=\"orders\""
    );
}

#[tokio::test]
async fn no_issuer_speaks_for_another() {
    let (a, b) = (key("same"), key("same"));
    let layer = JwtLayer::new(issuer(keys(&[&a])))
        .issuer(Issuer::new("https://b.example", keys(&[&b])).audience(["billing"]));
    let of = |key, iss: &str, aud: &str| token(key, json!({"iss": iss, "aud": aud}));
    for (token, expected) in [
        (of(&a, "https://a.example", "orders"), 200),
        (of(&b, "https://b.example", "billing"), 200),
        (of(&a, "https://b.example", "billing"), 401),
        (of(&b, "https://a.example", "orders"), 401),
        (of(&a, "https://a.example", "billing"), 401),
        (of(&b, "https://c.example", "billing"), 401),
        (token(&a, json!({"iss": null})), 401),
    ] {
        for _ in 0..2 {
            assert_eq!(status(&layer, &token).await, expected, "{token}");
        }
    }
}

#[tokio::test]
async fn a_token_is_in_one_place_and_stays_here() {
    let signer = key("a");
    let (one, other) = (
        token(&signer, json!({})),
        token(&signer, json!({"sub": "bob"})),
    );
    let layer = JwtLayer::new(issuer(keys(&[&signer])));
    let everywhere = layer.clone().cookie("session").query("access_token");
    let forwarded = layer.clone().forward_token(true);
    let ask = async |layer: &JwtLayer,
                     header: Option<&str>,
                     cookie: Option<&str>,
                     query: Option<&str>| {
        let uri = query.map_or("/x?y=1".to_owned(), |query| {
            format!("/x?access_token={query}&y=1")
        });
        let mut request = Request::get(uri);
        if let Some(token) = header {
            request = request.header("authorization", format!("bEARER {token}"));
        }
        if let Some(token) = cookie {
            request = request.header("cookie", format!("a=b; session={token}"));
        }
        let response = send_to(layer, request.body(Body::empty()).unwrap()).await;
        let sent = response
            .extensions()
            .get::<Sent>()
            .map(|Sent(header, uri)| (header.is_some(), uri.clone()));
        (response.status().as_u16(), sent)
    };
    let seen = |header: bool| Some((header, "/x?y=1".to_owned()));
    assert_eq!(
        ask(&layer, Some(&one), None, None).await,
        (200, seen(false))
    );
    assert_eq!(
        ask(&forwarded, Some(&one), None, None).await,
        (200, seen(true))
    );
    assert_eq!(ask(&layer, None, Some(&one), None).await, (401, None));
    assert_eq!(ask(&layer, None, None, Some(&one)).await, (401, None));
    assert_eq!(
        ask(&everywhere, None, Some(&one), None).await,
        (200, seen(false))
    );
    assert_eq!(
        ask(&everywhere, None, None, Some(&one)).await,
        (200, seen(false))
    );
    assert_eq!(
        ask(&everywhere, Some(&one), Some(&one), Some(&one)).await,
        (200, seen(false))
    );
    assert_eq!(
        ask(&everywhere, Some(&one), Some(&other), None).await,
        (400, None)
    );
    assert_eq!(
        ask(&everywhere, None, Some(&one), Some(&other)).await,
        (400, None)
    );
    let mut twice = Request::new(Body::empty());
    for _ in 0..2 {
        twice
            .headers_mut()
            .append("authorization", format!("Bearer {one}").parse().unwrap());
    }
    assert_eq!(send_to(&layer, twice).await.status(), 400);
}

/// Keys that change, and what was asked for.
#[derive(Clone, Default)]
struct Changing(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    now: Option<KeySet>,
    next: Option<KeySet>,
    asked: usize,
}

impl KeySource for Changing {
    fn current(&self) -> Option<KeySet> {
        self.0.lock().unwrap().now.clone()
    }

    async fn refresh(&self, _: Option<&str>) -> Result<KeySet, BoxError> {
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        match state.next.clone() {
            Some(next) => {
                state.now = Some(next.clone());
                Ok(next)
            }
            None => Err("the source is down".into()),
        }
    }
}

#[tokio::test]
async fn keys_come_late_change_and_go() {
    let (old, new) = (key("old"), key("new"));
    let source = Changing::default();
    let layer = JwtLayer::new(issuer(source.clone()));
    let (of_old, of_new) = (token(&old, json!({})), token(&new, json!({})));
    assert_eq!(
        status(&layer, &of_old).await,
        503,
        "there are no keys, and none to be had"
    );
    source.0.lock().unwrap().next = Some(keys(&[&old]));
    assert_eq!(status(&layer, &of_old).await, 200);
    assert_eq!(status(&layer, &of_new).await, 401);
    source.0.lock().unwrap().next = Some(keys(&[&old, &new]));
    let before = source.0.lock().unwrap().asked;
    assert_eq!(
        status(&layer, &of_new).await,
        200,
        "the keys were asked for anew"
    );
    assert_eq!(
        (status(&layer, &of_old).await, status(&layer, &of_new).await),
        (200, 200)
    );
    assert_eq!(
        (source.0.lock().unwrap().asked, layer.cached()),
        (before + 1, 2)
    );
    source.0.lock().unwrap().now = Some(keys(&[&new]));
    source.0.lock().unwrap().next = Some(keys(&[&new]));
    assert_eq!(
        status(&layer, &of_old).await,
        401,
        "its key has gone, though it is remembered"
    );
    assert_eq!((status(&layer, &of_new).await, layer.cached()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_remembered_ends_when_it_does() {
    let signer = key("a");
    let layer = JwtLayer::new(issuer(keys(&[&signer])).leeway(Duration::ZERO));
    let short = token(&signer, json!({"exp": now() + 100}));
    assert_eq!((status(&layer, &short).await, layer.cached()), (200, 1));
    tokio::time::advance(Duration::from_secs(95)).await;
    assert_eq!((status(&layer, &short).await, layer.cached()), (200, 1));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!((status(&layer, &short).await, layer.cached()), (401, 0));
    let long = token(&signer, json!({"exp": now() + 100_000}));
    assert_eq!((status(&layer, &long).await, layer.cached()), (200, 1));
    tokio::time::advance(Duration::from_secs(301)).await;
    assert_eq!(
        layer.cached(),
        0,
        "nothing is remembered for longer than five minutes"
    );
    assert_eq!(status(&layer, &long).await, 200);
}

#[tokio::test]
async fn what_is_taken_back_is_taken_back_at_once() {
    let signer = key("a");
    let list = RevocationList::new(10);
    let layer = JwtLayer::new(issuer(keys(&[&signer]))).revocation(list.clone());
    let named = token(&signer, json!({"jti": "7"}));
    let until = SystemTime::now() + Duration::from_secs(600);
    assert_eq!(
        (status(&layer, &named).await, status(&layer, &named).await),
        (200, 200)
    );
    assert!(list.revoke("7", until));
    let response = ask(&layer, &named).await;
    assert_eq!((response.status().as_u16(), layer.cached()), (401, 0));
    assert_eq!(status(&layer, &named).await, 401);
    let nameless = token(&signer, json!({"sub": "bob"}));
    assert_eq!(status(&layer, &nameless).await, 200);
    assert!(list.revoke_subject("bob", until));
    assert_eq!(status(&layer, &nameless).await, 401);

    struct Down;
    impl Revocation for Down {
        async fn is_revoked(&self, _: &Claims) -> Result<bool, BoxError> {
            Err("unreachable".into())
        }
    }
    let layer = JwtLayer::new(issuer(keys(&[&signer]))).revocation(Down);
    assert_eq!(
        status(&layer, &nameless).await,
        503,
        "what can not be found out lets nobody in"
    );
}

#[tokio::test]
async fn other_settings_do_not_know_what_these_have_verified() {
    let (a, b) = (key("a"), key("b"));
    let layer = JwtLayer::new(issuer(keys(&[&a])));
    let clone = layer.clone();
    let good = token(&a, json!({}));
    assert_eq!(
        (status(&layer, &good).await, clone.cached()),
        (200, 1),
        "clones share"
    );
    let changed = layer
        .clone()
        .issuer(Issuer::new("https://b.example", keys(&[&b])));
    assert_eq!(changed.cached(), 0);
    clone.clear_cache();
    assert_eq!(layer.cached(), 0);
    let uncached = layer.clone().cache_size(0);
    assert_eq!(
        (status(&uncached, &good).await, uncached.cached()),
        (200, 0)
    );
}

#[tokio::test]
async fn a_layer_with_a_mistake_lets_nobody_in() {
    let signer = key("a");
    let layer = || JwtLayer::new(issuer(keys(&[&signer])));
    let none: [&str; 0] = [];
    for (layer, what) in [
        (layer().cache_ttl(Duration::ZERO), "cache_ttl"),
        (layer().realm("a\"b"), "realm"),
        (layer().max_token_length(0), "max_token_length"),
        (layer().issuer(issuer(keys(&[&signer]))), "twice"),
        (layer().issuer(Issuer::unnamed(keys(&[&signer]))), "unnamed"),
        (
            JwtLayer::new(issuer(keys(&[&signer])).audience(none)),
            "names nobody",
        ),
        (
            JwtLayer::new(issuer(keys(&[&signer])).leeway(Duration::from_secs(4_000))),
            "leeway",
        ),
        (
            JwtLayer::new(issuer(keys(&[&signer])).max_lifetime(Duration::ZERO)),
            "max_lifetime",
        ),
        (
            JwtLayer::new(Issuer::new("", keys(&[&signer]))),
            "has a name",
        ),
    ] {
        let mistakes = tower_gateway::auth::Authenticator::mistakes(&layer);
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{what}: {mistakes:?}"
        );
        assert_eq!(
            status(&layer, &token(&signer, json!({}))).await,
            503,
            "{what}"
        );
    }
}

#[tokio::test]
async fn axum_takes_the_layer_alone() {
    let signer = key("a");
    let app = Router::new()
        .route(
            "/",
            get(|Extension(context): Extension<RequestContext>| async move {
                context.identity().unwrap().subject().unwrap().to_owned()
            }),
        )
        .layer(JwtLayer::new(issuer(keys(&[&signer]))));
    let address = axum_backend(app).await;
    assert_eq!(send(address, request_with("/", &[])).await.status(), 401);
    let bearer = format!("Bearer {}", token(&signer, json!({})));
    let response = send(address, request_with("/", &[("authorization", &bearer)])).await;
    assert_eq!(text(response).await, "alice");
}
