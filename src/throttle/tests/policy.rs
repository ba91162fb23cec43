use std::time::Duration;

use crate::throttle::policy::Policy;

#[test]
fn wrong_settings_are_named_with_what_is_allowed() {
    let second = Duration::from_secs(1);
    let year = Duration::from_secs(86_400 * 365);
    for (policy, mistakes) in [
        (
            Policy::per_second(0),
            &["limit 0 is not at least 1", "burst 0"][..],
        ),
        (
            Policy::rate(5, Duration::ZERO),
            &["period 0ns is not more than 0"],
        ),
        (Policy::rate(5, year * 101), &["at most 100 years"]),
        (Policy::rate(5, Duration::MAX), &["at most 100 years"]),
        (
            Policy::rate(0, Duration::ZERO),
            &["limit 0", "period 0ns", "burst 0"],
        ),
        (Policy::per_second(1_000_000_001), &["one in a nanosecond"]),
        (Policy::per_second(u64::MAX), &["one in a nanosecond"]),
        (Policy::per_second(5).burst(0), &["burst 0"]),
        (
            Policy::rate(1, year * 100).burst(2),
            &["burst 2 does not come back in at most 100 years"],
        ),
        (
            Policy::per_second(1).burst(u64::MAX),
            &["does not come back"],
        ),
        (
            Policy::sliding_window(0, second),
            &["limit 0 is not from 1 to 17592186044414"],
        ),
        (
            Policy::sliding_window((1 << 44) - 1, second),
            &["limit 17592186044415"],
        ),
        (
            Policy::sliding_window(5, second / 2),
            &["window 500ms is not at least 1 s"],
        ),
        (
            Policy::sliding_window(5, Duration::MAX),
            &["at most 100 years"],
        ),
        (
            Policy::per_second(5).named(""),
            &["name is not printable ASCII"],
        ),
        (
            Policy::per_second(5).named("a\r\nb"),
            &["name is not printable ASCII"],
        ),
        (
            Policy::per_second(0).named("é"),
            &["limit 0", "burst 0", "name"],
        ),
    ] {
        let said = policy.limit().unwrap_err();
        assert_eq!(said.len(), mistakes.len(), "{said:?}");
        for (said, mistake) in said.iter().zip(mistakes) {
            assert!(
                said.contains(mistake) && said.contains("policy \""),
                "{said}"
            );
        }
        assert!(policy.window() >= Duration::ZERO, "it does not panic");
    }
}

#[test]
fn the_ends_of_what_is_allowed_are_allowed() {
    let century = Duration::from_secs(36_525 * 86_400);
    for policy in [
        Policy::rate(1, century),
        Policy::rate(u64::try_from(century.as_nanos()).unwrap(), century),
        Policy::per_second(1_000_000_000),
        Policy::per_second(1_000_000_000).burst(3_155_760_000_000_000_000),
        Policy::sliding_window((1 << 44) - 2, century),
        Policy::sliding_window(1, Duration::from_secs(1)),
    ] {
        assert!(policy.limit().is_ok(), "{policy:?}");
    }
}

#[test]
fn a_quota_comes_back_in_its_window() {
    for (policy, quota, window) in [
        (
            Policy::per_second(50).burst(100),
            100,
            Duration::from_secs(2),
        ),
        (Policy::per_minute(60), 60, Duration::from_secs(60)),
        (
            Policy::per_hour(1_000).burst(1),
            1,
            Duration::from_millis(3_600),
        ),
        (
            Policy::per_second(3).burst(1),
            1,
            Duration::from_nanos(333_333_334),
        ),
        (Policy::per_second(3).burst(6), 6, Duration::from_secs(2)),
        (
            Policy::sliding_window(9, Duration::from_secs(7)).burst(4),
            9,
            Duration::from_secs(7),
        ),
    ] {
        assert_eq!(
            (policy.quota(), policy.window()),
            (quota, window),
            "{policy:?}"
        );
    }
}

#[test]
fn periods_are_what_they_are_called() {
    for (policy, seconds) in [
        (Policy::per_second(5), 1),
        (Policy::per_minute(5), 60),
        (Policy::per_hour(5), 3_600),
        (Policy::per_day(5), 86_400),
    ] {
        assert_eq!(policy.window(), Duration::from_secs(seconds));
        assert_eq!(
            policy.burst(1).window().as_millis(),
            u128::from(seconds) * 200
        );
    }
}
