//! What the cache did, as an answer says it (RFC 9211).

use http::HeaderValue;

/// Why a request went on to the backend (section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Forwarded {
    /// Nobody wanted the cache to be asked.
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Miss,
    Request,
    Stale,
    Partial,
}

/// One member of the list in `Cache-Status`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cache) struct CacheStatus<'a> {
    /// `None`: it was a hit.
    pub(in crate::cache) forwarded: Option<Forwarded>,
    pub(in crate::cache) status: Option<u16>,
    pub(in crate::cache) ttl: Option<i64>,
    pub(in crate::cache) is_stored: bool,
    pub(in crate::cache) is_collapsed: bool,
    pub(in crate::cache) key: Option<&'a str>,
    pub(in crate::cache) detail: Option<&'a str>,
}

impl Forwarded {
    fn word(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl CacheStatus<'_> {
    /// With the name of the cache, as it stands in the field: see [`name`].
    pub(in crate::cache) fn write(&self, name: &str) -> HeaderValue {
        let mut text = String::with_capacity(name.len() + 32);
        text.push_str(name);
        match self.forwarded {
            None => text.push_str("; hit"),
            Some(why) => {
                text.push_str("; fwd=");
                text.push_str(why.word());
            }
        }
        if let Some(status) = self.status {
            text.push_str("; fwd-status=");
            number(&mut text, status.into());
        }
        if let Some(ttl) = self.ttl {
            text.push_str("; ttl=");
            // No more digits than a structured field has.
            number(
                &mut text,
                ttl.clamp(-999_999_999_999_999, 999_999_999_999_999),
            );
        }
        for (is_so, word) in [
            (self.is_stored, "; stored"),
            (self.is_collapsed, "; collapsed"),
        ] {
            text.push_str(if is_so { word } else { "" });
        }
        if let Some(key) = self.key {
            text.push_str("; key=");
            string(&mut text, key);
        }
        if let Some(detail) = self.detail {
            text.push_str("; detail=");
            text.push_str(detail);
        }
        // The name is a token or a string, and all else is ASCII.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"))
    }
}

/// A name as it stands in the field: a token (RFC 9651, section 3.3.4), or else a string.
pub(in crate::cache) fn name(name: &str) -> String {
    let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'*';
    let is_next = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    if name.as_bytes().first().is_some_and(is_first) && name.bytes().all(is_next) {
        return name.to_owned();
    }
    let mut text = String::new();
    string(&mut text, name);
    text
}

/// A string of a structured field. What it can not have is left out: it is for people to read.
fn string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars().filter(|at| (' '..='~').contains(at)) {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
}

fn number(text: &mut String, number: i64) {
    use std::fmt::Write;
    // Writing to a string does not fail.
    let _ = write!(text, "{number}");
}
