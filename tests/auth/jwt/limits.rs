//! What is bounded, and by what.

use super::*;

#[tokio::test]
async fn a_longer_token_is_taken_when_that_is_allowed() {
    let (a, b) = (key("a"), key("b"));
    let long = token(&a, json!({"more": "x".repeat(12_000)}));
    let one = || JwtLayer::new(issuer(keys(&[&a])));
    let two = || one().issuer(Issuer::new("https://b.example", keys(&[&b])));
    for (layer, expected) in [
        (one(), 401),
        (two(), 401),
        (one().max_token_length(32 * 1024), 200),
        (two().max_token_length(32 * 1024), 200),
        (one().max_token_length(long.len()), 200),
        (one().max_token_length(long.len() - 1), 401),
    ] {
        assert_eq!(status(&layer, &long).await, expected, "{layer:?}");
    }
}

#[tokio::test]
async fn room_for_more_tokens_than_there_can_be_is_no_panic() {
    let signer = key("a");
    let layer = JwtLayer::new(issuer(keys(&[&signer]))).cache_size(usize::MAX);
    let mistakes = tower_gateway::auth::Authenticator::mistakes(&layer);
    assert!(
        mistakes.len() == 1 && mistakes[0].contains("cache_size"),
        "{mistakes:?}"
    );
    assert_eq!(status(&layer, &token(&signer, json!({}))).await, 503);
}
