//! What the cache says it has done: a member of `Cache-Status` (RFC 9211).

use std::fmt::{self, Write};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

use super::scan;

/// The name by which a cache speaks of itself.
#[derive(Clone, Debug)]
pub(in crate::cache) struct CacheName(HeaderValue);

/// Why a request went on to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Fwd {
    /// The cache was told not to handle it.
    Bypass,
    /// The method is one that has to be forwarded.
    Method,
    /// Nothing is stored for the target.
    UriMiss,
    /// Something is, but for other fields of the request.
    VaryMiss,
    /// Nothing is, and which of both is not known.
    Miss,
    /// Something fresh is, but this request does not take it.
    Request,
    /// Something stale is.
    Stale,
}

/// How one request went.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cache) struct CacheStatus<'a> {
    /// `None`: a stored response was the answer.
    pub(in crate::cache) fwd: Option<Fwd>,
    /// What the backend answered, if that is not the status of the answer.
    pub(in crate::cache) fwd_status: Option<StatusCode>,
    /// The answer was kept.
    pub(in crate::cache) is_stored: bool,
    /// It was not forwarded by itself, but had the answer to another request.
    pub(in crate::cache) is_collapsed: bool,
    /// In seconds; less than zero when it is stale.
    pub(in crate::cache) ttl: Option<i64>,
    /// The key, for those who ask.
    pub(in crate::cache) key: Option<&'a [u8]>,
    pub(in crate::cache) detail: Option<&'a str>,
}

impl CacheName {
    /// `None`: it is empty, or has something else than printable ASCII.
    pub(in crate::cache) fn new(name: &str) -> Option<Self> {
        let is_printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if name.is_empty() || !is_printable {
            return None;
        }
        let mut text = Text::default();
        text.token_or_string(name);
        HeaderValue::from_bytes(&text.0).ok().map(Self)
    }
}

impl Default for CacheName {
    fn default() -> Self {
        Self(HeaderValue::from_static("tower-gateway"))
    }
}

impl Fwd {
    pub(in crate::cache) fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

impl CacheStatus<'_> {
    /// Behind what the caches before have said.
    pub(in crate::cache) fn append(&self, name: &CacheName, headers: &mut HeaderMap) {
        const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
        headers.append(CACHE_STATUS, self.value(name));
    }

    fn value(&self, name: &CacheName) -> HeaderValue {
        let mut text = Text(SmallVec::from_slice(name.0.as_bytes()));
        match self.fwd {
            None => text.str("; hit"),
            Some(fwd) => {
                text.str("; fwd=");
                text.str(fwd.as_str());
            }
        }
        if let Some(status) = self.fwd_status {
            text.str("; fwd-status=");
            text.str(status.as_str());
        }
        if self.is_stored {
            text.str("; stored");
        }
        if self.is_collapsed {
            text.str("; collapsed");
        }
        if let Some(ttl) = self.ttl {
            // An integer has no more digits (RFC 9651, section 3.3.1).
            const MOST: i64 = 999_999_999_999_999;
            let _ = write!(text, "; ttl={}", ttl.clamp(-MOST, MOST));
        }
        if let Some(key) = self.key {
            text.str("; key=");
            text.string(key);
        }
        if let Some(detail) = self.detail {
            text.str("; detail=");
            text.token_or_string(detail);
        }
        // All of it is printable.
        HeaderValue::from_bytes(&text.0).unwrap_or_else(|_| name.0.clone())
    }
}

/// What is written, on the stack as a rule.
#[derive(Default)]
struct Text(SmallVec<[u8; 128]>);

impl Text {
    fn str(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn token_or_string(&mut self, text: &str) {
        let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'*';
        let is_next = |byte: u8| scan::is_token(byte) || byte == b':' || byte == b'/';
        let bytes = text.as_bytes();
        let is_token = bytes.first().is_some_and(|first| is_first(*first));
        match is_token && bytes.iter().all(|byte| is_next(*byte)) {
            true => self.str(text),
            false => self.string(bytes),
        }
    }

    /// A string has printable ASCII only; the rest is written in percent.
    fn string(&mut self, bytes: &[u8]) {
        self.0.push(b'"');
        for byte in bytes {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', *byte]),
                b' '..=b'~' => self.0.push(*byte),
                _ => {
                    let _ = write!(self, "%{byte:02X}");
                }
            }
        }
        self.0.push(b'"');
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.str(text);
        Ok(())
    }
}
