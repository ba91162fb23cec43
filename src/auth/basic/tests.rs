use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use http::Request;

use super::*;

/// A hash that costs next to nothing.
fn cheap(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef");
    hash.unwrap().to_string()
}

fn user(name: &str, password: &str) -> BasicUser {
    BasicUser::new(name, &cheap(password)).unwrap()
}

fn head(credentials: &str) -> Parts {
    let value = format!("Basic {}", BASE64_STANDARD.encode(credentials));
    let request = Request::builder().header("authorization", value);
    request.body(()).unwrap().into_parts().0
}

async fn status(layer: &BasicLayer, credentials: &str) -> u16 {
    match layer.authenticate(&head(credentials)).await {
        Ok(_) => 200,
        Err(denied) => denied.error().status().as_u16(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_right_is_not_checked_again_for_a_while() {
    let users = BasicUsers::from([user("ada", "a")]);
    let layer = BasicLayer::new(users.clone()).max_queue(0);
    assert_eq!(status(&layer, "ada:a").await, 200);
    assert_eq!(status(&layer, "ada:b").await, 401);
    // From now on whoever is checked finds the queue full.
    let _all = layer
        .checks
        .permits
        .clone()
        .acquire_many_owned(2)
        .await
        .unwrap();
    assert_eq!(status(&layer, "ada:a").await, 200);
    assert_eq!(
        status(&layer.clone(), "ada:a").await,
        200,
        "a clone knows too"
    );
    assert_eq!(status(&layer, "ada:b").await, 503);
    assert_eq!(
        status(&layer, "bob:a").await,
        503,
        "a name that nobody has is checked as well"
    );
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(status(&layer, "ada:a").await, 503);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_users_forgets_what_was_right() {
    let users = BasicUsers::from([user("ada", "a"), user("bob", "a")]);
    let layer = BasicLayer::new(users.clone());
    assert_eq!(
        (status(&layer, "ada:a").await, status(&layer, "bob:a").await),
        (200, 200)
    );
    users.retain(|user| user.name() != "bob");
    assert_eq!(
        (status(&layer, "ada:a").await, status(&layer, "bob:a").await),
        (200, 401)
    );
    users.add(user("ada", "b"));
    assert_eq!(
        (status(&layer, "ada:a").await, status(&layer, "ada:b").await),
        (401, 200)
    );
    users.replace([user("bob", "c")]);
    assert_eq!(
        (status(&layer, "ada:b").await, status(&layer, "bob:c").await),
        (401, 200)
    );
    assert_eq!(users.len(), 1);
    users.retain(|_| false);
    assert_eq!(
        (users.is_empty(), status(&layer, "bob:c").await),
        (true, 401)
    );
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_left_by_whoever_goes() {
    let layer = BasicLayer::new([user("ada", "a")])
        .max_concurrent(1)
        .max_queue(1)
        .cache_ttl(Duration::ZERO);
    let permit = layer.checks.permits.clone().acquire_owned().await.unwrap();
    let waits = |layer: &BasicLayer| {
        let layer = layer.clone();
        tokio::spawn(async move { status(&layer, "ada:a").await })
    };
    let (gone, stays) = (waits(&layer), async || waits(&layer));
    tokio::task::yield_now().await;
    assert_eq!(status(&layer, "ada:a").await, 503);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let stays = stays().await;
    tokio::task::yield_now().await;
    assert_eq!(status(&layer, "ada:a").await, 503);
    drop(permit);
    assert_eq!(stays.await.unwrap(), 200);
    assert_eq!(layer.checks.waiting.load(Ordering::Relaxed), 0);
    assert_eq!(layer.checks.permits.available_permits(), 1);
}

#[test]
fn a_name_that_nobody_has_costs_what_somebody_does_and_always_the_same() {
    let users = BasicUsers::from([user("ada", "a"), user("bob", "b")]);
    let list = users.now();
    let mut seen = std::collections::HashSet::new();
    for name in (0..64).map(|number| number.to_string()) {
        let (nobody, hash) = list.find(&name).unwrap();
        assert!(nobody.is_none());
        assert_eq!(list.find(&name).unwrap().1, hash);
        seen.insert(hash.to_string());
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(list.find("ada").unwrap().0.unwrap().name(), "ada");
}

#[test]
fn only_hashes_that_can_be_checked_are_taken() {
    let good = cheap("a");
    assert!(BasicUser::new("ada", &good).is_ok());
    let (_, rest) = good.split_once("$m=8,t=1,p=1").unwrap();
    let with = |params: &str| format!("$argon2id$v=19${params}{rest}");
    assert!(BasicUser::new("ada", &with("m=262144,t=4,p=16")).is_ok());
    let salt_only = good.rsplit_once('$').unwrap().0;
    for hash in [
        "",
        "secret",
        salt_only,
        &good.replace("argon2id", "argon2i"),
        &good.replace("argon2id", "scrypt"),
        &good.replace("v=19", "v=16"),
        &good.replace("v=19$", ""),
        &with("m=262145,t=1,p=1"),
        &with("m=8,t=65,p=1"),
        &with("m=262144,t=5,p=1"),
        &with("m=1024,t=1,p=17"),
        &with("m=7,t=1,p=1"),
        &with("m=8,t=0,p=1"),
        &format!("{good}$more"),
    ] {
        assert!(BasicUser::new("ada", hash).is_err(), "{hash}");
    }
    for name in ["", "a:b", "a\nb", "a\u{7f}"] {
        assert!(BasicUser::new(name, &good).is_err(), "{name:?}");
    }
}

#[test]
fn a_password_is_hashed_with_a_salt_of_its_own() {
    let hashes = ["a", "a"].map(|password| BasicUser::hash_password(password).unwrap());
    assert_ne!(hashes[0], hashes[1]);
    assert!(
        hashes[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{}",
        hashes[0]
    );
    let user = BasicUser::new("ada", &hashes[0]).unwrap();
    assert!(user::is_password(user.hash(), b"a"));
    assert!(!user::is_password(user.hash(), b"b"));
}

#[test]
fn wrong_settings_are_named() {
    let layer = || BasicLayer::new([user("ada", "a")]);
    assert_eq!(layer().cache_ttl(HOUR).mistakes(), [""; 0]);
    for (layer, what) in [
        (layer().realm("a\"b"), "realm"),
        (
            layer().cache_ttl(HOUR + Duration::from_nanos(1)),
            "cache_ttl",
        ),
        (layer().max_concurrent(0), "max_concurrent"),
        (layer().max_concurrent(usize::MAX), "max_concurrent"),
        (layer().max_password_length(0), "max_password_length"),
    ] {
        let mistakes = layer.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{mistakes:?}"
        );
    }
}

#[test]
fn no_hash_is_in_the_debug_text() {
    let hash = cheap("a");
    let user = BasicUser::new("ada", &hash).unwrap();
    let text = format!("{user:?} {:?}", BasicLayer::new([user.clone()]));
    assert!(text.contains("ada") && !text.contains("argon2"), "{text}");
}
