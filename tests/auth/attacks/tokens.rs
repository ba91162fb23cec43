//! Tokens that are properly signed, or would be valid if their trick worked.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Request, Response};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    Body, BoxError,
    auth::{
        Issuer, JwtLayer,
        jose::{Algorithm, KeySet, SigningKey},
    },
};

use crate::{
    jose::support::{SECRET, base64, forged, hs256},
    support::raw_backend,
};

fn payload(subject: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    json!({"iss": "https://a.example", "sub": subject, "exp": now.as_secs() + 600}).to_string()
}

/// Believes what is signed with `SECRET` by a key of this name.
fn layer(kid: &str) -> JwtLayer {
    let key = SigningKey::from_secret(SECRET, Algorithm::HS256).unwrap();
    let keys = KeySet::new([key.with_kid(kid).key()]).unwrap();
    JwtLayer::new(Issuer::new("https://a.example", keys))
}

async fn status(layer: &JwtLayer, token: &str) -> u16 {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::empty()).unwrap();
    let inner = service_fn(async |_| Ok::<_, BoxError>(Response::new(Body::empty())));
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    response.status().as_u16()
}

#[tokio::test]
async fn a_key_that_a_token_points_to_is_not_fetched() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let evil = raw_backend(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async {}
    })
    .await;
    let layer = layer("k1");
    let token = |more: &str| {
        let header = format!(r#"{{"alg":"HS256","kid":"k1"{more}}}"#);
        forged(&header, &payload("root"))
    };
    assert_eq!(status(&layer, &token("")).await, 200);
    for more in [
        format!(r#","jku":"http://{evil}/jwks.json""#),
        format!(r#","x5u":"http://{evil}/cert.pem""#),
        r#","jwk":{"kty":"oct","k":"AA"}"#.to_owned(),
        r#","x5c":["MIIB"]"#.to_owned(),
    ] {
        assert_eq!(status(&layer, &token(&more)).await, 401, "{more}");
    }
    let name = format!("http://{evil}/jwks.json");
    let token = forged(
        &json!({"alg": "HS256", "kid": name}).to_string(),
        &payload("root"),
    );
    assert_eq!(status(&layer, &token).await, 401);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_kid_is_a_name_and_nothing_else() {
    let layer = layer("k1");
    let long = "k".repeat(4_000);
    for kid in [
        "",
        "k1 ",
        "K1",
        "k1\0",
        "../../../../dev/null",
        "/proc/self/environ",
        "file:///dev/null",
        "' OR '1'='1",
        "k1' UNION SELECT 'AA",
        "$(id)",
        "|id",
        &long,
    ] {
        let header = json!({"alg": "HS256", "kid": kid}).to_string();
        let signed = format!("{}.{}", base64(header), base64(payload("root")));
        // With the right secret under a wrong name, and with what the name is hoped to lead to.
        for secret in [&SECRET[..], b"", b"AA", b"\0"] {
            let token = format!("{signed}.{}", hs256(secret, &signed));
            assert_eq!(status(&layer, &token).await, 401, "{kid:.40?}");
        }
    }
    assert_eq!(layer.cached(), 0);
}

#[tokio::test]
async fn what_is_remembered_vouches_for_no_other_token() {
    let layer = layer("k1");
    let header = r#"{"alg":"HS256","kid":"k1"}"#;
    let good = forged(header, &payload("alice"));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (first, second) = signed.split_once('.').unwrap();
    let other_header = base64(r#"{"alg":"HS256","kid":"k1" }"#);
    let others = [
        format!("{first}.{}.{signature}", base64(payload("root"))),
        format!("{other_header}.{second}.{signature}"),
        format!("{first}..{signature}"),
        format!("x{good}"),
        format!("{good}="),
        good.get(..good.len() - 1).unwrap().to_owned(),
        format!("{first}.{second}.{}", signature.to_ascii_lowercase()),
    ];
    for other in &others {
        assert_eq!(status(&layer, other).await, 401, "{other}");
    }
    assert_eq!(layer.cached(), 0, "what is refused is not remembered");
    assert_eq!((status(&layer, &good).await, layer.cached()), (200, 1));
    for other in &others {
        assert_eq!(status(&layer, other).await, 401, "{other}");
    }
    assert_eq!((status(&layer, &good).await, layer.cached()), (200, 1));
}

#[tokio::test]
async fn claims_that_are_there_twice_have_no_meaning() {
    let layer = layer("k1");
    let header = r#"{"alg":"HS256","kid":"k1"}"#;
    let whole = payload("alice");
    assert_eq!(status(&layer, &forged(header, &whole)).await, 200);
    let end = whole.rfind('}').unwrap();
    for more in [
        r#","sub":"root""#,
        r#","\u0073ub":"root""#,
        r#","iss":"https://a.example""#,
        r#","exp":99999999999"#,
        r#","realm":{"roles":[],"roles":["admin"]}"#,
    ] {
        let twice = format!("{}{more}}}", &whole[..end]);
        assert_eq!(status(&layer, &forged(header, &twice)).await, 401, "{more}");
    }
}

/// Sources of keys ask somebody, so that the time of an answer could tell what was looked for.
#[tokio::test]
async fn an_unknown_issuer_is_nobodys_to_ask() {
    use tower_gateway::auth::keys::KeySource;

    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<Option<String>>>>);

    impl KeySource for Asked {
        fn current(&self) -> Option<KeySet> {
            KeySet::new([]).ok()
        }

        async fn refresh(&self, kid: Option<&str>) -> Result<KeySet, BoxError> {
            self.0.lock().unwrap().push(kid.map(ToOwned::to_owned));
            Ok(KeySet::new([]).unwrap())
        }
    }

    let (a, b) = (Asked::default(), Asked::default());
    let layer = JwtLayer::new(Issuer::new("https://a.example", a.clone()))
        .issuer(Issuer::new("https://b.example", b.clone()));
    let header = r#"{"alg":"HS256","kid":"k1"}"#;
    for issuer in [
        "https://c.example",
        "https://a.example/",
        "HTTPS://A.EXAMPLE",
        "https://a.example\u{0}",
        "",
    ] {
        let claims = json!({"iss": issuer, "exp": u32::MAX}).to_string();
        assert_eq!(status(&layer, &forged(header, &claims)).await, 401);
    }
    let both = json!({"iss": ["https://a.example", "https://b.example"], "exp": u32::MAX});
    assert_eq!(
        status(&layer, &forged(header, &both.to_string())).await,
        401
    );
    assert!(a.0.lock().unwrap().is_empty() && b.0.lock().unwrap().is_empty());
    assert_eq!(status(&layer, &forged(header, &payload("x"))).await, 401);
    assert_eq!(*a.0.lock().unwrap(), [Some("k1".to_owned())]);
    assert!(b.0.lock().unwrap().is_empty());
}
