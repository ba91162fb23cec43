//! The names in a certificate (RFC 5280), and when it is valid. Nothing here says that anybody has signed it.

use std::time::{Duration, SystemTime};

use super::der::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, IA5_STRING, INTEGER, OCTET_STRING, OID,
    PRINTABLE_STRING, Reader, SEQUENCE, SET, TELETEX_STRING, UTC_TIME, UTF8_STRING,
};

/// Enough for whoever has many names, and an end for whoever makes one up.
const MAX_NAMES: usize = 256;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 29, 17];

/// What a certificate says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) common_names: Vec<String>,
    /// In lower case.
    pub(super) dns: Vec<String>,
    pub(super) uris: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) names: Names,
    /// The bytes of the number, as they are.
    pub(super) serial: Vec<u8>,
    pub(super) valid: Option<(SystemTime, SystemTime)>,
}

/// Reads a certificate in DER. `None`: it is none, or has a name that could be taken for another one.
pub(super) fn read(der: &[u8]) -> Option<Read> {
    let mut outer = Reader::new(der);
    let mut certificate = outer.enter(SEQUENCE)?;
    let mut fields = certificate.enter(SEQUENCE)?;
    certificate.take(SEQUENCE)?;
    certificate.take(BIT_STRING)?;
    if !outer.is_empty() || !certificate.is_empty() {
        return None;
    }
    let mut read = Read::default();
    fields.take_if(0xa0)?;
    read.serial = fields.take(INTEGER)?.to_vec();
    fields.take(SEQUENCE)?;
    fields.take(SEQUENCE)?;
    let mut validity = fields.enter(SEQUENCE)?;
    read.valid = Some((time(&mut validity)?, time(&mut validity)?));
    read.names.common_names = common_names(fields.enter(SEQUENCE)?)?;
    fields.take(SEQUENCE)?;
    fields.take_if(0x81)?;
    fields.take_if(0x82)?;
    if let Some(extensions) = fields.take_if(0xa3)? {
        let mut extensions = Reader::new(extensions).enter(SEQUENCE)?;
        let mut is_named = false;
        while !extensions.is_empty() {
            let mut extension = extensions.enter(SEQUENCE)?;
            let kind = extension.take(OID)?;
            extension.take_if(BOOLEAN)?;
            let value = extension.take(OCTET_STRING)?;
            if kind == SUBJECT_ALT_NAME {
                if std::mem::replace(&mut is_named, true) {
                    return None;
                }
                alt_names(Reader::new(value).enter(SEQUENCE)?, &mut read.names)?;
            }
        }
    }
    fields.is_empty().then_some(read)
}

fn common_names(mut subject: Reader<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while !subject.is_empty() {
        let mut set = subject.enter(SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(SEQUENCE)?;
            let kind = attribute.take(OID)?;
            let (tag, value) = attribute.next()?;
            if kind == COMMON_NAME {
                if names.len() >= MAX_NAMES {
                    return None;
                }
                names.push(text(tag, value)?);
            }
        }
    }
    Some(names)
}

/// Text without what makes it look like other text: a NUL ends a name for programs in C.
fn text(tag: u8, value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let is_right = match tag {
        UTF8_STRING => true,
        PRINTABLE_STRING | IA5_STRING | TELETEX_STRING => text.is_ascii(),
        _ => false,
    };
    (is_right && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn alt_names(mut names: Reader<'_>, found: &mut Names) -> Option<()> {
    while !names.is_empty() {
        let (tag, value) = names.next()?;
        match tag {
            0x82 => found.dns.push(dns_name(value)?),
            0x86 => found.uris.push(uri(value)?),
            _ => {}
        }
        if found.dns.len() + found.uris.len() > MAX_NAMES {
            return None;
        }
    }
    Some(())
}

/// Letters, digits, `-`, `_`, `.`, and `*` of a wildcard; so it can not look like a URI, or like what we write before other names.
pub(super) fn dns_name(bytes: &[u8]) -> Option<String> {
    let is_right = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(byte);
    let is_name = !bytes.is_empty() && bytes.iter().all(is_right);
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_name)?;
    Some(text.to_ascii_lowercase())
}

/// Visible ASCII that begins with a scheme.
pub(super) fn uri(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (is_scheme && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280, section 4.1.2.5).
fn time(validity: &mut Reader<'_>) -> Option<SystemTime> {
    let (tag, text) = validity.next()?;
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (pairs, []) = rest.as_chunks::<2>() else {
        return None;
    };
    let mut parts = pairs.iter().map(|pair| number(pair));
    let mut part = |range: std::ops::RangeInclusive<u64>| {
        parts.next().flatten().filter(|part| range.contains(part))
    };
    let (month, day) = (part(1..=12)?, part(1..=31)?);
    let (hour, minute, second) = (part(0..=23)?, part(0..=59)?, part(0..=59)?);
    let since = (days(year, month, day)? * 24 + hour) * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// The days from 1970 to this day of the Gregorian calendar; what is earlier counts as 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years that begin in March have their leap day at the end.
    let (year, month) = match month {
        1 | 2 => (year.checked_sub(1)?, month + 9),
        _ => (year, month - 3),
    };
    let before = year * 365 + year / 4 - year / 100 + year / 400;
    let days = before + (month * 153 + 2) / 5 + day - 1;
    Some(days.saturating_sub(719_468))
}

#[cfg(test)]
mod tests;
