//! A stored head as bytes, for stores outside of this process.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::StoredHead;
use crate::cache::{rules::Terms, vary::Selecting};

/// What a written head begins with: another layout has another.
const VERSION: u8 = 1;

impl StoredHead {
    /// For a store outside of this process.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Writer(vec![VERSION, u8::from(self.is_invalid)]);
        bytes.0.extend(self.status.as_u16().to_be_bytes());
        bytes.0.extend(self.answered_at.to_be_bytes());
        bytes.0.extend(self.terms.to_bytes());
        bytes.number(self.headers.len());
        for (name, value) in &self.headers {
            bytes.text(name.as_str().as_bytes());
            bytes.text(value.as_bytes());
        }
        bytes.number(self.selecting.len());
        for (name, value) in &self.selecting {
            bytes.text(name.as_str().as_bytes());
            bytes.number(usize::from(value.is_some()));
            bytes.text(value.as_deref().unwrap_or_default());
        }
        bytes.number(self.tags.len());
        self.tags.iter().for_each(|tag| bytes.text(tag.as_bytes()));
        bytes.0
    }

    /// What was written; `None` if it was not [`to_bytes`](Self::to_bytes) that wrote it, or one of another version of this crate.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, is_invalid], bytes) = bytes.split_first_chunk()?;
        let (status, bytes) = bytes.split_first_chunk()?;
        let (answered_at, bytes) = bytes.split_first_chunk()?;
        let (terms, bytes) = bytes.split_at_checked(Terms::LEN)?;
        let mut rest = Reader(bytes);
        let mut headers = HeaderMap::new();
        for _ in 0..rest.number()? {
            let name = HeaderName::from_bytes(rest.text()?).ok()?;
            headers.append(name, HeaderValue::from_bytes(rest.text()?).ok()?);
        }
        let mut selecting = Selecting::new();
        for _ in 0..rest.number()? {
            let name = HeaderName::from_bytes(rest.text()?).ok()?;
            let is_there = rest.number()? == 1;
            let value = rest.text()?;
            selecting.push((name, is_there.then(|| value.to_vec())));
        }
        let mut tags = Vec::new();
        for _ in 0..rest.number()? {
            tags.push(std::str::from_utf8(rest.text()?).ok()?.into());
        }
        let is_known = version == VERSION && is_invalid < 2 && rest.0.is_empty();
        is_known.then_some(Self {
            status: StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?,
            headers,
            answered_at: u64::from_be_bytes(*answered_at),
            selecting,
            terms: Terms::from_bytes(terms)?,
            tags,
            is_invalid: is_invalid == 1,
        })
    }
}

/// Numbers in four bytes, and texts with their length in front of them.
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: usize) {
        // A head is shorter than that.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.0.extend(number.to_be_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len());
        self.0.extend_from_slice(text);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*number)).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use http::header;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn head() -> StoredHead {
        let mut head = StoredHead::of_tests();
        for (name, value) in [("etag", "\"a\""), ("x-a", ""), ("x-a", "2")] {
            head.headers.append(name, HeaderValue::from_static(value));
        }
        head.status = StatusCode::NOT_FOUND;
        head.answered_at = 1_764_000_000_500;
        head.is_invalid = true;
        head.selecting = vec![(header::ACCEPT, None), (header::RANGE, Some(Vec::new()))];
        head.tags = vec!["a".into(), "b c".into()];
        head
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_nothing_else_is() {
        let head = head();
        let bytes = head.to_bytes();
        let read = StoredHead::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{head:?}"));
        for length in 0..bytes.len() {
            assert!(
                StoredHead::from_bytes(&bytes[..length]).is_none(),
                "{length}"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(StoredHead::from_bytes(&longer).is_none());
        let other = [&[VERSION + 1], &bytes[1..]].concat();
        assert!(StoredHead::from_bytes(&other).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(at in 0..200_usize, byte in any::<u8>(), bytes in vec(any::<u8>(), 0..80)) {
            let _ = StoredHead::from_bytes(&bytes);
            let mut bytes = head().to_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = StoredHead::from_bytes(&bytes);
        }
    }
}
