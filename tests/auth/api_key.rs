//! API keys.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::HeaderName;
use tower_gateway::{
    BoxError, Claims,
    auth::{ApiKey, ApiKeyLayer, ApiKeyStore, ApiKeys, AuthenticateLayer},
};

use crate::echo::{behind, get};

const KEY: &str = "shop_6f9a.0123456789";
const OTHER: &str = "shop_77aa.9876543210";

fn key(subject: &str, key: &str) -> ApiKey {
    ApiKey::new(subject, key).unwrap()
}

#[tokio::test]
async fn whoever_has_a_key_is_let_in() {
    let known = key("ada", KEY).with_claims(Claims::new().with("scope", "read").with("tenant", 7));
    let address = behind(ApiKeyLayer::new([known])).await;
    let answer = get(
        address,
        "/a?b=1",
        &[&format!("X-API-Key: {KEY}"), "x_api_key: other"],
    )
    .await;
    let seen = answer.seen();
    assert_eq!(seen["method"], "api-key");
    assert_eq!(
        seen["claims"],
        serde_json::json!({"sub": "ada", "scope": "read", "tenant": 7, "key_id": "shop_6f9a"})
    );
    assert_eq!(seen["uri"], "/a?b=1");
    assert!(answer.field("x-api-key").is_empty() && answer.field("x_api_key").is_empty());
}

#[tokio::test]
async fn nobody_else_is() {
    let ended = key("old", OTHER).expires_at(SystemTime::now() - Duration::from_secs(1));
    let address = behind(ApiKeyLayer::new([key("ada", KEY), ended]).query("api_key")).await;
    let good = format!("x-api-key: {KEY}");
    let huge = format!("x-api-key: {}", "a".repeat(8_000));
    let ended = format!("x-api-key: {OTHER}");
    let cases: &[(&str, &[&str], u16)] = &[
        ("/", &[], 401),
        ("/", &["x-api-key:"], 401),
        ("/", &["x-api-key: shop_6f9a.0123456788"], 401),
        ("/", &["x-api-key: shop_6f9a"], 401),
        ("/", &["x-api-key: SHOP_6f9a.0123456789"], 401),
        (
            "/",
            &["x-api-key: shop_6f9a.0123456789, shop_6f9a.0123456789"],
            401,
        ),
        ("/", &["x-api-key: shop_6f9a.0123456789ä"], 401),
        ("/", &["x-api-key: shop_6f9a.\t0123456789"], 401),
        ("/", &[&huge], 401),
        ("/", &[&ended], 401),
        ("/", &[&format!("x_api_key: {KEY}")], 401),
        ("/", &[&format!("authorization: {KEY}")], 401),
        ("/", &[&good, "x-api-key:"], 400),
        ("/", &[&good, &ended], 400),
        ("/?api_key=x", &[&good], 400),
        ("/?api_key=", &[&good], 400),
        ("/?api_key=x&api_key=y", &[], 400),
        ("/?API_KEY=shop_6f9a.0123456789", &[], 401),
        // What differs in nothing is one key.
        ("/?api_key=shop_6f9a.0123456789", &[&good, &good], 200),
    ];
    for (target, lines, status) in cases {
        let answer = get(address, target, lines).await;
        assert_eq!(answer.status, *status, "{target} {lines:.60?}");
        if *status != 200 {
            assert_eq!(answer.header("www-authenticate"), ["ApiKey realm=\"api\""]);
            assert!(!answer.body.contains("known") && !answer.body.contains("expired"));
        }
    }
}

#[tokio::test]
async fn a_key_stays_behind_unless_it_is_forwarded() {
    let names = [
        HeaderName::from_static("x-key"),
        HeaderName::from_static("x-old-key"),
    ];
    let layer = ApiKeyLayer::new([key("ada", KEY)])
        .headers(names)
        .query("key");
    let address = behind(layer.clone()).await;
    let target = format!("/p?a=%20&k%65y={}&b", KEY.replace('.', "%2e"));
    let lines = [
        format!("x-old-key: {KEY}"),
        "x_key: a".into(),
        "x_old-key: b".into(),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let answer = get(address, &target, &lines).await;
    assert_eq!(answer.seen()["uri"], "/p?a=%20&b");
    for name in ["x-old-key", "x_key", "x_old-key"] {
        assert!(answer.field(name).is_empty(), "{name}");
    }
    assert_eq!(
        get(address, "/", &[&format!("x-api-key: {KEY}")])
            .await
            .status,
        401
    );

    let answer = get(behind(layer.forward_key(true)).await, &target, &lines).await;
    assert_eq!(answer.seen()["uri"], target);
    assert_eq!(answer.field("x-old-key"), [KEY]);
}

#[tokio::test]
async fn a_list_changes_while_it_is_in_use() {
    let keys = ApiKeys::new();
    let address = behind(ApiKeyLayer::new(keys.clone())).await;
    let both = [format!("x-api-key: {KEY}"), format!("x-api-key: {OTHER}")];
    let statuses = async || {
        let [one, other] = &both;
        (
            get(address, "/", &[one]).await.status,
            get(address, "/", &[other]).await.status,
        )
    };
    assert_eq!((keys.is_empty(), statuses().await), (true, (401, 401)));
    keys.add(key("a", KEY));
    assert_eq!(statuses().await, (200, 401));
    keys.add(key("b", KEY));
    assert_eq!(keys.len(), 1);
    assert_eq!(get(address, "/", &[&both[0]]).await.subject(), "b");
    keys.replace([key("c", OTHER)]);
    assert_eq!(statuses().await, (401, 200));
    keys.retain(|key| key.claims().subject() != Some("c"));
    assert_eq!(statuses().await, (401, 401));
}

/// Has one key under one identifier, and counts.
struct Database(Arc<AtomicUsize>);

impl ApiKeyStore for Database {
    async fn find(&self, id: Option<&str>, sha256: &str) -> Result<Option<ApiKey>, BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert_eq!(sha256.len(), 64);
        tokio::task::yield_now().await;
        match id {
            Some("shop_6f9a") => Ok(Some(key("ada", KEY))),
            Some("down") => Err("no connection to 10.0.0.7".into()),
            _ => Ok(None),
        }
    }
}

#[tokio::test]
async fn a_store_of_ones_own_is_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let address = behind(ApiKeyLayer::with_store(Database(asked.clone()))).await;
    for (sent, status, calls) in [
        (KEY, 200, 1),
        ("shop_6f9a.0123456788", 401, 1),
        ("shop_6f9a", 401, 1),
        ("down.0123456789", 503, 1),
        ("ä", 401, 0),
    ] {
        asked.store(0, Ordering::Relaxed);
        let answer = get(address, "/", &[&format!("x-api-key: {sent}")]).await;
        assert_eq!(
            (answer.status, asked.load(Ordering::Relaxed)),
            (status, calls),
            "{sent}"
        );
        assert!(!answer.body.contains("10.0.0.7"), "{}", answer.body);
        assert_eq!(
            answer.header("www-authenticate").len(),
            usize::from(status == 401)
        );
    }
}

#[tokio::test]
async fn it_is_one_of_several_ways() {
    let staff =
        ApiKeyLayer::new([key("staff", OTHER)]).headers([HeaderName::from_static("x-staff")]);
    let either =
        AuthenticateLayer::any_of([ApiKeyLayer::new([key("ada", KEY)]).into(), staff.into()]);
    let address = behind(either.optional()).await;
    let mine = format!("x-api-key: {KEY}");
    let theirs = format!("x-staff: {OTHER}");
    assert_eq!(get(address, "/", &[&mine]).await.subject(), "ada");
    let answer = get(address, "/", &[&theirs, "x-api-key: wrong"]).await;
    assert_eq!(answer.subject(), "staff");
    assert!(answer.field("x-api-key").is_empty());
    let nobody = get(address, "/", &[]).await;
    assert!(nobody.seen()["claims"].is_null());
    assert_eq!(get(address, "/", &["x-staff: wrong"]).await.status, 401);
}

#[tokio::test]
async fn wrong_settings_let_nobody_in_and_nothing_is_told() {
    let layer = || ApiKeyLayer::new([key("ada", KEY)]);
    for wrong in [
        layer().headers([]),
        layer().query(""),
        layer().max_key_length(0),
        layer().realm("a\"b"),
        layer().realm("a\r\nset-cookie: b"),
    ] {
        let mistakes = tower_gateway::auth::Authenticator::mistakes(&wrong);
        assert!(
            mistakes.len() == 1 && mistakes[0].starts_with("API key: "),
            "{mistakes:?}"
        );
        let answer = get(behind(wrong).await, "/", &[&format!("x-api-key: {KEY}")]).await;
        assert!(answer.status == 503 || answer.status == 401, "{answer:?}");
        assert!(answer.header("set-cookie").is_empty());
    }
    let text = format!("{:?} {:?}", layer(), ApiKeys::from([key("ada", KEY)]));
    assert!(!text.contains("0123456789"), "{text}");
}
