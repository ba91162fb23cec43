//! How old an answer is (RFC 9111, section 4.2.3).

use http::{HeaderMap, header};

use super::delta;
use crate::cache::condition;

/// Its age when it came, in milliseconds: by what the caches before have said, and by its date.
pub(super) fn initial(headers: &HeaderMap, asked_at: u64, answered_at: u64) -> u64 {
    let date = condition::date_in(headers, &header::DATE, answered_at);
    // Dates have whole seconds: what is less is no age.
    let apparent = date.map_or(0, |date| (answered_at / 1000).saturating_sub(date));
    let delay = answered_at.saturating_sub(asked_at);
    let corrected = told(headers).saturating_mul(1000).saturating_add(delay);
    corrected.max(apparent.saturating_mul(1000))
}

/// The first member that is there; what can not be read is none (section 5.1).
fn told(headers: &HeaderMap) -> u64 {
    let line = headers.get(header::AGE).map(|line| line.as_bytes());
    let first = line.and_then(|line| line.split(|byte| *byte == b',').next());
    let first = first.and_then(|first| delta::parse(first.trim_ascii()));
    first.unwrap_or(0)
}

/// Its age now, in milliseconds. A clock that went back adds nothing.
pub(super) fn now(initial: u64, answered_at: u64, now: u64) -> u64 {
    initial.saturating_add(now.saturating_sub(answered_at))
}
