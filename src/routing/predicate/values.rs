//! Takes header lines and queries apart.

use std::borrow::Cow;

use super::Bytes;

/// The elements of a list in a header line (RFC 9110 section 5.6.1): separators inside quotes do not count, white
/// space and a pair of quotes around an element are removed, empty elements are left out.
pub(super) fn elements(line: &[u8], separator: u8) -> impl Iterator<Item = Bytes<'_>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        while let Some(line) = rest {
            let end = element_end(line, separator);
            rest = line.get(end + 1..);
            let element = line[..end].trim_ascii();
            if !element.is_empty() {
                return Some(unquoted(element));
            }
        }
        None
    })
}

fn element_end(line: &[u8], separator: u8) -> usize {
    let (mut quoted, mut at) = (false, 0);
    while at < line.len() {
        match line[at] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            byte if byte == separator && !quoted => return at,
            _ => {}
        }
        at += 1;
    }
    line.len()
}

fn unquoted(element: &[u8]) -> Bytes<'_> {
    let Some(inner) = element
        .strip_prefix(b"\"")
        .and_then(|element| element.strip_suffix(b"\""))
    else {
        return Cow::Borrowed(element);
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' {
            bytes.next().copied().unwrap_or(byte)
        } else {
            byte
        });
    }
    Cow::Owned(plain)
}

/// A name or value of a query as it was before it was encoded as a form.
pub(super) fn decoded(text: &str) -> Bytes<'_> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, taken) = match bytes[at..] {
            [b'+', ..] => (b' ', 1),
            [b'%', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            _ => (bytes[at], 1),
        };
        plain.push(byte);
        at += taken;
    }
    Cow::Owned(plain)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
