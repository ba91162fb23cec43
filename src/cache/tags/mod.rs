//! Tags that a backend gives an answer, so that all of a kind can be purged at once.
//!
//! `Cache-Tag` has them between commas, `Surrogate-Key` between spaces. Upper and lower case are two.

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName};

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// Of one answer.
const MOST: usize = 256;
/// In bytes.
const LONGEST: usize = 1024;

/// There are more than 256 tags, or one has more than 1,024 bytes. Who leaves out some can not purge by them, so such an answer is not to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyTags;

/// The tags of an answer, each once, in their order. What is not UTF-8 is none, as nobody can name it.
pub(super) fn tags(headers: &HeaderMap) -> Result<Vec<Box<str>>, TooManyTags> {
    let mut found: Vec<Box<str>> = Vec::new();
    for (name, separator) in [(CACHE_TAG, b','), (SURROGATE_KEY, b' ')] {
        for line in headers.get_all(name) {
            let is_between = |byte: &u8| *byte == separator || *byte == b'\t' && separator == b' ';
            for tag in line.as_bytes().split(is_between).map(<[u8]>::trim_ascii) {
                let Ok(tag) = std::str::from_utf8(tag) else {
                    continue;
                };
                if tag.is_empty() || found.iter().any(|known| **known == *tag) {
                    continue;
                }
                if found.len() == MOST || tag.len() > LONGEST {
                    return Err(TooManyTags);
                }
                found.push(tag.into());
            }
        }
    }
    Ok(found)
}
