//! An external authorisation service.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use tower_gateway::auth::{ApiKey, ApiKeyLayer, AuthenticateLayer, ForwardAuthLayer};

use crate::{
    echo::{behind, get, serve},
    support::refusing,
};

const USER: HeaderName = HeaderName::from_static("x-auth-user");

/// Serves a service that does what the cookie asks for.
async fn service() -> SocketAddr {
    let answer = |method: Method, headers: HeaderMap| async move {
        let field = |name: &str| {
            headers
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        let seen =
            ["method", "uri", "host", "proto"].map(|name| field(&format!("x-forwarded-{name}")));
        let seen = format!(
            "{method} {} {} {:?}",
            seen.join(" "),
            field("x-secret"),
            headers.get("content-length")
        );
        let answer = |status: u16, fields: &[(&str, &str)], body: String| {
            let mut response = Response::builder().status(status);
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            response.body(axum::body::Body::from(body)).unwrap()
        };
        match field("cookie") {
            "as=ada" => answer(
                200,
                &[("x-auth-user", "ada"), ("x-seen", &seen), ("x-more", "1")],
                seen.clone(),
            ),
            "as=nobody" => StatusCode::NO_CONTENT.into_response(),
            "as=two" => answer(
                200,
                &[("x-auth-user", "ada"), ("x-auth-user", "root")],
                String::new(),
            ),
            "as=login" => answer(
                302,
                &[
                    ("location", "/login"),
                    ("set-cookie", "a=1"),
                    ("set-cookie", "b=2"),
                    ("keep-alive", "timeout=9"),
                ],
                "go".into(),
            ),
            "as=banned" => answer(
                403,
                &[("content-type", "text/html"), ("x-auth-user", "ada")],
                "<p>no".into(),
            ),
            "as=large" => answer(403, &[], "x".repeat(2_000)),
            "as=slow" => std::future::pending().await,
            _ => answer(
                401,
                &[("www-authenticate", "Sso realm=\"a\"")],
                String::new(),
            ),
        }
    };
    serve(Router::new().route("/verify", any(answer))).await
}

fn layer(service: SocketAddr) -> ForwardAuthLayer {
    ForwardAuthLayer::new(format!("http://{service}/verify"))
        .allow_http()
        .timeout(Duration::from_millis(500))
        .max_answer_length(1_000)
        .subject(USER)
        .response_headers([USER, HeaderName::from_static("x-seen")])
}

#[tokio::test]
async fn whom_the_service_knows_is_let_in_with_what_it_says() {
    let address = behind(layer(service().await)).await;
    let lines = [
        "cookie: as=ada",
        "x-auth-user: root",
        "x_auth_user: root",
        "x-auth_user: root",
        "x-seen: mine",
        "x-secret: 1",
    ];
    let answer = get(address, "/a/b?c=%20d", &lines).await;
    assert_eq!(
        (&answer.seen()["method"], &*answer.subject()),
        (&"forward-auth".into(), "ada")
    );
    assert_eq!(answer.field("x-auth-user"), ["ada"]);
    assert_eq!(
        answer.field("x-seen"),
        ["GET GET /a/b?c=%20d shop.example http  None"]
    );
    assert_eq!(answer.field("x-secret"), ["1"]);
    for gone in ["x_auth_user", "x-auth_user", "x-more"] {
        assert!(answer.field(gone).is_empty(), "{gone}");
    }
}

#[tokio::test]
async fn what_a_client_says_in_its_place_never_goes_on() {
    let layer = layer(service().await);
    let key = ApiKey::new("billing", "shop_6f9a.0123456789").unwrap();
    let key: AuthenticateLayer = ApiKeyLayer::new([key]).into();
    let either = AuthenticateLayer::any_of([key.clone(), layer.clone().into()]);
    let both = AuthenticateLayer::all_of([key.clone(), layer.clone().into()]);
    let lies = ["x-auth-user: root", "x_auth_user: root", "x-seen: mine"];
    let with = |more: &[&'static str]| [&lies[..], more].concat();
    let sent = "x-api-key: shop_6f9a.0123456789";
    // The service says nothing; it is not asked; it is asked, too.
    for (layer, lines, told) in [
        (layer.clone().into(), with(&["cookie: as=nobody"]), &[][..]),
        (either, with(&[sent]), &[]),
        (both, with(&[sent, "cookie: as=ada"]), &["ada"]),
    ] {
        let answer = get(behind::<AuthenticateLayer>(layer).await, "/", &lines).await;
        assert_eq!(answer.field("x-auth-user"), told, "{lines:?}");
        assert!(answer.field("x_auth_user").is_empty());
        assert_ne!(answer.field("x-seen"), ["mine"]);
    }
    let both = AuthenticateLayer::all_of([key, layer.into()]);
    let answer = get(behind(both).await, "/", &[sent, "cookie: as=ada"]).await;
    assert_eq!(answer.seen()["claims"]["forward-auth"]["sub"], "ada");
}

#[tokio::test]
async fn any_other_answer_is_the_clients() {
    let address = behind(layer(service().await)).await;
    let login = get(address, "/", &["cookie: as=login"]).await;
    assert_eq!((login.status, &*login.body), (302, "go"));
    assert_eq!(login.header("location"), ["/login"]);
    assert_eq!(login.header("set-cookie"), ["a=1", "b=2"]);
    assert!(login.header("keep-alive").is_empty());
    let banned = get(address, "/", &["cookie: as=banned"]).await;
    assert_eq!((banned.status, &*banned.body), (403, "<p>no"));
    let unknown = get(address, "/", &[]).await;
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.header("www-authenticate"), ["Sso realm=\"a\""]);
}

#[tokio::test]
async fn without_an_answer_nobody_is_let_in() {
    let layer = layer(service().await);
    let address = behind(layer.clone()).await;
    for cookie in ["cookie: as=slow", "cookie: as=large", "cookie: as=two"] {
        let answer = get(address, "/", &[cookie]).await;
        assert_eq!(answer.status, 503, "{cookie}");
        assert!(answer.header("www-authenticate").is_empty());
    }
    let (_kept, down) = refusing();
    let down = ForwardAuthLayer::new(format!("http://{down}/verify")).allow_http();
    assert_eq!(
        get(behind(down).await, "/", &["cookie: as=ada"])
            .await
            .status,
        503
    );
    // One question at a time, and it does not end: the others do not wait for ever.
    let one = behind(layer.max_concurrent(1)).await;
    let (slow, other) = tokio::join!(
        get(one, "/", &["cookie: as=slow"]),
        get(one, "/", &["cookie: as=slow"])
    );
    assert_eq!((slow.status, other.status), (503, 503));
}

#[tokio::test]
async fn methods_and_headers_can_be_chosen() {
    let service = service().await;
    let secret = HeaderName::from_static("x-secret");
    for (method, expected) in [
        (Method::POST, "POST GET / shop.example http 7 Some(\"0\")"),
        (Method::HEAD, "HEAD GET / shop.example http 7 None"),
    ] {
        let chosen = [http::header::COOKIE, secret.clone()];
        let layer = layer(service).method(method).request_headers(chosen);
        let answer = get(
            behind(layer).await,
            "/",
            &["cookie: as=ada", "x-secret: 7", "authorization: a"],
        )
        .await;
        assert_eq!(answer.field("x-seen"), [expected]);
    }
    let none = layer(service).request_headers([]);
    assert_eq!(
        get(behind(none).await, "/", &["cookie: as=ada"])
            .await
            .status,
        401
    );
}
