//! Percent-encoding for the places that a value can stand in (RFC 3986 §2).

use std::borrow::Cow;

use crate::json::Value as JsonValue;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Escapes all but the unreserved characters: a raw value is data, so every delimiter in it is escaped, in paths and queries alike.
pub(crate) fn escape(out: &mut Vec<u8>, raw: &[u8]) {
    for &byte in raw {
        if unreserved(byte) {
            out.push(byte);
        } else {
            push_escape(out, byte);
        }
    }
}

/// Adds text of a canonical path, whose escapes stay as they are. Whatever is no path character is escaped, so that text which is not
/// canonical does no harm either; a `/` is, unless `slashes` stay.
pub(super) fn escape_encoded(out: &mut Vec<u8>, text: &str, slashes: bool) {
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if pchar(byte) || (slashes && byte == b'/') || (byte == b'%' && hex_pair(tail).is_some()) {
            out.push(byte);
        } else {
            push_escape(out, byte);
        }
        rest = tail;
    }
}

/// Adds a claim so that it can be read back from a header field, whatever it is: items with commas between them, and percent-encoded
/// what is not visible ASCII, what would be taken for an escape or for the comma between two items, and blanks that a recipient would trim.
pub(super) fn escape_claim(out: &mut Vec<u8>, claim: JsonValue<'_>) {
    let Some(items) = claim.items() else {
        return escape_item(out, claim.text());
    };
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        escape_item(out, item.text());
    }
}

fn escape_item(out: &mut Vec<u8>, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        match byte {
            // Of a text too: for some issuers a list of one is a text, and that must not look like a list of two.
            b'%' | b',' => push_escape(out, byte),
            b' ' if at > 0 && at < last => out.push(byte),
            b'!'..=b'~' => out.push(byte),
            _ => push_escape(out, byte),
        }
    }
}

/// Percent-decodes; a `%` that begins no escape stands for itself.
pub(crate) fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'%') {
        Cow::Owned(bytes(text).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Decodes a query's name or value as form data, where `+` is a space.
pub(super) fn decode_form(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'+') {
        let spaced: Vec<u8> = (text.iter())
            .map(|&byte| if byte == b'+' { b' ' } else { byte })
            .collect();
        Cow::Owned(decode(&spaced).into_owned())
    } else {
        decode(text)
    }
}

/// Whether an encoded query name reads as `name`. Backends differ on whether `+` is a space, so it counts as both.
pub(crate) fn reads_as(encoded: &[u8], name: &str) -> bool {
    let mut rest = encoded;
    for wanted in name.bytes() {
        let plus = rest.first() == Some(&b'+');
        match next_byte(&mut rest) {
            Some(byte) if byte == wanted || (plus && wanted == b' ') => {}
            _ => return false,
        }
    }
    rest.is_empty()
}

/// The first place where `text` is no canonical path text, with what is wrong there.
pub(crate) fn path_fault(text: &str) -> Option<(usize, &'static str)> {
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'%' => match bytes.get(at + 1..).and_then(hex_pair) {
                None => return Some((at, "`%` must begin an escape of two hex digits")),
                Some(value) if unreserved(value) => {
                    return Some((at, "this character is written without an escape"));
                }
                Some(value) if value < 0x20 || matches!(value, 0x7F | b'\\') => {
                    return Some((
                        at,
                        "a control character or a backslash has no place in a path",
                    ));
                }
                Some(_) if (bytes.iter().skip(at + 1).take(2)).any(u8::is_ascii_lowercase) => {
                    return Some((at, "an escape has upper-case hex digits"));
                }
                Some(_) => {}
            },
            b'?' | b'#' => return Some((at, "a path ends before `?` and `#`")),
            b'/' => {}
            byte if !pchar(byte) => return Some((at, "this character is written as an escape")),
            _ => {}
        }
    }
    None
}

/// Whether a path has a segment that somebody behind us could resolve as `.` or `..`: also when it is escaped, is shut in by escaped
/// slashes or backslashes, or carries parameters (`..;x`, which servlet containers cut off first).
pub(crate) fn has_dot_segment(path: &[u8]) -> bool {
    // Only a dot, or an escape of one, can make a dot segment.
    if !path.contains(&b'.')
        && !path
            .windows(3)
            .any(|window| window.eq_ignore_ascii_case(b"%2e"))
    {
        return false;
    }
    decode(path)
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| {
            let name = segment.split(|&byte| byte == b';').next();
            matches!(name, Some(b"." | b".."))
        })
}

/// Whether a byte is a control character, which no path and no header field may carry (a tab is for the header to allow).
pub(super) fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7F
}

fn bytes(mut text: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || next_byte(&mut text))
}

fn next_byte(text: &mut &[u8]) -> Option<u8> {
    let (&first, tail) = text.split_first()?;
    match hex_pair(tail) {
        Some(value) if first == b'%' => {
            *text = tail.get(2..).unwrap_or_default();
            Some(value)
        }
        _ => {
            *text = tail;
            Some(first)
        }
    }
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
    out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 §3.3 without its escapes.
fn pchar(byte: u8) -> bool {
    unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_compared_decoded() {
        for (encoded, name, same) in [
            ("page", "page", true),
            ("p%61ge", "page", true),
            ("p%61g", "page", false),
            ("pages", "page", false),
            ("a+b", "a b", true),
            ("a+b", "a+b", true),
            ("a%2Bb", "a b", false),
            ("a%2bb", "a+b", true),
            ("a%20b", "a b", true),
            ("100%", "100%", true),
            ("%zz", "%zz", true),
            ("", "", true),
            ("Page", "page", false),
        ] {
            assert_eq!(
                reads_as(encoded.as_bytes(), name),
                same,
                "{encoded} as {name}"
            );
        }
    }

    #[test]
    fn dot_segments_are_seen_in_every_dress() {
        for (path, dots) in [
            ("/a/./b", true),
            ("/a/..", true),
            ("/%2e%2E/a", true),
            ("/.%2e", true),
            ("/x%2F..%2Fy", true),
            ("/x%5C..", true),
            ("/..;a=b/c", true),
            ("/...", false),
            ("/a..b/.c/d.", false),
            ("/", false),
            ("/%252e%252e", false),
        ] {
            assert_eq!(has_dot_segment(path.as_bytes()), dots, "{path}");
        }
    }

    #[test]
    fn faults_of_a_path_are_placed() {
        for (text, at) in [
            ("/a%2F/b%C3%A9;x=1:@", None),
            ("/a b", Some(2)),
            ("/é", Some(1)),
            ("/%4", Some(1)),
            ("/x%c3%a9", Some(2)),
            ("/%41", Some(1)),
            ("/%00", Some(1)),
            ("/%5C", Some(1)),
            ("/a?b", Some(2)),
        ] {
            assert_eq!(path_fault(text).map(|fault| fault.0), at, "{text}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_escaping(raw in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut out = Vec::new();
            escape(&mut out, &raw);
            prop_assert_eq!(&*decode(&out), &raw[..]);
            prop_assert_eq!(&*decode_form(&out), &raw[..]);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(path_fault(&text).is_some(), raw.iter().any(|&b| is_control(b) || b == b'\\'));
        }

        #[test]
        fn encoded_text_is_escaped_once(text in "[a-z/%09AF é?#;]{0,20}", slashes: bool) {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            escape_encoded(&mut once, &text, slashes);
            let once = String::from_utf8(once).unwrap();
            escape_encoded(&mut twice, &once, slashes);
            prop_assert_eq!(once.as_bytes(), &twice[..]);
            prop_assert!(once.bytes().all(|b| pchar(b) || b == b'%' || (slashes && b == b'/')));
            prop_assert!(once.match_indices('%').all(|(at, _)| hex_pair(&once.as_bytes()[at + 1..]).is_some()));
            prop_assert!(slashes || decode(once.as_bytes()) == decode(text.as_bytes()));
        }
    }
}
