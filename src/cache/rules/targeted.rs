//! Directives for caches of one kind (RFC 9213), in a dictionary of structured fields (RFC 9651, section 3.2).

use http::{HeaderMap, HeaderName, header};

use super::directives::{Argument, Directives};

const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The directives that count, and whether they were in a targeted field: then `Cache-Control` and `Expires` do not. The first of the targets that is there, is valid and says
/// something is taken.
pub(super) fn directives(headers: &HeaderMap, own: Option<&HeaderName>) -> (Directives, bool) {
    for target in own.into_iter().chain([&CDN]) {
        if let Some(directives) = read(headers, target) {
            return (directives, true);
        }
    }
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    (Directives::of(lines.map(|line| line.as_bytes())), false)
}

fn read(headers: &HeaderMap, target: &HeaderName) -> Option<Directives> {
    let mut lines = headers.get_all(target).iter();
    let first = lines.next()?;
    // Several lines are one (RFC 9651, section 4.2).
    let mut joined = Vec::new();
    let text = match lines.next() {
        None => first.as_bytes(),
        Some(second) => {
            for line in [first, second].into_iter().chain(lines) {
                if !joined.is_empty() {
                    joined.extend_from_slice(b", ");
                }
                joined.extend_from_slice(line.as_bytes());
            }
            &joined
        }
    };
    let members = Parser(text).dictionary()?;
    if members.is_empty() {
        return None;
    }
    let mut directives = Directives::default();
    for (name, value) in members {
        let argument = match value {
            // As if it were not there.
            Value::False => continue,
            Value::True => Argument::None,
            Value::Integer(digits) => Argument::Token(digits),
            Value::String(text) => Argument::Quoted(text),
            Value::Other => Argument::Wrong,
        };
        // A time is an integer, and no text of digits.
        let argument = match (argument, name) {
            (Argument::Quoted(_), b"private" | b"no-cache") => argument,
            (Argument::Quoted(_), _) => Argument::Wrong,
            _ => argument,
        };
        directives.take(name, argument);
    }
    Some(directives)
}

#[derive(Clone, Copy)]
enum Value<'a> {
    True,
    False,
    Integer(&'a [u8]),
    String(&'a [u8]),
    Other,
}

struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    /// A member that is there again takes the place of the one before.
    fn dictionary(mut self) -> Option<Vec<(&'a [u8], Value<'a>)>> {
        let mut members: Vec<(&[u8], Value<'_>)> = Vec::new();
        self.spaces(b" ");
        while !self.0.is_empty() {
            let name = self.key()?;
            let value = match self.take(b'=') {
                true => self.member()?,
                false => Value::True,
            };
            self.parameters()?;
            members.retain(|(before, _)| *before != name);
            members.push((name, value));
            self.spaces(b" \t");
            if self.0.is_empty() {
                return Some(members);
            }
            if !self.take(b',') {
                return None;
            }
            self.spaces(b" \t");
            if self.0.is_empty() {
                return None;
            }
        }
        Some(members)
    }

    fn spaces(&mut self, which: &[u8]) {
        let end = self.0.iter().position(|byte| !which.contains(byte));
        self.0 = &self.0[end.unwrap_or(self.0.len())..];
    }

    fn take(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn while_(&mut self, is_in: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_in(*byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let is_first = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'*';
        self.0.first().filter(|byte| is_first(byte))?;
        Some(self.while_(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        }))
    }

    fn member(&mut self) -> Option<Value<'a>> {
        if !self.take(b'(') {
            return self.item();
        }
        loop {
            self.spaces(b" ");
            if self.take(b')') {
                return Some(Value::Other);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Value<'a>> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b':' => {
                self.take(b':');
                self.while_(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.take(b':').then_some(Value::Other)
            }
            b'?' => {
                self.take(b'?');
                match (self.take(b'1'), self.take(b'0')) {
                    (true, false) => Some(Value::True),
                    (false, true) => Some(Value::False),
                    _ => None,
                }
            }
            b'@' => {
                self.take(b'@');
                matches!(self.number()?, Value::Integer(_) | Value::Other).then_some(Value::Other)
            }
            b'%' => {
                self.take(b'%');
                self.string().map(|_| Value::Other)
            }
            first if first.is_ascii_alphabetic() || first == b'*' => {
                self.while_(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(Value::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let is_negative = self.take(b'-');
        let digits = self.while_(|byte| byte.is_ascii_digit());
        if digits.is_empty() || digits.len() > 15 {
            return None;
        }
        if self.take(b'.') {
            let fraction = self.while_(|byte| byte.is_ascii_digit()).len();
            return (digits.len() <= 12 && (1..=3).contains(&fraction)).then_some(Value::Other);
        }
        Some(match is_negative {
            true => Value::Other,
            false => Value::Integer(digits),
        })
    }

    fn string(&mut self) -> Option<Value<'a>> {
        if !self.take(b'"') {
            return None;
        }
        let text = self.0;
        loop {
            self.while_(|byte| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte));
            if self.take(b'\\') {
                if !(self.take(b'"') || self.take(b'\\')) {
                    return None;
                }
                continue;
            }
            let length = text.len() - self.0.len();
            return self.take(b'"').then_some(Value::String(&text[..length]));
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.spaces(b" ");
            self.key()?;
            if self.take(b'=') {
                self.item()?;
            }
        }
        Some(())
    }
}
