//! What an answer says in `Cache-Control` (RFC 9111, section 5.2.2; RFC 5861).

use http::HeaderName;
use smallvec::SmallVec;

use super::delta;

/// The directives of an answer, whichever field has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) max_age: Lifetime,
    pub(super) s_maxage: Lifetime,
    pub(super) stale_while_revalidate: Option<u64>,
    pub(super) stale_if_error: Option<u64>,
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) is_private: bool,
    pub(super) is_public: bool,
    pub(super) must_revalidate: bool,
    pub(super) proxy_revalidate: bool,
    pub(super) must_understand: bool,
    /// What a qualified `private` or `no-cache` names: it is not stored.
    pub(super) fields: SmallVec<[HeaderName; 2]>,
}

/// A lifetime that may be said several times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lifetime(Option<u64>);

/// What stands behind a directive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    None,
    /// As it is.
    Token(&'a [u8]),
    /// Between quotation marks, with its backslashes.
    Quoted(&'a [u8]),
    /// Something that is neither.
    Wrong,
}

impl Lifetime {
    /// What can not be read, or differs from what was said before, makes the answer stale (section 4.2.1).
    pub(super) fn say(&mut self, seconds: Option<u64>) {
        let seconds = seconds.unwrap_or(0);
        self.0 = Some(match self.0 {
            Some(before) if before != seconds => 0,
            _ => seconds,
        });
    }

    pub(super) fn get(self) -> Option<u64> {
        self.0
    }
}

impl<'a> Argument<'a> {
    pub(super) fn seconds(self) -> Option<u64> {
        match self {
            Self::Token(text) | Self::Quoted(text) => delta::parse(text),
            Self::None | Self::Wrong => None,
        }
    }

    /// Names of fields; `None`: all of the answer is meant, or it is not known what.
    fn names(self) -> Option<SmallVec<[HeaderName; 2]>> {
        let (Self::Token(text) | Self::Quoted(text)) = self else {
            return None;
        };
        let names = text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let names = names.filter(|name| !name.is_empty());
        let names: Option<SmallVec<[HeaderName; 2]>> = names
            .map(|name| HeaderName::from_bytes(name).ok())
            .collect();
        names.filter(|names| !names.is_empty())
    }
}

impl Directives {
    /// Of all lines of a field.
    pub(super) fn of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut all = Self::default();
        for line in lines {
            each(line, |name, argument| all.take(name, argument));
        }
        all
    }

    pub(super) fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("max-age") {
            self.max_age.say(argument.seconds());
        } else if is("s-maxage") {
            self.s_maxage.say(argument.seconds());
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            match argument.names() {
                Some(names) => self.fields.extend(names),
                None => self.no_cache = true,
            }
        } else if is("private") {
            match argument.names() {
                Some(names) => self.fields.extend(names),
                None => self.is_private = true,
            }
        } else if is("public") {
            self.is_public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = least(self.stale_while_revalidate, argument);
        } else if is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error, argument);
        }
    }
}

/// The shortest of what was said; what can not be read is no time at all.
fn least(before: Option<u64>, argument: Argument<'_>) -> Option<u64> {
    let seconds = argument.seconds().unwrap_or(0);
    Some(before.map_or(seconds, |before| before.min(seconds)))
}

/// Each directive of a line. Commas within quotation marks are part of an argument.
pub(super) fn each<'a>(line: &'a [u8], mut take: impl FnMut(&'a [u8], Argument<'a>)) {
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'='));
        let end = end.unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let name = name.trim_ascii_start();
        let (argument, after) = match after {
            [b'=', after @ ..] => argument(after),
            _ => (Argument::None, after),
        };
        rest = after.strip_prefix(b",").unwrap_or(after);
        // What has a space in front of its `=` is another name.
        let name = match argument {
            Argument::None => name.trim_ascii_end(),
            _ => name,
        };
        if !name.is_empty() {
            take(name, argument);
        }
    }
}

/// An argument, and what is behind it: a comma, or nothing.
fn argument(text: &[u8]) -> (Argument<'_>, &[u8]) {
    let [b'"', quoted @ ..] = text else {
        let end = text.iter().position(|byte| *byte == b',');
        let (token, after) = text.split_at(end.unwrap_or(text.len()));
        let token = token.trim_ascii_end();
        let is_token = !token.is_empty() && token.iter().all(|byte| is_token(*byte));
        let argument = match is_token {
            true => Argument::Token(token),
            false => Argument::Wrong,
        };
        return (argument, after);
    };
    let mut is_escaped = false;
    let end = quoted.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    let Some(end) = end else {
        return (Argument::Wrong, &[]);
    };
    let (inside, after) = (&quoted[..end], &quoted[end + 1..]);
    let comma = after.iter().position(|byte| *byte == b',');
    let (between, after) = after.split_at(comma.unwrap_or(after.len()));
    let argument = match between.trim_ascii().is_empty() {
        true => Argument::Quoted(inside),
        false => Argument::Wrong,
    };
    (argument, after)
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
