//! Strict JSON (RFC 8259): what could be read in two ways is refused.

mod parser;
#[cfg(test)]
mod tests;

use std::fmt;

use parser::parse;

/// Why JSON is refused: it is not JSON, or could be read in two ways.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// Not JSON (RFC 8259), a byte order mark and what follows behind the value included.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
    /// A member is there twice, in whatever object.
    #[error("the member {0:?} is there twice")]
    Duplicate(Box<str>),
    /// Arrays and objects within each other, more than 32 deep.
    #[error("nested more than {0} deep")]
    Depth(usize),
    /// JSON, but no object.
    #[error("not an object")]
    NotAnObject,
}

/// A value in the JSON of [`Claims`](crate::Claims). Cheap to copy.
///
/// Its `Debug` is its JSON.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    text: &'a str,
    node: &'a Node,
}

impl<'a> Value<'a> {
    /// `node` is what `text` was parsed to.
    pub(crate) fn new(text: &'a str, node: &'a Node) -> Self {
        Self { text, node }
    }

    /// If it is a string.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::String(content) => Some(content.get(self.text)),
            _ => None,
        }
    }

    /// If it is `true` or `false`.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.node.kind {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// If it is an integer that fits, without a fraction or an exponent.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.number()?.parse().ok()
    }

    /// If it is an array: its items.
    #[must_use]
    pub fn items(self) -> Option<impl Iterator<Item = Value<'a>>> {
        match &self.node.kind {
            Kind::Array(items) => Some(items.iter().map(move |node| Self::new(self.text, node))),
            _ => None,
        }
    }

    /// If it is an object: its members, in their order.
    #[must_use]
    pub fn members(self) -> Option<impl Iterator<Item = (&'a str, Value<'a>)>> {
        match &self.node.kind {
            Kind::Object(members) => Some(members.iter().map(move |(name, node)| {
                let value = Self::new(self.text, node);
                (name.get(self.text), value)
            })),
            _ => None,
        }
    }

    /// As it was written: a number has all its digits.
    #[must_use]
    pub fn json(self) -> &'a str {
        slice(self.text, self.node.start, self.node.end)
    }

    /// As text for people: a string is its content, everything else its JSON.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.as_str().unwrap_or(self.json())
    }

    pub(crate) fn is_null(self) -> bool {
        matches!(self.node.kind, Kind::Null)
    }

    /// The digits, if it is a number.
    pub(crate) fn number(self) -> Option<&'a str> {
        matches!(self.node.kind, Kind::Number).then(|| self.json())
    }

    /// The member of exactly this name.
    pub(crate) fn member(self, name: &str) -> Option<Value<'a>> {
        let Kind::Object(members) = &self.node.kind else {
            return None;
        };
        let mut members = members.iter();
        let (_, node) = members.find(|(other, _)| other.is(self.text, name))?;
        Some(Self::new(self.text, node))
    }

    /// By a path with dots, of which the names may have some too: the longest name that fits is taken.
    pub(crate) fn find(self, path: &str) -> Option<Value<'a>> {
        self.member(path).or_else(|| {
            let mut dots = path.rmatch_indices('.');
            dots.find_map(|(dot, _)| self.member(path.get(..dot)?)?.find(path.get(dot + 1..)?))
        })
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

/// A value, by where it is in the text.
#[derive(Clone)]
pub(crate) struct Node {
    start: usize,
    end: usize,
    kind: Kind,
}

impl Node {
    /// That of `{}`.
    pub(crate) fn empty() -> Self {
        Self {
            start: 0,
            end: 2,
            kind: Kind::Object(Vec::new()),
        }
    }
}

#[derive(Clone)]
enum Kind {
    Null,
    Bool(bool),
    Number,
    String(Content),
    Array(Vec<Node>),
    Object(Vec<(Content, Node)>),
}

/// What is between the quotes.
#[derive(Clone)]
enum Content {
    /// In the text as it is.
    Plain { start: usize, end: usize },
    /// What the escapes stand for.
    Unescaped(Box<str>),
}

impl Content {
    fn get<'a>(&'a self, text: &'a str) -> &'a str {
        match self {
            Self::Plain { start, end } => slice(text, *start, *end),
            Self::Unescaped(content) => content,
        }
    }

    /// Most differ in their length.
    fn is(&self, text: &str, other: &str) -> bool {
        match self {
            Self::Plain { start, end } => {
                end - start == other.len() && slice(text, *start, *end) == other
            }
            Self::Unescaped(content) => **content == *other,
        }
    }
}

/// Of the text that was parsed, so that it is never out of bounds.
fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

/// An object and nothing else.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<(&str, Node), JsonError> {
    let text = str::from_utf8(bytes).map_err(|_| JsonError::Utf8)?;
    let node = parse(text)?;
    match node.kind {
        Kind::Object(_) => Ok((text, node)),
        _ => Err(JsonError::NotAnObject),
    }
}
