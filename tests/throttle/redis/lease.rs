//! Leases of several gateways, beside a real Redis.

use std::time::{Duration, Instant};

use tower_gateway::{
    redis::Redis,
    throttle::{Ask, Policy, RateLimiter, RedisLimiter},
};

use super::{
    LONG, ask, count, decide, limiter, passes, patient,
    proxy::Proxy,
    quota,
    server::{Server, until},
};

const BATCH: u64 = 20;

fn gateways(server: &Server) -> Vec<RedisLimiter> {
    let gateway = |_| limiter(server.url()).lease(BATCH).lease_time(LONG);
    (0..5).map(gateway).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_gateways_pass_what_was_leased_and_ask_seldom() {
    let server = Server::start();
    for (policy, name) in [
        (quota(2_000), "rate"),
        (Policy::sliding_window(2_000, super::YEAR), "window"),
    ] {
        let policy = policy.named(name);
        let gateways = gateways(&server);
        let passed = count(&gateways, 1_000, &[(policy.clone(), "k")]).await as u64;
        assert!(passed <= 2_000, "{passed}");
        // All that came is refused in the end: the rest is held by none of them, or by one of the others.
        assert!(passed >= 2_000 - 5 * BATCH, "{passed}");
        let (mut asked, mut leased) = (0, 0);
        for gateway in &gateways {
            let figures = gateway.figures();
            assert!(figures.refills > 3 && figures.failed == 0, "{figures:?}");
            (asked, leased) = (asked + figures.asked, leased + figures.leased);
        }
        assert!(
            asked < 1_700 && leased > 2_000,
            "{asked} and {leased} of 5,000"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_span_has_more_than_the_policy_allows_and_what_was_leased_before() {
    let server = Server::start();
    let (burst, rate) = (200, 2_000);
    let policy = Policy::per_second(rate).burst(burst);
    let begun = Instant::now();
    let tasks: Vec<_> = gateways(&server)
        .into_iter()
        .map(|gateway| {
            let policy = policy.clone();
            tokio::spawn(async move {
                let mut passed = Vec::new();
                while begun.elapsed() < Duration::from_millis(800) {
                    let before = begun.elapsed();
                    if passes(&gateway, &[ask(&policy, "k")]).await {
                        passed.push((before, begun.elapsed()));
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
                (passed, gateway.figures())
            })
        })
        .collect();
    let (mut all, mut asked) = (Vec::new(), 0);
    for task in tasks {
        let (passed, figures) = task.await.unwrap();
        all.extend(passed);
        asked += figures.asked;
    }
    all.sort_unstable();
    let most = |span: Duration| burst as f64 + rate as f64 * span.as_secs_f64();
    let whole = all.iter().map(|(_, after)| *after).max().unwrap();
    assert!(
        all.len() as f64 <= most(whole),
        "from the beginning: {} in {whole:?}",
        all.len()
    );
    assert!(
        all.len() as f64 >= most(whole) / 2.0,
        "{} in {whole:?}",
        all.len()
    );
    for first in (0..all.len()).step_by(7) {
        let mut last = Duration::ZERO;
        for (count, (_, after)) in (1_u32..).zip(&all[first..]) {
            last = last.max(*after);
            let most = most(last - all[first].0) + (5 * BATCH) as f64;
            assert!(f64::from(count) <= most, "{count} of {most}");
        }
    }
    assert!(asked < all.len() as u64, "{asked} for {}", all.len());
}

#[tokio::test]
async fn a_flood_of_refused_requests_asks_seldom() {
    let server = Server::start();
    let gateway = limiter(server.url()).lease(BATCH).lease_time(LONG);
    let (policy, other) = (quota(1), quota(1_000_000).named("other"));
    let asks = [ask(&policy, "k")];
    assert!(passes(&gateway, &asks).await);
    let begun = Instant::now();
    for number in 0..2_000 {
        // The other key is a new one each time.
        let number = number.to_string();
        let decisions = decide(&gateway, &[asks[0], ask(&other, &number)]).await;
        let [refused, other] = decisions.as_slice() else {
            unreachable!()
        };
        assert!(!refused.is_allowed() && other.is_allowed());
        assert!(refused.retry_after() > Some(LONG), "{refused:?}");
    }
    assert!(begun.elapsed() > LONG || gateway.figures().asked == 2);
    assert_eq!(
        server.number("DBSIZE").await,
        1,
        "the others have spent nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_policy_refuses_stays_in_the_lease() {
    let server = Server::start();
    let (wide, narrow) = (quota(10_000).named("wide"), quota(600).named("narrow"));
    let gateways = gateways(&server);
    let both = [(wide.clone(), "address"), (narrow, "user")];
    let passed = count(&gateways, 400, &both).await as u64;
    assert!((600 - 5 * BATCH..=600).contains(&passed), "{passed}");
    let direct = limiter(server.url());
    let decisions = decide(&direct, &[ask(&wide, "address")]).await;
    let left = decisions.as_slice()[0].remaining() + 1;
    // Eight ask at each at once: what they give back is lost where a batch is there again.
    assert!(
        left <= 10_000 - passed && left >= 10_000 - passed - 5 * (BATCH + 8),
        "{left}"
    );
}

#[tokio::test]
async fn who_goes_away_leaves_no_lease_half_taken() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let redis = patient(Redis::new(proxy.url()));
    let gateway = RedisLimiter::new(redis)
        .timeout(LONG)
        .lease(BATCH)
        .lease_time(LONG);
    let policy = quota(1_000);
    let asks = [ask(&policy, "k")];
    assert!(passes(&gateway, &asks).await);
    proxy.block(true);
    let mut leaving = Box::pin(gateway.acquire(&asks));
    assert!(futures_util::poll!(&mut leaving).is_pending());
    drop(leaving);
    proxy.block(false);
    for _ in 0..200 {
        assert!(passes(&gateway, &asks).await);
    }
    let figures = gateway.figures();
    assert!(figures.refills > 5 && figures.asked < 60, "{figures:?}");
}

/// Eight are gone then.
async fn hold_four(gateway: &RedisLimiter, one: Ask<'_>) {
    // The second takes one more, the third two more ahead, and the fourth the rest of four.
    for _ in 0..4 {
        assert!(passes(gateway, &[one]).await);
    }
    until("it has come", async || gateway.figures().refills == 3).await;
}

#[tokio::test]
async fn a_refused_call_gives_back_what_was_spent_here() {
    let server = Server::start();
    let gateway = limiter(server.url()).lease(BATCH).lease_time(LONG);
    let (here, there) = (quota(1_000).named("here"), quota(1).named("there"));
    let asks = [ask(&here, "k"), ask(&there, "k")];
    assert!(passes(&limiter(server.url()), &asks[1..]).await);
    hold_four(&gateway, asks[0]).await;
    assert!(
        gateway.acquire_now(&asks).is_none(),
        "the other one is not known"
    );
    assert!(!passes(&gateway, &asks).await);
    for _ in 0..4 {
        assert!(
            gateway.acquire_now(&asks[..1]).is_some(),
            "they are still there"
        );
    }
    assert!(
        gateway.acquire_now(&asks[..1]).is_none(),
        "and no more than that"
    );
}

#[tokio::test]
async fn a_failed_call_gives_back_what_was_spent_here() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let redis = patient(Redis::new(proxy.url()));
    let calm = RedisLimiter::new(redis)
        .timeout(LONG)
        .lease(BATCH)
        .lease_time(LONG);
    let (here, there) = (quota(1_000).named("here"), quota(1_000).named("there"));
    let asks = [ask(&here, "k"), ask(&there, "k")];
    // The fourth takes two more.
    for _ in 0..4 {
        assert!(passes(&calm, &asks[..1]).await);
    }
    proxy.block(true);
    let hasty = calm.clone().timeout(Duration::from_millis(5));
    for _ in 0..50 {
        assert!(hasty.acquire_now(&asks).is_none());
        assert!(hasty.acquire(&asks).await.is_err());
    }
    assert!(calm.acquire_now(&asks[..1]).is_some(), "it is still there");
}

#[tokio::test]
async fn what_was_spent_here_stays_allowed_when_others_are_refused_meanwhile() {
    let server = Server::start();
    let (gateway, direct) = (
        limiter(server.url()).lease(BATCH).lease_time(LONG),
        limiter(server.url()),
    );
    let (here, there) = (quota(100).named("here"), quota(100).named("there"));
    let (mut four, other) = (ask(&here, "k"), ask(&there, "k"));
    hold_four(&gateway, four).await;
    let mut rest = four;
    (four.cost, rest.cost) = (4, 92);
    assert!(passes(&direct, &[rest]).await);
    server.say("CLIENT PAUSE 300 ALL").await;
    let late = async {
        tokio::task::yield_now().await;
        gateway.acquire(&[four]).await.unwrap()
    };
    // Both are answered at once, and who asked later looks first.
    let both = [four, other];
    let (refused, decisions) = futures_util::future::join(late, gateway.acquire(&both)).await;
    assert!(!refused.is_allowed());
    assert!(
        decisions.as_ref().unwrap().is_allowed(),
        "both were spent: {decisions:?}"
    );
}

#[tokio::test]
async fn the_next_is_taken_before_it_is_needed_and_no_more_is_held_than_a_batch() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let gateway = RedisLimiter::new(patient(Redis::new(proxy.url())))
        .timeout(LONG)
        .lease(BATCH)
        .lease_time(LONG);
    let policy = quota(100_000);
    let asks = [ask(&policy, "k")];
    let mut waited = 0;
    for _ in 0..500 {
        if gateway.acquire_now(&asks).is_none() {
            waited += 1;
            assert!(gateway.acquire(&asks).await.unwrap().is_allowed());
        }
        // What was begun comes to its end.
        until("nothing is under way", async || {
            let evals = server.say("INFO commandstats").await;
            let calls = |name: &str| -> u64 {
                let calls = evals.split_once(name).map_or("0", |(_, calls)| calls);
                calls.split(',').next().unwrap().parse().unwrap()
            };
            let called = calls("cmdstat_evalsha:calls=");
            called == gateway.figures().asked
        })
        .await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    // Without it, each batch makes one wait: 25, and those until it is that large.
    assert!(waited < 15, "{waited} of 500");
    // Nobody can take more: what is held is what is let through, and all of it was taken.
    proxy.block(true);
    let held = (0..1_000)
        .filter(|_| gateway.acquire_now(&asks).is_some())
        .count() as u64;
    assert!((BATCH / 2..=BATCH).contains(&held), "{held}");
    let decisions = decide(&limiter(server.url()), &[Ask { cost: 0, ..asks[0] }]).await;
    let spent = 100_000 - decisions.as_slice()[0].remaining();
    assert!((500 + held..=500 + BATCH).contains(&spent), "{spent}");
}

#[tokio::test]
async fn no_more_than_some_are_taken_ahead_at_one_time() {
    let server = Server::start();
    let proxy = Proxy::to(server.address()).await;
    let gateway = RedisLimiter::new(patient(Redis::new(proxy.url())))
        .timeout(LONG)
        .lease(BATCH)
        .lease_time(LONG);
    let policy = quota(1_000);
    let keys: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    for key in &keys {
        // The second one takes one more.
        for _ in 0..2 {
            assert!(
                gateway
                    .acquire(&[ask(&policy, key)])
                    .await
                    .unwrap()
                    .is_allowed()
            );
        }
    }
    let before = gateway.figures().asked;
    assert_eq!(before, 400);
    proxy.block(true);
    for key in &keys {
        assert!(gateway.acquire_now(&[ask(&policy, key)]).is_some());
        tokio::task::yield_now().await;
    }
    until("they are asked for", async || {
        gateway.figures().asked == before + 64
    })
    .await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.figures().asked, before + 64);
    proxy.block(false);
    until("all is there", async || {
        gateway.figures().refills == 200 + 64
    })
    .await;
}
