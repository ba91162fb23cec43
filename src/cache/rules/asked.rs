//! What a request says about the use of stored responses (RFC 9111, sections 5.2.1 and 5.4; RFC 5861, section 4).

use http::{HeaderMap, header};

use super::scan::{self, Argument, MOST_SECONDS};

/// The directives of a request. Of several the strictest counts. What can not be read is as strict as can be, or permits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Asked {
    pub(super) no_cache: bool,
    pub(super) no_store: bool,
    pub(super) only_if_cached: bool,
    pub(super) max_age: Option<u32>,
    pub(super) min_fresh: Option<u32>,
    /// Without a number: any.
    pub(super) max_stale: Option<u32>,
    pub(super) stale_if_error: Option<u32>,
}

impl Asked {
    pub(in crate::cache) fn of(headers: &HeaderMap) -> Self {
        let mut asked = Self::default();
        let mut lines = headers.get_all(header::CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            asked.no_cache = has_old_no_cache(headers);
            return asked;
        }
        for (name, argument) in lines.flat_map(|line| scan::members(line.as_bytes())) {
            asked.read(name, argument);
        }
        asked
    }

    /// Nothing is fetched: without a stored response that may be used, the answer is 504 (section 5.2.1.7).
    pub(in crate::cache) fn is_only_if_cached(&self) -> bool {
        self.only_if_cached
    }

    fn read(&mut self, name: &[u8], argument: Argument<'_>) {
        let seconds = argument.seconds();
        match scan::lower(name, &mut [0; 24]) {
            b"no-cache" => self.no_cache = true,
            b"no-store" => self.no_store = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => least(&mut self.max_age, seconds.unwrap_or(0)),
            b"min-fresh" => {
                let seconds = seconds.unwrap_or(MOST_SECONDS);
                self.min_fresh = self.min_fresh.max(Some(seconds));
            }
            b"max-stale" if argument == Argument::Absent => {
                least(&mut self.max_stale, MOST_SECONDS);
            }
            b"max-stale" => least(&mut self.max_stale, seconds.unwrap_or(0)),
            b"stale-if-error" => least(&mut self.stale_if_error, seconds.unwrap_or(0)),
            _ => {}
        }
    }
}

fn least(place: &mut Option<u32>, seconds: u32) {
    *place = Some(place.map_or(seconds, |other| other.min(seconds)));
}

/// `Pragma: no-cache`, which clients of HTTP/1.0 say.
fn has_old_no_cache(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::PRAGMA).iter();
    lines
        .flat_map(|line| scan::members(line.as_bytes()))
        .any(|(name, _)| name.eq_ignore_ascii_case(b"no-cache"))
}
