//! What a check of a limit costs, beside governor's keyed limiter. Read ratios within one run.
//!
//! Both get the time as an argument, and are never out of quota; `with_clock` has each read its own clock as well, as it does by default.

#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::{
    hint::black_box,
    num::NonZeroU32,
    sync::Barrier,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock, FakeRelativeClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use tower_gateway::throttle::{Ask, LocalStore, Policy};

type Governor<C> =
    RateLimiter<u64, DefaultKeyedStateStore<u64>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// So many for each second that nobody is refused.
const RATE: u32 = 1_000_000_000;

struct Ours {
    store: LocalStore,
    policy: Policy,
    now: Instant,
}

impl Ours {
    fn new(keys: u64) -> Self {
        let ours = Self {
            // With room for chance, so that no shard is full.
            store: LocalStore::new().max_keys(1_100_000),
            policy: Policy::per_second(RATE.into()),
            now: Instant::now(),
        };
        (0..keys).for_each(|key| ours.check(key, ours.now));
        let figures = ours.store.figures();
        assert!(figures.keys as u64 == keys && figures.overflows == 0);
        ours
    }

    #[inline]
    fn check(&self, key: u64, now: Instant) {
        let key = &key.to_ne_bytes();
        let (policy, cost) = (&self.policy, 1);
        let ask = Ask { policy, key, cost };
        assert!(black_box(self.store.check(&ask, now)).is_allowed());
    }
}

fn governor<C: Clock>(keys: u64, clock: C) -> Governor<C> {
    let quota = Quota::per_second(NonZeroU32::new(RATE).expect("not zero"));
    let limiter = RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock);
    (0..keys).for_each(|key| theirs(&limiter, key));
    limiter
}

#[inline]
fn theirs<C: Clock>(limiter: &Governor<C>, key: u64) {
    assert!(black_box(limiter.check_key(&key)).is_ok());
}

/// Keys in an order that no prefetcher knows.
struct Keys {
    state: u64,
    mask: u64,
    count: u64,
}

impl Keys {
    fn new(count: u64, seed: u64) -> Self {
        let mask = count.next_power_of_two() - 1;
        let state = seed;
        Self { state, mask, count }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        loop {
            let state = self.state.wrapping_mul(6_364_136_223_846_793_005);
            self.state = state.wrapping_add(1_442_695_040_888_963_407);
            let key = (self.state >> 33) & self.mask;
            if key < self.count {
                return key;
            }
        }
    }
}

fn one_thread(criterion: &mut Criterion) {
    for count in [1_000, 1_000_000] {
        let ours = Ours::new(count);
        let given = governor(count, FakeRelativeClock::default());
        let read = governor(count, DefaultClock::default());
        let mut group = criterion.benchmark_group(format!("throttle/{count}_keys"));
        let mut keys = Keys::new(count, 1);
        group.bench_function("keys alone", |bencher| bencher.iter(|| keys.next()));
        group.bench_function("tower-gateway", |bencher| {
            bencher.iter(|| ours.check(keys.next(), ours.now));
        });
        group.bench_function("governor", |bencher| {
            bencher.iter(|| theirs(&given, keys.next()));
        });
        group.bench_function("tower-gateway with_clock", |bencher| {
            bencher.iter(|| ours.check(keys.next(), Instant::now()));
        });
        group.bench_function("governor with_clock", |bencher| {
            bencher.iter(|| theirs(&read, keys.next()));
        });
        group.finish();
    }
}

fn two_threads(criterion: &mut Criterion) {
    for count in [1_000, 1_000_000] {
        let ours = Ours::new(count);
        let given = governor(count, FakeRelativeClock::default());
        let mut group = criterion.benchmark_group(format!("throttle/{count}_keys_two_threads"));
        group.bench_function("tower-gateway", |bencher| {
            bencher.iter_custom(|times| both(times, count, |key| ours.check(key, ours.now)));
        });
        group.bench_function("governor", |bencher| {
            bencher.iter_custom(|times| both(times, count, |key| theirs(&given, key)));
        });
        group.finish();
    }
}

/// How long two threads take that do this so often each, at the same time.
fn both(times: u64, count: u64, check: impl Fn(u64) + Sync) -> Duration {
    let barrier = Barrier::new(2);
    let run = |seed| {
        let mut keys = Keys::new(count, seed);
        barrier.wait();
        let start = Instant::now();
        (0..times).for_each(|_| check(keys.next()));
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(2));
        let mine = run(1);
        mine.max(other.join().expect("a thread that does not panic"))
    })
}

/// Fifty million keys that nobody has seen, against a store with room for a million: once, and not sampled.
fn flood(_: &mut Criterion) {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let is_bench = args.iter().any(|arg| arg == "--bench");
    let is_other = |arg: &String| !arg.starts_with('-') && !"throttle/flood".contains(&**arg);
    if args.iter().any(is_other) {
        return;
    }
    // `cargo test --benches` runs everything once.
    let keys = if is_bench { 50_000_000 } else { 50_000_u64 };
    let store = LocalStore::new();
    let policy = Policy::per_hour(10);
    let (now, before) = (Instant::now(), resident());
    let mut allowed = 0_u64;
    for key in 0..keys {
        let key = &key.to_ne_bytes();
        let (policy, cost) = (&policy, 1);
        let ask = Ask { policy, key, cost };
        allowed += u64::from(store.check(&ask, now).is_allowed());
    }
    let (took, after) = (now.elapsed() / keys as u32, resident());
    let figures = store.figures();
    println!("throttle/flood of {keys} keys: {took:?} each, {allowed} allowed, {figures:?}");
    println!("throttle/flood resident memory: {before:?} KiB before, {after:?} KiB after");
}

/// KiB of memory of this process, where Linux tells it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

criterion_group!(benches, flood, one_thread, two_threads);
criterion_main!(benches);
