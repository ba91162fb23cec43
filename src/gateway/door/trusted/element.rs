//! Elements and parameters of list fields, read from the right.

use http::header::{HeaderMap, HeaderName};

/// The elements of all lines, last one first, empty ones as well as the white space around them left out.
///
/// Quoted strings are found from the right too: what a client wrote at the left, say a quote that nothing closes, can
/// not swallow what a proxy added after it.
pub(super) fn from_the_right(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .rev()
        .flat_map(|line| {
            let mut rest = Some(line.as_bytes());
            std::iter::from_fn(move || {
                let (left, element) = split_last(rest?);
                rest = left;
                Some(element.trim_ascii())
            })
        })
        .filter(|element| !element.is_empty())
}

/// What stands left of the last comma, and what stands right of it. Knows of no escapes: an element that holds one is cut
/// off with it, at the latest, and refused by [`parameter`].
fn split_last(list: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (at, byte) in list.iter().enumerate().rev() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return (Some(&list[..at]), &list[at + 1..]),
            _ => {}
        }
    }
    (None, list)
}

/// The value of the parameter `name` of a `Forwarded` element (RFC 7239 §4), without quotes. `None` when it is absent or
/// repeated, when the element is malformed, and when it holds an escape, which no address, scheme or host needs.
pub(super) fn parameter<'a>(element: &'a [u8], name: &str) -> Option<&'a str> {
    let mut rest = std::str::from_utf8(element)
        .ok()
        .filter(|text| !text.contains('\\'))?;
    let mut found = None;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) && found.replace(value.trim_end()).is_some() {
            return None;
        }
        let after = after.trim_start();
        if after.is_empty() {
            return found;
        }
        rest = after.strip_prefix(';')?;
    }
}
