//! A Redis that answers, but too late.

use std::time::{Duration, Instant};

use tower_gateway::{
    redis::{Redis, RedisError, RedisStatus},
    throttle::{RateLimiter, RedisLimiter},
};

use super::{
    LONG, ask, is_connected, passes, patient,
    proxy::Proxy,
    quota,
    server::{Server, until},
};

const DEADLINE: Duration = Duration::from_millis(10);

/// One that has answered once, and from now on answers after three deadlines.
async fn late(server: &Server, redis: impl FnOnce(Redis) -> Redis) -> (Proxy, Redis, RedisLimiter) {
    let proxy = Proxy::to(server.address()).await;
    let redis = redis(patient(Redis::new(proxy.url())));
    let calm = RedisLimiter::new(redis.clone()).timeout(LONG);
    assert!(passes(&calm, &[ask(&quota(9), "k")]).await);
    proxy.delay(DEADLINE * 3);
    (proxy, redis, calm)
}

fn is_late(redis: &Redis) -> bool {
    match &redis.status()[..] {
        [node] => matches!(node.status, RedisStatus::Late { within, .. } if within == DEADLINE),
        _ => false,
    }
}

#[tokio::test]
async fn who_is_late_again_and_again_costs_nobody_the_deadline() {
    let server = Server::start();
    let (_proxy, redis, calm) = late(&server, |redis| redis.reconnect_delay(LONG, LONG)).await;
    let limiter = RedisLimiter::new(redis.clone()).timeout(DEADLINE);
    let policy = quota(1_000_000);
    let asks = [ask(&policy, "k")];
    for _ in 0..3 {
        let error = limiter.acquire(&asks).await.unwrap_err();
        let error = error.downcast_ref::<RedisError>().unwrap();
        assert!(matches!(error, RedisError::TimedOut(_)), "{error}");
    }
    let begun = Instant::now();
    for _ in 0..1_000 {
        let error = limiter.acquire(&asks).await.unwrap_err();
        assert!(error.to_string().contains("within 10ms"), "{error}");
    }
    assert!(
        begun.elapsed() < DEADLINE * 500,
        "they wait: {:?}",
        begun.elapsed()
    );
    assert!(is_late(&redis), "{:?}", redis.status());
    let figures = limiter.figures();
    assert_eq!(
        (figures.asked, figures.failed, figures.late),
        (1_003, 1_003, 3)
    );
    // Who can wait is answered; what was late was spent there, and nothing else.
    let decisions = calm.acquire(&asks).await.unwrap();
    assert_eq!(decisions.as_slice()[0].remaining(), 1_000_000 - 3 - 1);
    assert!(is_late(&redis), "that took longer");
}

#[tokio::test]
async fn it_is_asked_again_when_it_answers_in_time() {
    let server = Server::start();
    let (proxy, redis, _calm) = late(&server, |redis| redis).await;
    let limiter = RedisLimiter::new(redis.clone()).timeout(DEADLINE);
    let policy = quota(1_000_000);
    let asks = [ask(&policy, "k")];
    until("it is late", async || {
        let _ = limiter.acquire(&asks).await;
        is_late(&redis)
    })
    .await;
    // It is tried, and stays so as long as it is.
    let tried = limiter.figures().late;
    until("it is tried", async || {
        let _ = limiter.acquire(&asks).await;
        limiter.figures().late > tried + 2
    })
    .await;
    assert!(is_late(&redis));
    proxy.delay(Duration::ZERO);
    until("it is back", async || limiter.acquire(&asks).await.is_ok()).await;
    assert!(is_connected(&redis));
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn many_that_wait_for_one_slow_moment_are_no_reason() {
    let server = Server::start();
    let (_proxy, redis, _calm) = late(&server, |redis| redis.reconnect_delay(LONG, LONG)).await;
    let limiter = RedisLimiter::new(redis.clone()).timeout(DEADLINE);
    let policy = quota(1_000_000);
    let asks = [ask(&policy, "k")];
    let all = (0..50).map(|_| limiter.acquire(&asks));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_err));
    assert!(is_connected(&redis), "{:?}", redis.status());
}
