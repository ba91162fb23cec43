//! Text with placeholders, filled from a request and encoded for the place where it goes.
//!
//! | placeholder | value |
//! |---|---|
//! | `{id}` | a path param |
//! | `{*rest}` | a path param whose slashes stay slashes; in a path only the last segment |
//! | `{header.x-tenant}` | a header field of the client's request; several lines are joined by `, ` |
//! | `{query.page}` | a query param, the first of its name, decoded as form data |
//! | `{cookie.session}` | a cookie, the first of its name |
//! | `{claims.sub}` | a claim of whoever sends the request, by its path; the items of an array are joined by `,` |
//! | `{request.host}` | a fact: `host`, `client_ip`, `id`, `method`, `scheme`, `path` or `query` |
//!
//! A name without a dot is always a path param, so that a pattern may call its params as it likes. `{{` and `}}` stand for braces.
//!
//! | place | a value is | a value that is missing | refused |
//! |---|---|---|---|
//! | path | a path param as it was spelled; all but unreserved characters of others escaped, `/` too | refused, as is an empty one; an absent `{*rest}` goes together with the slash before it | dot segments, control characters, backslashes |
//! | query | decoded, then all but unreserved characters escaped | leaves the query param out | |
//! | header | decoded, without blanks at either end; of a claim, all but visible ASCII, `%`, `,` (but between the items of an array) and blanks at its ends are percent-encoded | leaves the field out | control characters but for tabs |

pub(crate) mod encode;
mod facts;
mod parse;
mod request;

pub use facts::Facts;
pub(crate) use request::RequestFacts;

use crate::json::Value;
use facts::{Found, Source};
use http::HeaderValue;
use std::borrow::Cow;
use thiserror::Error;

/// The most bytes that a template renders to.
const MAX_RENDERED: usize = 8 * 1024;

/// A template, parsed once for one [`Place`]. The module's documentation has the grammar.
#[derive(Debug, Clone)]
pub struct Template {
    text: Box<str>,
    place: Place,
    parts: Box<[Part]>,
}

/// Where the rendered text goes, which decides how values are encoded and what is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A whole path, or the beginning of one.
    Path,
    /// The value of one query param. The template's own text is escaped too: it says what is meant, not how it is spelled.
    Query,
    /// The value of a header field.
    Header,
}

/// A path param: one that a route's pattern has, or that a template needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name, without braces and `*`.
    pub name: &'a str,
    /// Whether it takes the whole rest of the path.
    pub rest: bool,
}

/// A template that can not be used, with the place of the mistake and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("template `{text}`, byte {at}: {reason}")]
pub struct TemplateError {
    text: String,
    at: usize,
    reason: Cow<'static, str>,
}

/// A request whose values do not fit into a template. The client is to be answered 400.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A path needs a value that the request does not have, or has empty.
    #[error("byte {at} of `{template}`: the request has no value for the path")]
    Missing {
        /// The template's text.
        template: String,
        /// Where the placeholder stands in it, in bytes.
        at: usize,
    },
    /// A value has a character that is not allowed in this place in any spelling.
    #[error("byte {at} of `{template}`: the value has a character that is not allowed there")]
    Forbidden {
        /// The template's text.
        template: String,
        /// Where the placeholder stands in it, in bytes.
        at: usize,
    },
    /// The path would have a `.` or `..` segment.
    #[error("the rewritten path would have a dot segment")]
    DotSegment,
    /// The path would be one that is refused at the door, as an overlong spelling of a character is.
    #[error("the rewritten path would have two readings")]
    TwoReadings,
    /// A rendered value would be longer than 8 KiB, or the whole target longer than a URI may be.
    #[error("the rewritten value would be too long")]
    TooLong,
}

#[derive(Debug, Clone)]
enum Part {
    /// Bytes in the spelling of the place.
    Literal(Vec<u8>),
    Value {
        at: usize,
        source: Source,
    },
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The first mistake: braces that do not match, a placeholder that does not exist, text that can not stand in this place.
    pub fn parse(text: &str, place: Place) -> Result<Self, TemplateError> {
        let parts = parse::parse(text, place)?.into();
        Ok(Self {
            text: text.into(),
            place,
            parts,
        })
    }

    /// Every need of this template that a pattern with the params `pattern` does not meet. Inside a path a catch-all has to be written
    /// `{*name}` and any other param `{name}`; elsewhere both spellings do.
    #[must_use]
    pub fn unmet(&self, pattern: &[Param<'_>]) -> Vec<TemplateError> {
        let params = self.parts.iter().filter_map(|part| match part {
            Part::Value {
                at,
                source: Source::Param { name, rest },
            } => Some((*at, name, *rest)),
            _ => None,
        });
        params
            .filter_map(|(at, name, rest)| {
                let reason = match pattern.iter().find(|param| param.name == name) {
                    Some(param) if self.place != Place::Path || param.rest == rest => return None,
                    Some(Param { rest: true, .. }) => {
                        format!("`{name}` is the rest of a path here, `{{*{name}}}`")
                    }
                    Some(_) => format!("`{name}` is one segment here, `{{{name}}}`"),
                    None if facts::is_fact(name) => format!(
                        "the route's pattern has no param `{name}`; the request's own is `{{request.{name}}}`"
                    ),
                    None => format!("the route's pattern has no param `{name}`"),
                };
                Some(TemplateError::new(&self.text, at, reason))
            })
            .collect()
    }

    /// The text, if it is the same for every request.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(&[]),
            [Part::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    /// Fills the template. `None` when a value is missing, which leaves out what the template was for; never in a path.
    ///
    /// # Errors
    /// [`RenderError`], as the module's table says, and when the outcome is longer than 8 KiB.
    pub fn render(&self, facts: &dyn Facts) -> Result<Option<Vec<u8>>, RenderError> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal),
                Part::Value { at, source } => match (source.read(facts), self.place) {
                    (Some(found), place) => self.push(&mut out, place, *at, source, found)?,
                    (None, Place::Query | Place::Header) => return Ok(None),
                    (None, Place::Path) if source.is_rest() => _ = out.pop(),
                    (None, Place::Path) => return Err(self.missing(*at)),
                },
            }
            if out.len() > MAX_RENDERED {
                return Err(RenderError::TooLong);
            }
        }
        match self.place {
            Place::Path if encode::has_dot_segment(&out) => Err(RenderError::DotSegment),
            // HTTP/2 has no field value with blanks at its ends (RFC 9113 §8.2.1).
            Place::Header => {
                out.truncate(out.trim_ascii_end().len());
                out.drain(..out.len() - out.trim_ascii_start().len());
                Ok(Some(out))
            }
            Place::Path | Place::Query => Ok(Some(out)),
        }
    }

    /// [`render`](Self::render) for the place `Header`.
    pub(crate) fn render_header(
        &self,
        facts: &dyn Facts,
    ) -> Result<Option<HeaderValue>, RenderError> {
        let value = self.render(facts)?.map(HeaderValue::try_from);
        value.transpose().map_err(|_| self.forbidden(0))
    }

    /// Whether it ends in `{*name}`.
    pub(crate) fn ends_in_rest(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Value { source, .. }) if source.is_rest())
    }

    fn push(
        &self,
        out: &mut Vec<u8>,
        place: Place,
        at: usize,
        source: &Source,
        found: Found<'_>,
    ) -> Result<(), RenderError> {
        if found.len() > 3 * MAX_RENDERED {
            // Too long even if all of it were escapes: not worth a copy.
            return Err(RenderError::TooLong);
        }
        match (place, found) {
            (Place::Header, Found::Claim(claim)) => encode::escape_claim(out, claim),
            (Place::Path, found @ Found::Claim(_)) => {
                let raw = Found::Raw(found.decoded());
                self.push(out, place, at, source, raw)?;
            }
            (Place::Path, Found::Encoded(text)) => {
                if text.is_empty() && !source.is_rest() {
                    return Err(self.missing(at));
                }
                encode::escape_encoded(out, text, source.is_rest());
            }
            (Place::Path, Found::Raw(raw)) => {
                if raw.is_empty() {
                    return Err(self.missing(at));
                }
                if (raw.iter()).any(|&byte| encode::is_control(byte) || byte == b'\\') {
                    return Err(self.forbidden(at));
                }
                encode::escape(out, &raw);
            }
            (Place::Query, found) => encode::escape(out, &found.decoded()),
            (Place::Header, found) => {
                let value = found.decoded();
                if (value.iter()).any(|&byte| encode::is_control(byte) && byte != b'\t') {
                    return Err(self.forbidden(at));
                }
                out.extend_from_slice(&value);
            }
        }
        Ok(())
    }

    fn missing(&self, at: usize) -> RenderError {
        let template = self.text.to_string();
        RenderError::Missing { template, at }
    }

    fn forbidden(&self, at: usize) -> RenderError {
        let template = self.text.to_string();
        RenderError::Forbidden { template, at }
    }
}

impl TemplateError {
    fn new(text: &str, at: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.to_owned(),
            at,
            reason: reason.into(),
        }
    }
}

impl Source {
    fn is_rest(&self) -> bool {
        matches!(self, Self::Param { rest: true, .. })
    }
}

impl<'a> Found<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Encoded(text) => text.len(),
            Self::Raw(raw) => raw.len(),
            // As long as what it was read from.
            Self::Claim(_) => 0,
        }
    }

    fn decoded(self) -> Cow<'a, [u8]> {
        match self {
            Self::Encoded(text) => encode::decode(text.as_bytes()),
            Self::Raw(raw) => raw,
            Self::Claim(claim) => match claim.items() {
                None => claim.text().as_bytes().into(),
                Some(items) => {
                    let texts: Vec<_> = items.map(Value::text).collect();
                    texts.join(",").into_bytes().into()
                }
            },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
