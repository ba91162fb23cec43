//! For how long an answer is fresh (RFC 9111, section 4.2.1 and 4.2.2).

use http::{HeaderMap, StatusCode, header};

use super::{delta, directives::Directives};
use crate::cache::condition;

/// A lifetime in seconds, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Less than zero: it had expired when it came.
    Said(i64),
    Guessed(i64),
    /// Nothing is said, and nothing can be guessed.
    Unknown,
}

/// Of the time since the last change, this part is a guess for how long it will stay.
const PART: u64 = 10;
/// No guess is longer: a day.
const LONGEST: u64 = 24 * 60 * 60;

pub(super) fn lifetime(
    directives: &Directives,
    is_targeted: bool,
    status: StatusCode,
    headers: &HeaderMap,
    answered_at: u64,
) -> Lifetime {
    let said = directives.s_maxage.get().or(directives.max_age.get());
    if let Some(seconds) = said {
        return Lifetime::Said(signed(seconds));
    }
    let date = condition::date_in(headers, &header::DATE, answered_at);
    let date = date.unwrap_or(answered_at / 1000);
    if !is_targeted && headers.contains_key(header::EXPIRES) {
        // What can not be read, and what is there twice, has expired.
        let expires = condition::date_in(headers, &header::EXPIRES, answered_at);
        let seconds = expires.map_or(0, |expires| signed(expires).saturating_sub(signed(date)));
        return Lifetime::Said(seconds.min(signed(delta::MOST)));
    }
    let changed = condition::date_in(headers, &header::LAST_MODIFIED, answered_at);
    match changed {
        Some(changed) if directives.is_public || is_heuristic(status) => {
            Lifetime::Guessed(signed((date.saturating_sub(changed) / PART).min(LONGEST)))
        }
        _ => Lifetime::Unknown,
    }
}

/// Statuses of which one may guess (RFC 9110, section 15.1). Of a part one may too, but parts are not stored.
pub(super) fn is_heuristic(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Statuses of which it is known what they mean for a cache (RFC 9110, section 15), for `must-understand`.
pub(super) fn is_understood(status: StatusCode) -> bool {
    let code = status.as_u16();
    is_heuristic(status)
        || matches!(code, 302 | 303 | 307 | 400..=417 | 421..=426 | 428 | 429 | 431 | 451)
        || matches!(code, 500..=505 | 511)
}

pub(super) fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
