//! What a token costs that has been seen before.

use std::{convert::Infallible, future::ready, time::SystemTime};

use http::{Request, Response};
use serde_json::json;
use tower::{Layer, Service, util::service_fn};
use tower_gateway::{
    Body, RequestContext,
    auth::{
        AuthorizeLayer, Issuer, JwtLayer, RevocationList,
        jose::{Algorithm, KeySet, SigningKey},
    },
};

use crate::counting;

/// How many allocations ten requests take with this token.
async fn allocations<L>(layer: &L, bearer: &str) -> usize
where
    L: Layer<
        tower::util::ServiceFn<
            fn(Request<Body>) -> std::future::Ready<Result<Response<Body>, Infallible>>,
        >,
    >,
    L::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let answer: fn(Request<Body>) -> _ = |_| ready(Ok(Response::new(Body::empty())));
    let mut service = layer.layer(service_fn(answer));
    let asked = || {
        let request = Request::get("/").header("authorization", bearer);
        // The door has put it there.
        request
            .extension(RequestContext::new())
            .body(Body::empty())
            .unwrap()
    };
    let requests: Vec<_> = std::iter::repeat_with(asked).take(12).collect();
    let mut before = 0;
    for (number, request) in requests.into_iter().enumerate() {
        if number == 2 {
            before = counting::calls();
        }
        let response = service.call(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    counting::calls() - before
}

#[tokio::test]
async fn a_token_that_was_seen_before_takes_two_allocations_at_most() {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let key = SigningKey::generate(Algorithm::ES256)
        .unwrap()
        .with_kid("a");
    let claims =
        json!({"iss": "https://a.example", "sub": "alice", "exp": now + 600, "scope": "read"});
    let bearer = format!("Bearer {}", key.sign_claims(&claims).unwrap());
    let layer = JwtLayer::new(Issuer::new(
        "https://a.example",
        KeySet::new([key.key()]).unwrap(),
    ));
    let plain = allocations(&tower::layer::util::Identity::new(), &bearer).await;
    assert_eq!(allocations(&layer, &bearer).await - plain, 10, "the future");
    let revocable = layer.clone().revocation(RevocationList::new(10));
    assert_eq!(
        allocations(&revocable, &bearer).await - plain,
        20,
        "and what is asked about it"
    );
    let rules = AuthorizeLayer::new().all_scopes(["read"]);
    let both = tower::layer::util::Stack::new(rules, layer);
    assert_eq!(
        allocations(&both, &bearer).await - plain,
        10,
        "rules take none"
    );
}
