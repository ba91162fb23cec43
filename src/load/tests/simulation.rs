//! Adaptive limits in front of a model of a backend: so many workers, and one queue for them. No clock and no chance but
//! seeded: each run is the same.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use super::super::{
    adaptive::{Adaptive, Control, Sample},
    limit::Limit,
    priority::Priority,
};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// Events by their time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// A worker is done with a request that was sent at this time, and gone when there are too many workers.
    Done(u64),
}

struct World {
    limit: Limit,
    control: Control,
    start: Instant,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    random: u64,
    /// The backend.
    workers: u32,
    busy: u32,
    service: u64,
    spread: bool,
    line: VecDeque<u64>,
    /// Requests in a second.
    rate: u64,
    /// What happened since it was last looked at.
    answered: u64,
    shed: u64,
}

impl World {
    /// A backend with 20 workers that take 10 ms, and requests for eight of them; `spread` service times are exponential.
    fn new(adaptive: Adaptive, spread: bool) -> Self {
        let (adaptive, mistakes) = adaptive.checked();
        assert_eq!(mistakes, [""; 0]);
        let start = crate::clock::now();
        let mut world = Self {
            limit: Limit::new(adaptive.first(), 0, Duration::ZERO),
            control: Control::new(&adaptive, start),
            start,
            now: 0,
            events: BinaryHeap::new(),
            serial: 0,
            random: 1,
            workers: 20,
            busy: 0,
            service: 10 * MS,
            spread,
            line: VecDeque::new(),
            rate: 16_000,
            answered: 0,
            shed: 0,
        };
        world.after(0, Event::Arrival);
        world
    }

    /// From 0 to 1.
    fn chance(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: u64) -> u64 {
        (-(1.0 - self.chance()).ln() * mean as f64) as u64
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.serial += 1;
        self.events
            .push(Reverse((self.now + delay, self.serial, event)));
    }

    fn serve(&mut self) {
        while self.busy < self.workers
            && let Some(sent) = self.line.pop_front()
        {
            self.busy += 1;
            let time = if self.spread {
                self.exponential(self.service)
            } else {
                self.service
            };
            self.after(time, Event::Done(sent));
        }
    }

    /// Lets seconds pass; then says what was answered in each of them, on average.
    fn run(&mut self, seconds: u64) -> u64 {
        let end = self.now + seconds * SECOND;
        (self.answered, self.shed) = (0, 0);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            match event {
                Event::Arrival => {
                    if self.limit.try_acquire(Priority::Normal) {
                        self.line.push_back(at);
                    } else {
                        self.shed += 1;
                    }
                    let gap = self.exponential(SECOND / self.rate);
                    self.after(gap, Event::Arrival);
                }
                Event::Done(sent) => {
                    self.busy -= 1;
                    self.answered += 1;
                    let now = self.start + Duration::from_nanos(at);
                    let sample = Sample::Answer(Duration::from_nanos(at - sent));
                    if let Some(limit) = self.control.record(sample, self.limit.in_flight(), now) {
                        self.limit.set(limit, now);
                    }
                    self.limit.release(|| now);
                }
            }
            self.serve();
            if at >= end {
                break;
            }
        }
        self.answered / seconds
    }

    fn latency(&self) -> u64 {
        self.control
            .latencies()
            .0
            .map_or(0, |latency| latency.as_nanos() as u64)
    }

    /// For two seconds the backend is busy, and its queue is short.
    #[track_caller]
    fn has_found(&mut self, what: &str) {
        let limit = self.limit.limit();
        let answered = self.run(2);
        let capacity = u64::from(self.workers) * SECOND / self.service;
        let what = format!(
            "{what}: limit {limit} for {} workers, {answered} of {capacity} answers, {} µs of {}",
            self.workers,
            self.latency() / 1000,
            self.service / 1000,
        );
        assert!(self.workers <= limit, "{what}");
        // The tolerance, the queue that it may have, and as much again for chance.
        let most = f64::from(self.workers) * 1.5 + f64::from(limit).sqrt() * 2.0;
        assert!(f64::from(limit) <= most, "{what}");
        assert!(answered * 100 >= capacity * 93, "{what}");
        assert!(self.latency() * 10 <= self.service * 24, "{what}");
    }
}

#[test]
fn the_gradient_finds_the_capacity_and_finds_it_again() {
    for spread in [false, true] {
        let mut world = World::new(Adaptive::gradient(), spread);
        for (workers, seconds) in [(20, 2), (80, 3), (20, 3), (5, 3), (20, 3)] {
            world.workers = workers;
            world.run(seconds);
            world.has_found(&format!("{workers} workers, spread {spread}"));
        }
    }
}

#[test]
fn the_gradient_finds_a_backend_that_got_slower_or_faster() {
    for spread in [false, true] {
        let mut world = World::new(Adaptive::gradient(), spread);
        world.run(2);
        // What looks like a queue is none: nothing but a baseline of its own tells that.
        world.service = 40 * MS;
        world.run(5);
        world.has_found(&format!("slower, spread {spread}"));
        world.service = 10 * MS;
        world.run(8);
        world.has_found(&format!("faster, spread {spread}"));
    }
}

#[test]
fn windows_are_longer_for_a_slow_backend() {
    let mut world = World::new(Adaptive::gradient(), false);
    (world.workers, world.service, world.rate) = (200, 500 * MS, 1_600);
    world.run(25);
    // What is seen in a window was admitted in the one before: it swings, but within this.
    for _ in 0..15 {
        let answered = world.run(2);
        let limit = world.limit.limit();
        assert!(
            (200..=400).contains(&limit) && answered >= 372,
            "{limit}, {answered}"
        );
    }
}

#[test]
fn a_baseline_that_drifts_is_followed() {
    let mut world = World::new(Adaptive::gradient(), false);
    world.rate = 3_000;
    for _ in 0..150 {
        world.run(1);
        world.service += world.service / 100;
    }
    assert!(world.service > 40 * MS);
    world.run(61);
    world.has_found("drifted");
}

#[test]
fn a_first_look_at_an_overloaded_backend_is_not_believed() {
    let adaptive = Adaptive::gradient().initial(400).min(1);
    let mut world = World::new(adaptive, false);
    world.run(4);
    world.has_found("overloaded from the beginning");
}

#[test]
fn a_limit_that_is_not_used_does_not_grow_and_nothing_is_shed_to_measure() {
    for adaptive in [
        Adaptive::gradient().probe_interval(Duration::from_secs(2)),
        Adaptive::aimd(Duration::from_secs(1)),
    ] {
        let mut world = World::new(adaptive, true);
        world.rate = 200;
        world.run(20);
        let found = (world.limit.limit(), world.shed);
        assert_eq!(found, (20, 0), "two of twenty are in flight");
    }
}

#[test]
fn aimd_keeps_answers_as_quick_as_it_is_told() {
    let slow = Duration::from_millis(30);
    let mut world = World::new(Adaptive::aimd(slow), false);
    for (workers, seconds) in [(20, 4), (80, 16), (20, 4)] {
        world.workers = workers;
        world.run(seconds);
        let answered = world.run(2);
        let capacity = u64::from(workers) * 100;
        let limit = world.limit.limit();
        assert!(answered * 100 >= capacity * 95, "{answered} of {capacity}");
        assert!((workers * 2..=workers * 3 + 3).contains(&limit), "{limit}");
    }
}

#[test]
fn drops_alone_shrink_the_limit_to_its_least() {
    for adaptive in [Adaptive::gradient(), Adaptive::aimd(Duration::from_secs(1))] {
        let world = World::new(adaptive, false);
        for at in 1..=2_000 {
            let now = world.start + Duration::from_millis(at);
            if let Some(limit) = world.control.record(Sample::Drop, 20, now) {
                world.limit.set(limit, now);
            }
        }
        assert_eq!(world.limit.limit(), 3);
    }
}

#[test]
fn the_upper_bound_can_be_moved() {
    let mut world = World::new(Adaptive::gradient(), false);
    world.run(2);
    for (max, least) in [(10, 10), (2, 2), (1000, 20)] {
        let limit = world.control.set_max(max);
        world.limit.set(limit, world.start);
        world.run(3);
        let limit = world.limit.limit();
        assert!((least..=max).contains(&limit), "{limit} of {max}");
    }
}
