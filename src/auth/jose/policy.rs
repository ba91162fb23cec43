//! What a token has to be before its signature is looked at.

use super::{Algorithm, algorithm::Algorithms};

/// What tokens [`verify`](super::verify) accepts, beside that a key has signed them.
///
/// By default: every algorithm that a key is bound to, any `typ` or none, at most 8 KiB. Critical headers are never
/// accepted: none is understood.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) max_length: usize,
    pub(super) algorithms: Algorithms,
    pub(super) types: Vec<Box<str>>,
}

impl Policy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_length: 8 * 1024,
            algorithms: Algorithms::ALL,
            types: Vec::new(),
        }
    }

    /// How long a token may be. Default: 8192.
    ///
    /// Unit: bytes, of the whole token.
    #[must_use]
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    /// Only these algorithms, of those that the keys are bound to (RFC 8725 section 3.1). Default: all of them.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// The token has to have one of these types as its `typ`, such as `at+jwt` (RFC 9068; RFC 8725 section 3.11).
    /// Default: any, or none.
    ///
    /// They are compared without regard to case, and `application/at+jwt` is `at+jwt` (RFC 7515 section 4.1.9).
    #[must_use]
    pub fn types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        let types = types.into_iter();
        self.types = types.map(|name| media_type(name.as_ref()).into()).collect();
        self
    }

    /// Whether a token with this `typ` may pass.
    pub(super) fn accepts_type(&self, typ: Option<&str>) -> bool {
        let is = |typ: &str| {
            let mut types = self.types.iter();
            types.any(|wanted| wanted.eq_ignore_ascii_case(media_type(typ)))
        };
        self.types.is_empty() || typ.is_some_and(is)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

/// Without `application/`, unless there is another slash behind it.
fn media_type(name: &str) -> &str {
    const PREFIX: &str = "application/";
    match name.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => name,
    }
}
