//! Lines of the log: of bounded length, and with nothing in them that could end a line.

use std::{
    error::Error as StdError,
    fmt::{self, Write},
};

/// The longest path, query or error text in the log, in bytes, before the mark that it was cut.
pub(super) const MAX_LEN: usize = 1024;

pub(super) const CUT: &str = "...";

/// Stands for what is not for the log.
pub(super) const MASK: &str = "***";

/// The deepest cause of an error that is written.
const MAX_CAUSES: usize = 8;

/// A text that stops growing at [`MAX_LEN`].
#[derive(Default)]
pub(super) struct Line {
    text: String,
    full: bool,
}

impl Line {
    pub(super) fn into_string(self) -> String {
        self.text
    }

    /// Appends a text of ours or one character's worth of it, whole or not at all.
    pub(super) fn push(&mut self, text: &str) {
        if self.full {
        } else if self.text.len() + text.len() <= MAX_LEN {
            self.text.push_str(text);
        } else {
            self.full = true;
            self.text.push_str(CUT);
        }
    }

    /// Appends a piece of a URI; what is not visible ASCII, or would end a quoted field, is percent-encoded.
    pub(super) fn push_uri(&mut self, text: &str) {
        for c in text.chars() {
            if self.full {
                return;
            }
            let mut buffer = [0; 4];
            let encoded = c.encode_utf8(&mut buffer);
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\') {
                self.push(encoded);
            } else {
                let escape: String = encoded.bytes().map(|byte| format!("%{byte:02X}")).collect();
                self.push(&escape);
            }
        }
    }

    /// Appends a character of prose; one that is no letter, number or ASCII sign is escaped.
    fn push_visible(&mut self, c: char) {
        if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
            self.push(c.encode_utf8(&mut [0; 4]));
        } else {
            self.push(&c.escape_unicode().to_string());
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.push(c.encode_utf8(&mut [0; 4]));
            if self.full {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// An error and what caused it, in one line. The text of a foreign error may hold a URL: its user, its parameters and
/// its query are masked.
pub(super) fn of_error(error: &(dyn StdError + 'static)) -> String {
    let mut raw = Line::default();
    let mut next = Some(error);
    for _ in 0..MAX_CAUSES {
        let Some(current) = next else { break };
        if !raw.text.is_empty() {
            raw.push(": ");
        }
        // Fails when the text is full, or when the error can not be shown: either way there is no more of it.
        let _ = write!(raw, "{current}");
        next = current.source();
    }
    let mut out = Line::default();
    let mut rest = &*raw.text;
    while let Some(c) = rest.chars().next() {
        out.push_visible(c);
        rest = &rest[c.len_utf8()..];
        let word = || &rest[..rest.find(ends_url).unwrap_or(rest.len())];
        let masked = match c {
            '?' | ';' => word().len(),
            '/' if rest.starts_with('/') => word().rfind('@').unwrap_or(0),
            _ => 0,
        };
        if masked > 0 {
            out.push(if c == '/' { "/***" } else { MASK });
            rest = &rest[masked..];
        }
    }
    out.text
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use proptest::prelude::*;

    #[test]
    fn errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Endless(String, #[source] Option<Box<Endless>>);

        let own = Error::new(ErrorKind::Connect).with_source(
            "GET https://u:p@x/y;z=1?token=abc (because?); \"http://v?a\"\nlevel=INFO \u{202e}ü",
        );
        assert_eq!(
            of_error(&own),
            "The backend could not be reached: GET https://***@x/y;*** (because?); \"http://v?***\"\\u{a}level=INFO \\u{202e}ü"
        );
        let long = of_error(&Endless("é".repeat(5_000), None));
        assert!(long.len() <= MAX_LEN + CUT.len() && long.ends_with(CUT));

        let deep = (0..20).fold(None, |inner, _| Some(Box::new(Endless("x".into(), inner))));
        assert_eq!(of_error(&*deep.unwrap()), ["x"; MAX_CAUSES].join(": "));
    }

    proptest! {
        #[test]
        fn an_error_is_one_bounded_line(text: String, repeat in 1_usize..200) {
            let line = of_error(&Error::new(ErrorKind::Internal).with_source(text.repeat(repeat)));
            prop_assert!(line.len() <= MAX_LEN + CUT.len());
            prop_assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}
