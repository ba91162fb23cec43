//! What a request says about the cache (RFC 9111, section 5.2.1 and 5.4; RFC 5861, section 4).

use http::{HeaderMap, header};

use super::directives::{Argument, each};

/// The directives of a request. Without the fields it is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Asked {
    pub(super) no_cache: bool,
    pub(in crate::cache) no_store: bool,
    pub(in crate::cache) only_if_cached: bool,
    pub(super) max_age: Option<u64>,
    pub(super) min_fresh: Option<u64>,
    /// However stale: `u64::MAX`.
    pub(super) max_stale: Option<u64>,
    pub(super) stale_if_error: Option<u64>,
}

impl Asked {
    pub(in crate::cache) fn of(request: &HeaderMap) -> Self {
        let mut asked = Self::default();
        let mut lines = request.get_all(header::CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            let mut lines = request.get_all(header::PRAGMA).iter();
            asked.no_cache = lines.any(|line| {
                let mut members = line.as_bytes().split(|byte| *byte == b',');
                members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
            });
            return asked;
        }
        for line in lines {
            each(line.as_bytes(), |name, argument| asked.take(name, argument));
        }
        asked
    }

    fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let least = |before: Option<u64>, seconds: u64| {
            Some(before.map_or(seconds, |before| before.min(seconds)))
        };
        if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            // What can not be read asks for something fresh.
            self.max_age = least(self.max_age, argument.seconds().unwrap_or(0));
        } else if is("min-fresh") {
            let seconds = argument.seconds().unwrap_or(0);
            self.min_fresh = self.min_fresh.max(Some(seconds));
        } else if is("max-stale") {
            let seconds = match argument {
                Argument::None => Some(u64::MAX),
                argument => argument.seconds(),
            };
            self.max_stale = least(self.max_stale, seconds.unwrap_or(0));
        } else if is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error, argument.seconds().unwrap_or(0));
        }
    }
}
