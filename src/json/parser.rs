//! One pass over the text.

use memchr::memchr2;

use super::{Content, Kind, Node};
use crate::json::JsonError;

/// Arrays and objects within each other.
pub(super) const MAX_DEPTH: usize = 32;

/// Up to so many members are compared with each other; more are sorted.
const FEW: usize = 32;

/// One value, with white space around it at most.
pub(super) fn parse(text: &str) -> Result<Node, JsonError> {
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
    };
    parser.skip_white_space();
    let node = parser.value()?;
    parser.skip_white_space();
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.wrong()),
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Result<Node, JsonError> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Kind::String(self.string()?),
            Some(b't') => self.word(b"true", Kind::Bool(true))?,
            Some(b'f') => self.word(b"false", Kind::Bool(false))?,
            Some(b'n') => self.word(b"null", Kind::Null)?,
            _ => self.number()?,
        };
        let end = self.at;
        Ok(Node { start, end, kind })
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Kind, JsonError>,
    ) -> Result<Kind, JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::Depth(MAX_DEPTH));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_white_space();
        let kind = read(self);
        self.depth -= 1;
        kind
    }

    fn object(&mut self) -> Result<Kind, JsonError> {
        let mut members = Vec::new();
        if !self.take(b'}') {
            if self.depth == 1 {
                // A member takes some thirty bytes; those of claims find their place at once.
                members.reserve((self.bytes.len() / 32).min(16));
            }
            loop {
                let name = self.string()?;
                self.skip_white_space();
                self.want(b':')?;
                self.skip_white_space();
                members.push((name, self.value()?));
                if self.is_last(b'}')? {
                    break;
                }
            }
        }
        self.refuse_duplicates(&members)?;
        Ok(Kind::Object(members))
    }

    fn array(&mut self) -> Result<Kind, JsonError> {
        let mut items = Vec::new();
        if !self.take(b']') {
            loop {
                items.push(self.value()?);
                if self.is_last(b']')? {
                    break;
                }
            }
        }
        Ok(Kind::Array(items))
    }

    /// Whether the array or object ends here; else it goes on behind a comma.
    fn is_last(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_white_space();
        if self.take(close) {
            return Ok(true);
        }
        self.want(b',')?;
        self.skip_white_space();
        Ok(false)
    }

    fn refuse_duplicates(&self, members: &[(Content, Node)]) -> Result<(), JsonError> {
        let twice = if members.len() <= FEW {
            // Most names differ in what is cheap to look at, and are not compared.
            let mut seen = 0_u64;
            let mut names = members.iter().enumerate();
            names.find_map(|(index, (name, _))| {
                let name = name.get(self.text);
                let bit = 1 << (rough(name) % 64);
                let may_be_twice = seen & bit != 0;
                seen |= bit;
                let mut before = members.iter().take(index);
                (may_be_twice && before.any(|(other, _)| other.get(self.text) == name))
                    .then_some(name)
            })
        } else {
            let mut names: Vec<_> = members
                .iter()
                .map(|(name, _)| name.get(self.text))
                .collect();
            names.sort_unstable();
            let mut pairs = names.windows(2);
            pairs.find_map(|pair| (pair.first() == pair.last()).then_some(pair[0]))
        };
        match twice {
            Some(name) => Err(JsonError::Duplicate(name.into())),
            None => Ok(()),
        }
    }

    fn string(&mut self) -> Result<Content, JsonError> {
        self.want(b'"')?;
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut from = start;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let content = unescaped.get_or_insert_default();
                    content.push_str(super::slice(self.text, from, self.at));
                    self.at += 1;
                    let character = self.escape()?;
                    content.push(character);
                    from = self.at;
                }
                Some(0x20..) => self.at += self.plain(),
                _ => return Err(self.wrong()),
            }
        }
        let end = self.at;
        self.at += 1;
        Ok(match unescaped {
            None => Content::Plain { start, end },
            Some(mut content) => {
                content.push_str(super::slice(self.text, from, end));
                Content::Unescaped(content.into())
            }
        })
    }

    /// How far a string goes on without anything special.
    fn plain(&self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let content = rest.get(..end).unwrap_or_default();
        // All of them are looked at, which is done for many at a time.
        match content
            .iter()
            .fold(false, |is_control, byte| is_control | (*byte < 0x20))
        {
            false => end,
            true => content.iter().take_while(|byte| **byte >= 0x20).count(),
        }
    }

    /// What is behind a backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let wrong = self.wrong();
        let byte = self.peek().ok_or_else(|| wrong.clone())?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = match first {
                    // A surrogate is nothing without its other half.
                    0xD800..0xDC00 => {
                        self.want(b'\\')?;
                        self.want(b'u')?;
                        match self.hex()? {
                            second @ 0xDC00..0xE000 => {
                                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                            }
                            _ => return Err(wrong),
                        }
                    }
                    first => first,
                };
                char::from_u32(code).ok_or(wrong)?
            }
            _ => return Err(wrong),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.wrong())?;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Kind, JsonError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.wrong());
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Kind, JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.wrong());
        }
        self.at += word.len();
        Ok(kind)
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn want(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.take(byte) {
            true => Ok(()),
            false => Err(self.wrong()),
        }
    }

    fn wrong(&self) -> JsonError {
        JsonError::Syntax(self.at)
    }
}

/// The same for the same name, and often different for others.
fn rough(name: &str) -> usize {
    let bytes = name.as_bytes();
    let end = |byte: Option<&u8>| byte.map_or(0, |byte| usize::from(*byte));
    bytes.len() * 7 + end(bytes.first()) + end(bytes.last()) * 3
}
