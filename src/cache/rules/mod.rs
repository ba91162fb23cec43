//! What may be stored, for how long, and when it may be used.

#[derive(Clone, Copy, Debug)]
pub struct Terms;
impl Terms {
    #[cfg(test)]
    pub(in crate::cache) fn of_tests() -> Self {
        Self
    }
}
