//! To be written.

/// Placeholder.
pub struct Key(pub(super) Vec<u8>);
impl Key {
    /// x
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
pub(super) fn path_of(key: &[u8]) -> Option<&[u8]> {
    key.splitn(3, |b| *b == b' ').nth(2)
}
pub(super) fn authority_of(key: &[u8]) -> Option<&[u8]> {
    key.splitn(3, |b| *b == b' ').nth(1)
}
impl Key {
    #[cfg(test)]
    pub(super) fn of_tests(path: &str) -> Self {
        Self(format!("http example.com {path}").into_bytes())
    }
}
