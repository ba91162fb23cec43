//! Sources as requests see them, with time that stands still.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    runtime::Builder,
    task::yield_now,
    time::{Instant, advance},
};

use super::*;
use crate::auth::jose::{Algorithm, Key, KeySet, SigningKey};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A source whose answers take a second, and are counted.
#[derive(Clone)]
struct Fake {
    keys: Arc<Mutex<Result<Vec<Key>, &'static str>>>,
    takes: Arc<Mutex<Duration>>,
    loads: Arc<AtomicUsize>,
}

impl Fake {
    fn new(kids: &[&str]) -> Self {
        let fake = Self {
            keys: Arc::new(Mutex::new(Err(""))),
            takes: Arc::new(Mutex::new(secs(1))),
            loads: Arc::default(),
        };
        fake.publish(kids);
        fake
    }

    fn publish(&self, kids: &[&str]) {
        let key = |kid: &&str| {
            let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
            key.with_kid(*kid).key()
        };
        *self.keys.lock().unwrap() = Ok(kids.iter().map(key).collect());
    }

    fn fail(&self) {
        *self.keys.lock().unwrap() = Err("down");
    }

    fn take(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }

    fn jwks(&self) -> Jwks {
        let fake = self.clone();
        Jwks::from_fn(move || {
            let fake = fake.clone();
            async move {
                fake.loads.fetch_add(1, Ordering::Relaxed);
                let keys = fake.keys.lock().unwrap().clone();
                let time = *fake.takes.lock().unwrap();
                tokio::time::sleep(time).await;
                Ok(KeySet::new(keys?)?)
            }
        })
    }
}

fn kids(keys: Option<KeySet>) -> Vec<String> {
    let keys = keys.iter().flat_map(|keys| keys.keys());
    keys.filter_map(|key| key.kid().map(str::to_owned))
        .collect()
}

/// Lets the time pass in small steps, and the task do its work.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
    for _ in 0..10 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_miss_a_key_there_is_one_load() {
    let fake = Fake::new(&["a"]);
    let jwks = fake.jwks();
    assert!(jwks.current().is_none());
    let all = join_all((0..10_000).map(|_| jwks.refresh(None))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.loads(), 1, "the first");

    fake.publish(&["a", "b"]);
    let all = join_all((0..10_000).map(|_| jwks.refresh(Some("b")))).await;
    for keys in all {
        assert_eq!(kids(keys.ok()), ["a", "b"]);
    }
    assert_eq!(fake.loads(), 2, "a key that is there now");

    pass(secs(30)).await;
    let random: Vec<String> = (0..10_000).map(|number| format!("x{number}")).collect();
    let all = join_all(random.iter().map(|kid| jwks.refresh(Some(kid)))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.loads(), 3, "keys that are nowhere");
    assert_eq!(kids(jwks.current()), ["a", "b"]);
    // What is there needs no load.
    pass(secs(30)).await;
    jwks.refresh(Some("a")).await.unwrap();
    assert_eq!(fake.loads(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_kids_causes_one_load_in_a_cooldown() {
    let fake = Fake::new(&["a"]);
    let jwks = fake.jwks().cache_duration(secs(24 * 3600));
    jwks.refresh(None).await.unwrap();
    let begin = Instant::now();
    let mut number = 0;
    while begin.elapsed() < secs(600) {
        number += 1;
        jwks.refresh(Some(&number.to_string())).await.unwrap();
        pass(Duration::from_millis(100)).await;
    }
    let loads = fake.loads() - 1;
    assert!((19..=20).contains(&loads), "{loads}");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_under_way_may_be_too_early_for_a_new_key() {
    let fake = Fake::new(&["a"]);
    let jwks = fake.jwks();
    jwks.refresh(None).await.unwrap();
    while fake.loads() < 2 {
        pass(Duration::from_millis(100)).await;
    }
    // In the background, with the keys there were.
    fake.publish(&["a", "b"]);
    assert_eq!(kids(jwks.refresh(Some("b")).await.ok()), ["a", "b"]);
    assert_eq!(fake.loads(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_fresh_beside_the_requests() {
    let fake = Fake::new(&["a"]);
    let jwks = fake.jwks();
    jwks.refresh(None).await.unwrap();
    let gone = jwks.current().unwrap().keys()[0].id();
    assert!(jwks.contains(&gone));
    fake.publish(&["b"]);
    pass(secs(419)).await;
    assert_eq!(fake.loads(), 1);
    pass(secs(63)).await;
    assert_eq!(fake.loads(), 2, "nobody has asked");
    assert_eq!(
        kids(jwks.current()),
        ["b"],
        "a key that was removed is gone"
    );
    assert!(!jwks.contains(&gone));
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_down_keys_are_used_for_a_time() {
    let fake = Fake::new(&["a"]);
    let bounds = secs(60)..=secs(600);
    let jwks = fake.jwks().cache_duration_within(bounds);
    let jwks = jwks.outage_tolerance(secs(3600));
    jwks.refresh(None).await.unwrap();
    let key = jwks.current().unwrap().keys()[0].id();
    fake.fail();
    pass(secs(3598)).await;
    assert_eq!(kids(jwks.current()), ["a"]);
    assert!(jwks.contains(&key));
    let status = jwks.status();
    assert_eq!(
        (status.keys, status.last_error.as_deref()),
        (1, Some("down"))
    );
    assert!(
        status.failures > 10 && status.age > Some(secs(3590)),
        "{status:?}"
    );
    let error = jwks.refresh(Some("b")).await.unwrap_err();
    assert_eq!(error.to_string(), "down", "it may be a new key");

    pass(secs(3)).await;
    assert!(jwks.current().is_none() && !jwks.contains(&key));
    assert_eq!(jwks.status().keys, 0);
    let loads = fake.loads();
    let all = join_all((0..1000).map(|_| jwks.refresh(None))).await;
    assert!(all.iter().all(Result::is_err));
    assert!(fake.loads() <= loads + 1, "requests do not make it worse");

    fake.publish(&["c"]);
    pass(secs(62)).await;
    assert_eq!(kids(jwks.current()), ["c"], "it is back");
    let status = jwks.status();
    assert_eq!((status.failures, status.last_error), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_set_without_keys_is_not_believed() {
    let fake = Fake::new(&["a"]);
    let jwks = fake.jwks();
    jwks.refresh(None).await.unwrap();
    fake.publish(&[]);
    let error = jwks.refresh(Some("b")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no key");
    assert_eq!(kids(jwks.current()), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_waits_no_longer_than_the_timeout() {
    let fake = Fake::new(&["a"]);
    fake.take(secs(3600));
    let jwks = fake.jwks();
    let begin = Instant::now();
    let all = join_all((0..100).map(|_| jwks.refresh(None))).await;
    for answer in all {
        assert_eq!(answer.unwrap_err().to_string(), "no answer within 5s");
    }
    assert_eq!(begin.elapsed(), secs(5));
    assert_eq!(fake.loads(), 1);
    assert!(jwks.refresh(None).await.is_err());
    assert_eq!(begin.elapsed(), secs(5), "it is not asked at once");
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_when_nobody_waits() {
    let fake = Fake::new(&["a"]);
    let jwks = fake.jwks();
    let waiting = tokio::spawn({
        let jwks = jwks.clone();
        async move { jwks.refresh(None).await }
    });
    pass(Duration::from_millis(500)).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    pass(Duration::from_millis(501)).await;
    assert_eq!(
        (kids(jwks.current()), fake.loads()),
        (vec!["a".to_owned()], 1)
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_clone() {
    for is_loading in [true, false] {
        let fake = Fake::new(&["a"]);
        let loads = Arc::downgrade(&fake.loads);
        let jwks = fake.jwks();
        drop(fake);
        assert!(jwks.clone().current().is_none());
        pass(if is_loading { secs(0) } else { secs(2) }).await;
        assert_eq!(jwks.current().is_none(), is_loading);
        assert!(loads.upgrade().is_some());
        drop(jwks);
        pass(secs(0)).await;
        assert!(loads.upgrade().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_on_one_line_and_not_too_long() {
    let jwks = Jwks::from_fn(|| async { Err(format!("a\nb{}", "c".repeat(1000)).into()) });
    let error = jwks.refresh(None).await.unwrap_err().to_string();
    assert!(error.starts_with("a bc") && error.len() == 500, "{error}");
    assert_eq!(jwks.status().last_error, Some(error));
}

#[tokio::test(start_paused = true)]
async fn a_function_may_panic() {
    let jwks = Jwks::from_fn(|| async { panic!("on purpose") });
    for _ in 0..2 {
        let error = jwks.refresh(None).await.unwrap_err();
        assert_eq!(error.to_string(), "it panicked");
        advance(secs(2)).await;
    }
}

#[test]
fn when_a_runtime_ends_another_one_goes_on() {
    let fake = Fake::new(&["a"]);
    fake.take(secs(3600));
    let jwks = fake.jwks();
    let new = || Builder::new_current_thread().enable_time().build().unwrap();
    let first = new();
    first.block_on(async {
        assert!(jwks.current().is_none());
        yield_now().await;
    });
    assert_eq!(fake.loads(), 1);
    fake.take(Duration::ZERO);
    let second = new();
    second.block_on(async {
        let waiting = tokio::spawn({
            let jwks = jwks.clone();
            async move { jwks.refresh(None).await }
        });
        yield_now().await;
        first.shutdown_background();
        let keys = tokio::time::timeout(secs(30), waiting).await;
        assert_eq!(kids(keys.unwrap().unwrap().ok()), ["a"]);
    });
    assert_eq!(fake.loads(), 2);
    drop(second);
    let asked = pin!(jwks.refresh(Some("b")));
    let polled = asked.poll(&mut Context::from_waker(Waker::noop()));
    assert!(
        matches!(polled, std::task::Poll::Ready(Err(_))),
        "there is no runtime"
    );
    assert_eq!(kids(jwks.current()), ["a"]);
}

#[test]
fn a_runtime_that_stands_still_is_not_waited_for() {
    let fake = Fake::new(&["a"]);
    let jwks = fake.jwks();
    let new = || Builder::new_current_thread().enable_time().build().unwrap();
    let first = new();
    first.block_on(async { assert!(jwks.current().is_none()) });
    // The first one is there still, with the task, and nobody drives it.
    let second = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let waited =
        second.block_on(async { tokio::time::timeout(secs(60), jwks.refresh(None)).await });
    assert!(matches!(waited, Ok(Err(_))), "{:?}", waited.is_ok());
}

#[tokio::test]
async fn wrong_settings_are_mistakes_and_load_nothing() {
    let zero = Duration::ZERO;
    let url = || Jwks::url("http://keys.test/jwks").allow_http();
    assert_eq!(url().mistakes(), [""; 0]);
    for (jwks, wrong) in [
        (Jwks::url("http://keys.test"), "`http` is not allowed"),
        (Jwks::url("keys.test"), "whole URL"),
        (Jwks::discover("http://id.test"), "`http` is not allowed"),
        (Jwks::discover("http://id.test?x=y").allow_http(), "query"),
        (url().timeout(zero), "timeout"),
        (url().cooldown(zero), "cooldown"),
        (url().cache_duration(zero), "cache_duration"),
        (
            url().cache_duration_within(zero..=secs(1)),
            "cache_duration_within",
        ),
        (
            url().cache_duration_within(secs(2)..=secs(1)),
            "cache_duration_within",
        ),
        (url().outage_tolerance(secs(1)), "outage_tolerance"),
    ] {
        let mistakes = jwks.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(wrong),
            "{mistakes:?}"
        );
        assert!(jwks.current().is_none());
        let error = jwks.refresh(None).await.unwrap_err();
        assert_eq!(error.to_string(), mistakes[0]);
    }
    let shown = format!("{:?}", Jwks::url("https://keys.test/a?secret"));
    assert_eq!(shown, "Jwks(\"https://keys.test/a\")");
}

#[tokio::test]
async fn sets_and_closures_are_sources() {
    let fake = Fake::new(&["a"]);
    let set = KeySet::new(fake.keys.lock().unwrap().clone().unwrap()).unwrap();
    let id = set.keys()[0].id();
    let closure = {
        let set = set.clone();
        move || Some(set.clone())
    };
    let nothing = || None::<KeySet>;
    assert_eq!(kids(KeySource::current(&set)), ["a"]);
    assert_eq!(kids(closure.refresh(Some("b")).await.ok()), ["a"]);
    assert!(KeySource::contains(&set, &id) && KeySource::contains(&closure, &id));
    assert!(!KeySource::contains(&nothing, &id));
    assert!(nothing.refresh(None).await.is_err());
}
