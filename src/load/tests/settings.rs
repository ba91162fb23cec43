//! Settings that can not be meant.

use std::time::Duration;

use super::super::{Adaptive, ConcurrencyLimitLayer, Priority};

const DAY: Duration = Duration::from_secs(24 * 3600);
const MS: Duration = Duration::from_millis(1);

#[test]
fn each_mistake_names_its_field_and_what_is_allowed() {
    let max = ConcurrencyLimitLayer::max;
    let gradient = Adaptive::gradient;
    let adaptive = ConcurrencyLimitLayer::adaptive;
    let cases = [
        (max(0), "max 0 is not from 1"),
        (max(u32::MAX), "max 4294967295 is not"),
        (max(1).queue(u32::MAX, MS), "queue len"),
        (max(1).queue(1, Duration::ZERO), "max_wait 0ns"),
        (max(1).queue(1, Duration::MAX), "at most an hour"),
        (max(1).retry_after(Duration::ZERO), "retry_after 0ns"),
        (max(1).retry_after(DAY + MS), "at most a day"),
        (adaptive(gradient().min(0)), "min 0"),
        (
            adaptive(gradient().min(9).max(8)),
            "min 9 is not from 1 to the max of 8",
        ),
        (
            adaptive(gradient().initial(2)),
            "initial 2 is not from min 3",
        ),
        (adaptive(gradient().window(Duration::ZERO)), "window 0ns"),
        (adaptive(gradient().window(DAY)), "window"),
        (adaptive(gradient().backoff(0.0)), "backoff 0"),
        (adaptive(gradient().backoff(1.0)), "backoff 1"),
        (adaptive(gradient().backoff(f64::NAN)), "backoff NaN"),
        (adaptive(gradient().tolerance(0.9)), "tolerance 0.9"),
        (
            adaptive(gradient().tolerance(f64::INFINITY)),
            "tolerance inf",
        ),
        (adaptive(gradient().tolerance(f64::NAN)), "tolerance NaN"),
        (adaptive(gradient().smoothing(0.0)), "smoothing 0"),
        (adaptive(gradient().smoothing(-1.0)), "smoothing -1"),
        (adaptive(gradient().smoothing(f64::NAN)), "smoothing NaN"),
        (
            adaptive(gradient().probe_interval(MS)),
            "probe_interval 1ms",
        ),
        (
            adaptive(gradient().probe_interval(Duration::MAX)),
            "to a day",
        ),
        (adaptive(Adaptive::aimd(Duration::ZERO)), "aimd 0ns"),
        (adaptive(Adaptive::aimd(DAY)), "at most an hour"),
    ];
    for (layer, expected) in cases {
        let mistakes = layer.mistakes();
        assert_eq!(mistakes.len(), 1, "{mistakes:?} for {expected}");
        assert!(mistakes[0].contains(expected), "{mistakes:?}");
    }
}

#[test]
fn what_can_be_meant_is_no_mistake() {
    let adaptive = ConcurrencyLimitLayer::adaptive;
    for layer in [
        ConcurrencyLimitLayer::max(1),
        ConcurrencyLimitLayer::max(1).queue(0, Duration::ZERO),
        ConcurrencyLimitLayer::max(1 << 30).queue(1 << 30, MS),
        ConcurrencyLimitLayer::max(1).lifo_after(Duration::MAX),
        ConcurrencyLimitLayer::max(1).lifo_after(Duration::ZERO),
        adaptive(Adaptive::default()),
        adaptive(Adaptive::aimd(MS).min(1).max(1)),
        adaptive(Adaptive::gradient().tolerance(1.0).smoothing(1.0)),
    ] {
        assert_eq!(layer.mistakes(), [""; 0], "{layer:?}");
    }
}

#[test]
fn a_wrong_setting_is_as_if_it_had_not_been_given() {
    for (layer, limit) in [
        (ConcurrencyLimitLayer::max(0), 25),
        (
            ConcurrencyLimitLayer::adaptive(Adaptive::gradient().min(9).max(8)),
            20,
        ),
        (
            ConcurrencyLimitLayer::adaptive(Adaptive::gradient().initial(9999)),
            20,
        ),
        (
            ConcurrencyLimitLayer::adaptive(Adaptive::gradient().max(7)),
            7,
        ),
        (
            ConcurrencyLimitLayer::adaptive(Adaptive::gradient().min(30)),
            30,
        ),
    ] {
        assert_eq!(layer.handle().limit(), limit);
    }
}

#[test]
fn shares_are_as_documented() {
    use Priority::{Critical, Normal, Sheddable};
    for (limit, shares) in [
        (1, [1, 1, 2]),
        (2, [2, 2, 3]),
        (4, [3, 4, 5]),
        (100, [75, 100, 112]),
        (1 << 30, [3 << 28, 1 << 30, 9 << 27]),
    ] {
        assert_eq!(
            Priority::ALL.map(|priority| priority.share_of_limit(limit)),
            shares
        );
    }
    for (room, shares) in [
        (0, [0, 0, 0]),
        (1, [1, 1, 1]),
        (5, [3, 5, 5]),
        (8, [4, 8, 8]),
    ] {
        assert_eq!(
            Priority::ALL.map(|priority| priority.share_of_queue(room)),
            shares
        );
    }
    assert!(Sheddable < Normal && Normal < Critical);
    assert_eq!(Priority::default(), Normal);
}
