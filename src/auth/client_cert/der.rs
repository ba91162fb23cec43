//! DER (X.690), as far as certificates need it: elements, one after the other.

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const TELETEX_STRING: u8 = 0x14;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element: its tag and what it holds. `None`: there is none, or it is not in the one way in which DER writes it.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, length, rest @ ..] = self.0 else {
            return None;
        };
        // A tag of several bytes, which no certificate has.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let length = digits
                    .iter()
                    .fold(0_u64, |length, digit| length << 8 | u64::from(*digit));
                // As short as can be.
                if digits.first() == Some(&0) || length < 0x80 {
                    return None;
                }
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, value))
    }

    /// The next element, which has to have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, value) = self.next()?;
        (found == tag).then_some(value)
    }

    /// The next element, if it has this tag.
    pub(super) fn take_if(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) {
            self.take(tag).map(Some)
        } else {
            Some(None)
        }
    }

    /// What is inside of the next element.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_have_one_form() {
        let long = |length: &[u8], value: usize| {
            let mut bytes = [&[OCTET_STRING], length].concat();
            bytes.resize(bytes.len() + value, 7);
            bytes
        };
        let cases: &[(Vec<u8>, Option<usize>)] = &[
            (long(&[0], 0), Some(0)),
            (long(&[0x7f], 0x7f), Some(0x7f)),
            (long(&[0x81, 0x80], 0x80), Some(0x80)),
            (long(&[0x82, 1, 0], 0x100), Some(0x100)),
            (long(&[0x81, 0x7f], 0x7f), None),
            (long(&[0x82, 0, 0x80], 0x80), None),
            (long(&[0x80], 4), None),
            (long(&[0x85, 0, 0, 0, 1, 0], 0x100), None),
            (long(&[0x84, 0xff, 0xff, 0xff, 0xff], 9), None),
            (long(&[5], 4), None),
            (long(&[0x82, 1], 0), None),
            (vec![0x3f, 1, 0], None),
            (vec![4], None),
            (vec![], None),
        ];
        for (bytes, expected) in cases {
            let found = Reader::new(bytes).next().map(|(_, value)| value.len());
            assert_eq!(found, *expected, "{:x?}", &bytes[..bytes.len().min(8)]);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_a_part_of_what_is_there(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            let mut read = 0;
            while let Some((_, value)) = reader.next() {
                read += 2 + value.len();
                prop_assert!(read <= bytes.len());
            }
        }
    }
}
