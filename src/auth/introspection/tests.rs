use super::*;
use crate::claims::Claims;

fn layer() -> IntrospectionLayer {
    IntrospectionLayer::new("https://id.example/introspect?key=secret")
}

fn active(exp: Option<u64>) -> Result<Verdict, String> {
    let claims = Claims::new().with("sub", "ada");
    Ok(Verdict::Active(match exp {
        Some(after) => claims.with("exp", clock::wall_seconds() + after),
        None => claims,
    }))
}

fn known(layer: &IntrospectionLayer, key: &str) -> Option<bool> {
    let outcome = layer.remembered(key)?;
    Some(matches!(outcome, Outcome::Active(_)))
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_ends_in_time() {
    let layer = layer();
    layer.remember("long", active(None));
    layer.remember("short", active(Some(10)));
    layer.remember("over", active(Some(0)));
    layer.remember("gone", Ok(Verdict::Inactive("revoked".to_owned())));
    layer.remember("unknown", Err("it is down".to_owned()));
    let start = clock::now();
    for (at, expected) in [
        (0, [Some(true), Some(true), None, Some(false), None]),
        (4, [Some(true), Some(true), None, Some(false), None]),
        (5, [Some(true), Some(true), None, None, None]),
        (8, [Some(true), Some(true), None, None, None]),
        (11, [Some(true), None, None, None, None]),
        (29, [Some(true), None, None, None, None]),
        (30, [None, None, None, None, None]),
    ] {
        let moment = start + Duration::from_secs(at);
        tokio::time::advance(moment - clock::now()).await;
        let found = ["long", "short", "over", "gone", "unknown"].map(|key| known(&layer, key));
        assert_eq!(found, expected, "after {at} s");
    }
}

#[tokio::test(start_paused = true)]
async fn who_makes_tokens_up_pushes_nobody_out() {
    let layer = layer().cache_size(4);
    layer.remember("good", active(None));
    for number in 0..100 {
        layer.remember(
            &number.to_string(),
            Ok(Verdict::Inactive("unknown".to_owned())),
        );
    }
    assert_eq!(known(&layer, "good"), Some(true));
    assert_eq!(known(&layer, "99"), Some(false));
    assert!(layer.known.inactive.len(clock::now()) <= 4);
    assert_eq!(
        known(&layer.clone(), "good"),
        Some(true),
        "a clone knows it too"
    );
    assert_eq!(
        known(&layer.audience(["shop"]), "good"),
        None,
        "other settings do not"
    );
}

#[tokio::test]
async fn no_cache_is_no_cache() {
    let none = layer().cache_size(0);
    let brief = layer()
        .cache_ttl(Duration::ZERO)
        .negative_cache_ttl(Duration::ZERO);
    for layer in [none, brief] {
        layer.remember("a", active(None));
        layer.remember("b", Ok(Verdict::Inactive(String::new())));
        assert_eq!((known(&layer, "a"), known(&layer, "b")), (None, None));
    }
}

#[test]
fn wrong_settings_are_named() {
    assert_eq!(layer().mistakes(), [""; 0]);
    let long = Duration::from_secs(3601);
    for (layer, what) in [
        (IntrospectionLayer::new("http://id.example/"), "`https`"),
        (IntrospectionLayer::new("id.example"), "URL"),
        (layer().timeout(Duration::ZERO), "timeout"),
        (layer().timeout(Duration::from_secs(61)), "timeout"),
        (layer().max_concurrent(0), "max_concurrent"),
        (layer().cache_ttl(long), "cache_ttl"),
        (layer().negative_cache_ttl(long), "negative_cache_ttl"),
        (layer().bearer_token("a\nb"), "characters"),
        (layer().realm("\""), "realm"),
        (layer().max_token_length(0), "max_token_length"),
    ] {
        let mistakes = layer.mistakes();
        let [mistake] = &*mistakes else {
            panic!("{mistakes:?}")
        };
        assert!(
            mistake.starts_with("introspection: ") && mistake.contains(what),
            "{mistake}"
        );
    }
    let layer = layer()
        .client_secret_basic("gateway", "secret")
        .bearer_token("secret");
    assert!(!format!("{layer:?}").contains("secret"));
}
