//! What a response says about its use by a shared cache (RFC 9111, section 5.2.2; RFC 5861).

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use super::{
    scan::{self, Argument},
    targeted,
};

/// Names of fields. Most responses have none to say here.
pub(in crate::cache) type FieldNames = SmallVec<[HeaderName; 2]>;

/// More names than anybody writes; beyond, the whole response is meant.
const MOST_NAMES: usize = 32;

/// Of directives that come twice, what forbids counts always. Of numbers the first counts (section 4.2.1), unless one of them is none:
/// then it is zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) max_age: Option<u32>,
    pub(super) s_maxage: Option<u32>,
    pub(super) stale_while_revalidate: Option<u32>,
    pub(super) stale_if_error: Option<u32>,
    pub(super) is_public: bool,
    pub(super) is_private: bool,
    pub(super) no_cache: bool,
    pub(super) no_store: bool,
    pub(super) must_revalidate: bool,
    pub(super) proxy_revalidate: bool,
    pub(super) must_understand: bool,
    /// `private="…"` and `no-cache="…"`: fields of which a shared cache keeps nothing.
    pub(super) unstored: FieldNames,
    /// They come from a targeted field: `Expires` does not count either (RFC 9213, section 2.2).
    pub(super) is_targeted: bool,
    /// Something was begun and has no end.
    pub(super) is_broken: bool,
}

impl Directives {
    /// Of the first field of these that says something: `target`, `CDN-Cache-Control`, `Cache-Control`.
    pub(super) fn of(headers: &HeaderMap, target: Option<&HeaderName>) -> Self {
        static CDN: HeaderName = HeaderName::from_static("cdn-cache-control");
        let targets = target.into_iter().chain([&CDN]);
        for target in targets {
            if let Some(directives) = targeted::read(headers, target) {
                return directives;
            }
        }
        let mut directives = Self::default();
        for line in headers.get_all(header::CACHE_CONTROL) {
            for (name, argument) in scan::members(line.as_bytes()) {
                directives.read(name, argument);
            }
        }
        directives
    }

    pub(super) fn read(&mut self, name: &[u8], argument: Argument<'_>) {
        if argument == Argument::False {
            return;
        }
        self.is_broken |= argument == Argument::Unclosed;
        let is_absent = argument == Argument::Absent;
        match scan::lower(name, &mut [0; 24]) {
            b"max-age" => number(&mut self.max_age, argument),
            b"s-maxage" => number(&mut self.s_maxage, argument),
            b"stale-while-revalidate" => number(&mut self.stale_while_revalidate, argument),
            b"stale-if-error" => number(&mut self.stale_if_error, argument),
            b"private" => self.is_private |= !self.names(argument),
            b"no-cache" => self.no_cache |= !self.names(argument),
            // What forbids counts whatever it is given; what permits has to be written as it should be.
            b"no-store" => self.no_store = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"public" => self.is_public |= is_absent,
            b"must-understand" => self.must_understand |= is_absent,
            _ => {}
        }
    }

    /// Whether it is about some fields only, which are noted.
    fn names(&mut self, argument: Argument<'_>) -> bool {
        let mut is_some = false;
        for name in argument.names() {
            let Ok(name) = HeaderName::from_bytes(&name) else {
                return false;
            };
            is_some = true;
            if self.unstored.len() == MOST_NAMES {
                return false;
            }
            self.unstored.push(name);
        }
        is_some
    }
}

fn number(place: &mut Option<u32>, argument: Argument<'_>) {
    *place = match (*place, argument.seconds()) {
        (None, read) => Some(read.unwrap_or(0)),
        (Some(first), Some(_)) => Some(first),
        (Some(_), None) => Some(0),
    };
}
