//! What is wrong with settings is said, and replaced.

use std::time::Duration;

use crate::breaker::CircuitBreakerLayer;

#[test]
fn every_wrong_setting_is_named_with_what_is_allowed() {
    let layer = CircuitBreakerLayer::new;
    let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
    let wrong: [(CircuitBreakerLayer, &[&str]); 17] = [
        (
            layer().count_window(0),
            &["count_window is 0; allowed are 1 to 10000"],
        ),
        (
            layer().count_window(10_001),
            &["count_window is 10001; allowed are 1 to 10000"],
        ),
        (
            layer().time_window(zero),
            &["time_window is 0ns; allowed are 10ms to one day"],
        ),
        (
            layer().minimum_calls(0),
            &["minimum_calls is 0; allowed are 1 to 100"],
        ),
        (
            layer().minimum_calls(101),
            &["minimum_calls is 101; allowed are 1 to 100"],
        ),
        (
            layer().minimum_calls(0).time_window(second),
            &["minimum_calls is 0; allowed are 1 and more"],
        ),
        (
            layer().failure_rate(f64::NAN),
            &["failure_rate is NaN; allowed are percentages from 0.0001 to 100"],
        ),
        (
            layer().failure_rate(-1.0).slow_call_rate(100.1),
            &[
                "failure_rate is -1; allowed are percentages from 0.0001 to 100",
                "slow_call_rate is 100.1; allowed are percentages from 0.0001 to 100",
            ],
        ),
        (
            layer().slow_call_rate(f64::INFINITY),
            &["slow_call_rate is inf; allowed are percentages from 0.0001 to 100"],
        ),
        (
            layer().slow_call_duration(zero),
            &["slow_call_duration is 0ns; allowed are 1ms to one day"],
        ),
        (
            layer().consecutive_failures(0),
            &["consecutive_failures is 0; allowed are 1 and more"],
        ),
        (
            layer().failure_rate(None).slow_call_rate(None),
            &["it can never open; set failure_rate, slow_call_rate or consecutive_failures"],
        ),
        (
            layer().open_duration(Duration::MAX),
            &["open_duration is 18446744073709551615.999999999s; allowed are 1ms to one day"],
        ),
        (
            layer().open_growth(0.5, Duration::from_secs(300)),
            &["the factor of open_growth is 0.5; allowed are 1 to 100"],
        ),
        (
            layer().open_growth(f64::NAN, second),
            &[
                "the factor of open_growth is NaN; allowed are 1 to 100",
                "the limit of open_growth is 1s; allowed are 60s to one day",
            ],
        ),
        (
            layer().half_open_calls(0),
            &["half_open_calls is 0; allowed are 1 to 10000"],
        ),
        (
            layer().half_open_wait(zero),
            &["half_open_wait is 0ns; allowed are 1ms to one day"],
        ),
    ];
    for (layer, mistakes) in wrong {
        assert_eq!(layer.mistakes(), mistakes);
    }
}

#[test]
fn a_wrong_setting_is_its_default() {
    let default = CircuitBreakerLayer::new();
    let wrong = CircuitBreakerLayer::new()
        .count_window(0)
        .minimum_calls(0)
        .failure_rate(f64::NAN)
        .slow_call_rate(-0.0)
        .slow_call_duration(Duration::MAX)
        .consecutive_failures(0)
        .open_duration(Duration::ZERO)
        .open_growth(f64::INFINITY, Duration::ZERO)
        .half_open_calls(u32::MAX)
        .half_open_wait(Duration::ZERO);
    let circuit = |layer: &CircuitBreakerLayer| layer.settings().check();
    assert_eq!(circuit(&wrong).0, circuit(&default).0);
    assert_eq!(circuit(&wrong).1.len(), 11);
    assert_eq!(default.mistakes(), [""; 0]);
}
