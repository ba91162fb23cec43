//! What is let in, what is refused, and what the service inside is asked.

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};

use crate::{
    Claims, Error, ErrorKind, Identity, Rejection, RequestContext,
    auth::{Authenticate, AuthenticateLayer, Authenticator, Denied},
};

/// Knows whoever sends the header, says in it what comes of it.
#[derive(Clone)]
struct Says(&'static str);

impl Authenticator for Says {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        tokio::task::yield_now().await;
        let Some(value) = head.headers.get(self.0) else {
            return Err(Denied::missing().with_challenge(HeaderValue::from_static(self.0)));
        };
        match value.to_str().unwrap() {
            "bad" => Err(Denied::invalid("bad").with_challenge(HeaderValue::from_static(self.0))),
            "down" => Err(Denied::unavailable("down")),
            name => Ok(Identity::new(self.0, Claims::new().with("sub", name))),
        }
    }

    fn strip(&self, head: &mut Parts) {
        head.headers.remove(self.0);
    }

    fn mistakes(&self) -> Vec<String> {
        let wrong = self.0 == "wrong";
        wrong
            .then(|| "the name is wrong".to_owned())
            .into_iter()
            .collect()
    }
}

/// Ready only for whoever has asked, and a clone has not.
#[derive(Default)]
struct Picky(bool);

impl Clone for Picky {
    fn clone(&self) -> Self {
        Self(false)
    }
}

type Answer = Response<Full<Bytes>>;

impl Service<Request<&'static str>> for Picky {
    type Response = Answer;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0 = true;
        Poll::Ready(Ok(()))
    }

    /// Tells who it is that it has seen, what they sent, and which headers.
    fn call(&mut self, request: Request<&'static str>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.0),
            "it was not asked whether it is ready"
        );
        let context: Option<&RequestContext> = request.extensions().get();
        let identity = context.and_then(RequestContext::identity);
        let claims = identity.map(|identity| identity.claims().as_json().to_owned());
        let names: Vec<_> = request.headers().keys().collect();
        let seen = format!(
            "{} {names:?} {}",
            claims.unwrap_or_default(),
            request.body()
        );
        std::future::ready(Ok(Response::new(Full::from(seen))))
    }
}

fn request(headers: &[(&'static str, &str)]) -> Request<&'static str> {
    let mut request = Request::new("body");
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

async fn send(
    layer: &AuthenticateLayer,
    headers: &[(&'static str, &str)],
) -> (u16, String, Vec<String>) {
    let service: Authenticate<Picky> = layer.layer(Picky::default());
    let response = service.oneshot(request(headers)).await.unwrap();
    let challenges = response.headers().get_all("www-authenticate").iter();
    let challenges = challenges
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    (
        status,
        String::from_utf8(body.to_bytes().to_vec()).unwrap(),
        challenges,
    )
}

#[tokio::test]
async fn who_is_known_goes_on_and_nobody_else() {
    let layer = AuthenticateLayer::new(Says("a"));
    let (status, seen, _) = send(&layer, &[("a", "alice"), ("x", "1")]).await;
    assert_eq!((status, &*seen), (200, r#"{"sub":"alice"} ["x"] body"#));
    for (headers, expected) in [
        (&[][..], 401),
        (&[("a", "bad")], 401),
        (&[("a", "down")], 503),
    ] {
        let (status, body, challenges) = send(&layer, headers).await;
        assert_eq!(status, expected, "{headers:?}");
        assert!(body.contains("\"status\""), "a problem: {body}");
        let told = if status == 401 { vec!["a"] } else { vec![] };
        assert_eq!(challenges, told);
    }
}

#[tokio::test]
async fn of_several_one_is_enough_or_all_are_needed() {
    let layers = || [Says("a").into(), Says("b").into()];
    let any = AuthenticateLayer::any_of(layers());
    let all = AuthenticateLayer::all_of(layers());
    type Case = (&'static [(&'static str, &'static str)], u16, u16);
    let cases: &[Case] = &[
        (&[], 401, 401),
        (&[("a", "x")], 200, 401),
        (&[("b", "x")], 200, 401),
        (&[("a", "x"), ("b", "y")], 200, 200),
        (&[("a", "bad"), ("b", "y")], 200, 401),
        (&[("a", "down"), ("b", "y")], 200, 503),
        (&[("a", "down"), ("b", "bad")], 503, 503),
        (&[("a", "bad"), ("b", "down")], 503, 401),
    ];
    for (headers, of_any, of_all) in cases {
        assert_eq!(send(&any, headers).await.0, *of_any, "any of {headers:?}");
        assert_eq!(send(&all, headers).await.0, *of_all, "all of {headers:?}");
    }
    let (_, _, challenges) = send(&any, &[]).await;
    assert_eq!(challenges, ["a", "b"]);
    let (_, seen, _) = send(&all, &[("a", "x"), ("b", "y")]).await;
    assert!(
        seen.starts_with(r#"{"sub":"x","b":{"sub":"y"}} [] body"#),
        "{seen}"
    );
}

#[tokio::test]
async fn whoever_says_nothing_may_pass_as_nobody_but_not_with_a_lie() {
    let optional = || AuthenticateLayer::new(Says("a")).optional();
    let either = AuthenticateLayer::any_of([optional(), Says("b").into()]);
    let both = AuthenticateLayer::all_of([Says("b").into(), optional()]);
    for (layer, headers, status, seen) in [
        (optional(), &[][..], 200, " [] body"),
        (optional(), &[("a", "bad")], 401, ""),
        (optional(), &[("a", "down")], 503, ""),
        (either.clone(), &[], 200, " [] body"),
        (either.clone(), &[("b", "bad")], 401, ""),
        (either, &[("b", "x")], 200, r#"{"sub":"x"} [] body"#),
        (both.clone(), &[("b", "x")], 200, r#"{"sub":"x"} [] body"#),
        (both, &[("b", "x"), ("a", "bad")], 401, ""),
    ] {
        let answer = send(&layer, headers).await;
        assert_eq!(answer.0, status, "{headers:?}");
        assert!(status != 200 || answer.1 == seen, "{answer:?}");
    }
}

#[tokio::test]
async fn an_identity_from_elsewhere_does_not_stay() {
    let layer = AuthenticateLayer::new(Says("a")).optional();
    let mut request = request(&[]);
    let mut context = RequestContext::new();
    context.set_identity(Identity::new("forged", Claims::new().with("sub", "root")));
    request.extensions_mut().insert(context);
    let response = layer
        .layer(Picky::default())
        .oneshot(request)
        .await
        .unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), " [] body");
}

#[tokio::test]
async fn a_layer_with_a_mistake_lets_nobody_in() {
    let wrong = || AuthenticateLayer::new(Says("wrong"));
    let any = AuthenticateLayer::any_of([Says("a").into(), wrong()]);
    for (layer, headers) in [
        (wrong(), &[("wrong", "x")][..]),
        (wrong().optional(), &[]),
        (any, &[("a", "x")]),
        (AuthenticateLayer::all_of([]), &[]),
    ] {
        assert_eq!(layer.mistakes().len(), 1);
        assert_eq!(send(&layer, headers).await.0, 503);
    }
    assert_eq!(
        AuthenticateLayer::any_of([]).mistakes(),
        ["any_of has no authenticator; name at least one"]
    );
}

#[tokio::test]
async fn a_refusal_can_be_observed() {
    let service = AuthenticateLayer::new(Says("a")).layer(Picky::default());
    let response = service.oneshot(request(&[("a", "bad")])).await.unwrap();
    let Rejection(error) = response.extensions().get().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let source = std::error::Error::source(error).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("bad"));
    assert_eq!(Error::clone(error).detail(), "Valid credentials are needed");
}

#[tokio::test]
async fn what_is_refused_does_not_keep_the_service_inside_ready() {
    let mut service = AuthenticateLayer::new(Says("a")).layer(Picky::default());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut future = pin!(service.call(request(&[])));
    assert!(
        future.as_mut().poll(&mut cx).is_pending(),
        "the authenticator yields once"
    );
    assert!(future.as_mut().poll(&mut cx).is_ready());
    assert!(
        future.as_mut().poll(&mut cx).is_pending(),
        "it has no second answer, and does not panic"
    );
}
