//! A part of a stored answer (RFC 9110, section 14).
//!
//! One range of bytes is served from a whole 200. Several are answered with the whole, as a server may (section 14.2): the part that a download lacks is
//! one, and many small ones are an attack (section 17.15).

#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, LAST_MODIFIED, RANGE},
};

use super::condition::{ETag, Held, date_in, only};
use crate::date;

/// What of a stored answer is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// No range that counts: 200.
    Whole,
    /// These bytes, at least one: 206.
    Part(Range<u64>),
    /// It has no such bytes: 416.
    Unsatisfiable,
}

/// Looks at `Range` and `If-Range`, after all [conditions](super::condition). `length` is that of the stored body in bytes; `now` is in milliseconds
/// since 1970.
pub(super) fn select(
    method: &Method,
    request: &HeaderMap,
    held: Held<'_>,
    length: u64,
    now: u64,
) -> Selection {
    if !request.contains_key(RANGE) || *method != Method::GET || held.status != StatusCode::OK {
        return Selection::Whole;
    }
    match only(request, &RANGE).and_then(Asked::read) {
        Some(asked) if is_same(request, held, now) => asked.of(length),
        _ => Selection::Whole,
    }
}

/// Makes the head of a 206 from that of the whole.
pub(super) fn write_part(headers: &mut HeaderMap, part: &Range<u64>, length: u64) {
    let last = part.end.saturating_sub(1);
    let range = value(format!("bytes {}-{last}/{length}", part.start));
    headers.insert(CONTENT_RANGE, range);
    let length = part.end.saturating_sub(part.start);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// The `Content-Range` of a 416.
pub(super) fn unsatisfied(length: u64) -> HeaderValue {
    value(format!("bytes */{length}"))
}

/// The bytes of a part, in the chunks that they are stored in. Nothing is copied. What is behind the end is not there.
pub(super) fn slice(chunks: &[Bytes], part: Range<u64>) -> impl Iterator<Item = Bytes> {
    let mut start = 0;
    chunks
        .iter()
        .map_while(move |chunk| {
            let end = start + chunk.len() as u64;
            // As places in this chunk.
            let from = part.start.clamp(start, end) - start;
            let to = part.end.clamp(start, end) - start;
            let is_behind = part.end <= start;
            start = end;
            (!is_behind).then(|| chunk.slice(from as usize..to.max(from) as usize))
        })
        .filter(|chunk| !chunk.is_empty())
}

/// One range, as it was asked for.
enum Asked {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

impl Asked {
    /// `None` if it is another unit, several ranges, or not well-formed: all of these are ignored.
    fn read(field: &[u8]) -> Option<Self> {
        let (unit, set) = field.split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return None;
        }
        let members = set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let mut members = members.filter(|member| !member.is_empty());
        let range = members.next().filter(|_| members.next().is_none())?;
        let dash = range.iter().position(|byte| *byte == b'-')?;
        match (&range[..dash], &range[dash + 1..]) {
            (b"", suffix) => number(suffix).map(Self::Suffix),
            (first, b"") => number(first).map(|first| Self::From { first, last: None }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                let last = Some(last);
                (Some(first) <= last).then_some(Self::From { first, last })
            }
        }
    }

    fn of(self, length: u64) -> Selection {
        let part = match self {
            Self::From { first, last } => {
                let end = last.map_or(length, |last| last.saturating_add(1).min(length));
                first..end
            }
            // The last bytes of nothing are there, but no `Content-Range` can say so.
            Self::Suffix(1..) if length == 0 => return Selection::Whole,
            Self::Suffix(suffix) => length.saturating_sub(suffix)..length,
        };
        match part.is_empty() {
            true => Selection::Unsatisfiable,
            false => Selection::Part(part),
        }
    }
}

/// Whether the client's other part is of this answer (RFC 9110, section 13.1.5): by its strong tag, or by a date if nothing can have changed within
/// its second (section 8.8.2.2).
fn is_same(request: &HeaderMap, held: Held<'_>, now: u64) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(asked) = only(request, &IF_RANGE) else {
        return false;
    };
    if let Some(date) = date::parse(asked.trim_ascii(), now / 1000) {
        return date_in(held.headers, &LAST_MODIFIED, now) == Some(date) && date < held.date(now);
    }
    match (ETag::read(asked), ETag::of(held.headers)) {
        (Some(asked), Some(stored)) => asked.is_strongly(&stored),
        _ => false,
    }
}

/// One too large for 64 bits is the largest: it is behind every end.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        digits.iter().fold(0_u64, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
    })
}

fn value(text: String) -> HeaderValue {
    // Letters, digits and signs are a value.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
