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
            store: LocalStore::new(),
            policy: Policy::per_second(RATE.into()),
            now: Instant::now(),
        };
        (0..keys).for_each(|key| ours.check(key, ours.now));
        let figures = ours.store.figures();
        assert!(figures.overflows <= keys / 10_000, "{figures:?}");
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
            bencher.iter_custom(|times| both(times, count, 1, |key| ours.check(key, ours.now)));
        });
        group.bench_function("governor", |bencher| {
            bencher.iter_custom(|times| both(times, count, 1, |key| theirs(&given, key)));
        });
        group.finish();
    }
}

/// How long two threads take that do this so often each, at the same time.
fn both(times: u64, count: u64, seed: u64, check: impl Fn(u64) + Sync) -> Duration {
    let barrier = Barrier::new(2);
    let run = |seed| {
        let mut keys = Keys::new(count, seed);
        barrier.wait();
        let start = Instant::now();
        (0..times).for_each(|_| check(keys.next()));
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(seed + 1));
        let mine = run(seed);
        mine.max(other.join().expect("a thread that does not panic"))
    })
}

/// Both in turn: the median of the ratios of neighbours, and its quartiles. A slice is so short that other programs disturb few of them, and so long that what the
/// other one has pushed out of the processor's cache is back after a small part of it.
fn pairs(_: &mut Criterion) {
    let Some(is_bench) = is_wanted("throttle/pairs") else {
        return;
    };
    for count in [1_000, 1_000_000] {
        let (slices, times) = match (is_bench, count) {
            (false, _) => (3, 100),
            (true, 1_000) => (400, 20_000),
            (true, _) => (40, 2_000_000),
        };
        let ours = Ours::new(count);
        let given = governor(count, FakeRelativeClock::default());
        let mut keys = Keys::new(count, 1);
        // Not the same keys each time.
        let mut seed = 0;
        let mut one = |check: &dyn Fn(u64)| {
            let start = Instant::now();
            (0..times).for_each(|_| check(keys.next()));
            start.elapsed()
        };
        report(count, "one thread", slices, times, || {
            [
                one(&|key| ours.check(key, ours.now)),
                one(&|key| theirs(&given, key)),
            ]
        });
        // Long enough for both threads to run, whoever else does.
        let (slices, times) = (slices.min(40), times.max(400_000.min(times * 20)));
        report(count, "two threads", slices, times, || {
            seed += 4;
            [
                both(times, count, seed, |key| ours.check(key, ours.now)),
                both(times, count, seed + 2, |key| theirs(&given, key)),
            ]
        });
    }
}

fn report(
    count: u64,
    threads: &str,
    slices: usize,
    times: u64,
    pair: impl FnMut() -> [Duration; 2],
) {
    let pairs: Vec<_> = std::iter::repeat_with(pair).take(slices).collect();
    let quartiles = |of: &dyn Fn(&[Duration; 2]) -> f64| {
        let mut all: Vec<_> = pairs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| all[all.len() * quarter / 4])
    };
    let nanos = |side: usize| quartiles(&|pair| pair[side].as_nanos() as f64 / times as f64)[1];
    let [low, middle, high] =
        quartiles(&|[ours, theirs]| theirs.as_secs_f64() / ours.as_secs_f64());
    println!(
        "throttle/pairs {count} keys, {threads}: {:.1} ns, governor {:.1} ns: {middle:.2} times as fast ({low:.2}..{high:.2})",
        nanos(0),
        nanos(1),
    );
}

/// Whether this is asked for: to be measured, or, as `cargo test --benches` does, to be run once.
fn is_wanted(name: &str) -> Option<bool> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let is_other = |arg: &String| !arg.starts_with('-') && !name.contains(&**arg);
    (!args.iter().any(is_other)).then(|| args.iter().any(|arg| arg == "--bench"))
}

/// Fifty million keys that nobody has seen, against a store with 1.5 million places: once, and not sampled.
fn flood(_: &mut Criterion) {
    let Some(is_bench) = is_wanted("throttle/flood") else {
        return;
    };
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

criterion_group!(benches, flood, pairs, one_thread, two_threads);
criterion_main!(benches);
