//! The members of `Cache-Control` and `Pragma` (RFC 9111, section 5.2): `name`, `name=token` or `name="quoted, string"`.

use std::iter;

use smallvec::SmallVec;

/// As many seconds as count: more are that many (RFC 9111, section 1.2.2).
pub(super) const MOST_SECONDS: u32 = 1 << 31;

/// What a directive is given behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    Absent,
    /// A token, or what is between quotes, escapes and all.
    Text(&'a [u8]),
    /// A string of which the grammar says that it is no number.
    Names(&'a [u8]),
    Seconds(u32),
    /// It says of itself that it is not meant.
    False,
    /// Something that no directive is given.
    Malformed,
    /// A quote that has no end: what was meant to come behind it can not be told.
    Unclosed,
}

/// The members of one line.
pub(super) fn members(line: &[u8]) -> impl Iterator<Item = (&[u8], Argument<'_>)> {
    let mut rest = line;
    iter::from_fn(move || {
        rest = trim_start(rest, |byte| is_space(byte) || byte == b',');
        if rest.is_empty() {
            return None;
        }
        let (name, behind) = split(rest, is_token);
        let (mut argument, behind) = argument(behind);
        rest = trim_start(behind, is_space);
        if !matches!(rest.first(), None | Some(b',')) {
            (argument, rest) = match skip(rest) {
                Some(behind) => (Argument::Malformed, behind),
                None => (Argument::Unclosed, &b""[..]),
            };
        }
        Some((name, argument))
    })
}

/// A small copy in lower case, for a `match`; what does not fit has no name that is known.
pub(super) fn lower<'b>(name: &[u8], copy: &'b mut [u8; 24]) -> &'b [u8] {
    let Some(copy) = copy.get_mut(..name.len()) else {
        return b"";
    };
    copy.copy_from_slice(name);
    copy.make_ascii_lowercase();
    copy
}

impl<'a> Argument<'a> {
    pub(super) fn seconds(self) -> Option<u32> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            Self::Text(text) => seconds(&unescape(text)),
            _ => None,
        }
    }

    /// The members of a list of names; nothing if it is none.
    pub(super) fn names(self) -> impl Iterator<Item = SmallVec<[u8; 48]>> + 'a {
        let text = match self {
            Self::Text(text) | Self::Names(text) => text,
            _ => b"",
        };
        text.split(|byte| *byte == b',')
            .map(|name| SmallVec::from_slice(unescape(name).trim_ascii()))
            .filter(|name: &SmallVec<_>| !name.is_empty())
    }
}

/// Digits and nothing else.
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        text.iter().fold(0_u32, |seconds, digit| {
            let more = seconds.saturating_mul(10);
            more.saturating_add(u32::from(digit - b'0'))
                .min(MOST_SECONDS)
        })
    })
}

pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(super) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// What is at the front and fits, and the rest.
pub(super) fn split(text: &[u8], fits: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !fits(*byte));
    text.split_at(end.unwrap_or(text.len()))
}

fn trim_start(text: &[u8], is_trimmed: impl Fn(u8) -> bool) -> &[u8] {
    split(text, is_trimmed).1
}

/// What follows a name, and what follows that.
fn argument(text: &[u8]) -> (Argument<'_>, &[u8]) {
    let Some((b'=', text)) = text.split_first() else {
        return (Argument::Absent, text);
    };
    match text.split_first() {
        Some((b'"', quoted)) => match closing(quoted) {
            Some(end) => (Argument::Text(&quoted[..end]), &quoted[end + 1..]),
            None => (Argument::Unclosed, b""),
        },
        _ => match split(text, is_token) {
            (b"", behind) => (Argument::Malformed, behind),
            (token, behind) => (Argument::Text(token), behind),
        },
    }
}

/// Where the quotes end that have been opened.
fn closing(quoted: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    quoted.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })
}

/// From the next comma on that is in no quotes.
fn skip(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = trim_start(text, |byte| byte != b',' && byte != b'"');
        let Some(quoted) = text.strip_prefix(b"\"") else {
            return Some(text);
        };
        text = &quoted[closing(quoted)? + 1..];
    }
}

fn unescape(text: &[u8]) -> SmallVec<[u8; 48]> {
    let mut is_escaped = false;
    let is_kept = |byte: &u8| {
        is_escaped = *byte == b'\\' && !is_escaped;
        !is_escaped
    };
    text.iter().copied().filter(is_kept).collect()
}
