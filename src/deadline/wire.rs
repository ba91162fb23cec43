//! How a remaining time is written in a header, and read.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::field;

/// The header that a remaining time stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineHeader {
    name: HeaderName,
    is_of_grpc: bool,
}

impl DeadlineHeader {
    /// `grpc-timeout` of gRPC requests; others have none.
    pub fn grpc() -> Self {
        Self {
            name: HeaderName::from_static("grpc-timeout"),
            is_of_grpc: true,
        }
    }

    /// A header of this name, of any request: whole milliseconds, in decimal.
    pub fn millis(name: HeaderName) -> Self {
        Self {
            name,
            is_of_grpc: false,
        }
    }

    pub(super) fn is_of_grpc(&self) -> bool {
        self.is_of_grpc
    }

    /// The time that a message says, if it says just one.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<Duration> {
        let mut lines = headers.get_all(&self.name).iter();
        let line = lines.next()?.as_bytes();
        match lines.next() {
            Some(_) => None,
            None if self.is_of_grpc => parse_grpc(line),
            None => digits(line, 18).map(Duration::from_millis),
        }
    }

    /// Says `remaining`, or less if less is said already. What can not be read is removed, and so is what a backend could
    /// take for this header because to it `_` and `-` are the same.
    pub(super) fn write(&self, headers: &mut HeaderMap, remaining: Option<Duration>) {
        let least = remaining.into_iter().chain(self.read(headers)).min();
        let name = &self.name;
        field::remove_aliases(headers, name);
        let value = least.and_then(|least| {
            if self.is_of_grpc {
                return HeaderValue::from_bytes(&format_grpc(least)).ok();
            }
            let millis = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
            Some(millis.min(10_u64.pow(18) - 1).into())
        });
        let is_written = value.is_some_and(|value| headers.try_insert(name.clone(), value).is_ok());
        if !is_written {
            headers.remove(name);
        }
    }
}

/// gRPC over HTTP/2, `Timeout`: at most eight digits, and a unit from hours to nanoseconds.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];
const MOST: u128 = 99_999_999;

fn parse_grpc(text: &[u8]) -> Option<Duration> {
    let (unit, number) = text.split_last()?;
    let (_, nanos) = UNITS.into_iter().find(|(name, _)| name == unit)?;
    let nanos = u128::from(digits(number, 8)?) * nanos;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// In the smallest unit that it fits in, rounded down: what is said never ends later than what is meant.
fn format_grpc(time: Duration) -> Vec<u8> {
    let nanos = time.as_nanos();
    let fits = |(_, unit): &(u8, u128)| nanos / unit <= MOST;
    let (name, unit) = UNITS.into_iter().find(fits).unwrap_or(UNITS[5]);
    format!("{}{}", (nanos / unit).min(MOST), char::from(name)).into_bytes()
}

fn digits(text: &[u8], most: usize) -> Option<u64> {
    let is_number = (1..=most).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        text.iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grpc(text: &str) -> Option<Duration> {
        parse_grpc(text.as_bytes())
    }

    #[test]
    fn grpc_has_six_units_and_eight_digits() {
        for (text, nanos) in [
            ("1H", Some(3_600_000_000_000)),
            ("1M", Some(60_000_000_000)),
            ("1S", Some(1_000_000_000)),
            ("1m", Some(1_000_000)),
            ("1u", Some(1_000)),
            ("1n", Some(1)),
            ("0n", Some(0)),
            ("00000001n", Some(1)),
            ("99999999H", Some(99_999_999 * 3_600_000_000_000)),
            ("100000000n", None),
            ("000000001n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1 S", None),
            (" 1S", None),
            ("1SS", None),
        ] {
            assert_eq!(grpc(text).map(|time| time.as_nanos()), nanos, "{text}");
        }
    }

    #[test]
    fn the_finest_unit_that_fits_is_written() {
        for (time, text) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(2), "2000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(99_999), "99999000m"),
            (Duration::from_millis(100_000_900), "100000S"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(format_grpc(time), text.as_bytes());
        }
    }

    fn said(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_is_said_gets_less_and_never_more() {
        let millis = DeadlineHeader::millis(HeaderName::from_static("x-time-left"));
        let cases: [(&[&str], Option<u64>, &[&str]); 9] = [
            (&[], None, &[]),
            (&[], Some(1_500), &["1500"]),
            (&["x-time-left: 100"], Some(1_500), &["100"]),
            (&["x-time-left: 2000"], Some(1_500), &["1500"]),
            (&["x-time-left: 100"], None, &["100"]),
            (&["x-time-left: soon"], None, &[]),
            (&["x-time-left: 1", "x-time-left: 2"], None, &[]),
            (&["x-time-left: 9999999999999999999"], Some(7), &["7"]),
            (&["x_time-left: 9", "x-time_left: 9"], Some(7), &["7"]),
        ];
        for (lines, remaining, expected) in cases {
            let mut headers = said(lines);
            millis.write(&mut headers, remaining.map(Duration::from_millis));
            let values: Vec<_> = headers.values().collect();
            assert_eq!(values, expected, "{lines:?}");
        }
        let mut headers = said(&["grpc-timeout: 1S", "grpc_timeout: 9S"]);
        DeadlineHeader::grpc().write(&mut headers, Some(Duration::from_secs(3)));
        assert_eq!(headers, said(&["grpc-timeout: 1000000u"]));
    }

    #[test]
    fn a_full_map_is_no_panic() {
        let mut headers = HeaderMap::new();
        for n in 0.. {
            let name = HeaderName::from_bytes(format!("h{n}").as_bytes()).unwrap();
            if headers
                .try_insert(name, HeaderValue::from_static(""))
                .is_err()
            {
                break;
            }
        }
        DeadlineHeader::grpc().write(&mut headers, Some(Duration::from_secs(3)));
        assert!(!headers.contains_key("grpc-timeout"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_no_more_and_hardly_less(seconds in 0_u64..300_000_000_000, nanos in 0_u32..1_000_000_000) {
            let time = Duration::new(seconds, nanos);
            let text = format_grpc(time);
            prop_assert!(text.len() <= 9);
            let read = parse_grpc(&text).unwrap();
            prop_assert!(read <= time);
            // A unit is at most a thousand times the one below, of which there were a hundred million.
            prop_assert!(time - read <= time / 99_999);
        }

        #[test]
        fn nothing_that_is_read_breaks_it(text in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = parse_grpc(&text);
            let _ = digits(&text, 18);
        }
    }
}
