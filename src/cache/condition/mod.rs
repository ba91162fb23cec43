//! A client's own conditions, and what they make of a stored answer (RFC 9110, section 13; RFC 9111, section 4.3.2).
//!
//! A cache looks at `If-None-Match` and `If-Modified-Since`. `If-Match` and `If-Unmodified-Since` are for the origin: they guard a change, and
//! only the origin knows what there is now.

mod etag;
#[cfg(test)]
mod tests;

pub(super) use etag::ETag;

use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{
        CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
        LAST_MODIFIED, TRANSFER_ENCODING,
    },
};

use crate::date;

/// A stored answer, as far as conditions look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    /// When it was received, in milliseconds since 1970.
    pub(super) answered_at: u64,
}

impl Held<'_> {
    /// `Date`, or else when it was received, in seconds since 1970.
    pub(super) fn date(&self, now: u64) -> u64 {
        date_in(self.headers, &DATE, now).unwrap_or(self.answered_at / 1000)
    }
}

/// What a client's conditions make of a stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// There are none, or the client has to get the answer itself. [`Range`](super::range) comes next.
    Whole,
    /// The client has it already: 304.
    NotModified,
    /// Only the origin can tell: the request goes there as it is.
    Forward,
}

/// Looks at the conditions in their order (RFC 9110, section 13.2.2). `now` is in milliseconds since 1970, and says which century a year of two digits
/// means.
pub(super) fn evaluate(
    method: &Method,
    request: &HeaderMap,
    held: Held<'_>,
    now: u64,
) -> Condition {
    if request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE) {
        return Condition::Forward;
    }
    // They are about answers that would be a 2xx without them (section 13.2.1).
    let is_modified = if request.contains_key(IF_NONE_MATCH) {
        !held.status.is_success() || !is_any_match(request, held.headers)
    } else if request.contains_key(IF_MODIFIED_SINCE) {
        !held.status.is_success() || is_modified_since(method, request, held, now)
    } else {
        true
    };
    match is_modified {
        true => Condition::Whole,
        false => Condition::NotModified,
    }
}

/// Leaves what a 304 has of the head of a stored answer (RFC 9110, section 15.4.5): the client has what describes the content. `Last-Modified` stays
/// where there is no `ETag`, as the client may have nothing else to know its copy by.
pub(super) fn trim_to_not_modified(headers: &mut HeaderMap) {
    const DESCRIPTIONS: [HeaderName; 11] = [
        CONTENT_DISPOSITION,
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        TRANSFER_ENCODING,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("digest"),
        HeaderName::from_static("repr-digest"),
    ];
    for name in DESCRIPTIONS {
        headers.remove(name);
    }
    if headers.contains_key(ETAG) {
        headers.remove(LAST_MODIFIED);
    }
}

/// The value of a field that is there once. Of a singleton that is there several times nobody knows which one counts.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| line.as_bytes())
}

/// The date in this field, in seconds since 1970.
pub(super) fn date_in(headers: &HeaderMap, name: &HeaderName, now: u64) -> Option<u64> {
    date::parse(only(headers, name)?, now / 1000)
}

fn is_any_match(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if only(request, &IF_NONE_MATCH).is_some_and(|line| line.trim_ascii() == b"*") {
        return true;
    }
    let Some(stored) = ETag::of(stored) else {
        return false;
    };
    let lines = request.get_all(IF_NONE_MATCH).iter();
    lines
        .flat_map(|line| ETag::list(line.as_bytes()))
        .any(|asked| asked.is_weakly(&stored))
}

/// A field that can not be read is as none (section 13.1.3), and the client gets the answer.
fn is_modified_since(method: &Method, request: &HeaderMap, held: Held<'_>, now: u64) -> bool {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return true;
    }
    let Some(since) = date_in(request, &IF_MODIFIED_SINCE, now) else {
        return true;
    };
    let modified = date_in(held.headers, &LAST_MODIFIED, now).unwrap_or_else(|| held.date(now));
    modified > since
}
