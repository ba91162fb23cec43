//! One canonical form of the request path.
//!
//! Routing, policy, cache keys and the upstream request must mean the same resource, or a client picks the spelling that
//! passes the policy and reaches the backend. So the path is brought into one form at the door, everything behind it uses
//! only that form, and what two servers could read differently is refused (`400`).
//!
//! * Escapes of unreserved characters are decoded and the others get upper-case hex (RFC 3986 §6.2.2). Nothing is decoded
//!   twice: `%252e` stays `%252e`.
//! * Runs of `/` are merged, then `.` and `..` are resolved, however they are escaped (RFC 3986 §5.2.4). With merging off
//!   an empty segment counts as a segment, and `..` removes it.
//! * What a URI cannot hold but clients send (`|`, `[`, `{`, UTF-8) is escaped. It has no meaning of its own, so its raw
//!   and its escaped spelling name the same octets, and the backend gets the spelling that the policy saw.
//! * Reserved characters are left as they came: `%40` and `@` are different paths (RFC 3986 §2.2).
//!
//! ```text
//! let policy = PathPolicy::new();
//! assert_eq!(canonicalize("/a/./b//%7euser/%2e%2e/c%3a", policy)?, "/a/b/c%3A");
//! assert!(canonicalize("/files/..%2fadmin", policy).is_err());
//! ```

use std::borrow::Cow;

use memchr::{memchr, memrchr};

mod error;
#[cfg(test)]
mod tests;
mod uri;

pub use error::PathError;
pub(crate) use uri::{canonicalize_uri, join_path};

/// What the canonical form of a path merges and lets through. Cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathPolicy {
    merge_slashes: bool,
    encoded_slash: bool,
    parameters: bool,
}

impl PathPolicy {
    /// Slashes merged, encoded slashes refused, path parameters (`;`) allowed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            merge_slashes: true,
            encoded_slash: false,
            parameters: true,
        }
    }

    /// Whether a run of `/` becomes one. Default: `true`. Off, `//admin` and `/admin` are two paths, and a backend that
    /// merges by itself can be reached past a policy on `/admin`.
    #[must_use]
    pub const fn merge_slashes(self, merge_slashes: bool) -> Self {
        Self {
            merge_slashes,
            ..self
        }
    }

    /// Whether `%2F` may stay, as data inside its segment. Default: `false` (refused). For backends that keep it as data
    /// too: one that decodes it before it routes sees more segments than the gateway did.
    #[must_use]
    pub const fn allow_encoded_slash(self, allow: bool) -> Self {
        Self {
            encoded_slash: allow,
            ..self
        }
    }

    /// Whether a segment may carry parameters (`/map;lat=1`). Default: `true`. Refuse them (`;` and `%3B`) in front of a
    /// backend that strips them before it routes, as servlet containers do: it takes `/admin;x` for `/admin`.
    /// Parameters on a dot or empty segment (`/..;/`) are refused in any case.
    #[must_use]
    pub const fn allow_parameters(self, allow: bool) -> Self {
        Self {
            parameters: allow,
            ..self
        }
    }
}

impl Default for PathPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The canonical form of `path` (without query), borrowed when it is canonical already.
///
/// The result starts with `/`, is ASCII, holds no dot segment, no lower-case hex and (merged) no empty segment but the
/// last, and is its own canonical form.
///
/// # Errors
/// [`PathError`] says what is wrong and at which byte; a server answers `400`.
pub fn canonicalize(path: &str, policy: PathPolicy) -> Result<Cow<'_, str>, PathError> {
    if is_canonical(path.as_bytes(), policy) {
        return Ok(Cow::Borrowed(path));
    }
    let canonical = rebuild(path.as_bytes(), policy)?;
    Ok(if canonical == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(canonical)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stays as it is.
    Plain,
    Slash,
    Escape,
    Semicolon,
    /// Not a URI character, and without a meaning in a path: escaped.
    Encode,
    Control,
    Backslash,
    /// White space, or a delimiter that ends a path.
    Foreign,
}

static CLASS: [Class; 256] = {
    let mut table = [Class::Encode; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'/' => Class::Slash,
            b'%' => Class::Escape,
            b';' => Class::Semicolon,
            b'\\' => Class::Backslash,
            b' ' | b'?' | b'#' => Class::Foreign,
            0..=0x1f | 0x7f => Class::Control,
            // RFC 3986 §3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@"
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => {
                Class::Plain
            }
            c if is_unreserved(c) => Class::Plain,
            _ => Class::Encode,
        };
        b += 1;
    }
    table
};

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The hot scan. It may say `false` of a canonical path (one that holds `%2F`), never `true` of another.
fn is_canonical(path: &[u8], policy: PathPolicy) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut at = 0;
    loop {
        let is_plain = |byte: &u8| CLASS[usize::from(*byte)] == Class::Plain;
        let Some(n) = path[at..].iter().position(|byte| !is_plain(byte)) else {
            return true;
        };
        at += n;
        at += match CLASS[usize::from(path[at])] {
            Class::Slash => match path.get(at + 1) {
                Some(b'/') if policy.merge_slashes => return false,
                Some(b'.') if may_be_dots(&path[at + 1..]) => return false,
                Some(b';') => return false,
                Some(b'%') if path[at + 1..].starts_with(b"%3B") => return false,
                _ => 1,
            },
            Class::Semicolon if policy.parameters => 1,
            Class::Escape => match decode(path, at) {
                Some(value) if is_settled(path, at, value, policy) => 3,
                _ => return false,
            },
            _ => return false,
        };
    }
}

/// Whether a segment that starts with a dot has to be looked at: nothing, or something that may be read as the
/// segment's end, follows one or two dots.
fn may_be_dots(segment: &[u8]) -> bool {
    let dots = 1 + usize::from(segment.get(1) == Some(&b'.'));
    matches!(segment.get(dots), None | Some(b'/' | b';' | b'%'))
}

/// Whether the escape of `value` is allowed and already in its final spelling.
fn is_settled(path: &[u8], at: usize, value: u8, policy: PathPolicy) -> bool {
    let lower = path[at + 1].is_ascii_lowercase() || path[at + 2].is_ascii_lowercase();
    !lower
        && !is_unreserved(value)
        && !value.is_ascii_control()
        && !matches!(value, b'/' | b'\\')
        && (policy.parameters || value != b';')
        && !is_overlong(path, at, value)
}

fn rebuild(path: &[u8], policy: PathPolicy) -> Result<String, PathError> {
    if path.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let mut out = String::with_capacity(path.len() + 8);
    let mut start = 1;
    loop {
        let end = memchr(b'/', &path[start..]).map_or(path.len(), |n| start + n);
        let mark = out.len();
        out.push('/');
        push_segment(path, start..end, policy, &mut out)?;
        let is_last = end == path.len();
        let segment = &out[mark + 1..];
        let stays = match segment {
            "" => !policy.merge_slashes,
            "." | ".." => false,
            _ if is_ambiguous(segment) => return Err(PathError::Ambiguous { at: start }),
            _ => true,
        };
        if !stays {
            let climbs = segment == "..";
            out.truncate(mark);
            if climbs {
                let parent = memrchr(b'/', out.as_bytes());
                out.truncate(parent.ok_or(PathError::AboveRoot { at: start })?);
            }
            if is_last {
                out.push('/');
            }
        }
        if is_last {
            return Ok(out);
        }
        start = end + 1;
    }
}

fn push_segment(
    path: &[u8],
    range: std::ops::Range<usize>,
    policy: PathPolicy,
    out: &mut String,
) -> Result<(), PathError> {
    let mut at = range.start;
    while at < range.end {
        let byte = path[at];
        match CLASS[byte as usize] {
            Class::Plain => out.push(char::from(byte)),
            Class::Semicolon if policy.parameters => out.push(';'),
            Class::Semicolon => return Err(PathError::Parameters { at }),
            Class::Encode => push_escape(out, byte),
            Class::Escape => {
                let value = decode(path, at).ok_or(PathError::BadEscape { at })?;
                match value {
                    _ if is_unreserved(value) => out.push(char::from(value)),
                    _ if value.is_ascii_control() => return Err(PathError::EncodedControl { at }),
                    b'\\' => return Err(PathError::EncodedBackslash { at }),
                    b'/' if !policy.encoded_slash => return Err(PathError::EncodedSlash { at }),
                    b';' if !policy.parameters => return Err(PathError::Parameters { at }),
                    _ if is_overlong(path, at, value) => return Err(PathError::Overlong { at }),
                    _ => push_escape(out, value),
                }
                at += 2;
            }
            Class::Control => return Err(PathError::Control { at }),
            Class::Backslash => return Err(PathError::Backslash { at }),
            Class::Slash | Class::Foreign => return Err(PathError::Foreign { at }),
        }
        at += 1;
    }
    Ok(())
}

/// Whether a server that strips parameters, or decodes `%2F`, could take a part of this (normalised) segment for `.`,
/// `..` or, through parameters on nothing, for an empty one.
fn is_ambiguous(segment: &str) -> bool {
    let has_slash = segment.contains("%2F");
    segment.split("%2F").any(|part| {
        let name = part.split(';').next().unwrap_or(part);
        let name = name.split("%3B").next().unwrap_or(name);
        let has_parameters = name.len() < part.len();
        match name {
            "" => has_parameters,
            "." | ".." => has_parameters || has_slash,
            _ => false,
        }
    })
}

/// The octet that the escape at `at` stands for, if it is an escape.
fn decode(path: &[u8], at: usize) -> Option<u8> {
    let digit = |n: usize| char::from(*path.get(at + n)?).to_digit(16);
    u8::try_from(digit(1)? << 4 | digit(2)?).ok()
}

/// Whether `value` begins a UTF-8 sequence that is longer than its character needs. No encoder writes one; a careless
/// decoder turns `%C0%AF` into a slash and `%E0%80%AE` into a dot.
fn is_overlong(path: &[u8], at: usize, value: u8) -> bool {
    let last = match value {
        0xc0 | 0xc1 => return true,
        0xe0 => 0x9f,
        0xf0 => 0x8f,
        0xf8 => 0x87,
        0xfc => 0x83,
        _ => return false,
    };
    path.get(at + 3) == Some(&b'%')
        && decode(path, at + 3).is_some_and(|next| (0x80..=last).contains(&next))
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 0xf)]));
}
