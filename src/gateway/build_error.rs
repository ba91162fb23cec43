//! What is wrong with an assembly.

use std::fmt;

/// All mistakes of an assembly, each with the route or upstream that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError(Vec<String>);

impl BuildError {
    pub(crate) fn new(mistakes: Vec<String>) -> Self {
        Self(mistakes)
    }

    /// The mistakes, one sentence each, in the order in which they were made.
    pub fn mistakes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [one] => f.write_str(one),
            many => {
                write!(f, "{} mistakes:", many.len())?;
                many.iter()
                    .try_for_each(|mistake| write!(f, "\n  - {mistake}"))
            }
        }
    }
}

impl std::error::Error for BuildError {}
