//! Names of keys, who may come in, and what is wrong.

use std::time::Duration;

use tower_gateway::{
    redis::{Redis, RedisError, RedisStatus},
    throttle::{Policy, RateLimiter, RedisLimiter},
};

use super::{LONG, ask, is_connected, limiter, passes, patient, quota, server::Server};

#[tokio::test]
async fn secrets_are_not_kept_and_settings_are() {
    let server = Server::start();
    let policy = Policy::per_second(10).burst(20).named("burst");
    let asks = [ask(&policy, "secret-api-key")];
    let spread = |redis: Redis| {
        RedisLimiter::new(patient(redis))
            .timeout(LONG)
            .spread_keys()
    };
    let digest = "YTcmYc9R-8NGkgwYhvXPdg";
    for (limiter, expected) in [
        (
            limiter(server.url()),
            format!("tower-gateway:{{throttle}}:burst:10/1s/20:{digest}"),
        ),
        (
            spread(Redis::new(server.url()).key_prefix("shop:")),
            format!("shop:throttle:{{{digest}}}:burst:10/1s/20"),
        ),
    ] {
        assert!(passes(&limiter, &asks).await);
        assert_eq!(server.say("RANDOMKEY").await, expected);
        server.say("FLUSHALL").await;
    }
}

#[tokio::test]
async fn what_differs_in_name_settings_or_key_is_counted_apart() {
    let server = Server::start();
    let gateway = limiter(server.url());
    let second = Duration::from_secs(3_600);
    let policies = [
        Policy::rate(1, second).burst(1),
        Policy::rate(1, second).burst(1).named("other"),
        Policy::rate(1, second * 2).burst(1),
        Policy::sliding_window(1, second),
    ];
    for policy in &policies {
        for key in ["", "a", "b", "a\0"] {
            assert!(
                passes(&gateway, &[ask(policy, key)]).await,
                "{policy:?} {key}"
            );
            assert!(!passes(&gateway, &[ask(policy, key)]).await);
        }
    }
}

#[tokio::test]
async fn wrong_passwords_let_nobody_in_and_are_not_told() {
    let server = Server::with(|_| vec!["--requirepass".to_owned(), "pass#word".to_owned()]);
    let at = format!("127.0.0.1:{}", server.port);
    let policy = quota(1);
    let asks = [ask(&policy, "k")];
    for (url, said) in [
        (format!("redis://:hunter2@{at}"), "authentication failed"),
        (format!("redis://{at}"), "NOAUTH"),
    ] {
        let redis = patient(Redis::new(url)).reconnect_delay(LONG, LONG);
        let limiter = RedisLimiter::new(redis.clone()).timeout(LONG);
        let error = limiter.acquire(&asks).await.unwrap_err();
        let error = error.downcast_ref::<RedisError>().unwrap();
        assert!(matches!(error, RedisError::Unavailable(_)), "{error}");
        let [node] = &redis.status()[..] else {
            panic!("one server")
        };
        let RedisStatus::Down {
            retry_after,
            reason,
        } = &node.status
        else {
            panic!("{node:?}")
        };
        assert!(*retry_after <= LONG && reason.to_string().contains(said));
        let shown = format!("{error} {limiter:?} {node:?}");
        assert!(shown.contains(&at) && !shown.contains("hunter2"), "{shown}");
    }
    let redis = patient(Redis::new(format!("redis://:pass%23word@{at}")));
    assert!(matches!(redis.status()[0].status, RedisStatus::Idle));
    let right = RedisLimiter::new(redis.clone()).timeout(LONG);
    assert!(passes(&right, &asks).await);
    assert!(is_connected(&redis));
}

#[tokio::test]
async fn a_password_that_a_server_repeats_in_part_is_not_told() {
    // It knows no `HELLO`, and says what it did not understand, up to 128 bytes of it.
    let server = Server::with(|_| {
        ["--rename-command", "HELLO", ""]
            .map(ToOwned::to_owned)
            .to_vec()
    });
    let policy = quota(1);
    for length in [20, 120, 128, 129, 300] {
        let password = &"hunter2".repeat(50)[..length];
        for user in ["", "somebody"] {
            let place = format!("127.0.0.1:{}?protocol=resp3", server.port);
            let url = format!("redis://{user}:{password}@{place}");
            let limiter = super::limiter(url);
            let error = limiter.acquire(&[ask(&policy, "k")]).await.unwrap_err();
            let error = error.to_string();
            assert!(error.contains("…") && !error.contains("hunt"), "{error}");
        }
    }
}

/// As the docs have them.
#[tokio::test]
async fn few_rights_are_enough() {
    let server = Server::start();
    let rights = "+ping +eval +evalsha +get +set +del +time";
    let keys = "~tower-gateway:*";
    let said = server
        .say(&format!("ACL SETUSER few on >word {keys} {rights}"))
        .await;
    assert_eq!(said, "+OK");
    let limiter = limiter(format!("redis://few:word@127.0.0.1:{}", server.port));
    let policy = quota(1);
    assert!(passes(&limiter, &[ask(&policy, "k")]).await);
    assert!(!passes(&limiter, &[ask(&policy, "k")]).await);
    let other = || super::limiter(format!("redis://few:word@127.0.0.1:{}/1", server.port));
    assert!(other().acquire(&[ask(&policy, "k")]).await.is_err());
    server.say("ACL SETUSER few +select").await;
    assert!(passes(&other(), &[ask(&policy, "k")]).await);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn it_is_reached_over_tls() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = certified.signing_key.serialize_pem();
    let server = Server::over_tls(&certified.cert.pem(), &key);
    let url = format!("rediss://localhost:{}", server.port);
    let policy = quota(1);
    let trusting = patient(Redis::new(url.clone())).tls_authority(certified.cert.pem());
    let limiter = RedisLimiter::new(trusting).timeout(LONG);
    assert!(passes(&limiter, &[ask(&policy, "k")]).await);
    assert!(!passes(&limiter, &[ask(&policy, "k")]).await);
    let strict = RedisLimiter::new(patient(Redis::new(url))).timeout(LONG);
    assert!(strict.acquire(&[ask(&policy, "k")]).await.is_err());
}

#[tokio::test]
async fn mistakes_are_told_and_a_wrong_policy_allows_nothing() {
    let good = || RedisLimiter::new(Redis::new("redis://localhost"));
    let none = Duration::ZERO;
    for (limiter, named) in [
        (
            RedisLimiter::new(Redis::new("http://:hunter2@localhost")),
            "redis://",
        ),
        (good().timeout(none), "timeout"),
        (good().lease(0), "batch"),
        (good().lease(9).lease_time(none), "lease_time"),
        (good().lease_time(Duration::from_secs(3_601)), "lease_time"),
        (
            RedisLimiter::new(Redis::new("redis://localhost").key_prefix("a{}")),
            "key_prefix",
        ),
    ] {
        let mistakes = limiter.mistakes(&[]);
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(named),
            "{mistakes:?}"
        );
    }
    let fine = Policy::per_second(999_999_937)
        .burst(10_000_000_000)
        .named("fine");
    let wrong = Policy::per_second(0);
    let mistakes = good().mistakes(&[fine.clone(), Policy::per_second(1), wrong.clone()]);
    assert!(
        mistakes.len() == 1 && mistakes[0].contains("\"fine\""),
        "{mistakes:?}"
    );

    let server = Server::start();
    let right = quota(9);
    for limiter in [limiter(server.url()), limiter(server.url()).lease(5)] {
        for policy in [&fine, &wrong] {
            let asks = [ask(&right, "k"), ask(policy, "k")];
            assert!(!passes(&limiter, &asks).await, "{policy:?}");
            limiter.charge(&asks[1..]).await.unwrap();
        }
    }
    assert_eq!(server.number("DBSIZE").await, 0);
}
