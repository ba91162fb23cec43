//! Limits that several gateways share in a real Redis.

mod cluster;
mod failing;
mod gateways;
mod late;
mod lease;
mod poison;
mod settings;
mod sharing;

#[path = "../../servers/cluster.rs"]
mod nodes;
#[path = "../../servers/proxy.rs"]
mod proxy;
#[path = "../../servers/redis.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod server;

use std::time::Duration;

use tower_gateway::{
    redis::{Redis, RedisStatus},
    throttle::{Ask, Decisions, Policy, RateLimiter, RedisLimiter},
};

const LONG: Duration = Duration::from_secs(20);
const YEAR: Duration = Duration::from_secs(31_557_600);

/// One that waits for a slow machine, and tries again soon.
fn patient(redis: Redis) -> Redis {
    redis
        .connect_timeout(LONG)
        .stall_timeout(LONG)
        .reconnect_delay(Duration::from_millis(1), Duration::from_millis(20))
}

fn limiter(url: impl Into<Box<str>>) -> RedisLimiter {
    RedisLimiter::new(patient(Redis::new(url))).timeout(LONG)
}

/// A rate of which nothing comes back while a test runs.
fn quota(quota: u64) -> Policy {
    Policy::rate(quota, YEAR * 100)
}

fn ask<'a>(policy: &'a Policy, key: &'a str) -> Ask<'a> {
    let key = key.as_bytes();
    Ask {
        policy,
        key,
        cost: 1,
    }
}

/// As a layer does.
async fn decide(limiter: &RedisLimiter, asks: &[Ask<'_>]) -> Decisions {
    match limiter.acquire_now(asks) {
        Some(decisions) => decisions,
        None => limiter.acquire(asks).await.unwrap(),
    }
}

async fn passes(limiter: &RedisLimiter, asks: &[Ask<'_>]) -> bool {
    decide(limiter, asks).await.is_allowed()
}

/// Asks so often at each limiter, all at once; how many pass.
async fn count(
    limiters: &[RedisLimiter],
    each: usize,
    policies: &[(Policy, &'static str)],
) -> usize {
    let tasks: Vec<_> = limiters
        .iter()
        .flat_map(|limiter| (0..8).map(move |_| limiter.clone()))
        .map(|limiter| {
            let policies = policies.to_vec();
            tokio::spawn(async move {
                let asks: Vec<_> = policies
                    .iter()
                    .map(|(policy, key)| ask(policy, key))
                    .collect();
                let mut passed = 0;
                for _ in 0..each.div_ceil(8) {
                    passed += usize::from(passes(&limiter, &asks).await);
                }
                passed
            })
        })
        .collect();
    let mut passed = 0;
    for task in tasks {
        passed += task.await.unwrap();
    }
    passed
}

fn is_connected(redis: &Redis) -> bool {
    let status = redis.status();
    matches!(status[..], [ref node] if matches!(node.status, RedisStatus::Connected))
}
