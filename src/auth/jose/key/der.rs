//! As much of DER (X.690) as keys and certificates need.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xA0;

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    /// The content of what comes next, if it has this tag.
    pub(super) fn read(&mut self, tag: u8) -> Option<Der<'a>> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                // Shorter in the short form.
                (length >= 0x80).then_some((usize::from(length), rest))?
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = usize::from(u16::from_be_bytes(*length));
                (length >= 0x100).then_some((length, rest))?
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Self(content))
    }

    /// Whether what comes next has this tag.
    pub(super) fn is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// A positive integer, without the zero that keeps it so.
    pub(super) fn positive(&mut self) -> Option<&'a [u8]> {
        match self.read(INTEGER)?.0 {
            [0, rest @ ..] if rest.first() >= Some(&0x80) => Some(rest),
            rest @ [1..=0x7F, ..] => Some(rest),
            _ => None,
        }
    }

    /// Bits that fill their octets.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        self.read(BIT_STRING)?.0.strip_prefix(&[0])
    }

    /// The value, if nothing is left.
    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_der_is_read() {
        let long = |head: &[u8], length: usize| [head, &vec![7; length]].concat();
        for (bytes, content) in [
            (vec![4, 0], Some(0)),
            (long(&[4, 5], 5), Some(5)),
            (long(&[4, 5], 4), None),
            (long(&[3, 5], 5), None),
            (long(&[4, 0x81, 0x80], 0x80), Some(0x80)),
            (long(&[4, 0x81, 0x7f], 0x7f), None),
            (long(&[4, 0x82, 1, 0], 0x100), Some(0x100)),
            (long(&[4, 0x82, 0, 0xff], 0xff), None),
            (long(&[4, 0x83, 0, 1, 0], 0x100), None),
            (vec![4, 0x80, 0, 0], None),
            (vec![4], None),
            (vec![], None),
        ] {
            let read = Der(&bytes).read(OCTET_STRING);
            assert_eq!(read.map(|content| content.0.len()), content, "{bytes:?}");
        }
        for (bytes, number) in [
            (&[2, 1, 5][..], Some(&[5][..])),
            (&[2, 2, 0, 0x80], Some(&[0x80])),
            (&[2, 2, 0, 5], None),
            (&[2, 1, 0x80], None),
            (&[2, 1, 0], None),
            (&[2, 0], None),
        ] {
            assert_eq!(Der(bytes).positive(), number, "{bytes:?}");
        }
    }
}
