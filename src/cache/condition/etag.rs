//! Entity tags (RFC 9110, section 8.8.3).

use http::{HeaderMap, header};

use super::only;

/// An entity tag.
///
/// Some servers send what is none by the grammar: without quotes, or with `w/`. A client sends it back as it came, so it is compared byte for byte, and
/// as a weak one, for there is no saying what such a server means.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct ETag<'a> {
    /// With its quotes, so that what has none is never the same.
    opaque: &'a [u8],
    is_weak: bool,
    is_valid: bool,
}

impl<'a> ETag<'a> {
    /// The tag of an answer; `None` if it has none, or several.
    pub(in crate::cache) fn of(response: &'a HeaderMap) -> Option<Self> {
        Self::read(only(response, &header::ETAG)?)
    }

    /// `None` if there is nothing.
    pub(in crate::cache) fn read(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (is_weak, opaque) = match text.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, text),
        };
        let tag = match opaque {
            [b'"', inner @ .., b'"'] if inner.iter().all(is_tag_byte) => Self {
                opaque,
                is_weak,
                is_valid: true,
            },
            _ => Self {
                opaque: text,
                is_weak: true,
                is_valid: false,
            },
        };
        (!text.is_empty()).then_some(tag)
    }

    /// The tags of a list. A comma in quotes belongs to a tag.
    pub(in crate::cache) fn list(line: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = line;
        let members = std::iter::from_fn(move || {
            let mut is_quoted = false;
            let comma = rest.iter().position(|byte| {
                is_quoted ^= *byte == b'"';
                *byte == b',' && !is_quoted
            });
            let (member, behind) = match comma {
                Some(comma) => (&rest[..comma], &rest[comma + 1..]),
                None if rest.is_empty() => return None,
                None => (rest, &rest[rest.len()..]),
            };
            rest = behind;
            Some(member)
        });
        members.filter_map(Self::read)
    }

    /// The comparison of `If-None-Match` (section 8.8.3.2).
    pub(in crate::cache) fn is_weakly(&self, other: &ETag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// The comparison of `If-Range`: byte for byte the same content.
    pub(in crate::cache) fn is_strongly(&self, other: &ETag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// Whether it is one by the grammar, and can stand in a list with others.
    pub(in crate::cache) fn is_valid(&self) -> bool {
        self.is_valid
    }
}

fn is_tag_byte(byte: &u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}
