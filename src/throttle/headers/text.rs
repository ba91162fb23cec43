//! Values of fields, made with one allocation.

use http::HeaderValue;
use smallvec::SmallVec;

/// A structured field (RFC 9651) that is being written: a list of strings with integers as parameters.
#[derive(Default)]
pub(super) struct Text(SmallVec<[u8; 256]>);

/// An integer of a structured field has 15 digits at most (RFC 9651, section 3.3.1).
const MOST: u64 = 999_999_999_999_999;

impl Text {
    /// Begins an item. What can not be in a string is left out (RFC 9651, section 3.3.3).
    pub(super) fn item(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b", ");
        }
        self.0.push(b'"');
        for byte in name.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                b' '..=b'~' => self.0.push(byte),
                _ => {}
            }
        }
        self.0.push(b'"');
    }

    /// Adds a parameter to the item.
    pub(super) fn parameter(&mut self, key: &str, value: u64) {
        self.0.push(b';');
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        self.integer(value);
    }

    /// The value of the field; `None` if there is no item.
    pub(super) fn into_value(self) -> Option<HeaderValue> {
        match self.0.is_empty() {
            true => None,
            false => HeaderValue::from_bytes(&self.0).ok(),
        }
    }

    fn integer(&mut self, value: u64) {
        let mut value = value.min(MOST);
        let from = self.0.len();
        while {
            self.0.push(b'0' + (value % 10) as u8);
            value /= 10;
            value > 0
        } {}
        if let Some(digits) = self.0.get_mut(from..) {
            digits.reverse();
        }
    }
}

/// A field of one integer.
pub(super) fn integer(value: u64) -> Option<HeaderValue> {
    let mut text = Text::default();
    text.integer(value);
    text.into_value()
}
