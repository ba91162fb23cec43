//! Fields that are meant for some caches only (RFC 9213): dictionaries, which are read as strictly as RFC 9651 asks, section 4.2.
//! A field that is not valid, or empty, is not there.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use super::{
    directives::Directives,
    scan::{self, Argument},
};

/// What means something; of other members only the grammar matters.
const KNOWN: [&[u8]; 11] = [
    b"max-age",
    b"must-revalidate",
    b"must-understand",
    b"no-cache",
    b"no-store",
    b"private",
    b"proxy-revalidate",
    b"public",
    b"s-maxage",
    b"stale-if-error",
    b"stale-while-revalidate",
];

type Members<'a> = SmallVec<[(&'a [u8], Argument<'a>); KNOWN.len()]>;

/// What the field of this name says, all its lines together.
pub(super) fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Directives> {
    let mut lines = headers.get_all(name).iter();
    let mut text = SmallVec::<[u8; 128]>::from_slice(lines.next()?.as_bytes());
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    let mut directives = Directives {
        is_targeted: true,
        ..Directives::default()
    };
    for (name, argument) in Reader(&text).dictionary()? {
        directives.read(name, argument);
    }
    Some(directives)
}

/// The text that is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// `None` if it is none, or has no member.
    fn dictionary(mut self) -> Option<Members<'a>> {
        let mut members = Members::new();
        self.skip(|byte| byte == b' ');
        loop {
            let name = self.key()?;
            let argument = match self.eat(b'=') {
                true if self.0.first() == Some(&b'(') => self.inner_list()?,
                true => self.item()?,
                false => self.parameters().map(|()| Argument::Absent)?,
            };
            if KNOWN.contains(&name) {
                // The last of one name counts, in its first place.
                members.retain(|(known, _)| *known != name);
                members.push((name, argument));
            }
            self.skip(scan::is_space);
            if self.0.is_empty() {
                break;
            }
            if !self.eat(b',') {
                return None;
            }
            self.skip(scan::is_space);
        }
        Some(members)
    }

    fn inner_list(&mut self) -> Option<Argument<'a>> {
        self.0 = self.0.strip_prefix(b"(")?;
        loop {
            self.skip(|byte| byte == b' ');
            if self.eat(b')') {
                self.parameters()?;
                return Some(Argument::Malformed);
            }
            self.item()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Argument<'a>> {
        let argument = self.bare_item()?;
        self.parameters()?;
        Some(argument)
    }

    /// They mean nothing here.
    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        if !matches!(self.0.first()?, b'a'..=b'z' | b'*') {
            return None;
        }
        let is_of_key = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        };
        Some(self.take(is_of_key))
    }

    fn bare_item(&mut self) -> Option<Argument<'a>> {
        match self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Argument::Names),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.take(|byte| scan::is_token(byte) || byte == b':' || byte == b'/');
                Some(Argument::Malformed)
            }
            b':' => self.bytes(),
            b'?' => self.boolean(),
            b'@' => self.date(),
            b'%' => self.display_string(),
            _ => None,
        }
    }

    /// An integer has 15 digits at most; a decimal 12, and behind its dot one to three.
    fn number(&mut self) -> Option<Argument<'a>> {
        let is_negative = self.eat(b'-');
        let digits = self.take(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.take(|byte| byte.is_ascii_digit());
            let is_decimal = (1..=12).contains(&digits.len()) && (1..=3).contains(&fraction.len());
            return is_decimal.then_some(Argument::Malformed);
        }
        let seconds = scan::seconds(digits).filter(|_| digits.len() <= 15)?;
        match is_negative && seconds > 0 {
            true => Some(Argument::Malformed),
            false => Some(Argument::Seconds(seconds)),
        }
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let text = self.0.strip_prefix(b"\"")?;
        let mut at = 0;
        loop {
            match text.get(at)? {
                b'"' => break,
                b'\\' => {
                    if !matches!(text.get(at + 1)?, b'"' | b'\\') {
                        return None;
                    }
                    at += 2;
                }
                b' '..=b'~' => at += 1,
                _ => return None,
            }
        }
        self.0 = &text[at + 1..];
        Some(&text[..at])
    }

    fn bytes(&mut self) -> Option<Argument<'a>> {
        self.0 = self.0.strip_prefix(b":")?;
        self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.eat(b':').then_some(Argument::Malformed)
    }

    fn boolean(&mut self) -> Option<Argument<'a>> {
        let (value, rest) = self.0.strip_prefix(b"?")?.split_first()?;
        self.0 = rest;
        match value {
            b'1' => Some(Argument::Absent),
            b'0' => Some(Argument::False),
            _ => None,
        }
    }

    /// An integer of seconds.
    fn date(&mut self) -> Option<Argument<'a>> {
        self.0 = self.0.strip_prefix(b"@")?;
        self.eat(b'-');
        let digits = self.take(|byte| byte.is_ascii_digit());
        let is_integer = (1..=15).contains(&digits.len()) && self.0.first() != Some(&b'.');
        is_integer.then_some(Argument::Malformed)
    }

    /// UTF-8, of which all that is not ASCII is written in percent and lower case.
    fn display_string(&mut self) -> Option<Argument<'a>> {
        self.0 = self.0.strip_prefix(b"%\"")?;
        let mut text = SmallVec::<[u8; 64]>::new();
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => break,
                b'%' => {
                    let (digits, rest) = self.0.split_first_chunk::<2>()?;
                    self.0 = rest;
                    text.push(hex(digits[0])? << 4 | hex(digits[1])?);
                }
                b' '..=b'~' => text.push(*byte),
                _ => return None,
            }
        }
        std::str::from_utf8(&text).ok()?;
        Some(Argument::Malformed)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let (taken, rest) = scan::split(self.0, fits);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        self.take(is_skipped);
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
