//! Path patterns: `/users`, `/users/{id}`, `/files/{*rest}`.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use thiserror::Error;

use super::specificity::{PathRank, SegmentRank};
use crate::path::{PathPolicy, canonicalize};

/// Longest pattern that is accepted, in bytes.
const MAX_LEN: usize = 8192;

/// A path with named holes, parsed and checked.
///
/// | written | takes |
/// |---|---|
/// | `/users` | exactly that path; `/users/` is another one |
/// | `/users/{id}` | one non-empty segment in place of `{id}` |
/// | `/files/{*rest}` | everything below, and `/files` itself: `rest` is absent for `/files`, empty for `/files/` |
///
/// Patterns are compared with canonical paths, so the literal parts are brought into the same form here (RFC 3986
/// section 6.2.2): escapes of unreserved characters are decoded, other escapes are in upper case, and what is not
/// ASCII is escaped. `/café` and `/caf%c3%a9` are one pattern. A brace that is meant literally is written `%7B`,
/// `%7D`. The default order of two patterns is their [`Specificity`](super::Specificity).
///
/// ```
/// use tower_gateway::routing::PathPattern;
///
/// let pattern: PathPattern = "/a/{x}/b/{*rest}".parse()?;
/// assert_eq!(pattern.params().collect::<Vec<_>>(), ["x", "rest"]);
/// assert_eq!(pattern.to_string(), "/a/{x}/b/{*rest}");
/// # Ok::<(), tower_gateway::routing::PatternError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What stands between two slashes of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// Canonical text; empty only as the last segment, for a trailing slash.
    Literal(Box<str>),
    Param(Box<str>),
    CatchAll(Box<str>),
}

impl PathPattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Names of the params, in the order in which they stand in the pattern; a catch-all is the last one.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Param(name) | Segment::CatchAll(name) => Some(&**name),
        })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn rank(&self) -> PathRank {
        let end = match self.segments.last() {
            Some(Segment::CatchAll(_)) => None,
            _ => Some(SegmentRank::End),
        };
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => SegmentRank::Literal,
            Segment::Param(_) => SegmentRank::Param,
            Segment::CatchAll(_) => SegmentRank::CatchAll,
        });
        segments.chain(end).collect()
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let error = |problem| PatternError {
            pattern: excerpt(text),
            problem,
        };
        if text.len() > MAX_LEN {
            return Err(error(Problem::TooLong));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(error(Problem::NoLeadingSlash));
        };
        let mut segments = Vec::new();
        let mut names = std::collections::HashSet::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let segment = segment(part).map_err(error)?;
            match &segment {
                Segment::Literal(literal) if literal.is_empty() && !last => {
                    return Err(error(Problem::EmptySegment));
                }
                Segment::CatchAll(name) if !last => {
                    return Err(error(Problem::CatchAllNotLast(name.clone())));
                }
                Segment::Param(name) | Segment::CatchAll(name) if !names.insert(name.clone()) => {
                    return Err(error(Problem::DuplicateParam(name.clone())));
                }
                _ => {}
            }
            segments.push(segment);
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
        })
    }
}

impl TryFrom<&str> for PathPattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathPattern({:?})", self.text)
    }
}

/// A text that is no path pattern: names the pattern, what is wrong in it, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("path pattern `{pattern}`: {problem}")]
pub struct PatternError {
    pattern: Box<str>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum Problem {
    #[error("longer than {MAX_LEN} bytes")]
    TooLong,
    #[error("must begin with `/`")]
    NoLeadingSlash,
    #[error("has an empty segment (`//`); only the end of a pattern may be a lone `/`")]
    EmptySegment,
    #[error("has the dot segment `{0}`, which no canonical path contains")]
    DotSegment(Box<str>),
    #[error(
        "`{0}`: a param takes a whole segment, `{{name}}` or `{{*name}}`; a literal brace is written %7B or %7D"
    )]
    Brace(Box<str>),
    #[error(
        "param name `{0}`: must be ASCII letters, digits, `_` and `-`, and begin with a letter or `_`"
    )]
    ParamName(Box<str>),
    #[error("param `{0}` appears twice; each name may be used once")]
    DuplicateParam(Box<str>),
    #[error("catch-all `{{*{0}}}` must be the last segment")]
    CatchAllNotLast(Box<str>),
    #[error(
        "`{0}` is not an escape; `%` must be followed by two hex digits, a literal `%` is written %25"
    )]
    Escape(Box<str>),
    #[error("`{0}` never appears in a canonical path")]
    RefusedEscape(Box<str>),
    #[error(
        "{0:?} may not appear in a path; match a query with a query predicate, write other characters as %XX"
    )]
    Character(char),
}

fn segment(part: &str) -> Result<Segment, Problem> {
    if !part.contains(['{', '}']) {
        return literal(part).map(Segment::Literal);
    }
    let name = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'));
    let Some(name) = name.filter(|name| !name.contains(['{', '}'])) else {
        return Err(Problem::Brace(excerpt(part)));
    };
    match name.strip_prefix('*') {
        Some(name) => param_name(name).map(Segment::CatchAll),
        None => param_name(name).map(Segment::Param),
    }
}

fn param_name(name: &str) -> Result<Box<str>, Problem> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        Ok(name.into())
    } else {
        Err(Problem::ParamName(excerpt(name)))
    }
}

/// Brings literal text into the form that canonical paths have.
fn literal(part: &str) -> Result<Box<str>, Problem> {
    let mut canonical = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(c) = rest.chars().next() {
        let (taken, byte) = if c == '%' {
            let Some(byte) = rest.get(1..3).and_then(escaped) else {
                return Err(Problem::Escape(rest.chars().take(3).collect()));
            };
            (3, byte)
        } else if is_path_char(c) {
            canonical.push(c);
            rest = &rest[1..];
            continue;
        } else if c.is_ascii() {
            return Err(Problem::Character(c));
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                push_escape(&mut canonical, byte);
            }
            rest = &rest[c.len_utf8()..];
            continue;
        };
        match byte {
            0 | b'\\' => return Err(Problem::RefusedEscape(rest[..taken].into())),
            byte if is_unreserved(byte) => canonical.push(byte.into()),
            byte => push_escape(&mut canonical, byte),
        }
        rest = &rest[taken..];
    }
    if canonical == "." || canonical == ".." {
        return Err(Problem::DotSegment(part.into()));
    }
    let policy = PathPolicy::new().allow_encoded_slash(true);
    let path = format!("/{canonical}");
    if canonicalize(&path, policy).as_deref() != Ok(&path) {
        return Err(Problem::RefusedEscape(part.into()));
    }
    Ok(canonical.into())
}

fn escaped(digits: &str) -> Option<u8> {
    // `from_str_radix` alone would take a sign.
    digits
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u8::from_str_radix(digits, 16).ok())?
}

fn push_escape(text: &mut String, byte: u8) {
    // Writing to a string can not fail.
    let _ = write!(text, "%{byte:02X}");
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// `pchar` of RFC 3986 section 3.3, without escapes.
fn is_path_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(|byte| is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte))
}

/// Errors quote what was written, but not kilobytes of it.
fn excerpt(text: &str) -> Box<str> {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
