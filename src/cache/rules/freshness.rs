//! How old a response is, and for how long it is fresh (RFC 9111, section 4.2), in milliseconds.

use http::{HeaderMap, StatusCode, header};
use smallvec::SmallVec;

use super::{
    directives::Directives,
    scan::{self, MOST_SECONDS},
    storing::Settings,
};
use crate::date;

/// For how long it is fresh, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The response says so.
    Explicit(u64),
    /// Its status lets the cache guess; zero if there is nothing to guess from.
    Heuristic(u64),
    /// It may not be guessed.
    Unknown,
}

pub(super) const SECOND: u64 = 1000;

impl Lifetime {
    /// Section 4.2.1, for a response that arrived at `answered_at`.
    pub(super) fn of(
        directives: &Directives,
        status: StatusCode,
        headers: &HeaderMap,
        answered_at: u64,
        settings: &Settings,
    ) -> Self {
        if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
            return Self::Explicit(u64::from(seconds) * SECOND);
        }
        let now = answered_at / SECOND;
        // Without a date it is the time at which it arrived (RFC 9110, section 6.6.1).
        let date = || field(headers, &header::DATE, now).unwrap_or(now);
        if !directives.is_targeted && headers.contains_key(header::EXPIRES) {
            let expires = field(headers, &header::EXPIRES, now).unwrap_or(0);
            let seconds = expires.saturating_sub(date()).min(u64::from(MOST_SECONDS));
            return Self::Explicit(seconds * SECOND);
        }
        if !directives.is_public && !may_be_guessed(status) {
            return Self::Unknown;
        }
        let modified = field(headers, &header::LAST_MODIFIED, now);
        let seconds = modified.map_or(0, |modified| date().saturating_sub(modified));
        let most = u64::from(settings.heuristic_max) * SECOND;
        let part = seconds.saturating_mul(u64::from(settings.heuristic_percent) * SECOND) / 100;
        Self::Heuristic(part.min(most))
    }
}

/// How old it was when it arrived (section 4.2.3): `corrected_initial_age`.
pub(super) fn initial_age(headers: &HeaderMap, asked_at: u64, answered_at: u64) -> u64 {
    let now = answered_at / SECOND;
    let date = field(headers, &header::DATE, now).unwrap_or(now);
    let apparent_age = now.saturating_sub(date) * SECOND;
    let response_delay = answered_at.saturating_sub(asked_at);
    let corrected_age_value =
        (u64::from(age_value(headers)) * SECOND).saturating_add(response_delay);
    apparent_age.max(corrected_age_value)
}

/// `Age`: the first of several counts, and zero in the place of what is no number (section 5.1).
fn age_value(headers: &HeaderMap) -> u32 {
    let age = headers.get(header::AGE);
    let first = age.and_then(|age| age.as_bytes().split(|byte| *byte == b',').next());
    let seconds = first.and_then(|first| scan::seconds(first.trim_ascii()));
    seconds.unwrap_or(0)
}

/// The one date that this field has. Several are none.
pub(super) fn field(headers: &HeaderMap, name: &header::HeaderName, now: u64) -> Option<u64> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    match lines.next() {
        Some(_) => None,
        None => parse(line.as_bytes(), now),
    }
}

/// In any case: caches are to read dates so (section 4.2).
fn parse(text: &[u8], now: u64) -> Option<u64> {
    const LONGEST: usize = "Wednesday, 06-Nov-94 08:49:37 GMT".len();
    let read = date::parse(text, now);
    if read.is_some() || text.len() > LONGEST {
        return read;
    }
    let mut written = SmallVec::<[u8; LONGEST]>::from_slice(text);
    for word in written.split_mut(|byte| !byte.is_ascii_alphabetic()) {
        word.make_ascii_lowercase();
        if word == b"gmt" {
            word.make_ascii_uppercase();
        } else if let Some(first) = word.first_mut() {
            first.make_ascii_uppercase();
        }
    }
    date::parse(&written, now)
}

/// Whether what defines this status lets a cache guess (RFC 9110, section 15.1; RFC 7725, section 3).
fn may_be_guessed(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501
    )
}
