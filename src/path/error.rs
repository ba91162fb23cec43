use thiserror::Error;

/// Why a path has no canonical form. A server answers `400`; `at` is the offset in bytes into the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the path does not start with `/`")]
    NotAbsolute,
    /// `%` without two hex digits.
    #[error(
        "`%` at byte {at} is not followed by two hex digits; a percent sign itself is written `%25`"
    )]
    BadEscape {
        /// Offset of the `%`.
        at: usize,
    },
    /// `%2F`, where the policy refuses it.
    #[error(
        "encoded slash at byte {at}; use `/` between segments, a slash inside a segment is not allowed"
    )]
    EncodedSlash {
        /// Offset of the `%`.
        at: usize,
    },
    /// `%5C`.
    #[error(
        "encoded backslash at byte {at}; segments are divided by `/` and may not hold a backslash"
    )]
    EncodedBackslash {
        /// Offset of the `%`.
        at: usize,
    },
    /// `%00` to `%1F`, or `%7F`.
    #[error("encoded control character at byte {at}; a path holds printable characters only")]
    EncodedControl {
        /// Offset of the `%`.
        at: usize,
    },
    /// Escapes that spell a character in more UTF-8 octets than it has.
    #[error("overlong UTF-8 escape at byte {at}; write the character in its shortest form")]
    Overlong {
        /// Offset of the first `%`.
        at: usize,
    },
    /// A raw control character.
    #[error("control character at byte {at}; a path holds printable characters only")]
    Control {
        /// Its offset.
        at: usize,
    },
    /// A raw `\`.
    #[error("backslash at byte {at}; segments are divided by `/`")]
    Backslash {
        /// Its offset.
        at: usize,
    },
    /// A raw space, `?` or `#`.
    #[error(
        "space, `?` or `#` at byte {at} of a path; write it as an escape (`%20`, `%3F`, `%23`)"
    )]
    Foreign {
        /// Its offset.
        at: usize,
    },
    /// Path parameters, where the policy refuses them.
    #[error("path parameters at byte {at}; `;` is not allowed in this path")]
    Parameters {
        /// Offset of the `;` or of its escape.
        at: usize,
    },
    /// A segment such as `..;x` or `;x`, or dots beside an allowed `%2F`.
    #[error(
        "the segment at byte {at} may be read as `.`, `..` or an empty one; leave out its `;` or encoded slash"
    )]
    Ambiguous {
        /// Offset of the segment.
        at: usize,
    },
    /// More `..` than there are segments before it.
    #[error("`..` at byte {at} climbs above the root")]
    AboveRoot {
        /// Offset of the segment.
        at: usize,
    },
    /// The canonical path and the query do not fit into a URI (65,534 bytes).
    #[error(
        "the path is too long; path and query may have 65534 bytes with every escape written out"
    )]
    TooLong,
}

impl PathError {
    /// A short name for logs and metrics that does not change between releases.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAbsolute => "path-not-absolute",
            Self::BadEscape { .. } => "path-bad-escape",
            Self::EncodedSlash { .. } => "path-encoded-slash",
            Self::EncodedBackslash { .. } => "path-encoded-backslash",
            Self::EncodedControl { .. } => "path-encoded-control",
            Self::Overlong { .. } => "path-overlong",
            Self::Control { .. } => "path-control",
            Self::Backslash { .. } => "path-backslash",
            Self::Foreign { .. } => "path-foreign",
            Self::Parameters { .. } => "path-parameters",
            Self::Ambiguous { .. } => "path-ambiguous",
            Self::AboveRoot { .. } => "path-above-root",
            Self::TooLong => "path-too-long",
        }
    }
}
