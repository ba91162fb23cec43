//! What is taken back stays so for as long as it would be accepted.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_until_it_ends_is_so_within_the_leeway() {
    let signer = key("a");
    let list = RevocationList::new(10);
    let layer = JwtLayer::new(issuer(keys(&[&signer]))).revocation(list.clone());
    let start = now();
    let end = UNIX_EPOCH + Duration::from_secs(start + 100);
    let named = token(&signer, json!({"jti": "7", "exp": start + 100}));
    let subject = token(&signer, json!({"sub": "bob", "exp": start + 100}));
    assert!(list.revoke("7", end) && list.revoke_subject("bob", end));
    tokio::time::advance(Duration::from_secs(110)).await;
    // It is now that others leave the list.
    assert!(list.revoke("8", end + Duration::from_secs(3_600)));
    let good = token(&signer, json!({"exp": start + 100}));
    assert_eq!(status(&layer, &good).await, 200, "the leeway lasts still");
    assert_eq!(status(&layer, &named).await, 401);
    assert_eq!(status(&layer, &subject).await, 401);
}
