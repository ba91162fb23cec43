//! Keys from a server that looks like an identity provider, over real TLS.
#![cfg(feature = "tls")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::Notify, time};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};
use tower::{Layer, ServiceExt};
use tower_gateway::{
    Body,
    auth::{
        Issuer, JwtLayer,
        jose::{Algorithm, KeySet, Policy, SigningKey, VerifyError, verify},
        keys::{Jwks, KeySource},
    },
};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// What it answers at a path.
#[derive(Clone)]
enum Answer {
    /// A status, a header and a body.
    Says(u16, (&'static str, String), String),
    Nothing,
}

fn json(body: impl Into<String>) -> Answer {
    let kind = ("content-type", "application/json".to_owned());
    Answer::Says(200, kind, body.into())
}

/// A provider for `localhost`. What is not published is not found.
struct Provider {
    issuer: String,
    /// PEM of its certificate.
    authority: String,
    pages: Mutex<HashMap<String, Answer>>,
    asked: Mutex<HashMap<String, usize>>,
    /// Told of each request.
    bell: Notify,
}

impl Provider {
    async fn start() -> Arc<Self> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let mut config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let this = Arc::new(Self {
            issuer,
            authority: certified.cert.pem(),
            pages: Mutex::default(),
            asked: Mutex::default(),
            bell: Notify::new(),
        });
        this.introduce(OPENID, &this.issuer, "/jwks");
        let provider = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, provider) = (acceptor.clone(), provider.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = hyper::service::service_fn(move |request| {
                        let provider = provider.clone();
                        async move { provider.answer(&request).await }
                    });
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        this
    }

    async fn answer(
        &self,
        request: &Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
        let path = request.uri().path();
        *self
            .asked
            .lock()
            .unwrap()
            .entry(path.to_owned())
            .or_default() += 1;
        self.bell.notify_one();
        let page = self.pages.lock().unwrap().get(path).cloned();
        let answer = Response::builder();
        let answer = match page {
            Some(Answer::Nothing) => std::future::pending().await,
            None => answer.status(404).body(Full::default()),
            Some(Answer::Says(status, (name, value), body)) => {
                let answer = answer.status(status).header(name, value);
                answer.body(Full::from(body))
            }
        };
        Ok(answer.unwrap())
    }

    fn publish(&self, path: &str, answer: Answer) {
        self.pages.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Says where the keys of an issuer are.
    fn introduce(&self, path: &str, issuer: &str, keys: &str) {
        let keys = match keys.starts_with('/') {
            true => format!("{}{keys}", self.issuer),
            false => keys.to_owned(),
        };
        let page = format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{keys}", "claims": []}}"#);
        self.publish(path, json(page));
    }

    fn publish_keys(&self, keys: &[&SigningKey]) {
        self.publish("/jwks", json(jwks(keys)));
    }

    /// How often a path was asked for.
    fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(path).copied().unwrap_or_default()
    }

    fn trusted(&self, jwks: Jwks) -> Jwks {
        jwks.tls_authority(self.authority.clone())
    }

    fn discover(&self) -> Jwks {
        self.trusted(Jwks::discover(&*self.issuer))
    }

    fn keys(&self) -> Jwks {
        self.trusted(Jwks::url(format!("{}/jwks?tenant=1", self.issuer)))
    }
}

fn jwks(keys: &[&SigningKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.public_jwk().unwrap()).collect();
    format!(r#"{{"keys": [{}]}}"#, keys.join(","))
}

fn key(kid: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256)
        .unwrap()
        .with_kid(kid)
}

/// As a layer does it: with the keys there are, and if they do not have the key, with those there are then.
async fn check(source: &impl KeySource, token: &str) -> Result<(), String> {
    let policy = Policy::new();
    let keys = match source.current() {
        Some(keys) => keys,
        None => refresh(source, None).await?,
    };
    let verified = match verify(token, &keys, &policy) {
        Err(VerifyError::UnknownKey { kid }) => {
            let keys = refresh(source, kid.as_deref()).await?;
            verify(token, &keys, &policy)
        }
        verified => verified,
    };
    verified.map(drop).map_err(|error| error.to_string())
}

async fn refresh(source: &impl KeySource, kid: Option<&str>) -> Result<KeySet, String> {
    let keys = source.refresh(kid).await;
    keys.map_err(|error| format!("503: {error}"))
}

#[tokio::test]
async fn keys_are_found_through_their_issuer_and_change_without_a_failed_request() {
    let provider = Provider::start().await;
    let (old, new) = (key("old"), key("new"));
    provider.publish_keys(&[&old]);
    let source = provider.discover();
    let (by_old, by_new) = (old.sign("{}").unwrap(), new.sign("{}").unwrap());
    assert_eq!(check(&source, &by_old).await, Ok(()));
    assert_eq!((provider.asked(OPENID), provider.asked("/jwks")), (1, 1));

    provider.publish_keys(&[&new, &old]);
    for token in [&by_old, &by_new, &by_old, &by_new] {
        assert_eq!(check(&source, token).await, Ok(()));
    }
    assert_eq!((provider.asked(OPENID), provider.asked("/jwks")), (2, 2));
    let status = source.status();
    assert_eq!((status.keys, status.failures), (2, 0));

    let forged = key("forged").sign("{}").unwrap();
    let error = check(&source, &forged).await.unwrap_err();
    assert!(error.starts_with("no key"), "{error}");
    assert_eq!(provider.asked("/jwks"), 2, "within the cooldown");
}

#[tokio::test]
async fn ten_thousand_requests_that_miss_a_key_cause_one_request() {
    let provider = Provider::start().await;
    let (old, new) = (key("old"), key("new"));
    provider.publish_keys(&[&old]);
    let source = provider.discover();
    let token = old.sign("{}").unwrap();
    let all = join_all((0..10_000).map(|_| check(&source, &token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(provider.asked("/jwks"), 1);

    provider.publish_keys(&[&old, &new]);
    let token = new.sign("{}").unwrap();
    let all = join_all((0..10_000).map(|_| check(&source, &token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(provider.asked("/jwks"), 2);
}

#[tokio::test]
async fn an_issuer_may_publish_where_rfc_8414_has_it() {
    let provider = Provider::start().await;
    let signer = key("a");
    provider.publish_keys(&[&signer]);
    let issuer = format!("{}/tenant", provider.issuer);
    provider.introduce(&format!("{OAUTH}/tenant"), &issuer, "/jwks");
    let source = provider.trusted(Jwks::discover(issuer));
    assert_eq!(check(&source, &signer.sign("{}").unwrap()).await, Ok(()));
    assert_eq!(provider.asked(&format!("/tenant{OPENID}")), 1);
}

#[tokio::test]
async fn what_can_not_be_trusted_has_no_keys() {
    let provider = Provider::start().await;
    let signer = key("a");
    provider.publish_keys(&[&signer]);
    let token = signer.sign("{}").unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let untrusted = provider.keys().tls_authority(other.cert.pem());
    let error = check(&untrusted, &token).await.unwrap_err();
    assert!(
        error.starts_with("503: ") && error.contains("certificate"),
        "{error}"
    );

    let by_address = provider.issuer.replace("localhost", "127.0.0.1");
    let wrong_name = provider.trusted(Jwks::url(format!("{by_address}/jwks")));
    let error = check(&wrong_name, &token).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");

    let in_clear = provider.issuer.replace("https", "http");
    for (issuer, keys, wrong) in [
        ("https://id.test", "/jwks", "is for the issuer"),
        (
            &*format!("{}/", provider.issuer),
            "/jwks",
            "is for the issuer",
        ),
        (
            &*provider.issuer,
            &*format!("{in_clear}/jwks"),
            "`http` is not allowed",
        ),
        (&*provider.issuer, "jwks", "`jwks_uri`: `jwks` is not"),
        (&*provider.issuer, "file:///jwks", "`jwks_uri`: "),
    ] {
        provider.introduce(OPENID, issuer, keys);
        let error = check(&provider.discover(), &token).await.unwrap_err();
        assert!(
            error.starts_with("503: ") && error.contains(wrong),
            "{error}"
        );
    }
    assert_eq!(provider.asked("/jwks"), 0);
}

#[tokio::test]
async fn an_answer_that_is_no_set_of_keys_changes_nothing() {
    let provider = Provider::start().await;
    let signer = key("a");
    let token = signer.sign("{}").unwrap();
    let good = jwks(&[&signer]);
    let says = |status, header: &str| {
        let header = ("location", header.to_owned());
        Answer::Says(status, header, good.clone())
    };
    let weak = r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "b"}]}"#;
    let secret = r#"{"keys": [{"kty": "oct", "alg": "HS256", "kid": "b",
        "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
    let twice = format!("{},{}", &good[..good.len() - 2], &good[10..]);
    let huge = format!("{good}{}", " ".repeat(KeySet::MAX_BYTES));
    for (answer, wrong) in [
        (json("<html>"), "not JSON"),
        (json("[]"), "not an object"),
        (json(r#"{"keys": []}"#), "there is no key"),
        (json(weak), "none of the keys can be used"),
        (json(secret), "none of the keys can be used"),
        (json(&good[..good.len() - 1]), "not JSON"),
        (json(twice.replace("\"x\"", "\"x\":\"\",\"x\"")), "twice"),
        (json(huge), "more than 524288 bytes"),
        (says(500, ""), "500"),
        (says(404, ""), "404"),
        (says(204, ""), "204"),
        (says(302, "/elsewhere"), "302"),
    ] {
        provider.publish_keys(&[&signer]);
        let source = provider.keys();
        assert_eq!(check(&source, &token).await, Ok(()));
        provider.publish("/jwks", answer);
        let error = refresh(&source, Some("b")).await.unwrap_err();
        assert!(error.contains(wrong), "{error}: {wrong}");
        assert_eq!(check(&source, &token).await, Ok(()), "{wrong}");
        let status = source.status();
        assert_eq!((status.keys, status.failures), (1, 1));
        assert!(status.last_error.is_some_and(|error| error.contains(wrong)));
    }
    assert_eq!(provider.asked("/elsewhere"), 0);
}

#[tokio::test]
async fn a_provider_that_hangs_is_not_waited_for_longer_than_the_timeout() {
    let provider = Provider::start().await;
    let timeout = Duration::from_millis(100);
    for page in ["/jwks", OPENID] {
        provider.publish(page, Answer::Nothing);
        let source = provider.discover().timeout(timeout);
        let all = join_all((0..100).map(|_| refresh(&source, None))).await;
        for answer in all {
            let error = answer.unwrap_err();
            assert!(error.ends_with("no answer within 100ms"), "{error}");
        }
        assert_eq!(source.status().failures, 1);
    }
}

#[tokio::test]
async fn an_answer_says_when_keys_are_loaded_again() {
    let provider = Provider::start().await;
    let signer = key("a");
    let fresh = ("cache-control", "public, max-age=3600".to_owned());
    provider.publish("/jwks", Answer::Says(200, fresh, jwks(&[&signer])));
    let source = provider.keys();
    refresh(&source, None).await.unwrap();
    let other = key("b");
    provider.publish_keys(&[&other]);
    time::pause();
    // From 42 to 48 minutes.
    time::advance(Duration::from_secs(41 * 60)).await;
    tokio::task::yield_now().await;
    assert_eq!(provider.asked("/jwks"), 1);
    time::advance(Duration::from_secs(8 * 60)).await;
    time::resume();
    while provider.asked("/jwks") < 2 {
        provider.bell.notified().await;
    }
    while source.status().age > Some(Duration::from_secs(60)) {
        tokio::task::yield_now().await;
    }
    let token = other.sign("{}").unwrap();
    assert_eq!(check(&source, &token).await, Ok(()));
    assert_eq!(provider.asked("/jwks"), 2);
}

#[tokio::test]
async fn a_layer_lets_in_by_the_keys_that_an_issuer_has_at_the_moment() {
    let provider = Provider::start().await;
    let layer = || {
        let issuer = Issuer::new(&*provider.issuer, provider.discover());
        JwtLayer::new(issuer.any_audience())
    };
    let status = async |layer: &JwtLayer, signer: &SigningKey| {
        let claims = serde_json::json!({"iss": provider.issuer, "exp": 4_000_000_000_u64});
        let token = signer.sign_claims(&claims).unwrap();
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let inner = tower::service_fn(async |_: Request<Body>| {
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        });
        let answer = layer
            .layer(inner)
            .oneshot(request.body(Body::empty()).unwrap());
        answer.await.unwrap().status().as_u16()
    };
    // Not of random numbers, so that the same token can be made twice.
    let key = |kid: &str| {
        let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
        key.with_kid(kid)
    };
    let (old, new, other) = (key("old"), key("new"), key("other"));
    assert_eq!(status(&layer(), &old).await, 503, "it has none yet");

    provider.publish_keys(&[&old]);
    let layer = layer();
    assert_eq!(status(&layer, &old).await, 200);
    assert_eq!(status(&layer, &old).await, 200, "it is remembered");
    provider.publish_keys(&[&new]);
    assert_eq!(status(&layer, &new).await, 200, "a new key");
    assert_eq!(status(&layer, &old).await, 401, "its key is gone");
    assert_eq!(status(&layer, &other).await, 401, "nobody has it");
    assert_eq!(provider.asked("/jwks"), 3);
}
