//! Who may, and what those are told who may not.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    Claims, Identity, RequestContext,
    auth::{AuthenticateLayer, Authenticator, AuthorizeLayer, Denied},
};

struct Header;

impl Authenticator for Header {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let Some(scopes) = head.headers.get("scopes") else {
            let challenge = HeaderValue::from_static("Bearer realm=\"x\"");
            return Err(Denied::missing().with_challenge(challenge));
        };
        let scopes = scopes.to_str().unwrap();
        Ok(Identity::new("jwt", Claims::new().with("scope", scopes)))
    }
}

async fn ask(
    layer: &AuthorizeLayer,
    outer: Option<AuthenticateLayer>,
    scopes: Option<&str>,
) -> (u16, Vec<String>) {
    let inner =
        service_fn(async |_: Request<()>| Ok::<_, ()>(Response::new(Full::<Bytes>::default())));
    let mut request = Request::new(());
    if let Some(scopes) = scopes {
        request
            .headers_mut()
            .insert("scopes", scopes.parse().unwrap());
    }
    let service = layer.layer(inner);
    let response = match outer {
        Some(outer) => outer.layer(service).oneshot(request).await.unwrap(),
        None => service.oneshot(request).await.unwrap(),
    };
    let told = response.headers().get_all("www-authenticate").iter();
    let told = told
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    (response.status().as_u16(), told)
}

#[tokio::test]
async fn who_may_not_is_told_which_scopes_it_takes() {
    let layer = AuthorizeLayer::new().all_scopes(["a", "b"]);
    let header = || Some(AuthenticateLayer::new(Header));
    assert_eq!(ask(&layer, header(), Some("b a c")).await, (200, vec![]));
    let told = "Bearer error=\"insufficient_scope\", scope=\"a b\"".to_owned();
    assert_eq!(ask(&layer, header(), Some("a")).await, (403, vec![told]));
    let closure = AuthorizeLayer::new().when(|_| false);
    assert_eq!(ask(&closure, header(), Some("a")).await, (403, vec![]));
}

#[tokio::test]
async fn nobody_is_told_how_to_say_who_they_are() {
    let layer = AuthorizeLayer::new();
    let optional = AuthenticateLayer::new(Header).optional();
    let told = "Bearer realm=\"x\"".to_owned();
    assert_eq!(ask(&layer, Some(optional), None).await, (401, vec![told]));
    assert_eq!(
        ask(&layer, None, Some("a")).await,
        (401, vec!["Bearer".to_owned()])
    );
}

#[tokio::test]
async fn a_closure_sees_who_it_is() {
    let layer = AuthorizeLayer::new().when(|head| {
        let context: &RequestContext = head.extensions.get().unwrap();
        context.identity().unwrap().has_scope("a")
    });
    let header = || Some(AuthenticateLayer::new(Header));
    assert_eq!(ask(&layer, header(), Some("a")).await.0, 200);
    assert_eq!(ask(&layer, header(), Some("b")).await.0, 403);
}

#[tokio::test]
async fn a_layer_with_a_mistake_lets_nobody_pass() {
    let none: [&str; 0] = [];
    let layer = || AuthorizeLayer::new();
    let known = || Some(AuthenticateLayer::new(Header));
    for layer in [
        layer().all_scopes(none),
        layer().any_scope(none),
        layer().all_of("scope", none),
        layer().all_scopes(["a b"]),
    ] {
        assert_eq!(ask(&layer, known(), Some("a b")).await.0, 503, "{layer:?}");
    }
}

#[test]
fn rules_that_can_not_be_meant_are_named() {
    let none: [&str; 0] = [];
    let layer = || AuthorizeLayer::new();
    for (layer, what) in [
        (layer().all_scopes(none), "no scope"),
        (layer().any_scope(["a b"]), "\"a b\""),
        (layer().any_scope(["a\"b"]), "is no scope"),
        (layer().any_of("", ["a"]), "names no claim"),
        (layer().any_of("a.", ["a"]), "\"a.\""),
        (layer().all_of("a", none), "no value"),
        (layer().claim_is_param("sub", ""), "path param"),
        (layer().claim_is_header("sub", "a b"), "\"a b\""),
    ] {
        let mistakes = layer.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{what}: {mistakes:?}"
        );
    }
    let layer = layer().all_scopes(["a:b/c"]).claim_is_param("sub", "id");
    assert_eq!(layer.mistakes(), [""; 0]);
    assert_eq!(layer.params().collect::<Vec<_>>(), ["id"]);
}
