//! Opaque tokens.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{Router, body::Bytes, http::HeaderMap, response::IntoResponse, routing::post};
use tokio::sync::Semaphore;
use tower_gateway::auth::IntrospectionLayer;

use crate::{
    echo::{Answer, behind, get, serve},
    support::refusing,
};

/// `Authorization`, and the form.
type Question = (Option<String>, String);

/// What the issuer was asked.
#[derive(Clone)]
struct Asked {
    seen: Arc<Mutex<Vec<Question>>>,
    /// Holds back the answer for one token.
    gate: Arc<Semaphore>,
}

impl Asked {
    fn all(&self) -> MutexGuard<'_, Vec<Question>> {
        self.seen.lock().unwrap()
    }

    /// Waits for so many questions.
    async fn until(&self, count: usize) {
        let there = async {
            while self.all().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), there)
            .await
            .unwrap();
    }
}

/// Serves an issuer that says what the token asks for.
async fn issuer() -> (SocketAddr, Asked) {
    let asked = Asked {
        seen: Arc::default(),
        gate: Arc::new(Semaphore::new(0)),
    };
    let seen = asked.clone();
    let answer = move |headers: HeaderMap, form: Bytes| async move {
        assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
        let credentials = headers.get("authorization");
        let credentials = credentials.map(|value| value.to_str().unwrap().to_owned());
        let form = String::from_utf8(form.to_vec()).unwrap();
        let token = form.split(['=', '&']).nth(1).unwrap().to_owned();
        seen.all().push((credentials, form));
        let active = r#"{"active":true,"sub":"ada","scope":"read","aud":"shop"}"#;
        match &*token {
            "good" => active.into_response(),
            "held" => {
                seen.gate.acquire().await.unwrap().forget();
                active.into_response()
            }
            "text" => r#"{"active":"true","sub":"ada"}"#.into_response(),
            "twice" => r#"{"active":false,"active":true,"sub":"ada"}"#.into_response(),
            "ended" => r#"{"active":true,"sub":"ada","exp":1000}"#.into_response(),
            "page" => "<html>Sign in</html>".into_response(),
            "denied" => (axum::http::StatusCode::UNAUTHORIZED, active).into_response(),
            "moved" => {
                (axum::http::StatusCode::FOUND, [("location", "/a")], active).into_response()
            }
            "large" => format!("{active}{}", " ".repeat(70_000)).into_response(),
            "slow" => std::future::pending().await,
            _ => r#"{"active":false}"#.into_response(),
        }
    };
    (
        serve(Router::new().route("/introspect", post(answer))).await,
        asked,
    )
}

fn layer(issuer: SocketAddr) -> IntrospectionLayer {
    IntrospectionLayer::new(format!("http://{issuer}/introspect")).allow_http()
}

async fn with(address: SocketAddr, token: &str) -> Answer {
    get(address, "/", &[&format!("authorization: Bearer {token}")]).await
}

#[tokio::test]
async fn whoever_has_an_active_token_is_let_in() {
    let (issuer, asked) = issuer().await;
    let layer = layer(issuer)
        .client_secret_basic("the gateway", "a:b")
        .audience(["shop"]);
    let address = behind(layer.cookie("t")).await;
    let answer = with(address, "good").await;
    assert_eq!(answer.seen()["method"], "introspection");
    assert_eq!(answer.seen()["claims"]["scope"], "read");
    assert!(answer.field("authorization").is_empty());
    let cookie = get(address, "/", &["cookie: t=good; a=b"]).await;
    assert_eq!(
        (cookie.subject(), cookie.field("cookie")),
        ("ada".into(), vec!["a=b".into()])
    );
    let asked = asked.all();
    // "the+gateway:a%3Ab"
    let expected = (
        "Basic dGhlK2dhdGV3YXk6YSUzQWI=",
        "token=good&token_type_hint=access_token",
    );
    assert_eq!(asked.len(), 1, "it is remembered: {asked:?}");
    assert_eq!((asked[0].0.as_deref().unwrap(), &*asked[0].1), expected);
}

#[tokio::test]
async fn nobody_else_is_and_nothing_uncertain_counts() {
    let (issuer, asked) = issuer().await;
    let address = behind(
        layer(issuer)
            .timeout(Duration::from_millis(300))
            .max_token_length(100),
    )
    .await;
    for (token, status, questions) in [
        ("other", 401, 1),
        ("other", 401, 0),
        ("ended", 401, 1),
        ("text", 503, 1),
        ("text", 503, 1),
        ("twice", 503, 1),
        ("page", 503, 1),
        ("denied", 503, 1),
        ("moved", 503, 1),
        ("large", 503, 1),
        ("slow", 503, 1),
        ("a b", 400, 0),
        ("", 400, 0),
        (&"a".repeat(101), 401, 0),
    ] {
        asked.all().clear();
        let answer = with(address, token).await;
        assert_eq!(answer.status, status, "{token}");
        assert_eq!(asked.all().len(), questions, "{token}");
        let told = answer.header("www-authenticate");
        let expected = match status {
            401 => vec![
                r#"Bearer realm="api", error="invalid_token", error_description="The token is not valid""#,
            ],
            400 => vec![
                r#"Bearer realm="api", error="invalid_request", error_description="One token is needed, in one place""#,
            ],
            _ => vec![],
        };
        assert_eq!(told, expected);
        assert!(
            !answer.body.contains(&issuer.to_string()),
            "{}",
            answer.body
        );
    }
    let none = get(address, "/", &["authorization: Basic YTpi"]).await;
    assert_eq!(
        (none.status, none.header("www-authenticate")),
        (401, vec![r#"Bearer realm="api""#])
    );
}

#[tokio::test]
async fn an_issuer_that_is_down_lets_nobody_in() {
    let (_kept, address) = refusing();
    let down = behind(layer(address)).await;
    assert_eq!(with(down, "good").await.status, 503);
    // And neither does one that was asked in clear by mistake.
    let (issuer, asked) = issuer().await;
    let wrong = behind(IntrospectionLayer::new(format!(
        "http://{issuer}/introspect"
    )))
    .await;
    assert_eq!(with(wrong, "good").await.status, 503);
    assert!(asked.all().is_empty());
}

#[tokio::test]
async fn a_token_that_is_for_others_is_refused() {
    let (issuer, _) = issuer().await;
    let layer = || layer(issuer);
    for wrong in [
        layer().audience(["bank"]),
        layer().issuer("https://id.example"),
        layer().client_ids(["app"]),
    ] {
        assert_eq!(with(behind(wrong).await, "good").await.status, 401);
    }
}

#[tokio::test]
async fn many_requests_ask_once_and_one_that_leaves_takes_nobody_along() {
    let (issuer, asked) = issuer().await;
    let address = behind(layer(issuer)).await;
    let first = tokio::spawn(async move { with(address, "held").await });
    asked.until(1).await;
    let rest: Vec<_> = (0..20)
        .map(|_| tokio::spawn(async move { with(address, "held").await }))
        .collect();
    first.abort();
    // One of those who wait asks in its place.
    asked.until(2).await;
    asked.gate.add_permits(1);
    for answer in rest {
        assert_eq!(answer.await.unwrap().subject(), "ada");
    }
    assert_eq!(asked.all().len(), 2);
}
