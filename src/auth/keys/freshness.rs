//! For how long an answer is fresh, by what it says of itself (RFC 9111, section 4.2.1).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::date;

/// `None`: it does not say. What is to be asked for each time, or says something that can not be read, is fresh for no time.
pub(super) fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let lifetime = match by_cache_control(headers) {
        Some(lifetime) => lifetime,
        None => by_expires(headers)?,
    };
    // How long a cache has had it already.
    let age = headers.get(header::AGE).and_then(seconds);
    Some(lifetime.saturating_sub(age.unwrap_or_default()))
}

fn by_cache_control(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(header::CACHE_CONTROL);
    // A comma in a quoted string parts a directive that means nothing here, and at worst makes the time shorter.
    let directives = fields
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    let lifetimes = directives.filter_map(|directive| {
        let directive = directive.trim_ascii();
        let (name, value) = match directive.iter().position(|byte| *byte == b'=') {
            Some(at) => (&directive[..at], Some(&directive[at + 1..])),
            None => (directive, None),
        };
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("max-age") {
            let value = value.unwrap_or_default();
            let bare = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            Some(digits(bare.unwrap_or(value)).unwrap_or_default())
        } else {
            (is("no-store") || is("no-cache")).then_some(Duration::ZERO)
        }
    });
    lifetimes.min()
}

fn by_expires(headers: &HeaderMap) -> Option<Duration> {
    let expires = headers.get(header::EXPIRES)?;
    // By the server's own clock, whatever ours says. The century of a year of two digits does not matter: long ago is soon enough.
    let read = |value: &HeaderValue| date::parse(value.as_bytes(), 0);
    let date = headers.get(header::DATE).and_then(read)?;
    let seconds = read(expires).unwrap_or_default().saturating_sub(date);
    Some(Duration::from_secs(seconds))
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    digits(value.as_bytes().trim_ascii())
}

/// A number of seconds, however large.
fn digits(text: &[u8]) -> Option<Duration> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(Duration::from_secs(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn an_answer_says_how_long_it_is_fresh() {
        let cases: &[(&[&str], Option<u64>)] = &[
            (&[], None),
            (&["cache-control: public"], None),
            (&["cache-control: max-age=600"], Some(600)),
            (&["cache-control: public, Max-Age=\"600\" , x"], Some(600)),
            (
                &["cache-control: max-age=9", "cache-control: max-age=5"],
                Some(5),
            ),
            (
                &["cache-control: max-age=99999999999999999999999"],
                Some(u64::MAX),
            ),
            (&["cache-control: max-age=600", "age: 590"], Some(10)),
            (&["cache-control: max-age=600", "age: 601"], Some(0)),
            (&["cache-control: max-age=600", "age: -1"], Some(600)),
            (&["cache-control: max-age=x"], Some(0)),
            (&["cache-control: max-age=-1"], Some(0)),
            (&["cache-control: max-age"], Some(0)),
            (&["cache-control: max-age="], Some(0)),
            (&["cache-control: no-store"], Some(0)),
            (&["cache-control: max-age=600, no-cache"], Some(0)),
            (&["cache-control: s-maxage=600"], None),
            (&[DATE, "expires: Sun, 06 Nov 1994 08:50:37 GMT"], Some(60)),
            (
                &[DATE, "expires: Sun, 06 Nov 1994 08:50:37 GMT", "age: 50"],
                Some(10),
            ),
            (&[DATE, "expires: Sun, 06 Nov 1994 08:48:37 GMT"], Some(0)),
            (&[DATE, "expires: 0"], Some(0)),
            (&["expires: Sun, 06 Nov 1994 08:50:37 GMT"], None),
            (&["date: now", "expires: 0"], None),
            (
                &[
                    DATE,
                    "expires: Sun, 06 Nov 1994 08:50:37 GMT",
                    "cache-control: max-age=7",
                ],
                Some(7),
            ),
        ];
        for (fields, expected) in cases {
            let headers: HeaderMap = fields
                .iter()
                .map(|field| field.split_once(": ").unwrap())
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .fold(HeaderMap::new(), |mut all, (name, value)| {
                    let name: http::HeaderName = name;
                    all.append(name, value);
                    all
                });
            let expected = expected.map(Duration::from_secs);
            assert_eq!(freshness(&headers), expected, "{fields:?}");
        }
    }
}
