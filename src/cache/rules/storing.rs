//! Whether an answer is kept (RFC 9111, section 3), and on which terms.

use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::{
    asked::Asked,
    directives::{Directives, FieldNames},
    freshness::{self, Lifetime, SECOND},
    terms::{self, Terms},
};

/// A request that was forwarded, and the head of its answer.
#[derive(Clone, Copy)]
pub(in crate::cache) struct Exchange<'a> {
    pub(in crate::cache) method: &'a Method,
    pub(in crate::cache) request_headers: &'a HeaderMap,
    /// Somebody is known to have asked, with or without a field `Authorization`.
    pub(in crate::cache) is_identified: bool,
    pub(in crate::cache) status: StatusCode,
    pub(in crate::cache) headers: &'a HeaderMap,
    pub(in crate::cache) asked_at: u64,
    pub(in crate::cache) answered_at: u64,
    /// What the settings say of just this answer.
    pub(in crate::cache) overridden: Option<Override>,
}

/// A freshness that does not come from the response, from its arrival on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Override {
    /// In seconds.
    pub(in crate::cache) ttl: u32,
    /// It counts even if the response says something else, be it `no-store` or `no-cache`. What is private stays so.
    pub(in crate::cache) force: bool,
}

/// What a cache says about all answers.
#[derive(Clone, Debug)]
pub(in crate::cache) struct Settings {
    /// The targeted field of just this cache. Default: none, and `CDN-Cache-Control` is the only one.
    pub(in crate::cache) target: Option<HeaderName>,
    /// Default: an answer with `Set-Cookie` is not kept.
    pub(in crate::cache) keeps_set_cookie: bool,
    /// Everybody has their own stored answers. Default: no.
    pub(in crate::cache) is_keyed_by_identity: bool,
    /// How much of the time since it was modified a response is taken to be fresh. Default: 10.
    pub(in crate::cache) heuristic_percent: u32,
    /// But never more than so many seconds. Default: a day.
    pub(in crate::cache) heuristic_max: u32,
    /// In seconds, for answers that do not say it. Default: 0.
    pub(in crate::cache) stale_while_revalidate: u32,
    /// In seconds, for answers that do not say it. Default: 0.
    pub(in crate::cache) stale_if_error: u32,
}

/// An answer that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Storable {
    pub(in crate::cache) terms: Terms,
    /// Fields that the response keeps from being used again: `no-cache="…"` and `private="…"`.
    pub(in crate::cache) unstored_fields: FieldNames,
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum NotStored {
    /// Only what answers a GET is kept.
    Method,
    /// It is a part, is about the conditions of this request, or has to be forgotten by what defines its status.
    Status,
    /// The client does not want it.
    RequestNoStore,
    /// A quoted string has no end.
    Malformed,
    /// `must-understand`, with a status that is not.
    NotUnderstood,
    NoStore,
    Private,
    /// It is for somebody, and does not say that others may have it (section 3.5).
    Identified,
    /// `Vary: *`
    VaryAny,
    SetCookie,
    /// Nothing says how long it is fresh, and it may not be guessed.
    NoFreshness,
    /// It could never be used: it is stale, and can not be validated.
    Useless,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target: None,
            keeps_set_cookie: false,
            is_keyed_by_identity: false,
            heuristic_percent: 10,
            heuristic_max: 24 * 60 * 60,
            stale_while_revalidate: 0,
            stale_if_error: 0,
        }
    }
}

impl Storable {
    /// Judges an answer that has just arrived; or a stored one that a 304 has just refreshed: then with its status, all its fields as they are
    /// now, and the times of the 304.
    pub(in crate::cache) fn of(
        exchange: &Exchange<'_>,
        settings: &Settings,
    ) -> Result<Self, NotStored> {
        let directives = Directives::of(exchange.headers, settings.target.as_ref());
        permit(exchange, &directives, settings)?;
        let terms = terms(exchange, &directives, settings)?;
        Ok(Self {
            terms,
            unstored_fields: directives.unstored,
        })
    }

    /// Takes out what is not stored (section 3.1), and `Age`, which is written anew for each answer.
    pub(in crate::cache) fn strip(&self, headers: &mut HeaderMap) {
        static HOP_BY_HOP: [HeaderName; 11] = [
            header::AGE,
            header::CONNECTION,
            HeaderName::from_static("keep-alive"),
            header::PROXY_AUTHENTICATE,
            HeaderName::from_static("proxy-authentication-info"),
            header::PROXY_AUTHORIZATION,
            HeaderName::from_static("proxy-connection"),
            header::TE,
            header::TRAILER,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ];
        let lines = headers.get_all(header::CONNECTION).iter();
        let named: FieldNames = lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect();
        let all = HOP_BY_HOP.iter().chain(&named).chain(&self.unstored_fields);
        for name in all {
            headers.remove(name);
        }
    }
}

impl NotStored {
    /// A token for `Cache-Status` and logs.
    pub(in crate::cache) fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::Malformed => "malformed",
            Self::NotUnderstood => "must-understand",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Identified => "identified",
            Self::VaryAny => "vary-any",
            Self::SetCookie => "set-cookie",
            Self::NoFreshness => "no-freshness",
            Self::Useless => "useless",
        }
    }
}

/// Section 3, but for freshness.
fn permit(
    exchange: &Exchange<'_>,
    directives: &Directives,
    settings: &Settings,
) -> Result<(), NotStored> {
    let headers = exchange.headers;
    let is_forced = exchange.overridden.is_some_and(|by| by.force);
    let has_cookie = headers.contains_key(header::SET_COOKIE)
        && !directives.unstored.contains(&header::SET_COOKIE);
    let checks = [
        (exchange.method != Method::GET, NotStored::Method),
        (is_of_one_request(exchange.status), NotStored::Status),
        (
            Asked::of(exchange.request_headers).no_store,
            NotStored::RequestNoStore,
        ),
        (directives.is_broken, NotStored::Malformed),
        (
            directives.must_understand && !is_understood(exchange.status),
            NotStored::NotUnderstood,
        ),
        // With `must-understand` it is meant for those that do not (section 5.2.2.3).
        (
            directives.no_store && !directives.must_understand && !is_forced,
            NotStored::NoStore,
        ),
        (directives.is_private, NotStored::Private),
        (
            is_personal(exchange, directives) && !settings.is_keyed_by_identity,
            NotStored::Identified,
        ),
        (varies_by_anything(headers), NotStored::VaryAny),
        (
            has_cookie && !settings.keeps_set_cookie,
            NotStored::SetCookie,
        ),
    ];
    match checks.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, why)) => Err(why),
        None => Ok(()),
    }
}

fn terms(
    exchange: &Exchange<'_>,
    directives: &Directives,
    settings: &Settings,
) -> Result<Terms, NotStored> {
    let &Exchange {
        headers,
        asked_at,
        answered_at,
        ..
    } = exchange;
    let initial_age = freshness::initial_age(headers, asked_at, answered_at);
    let said = Lifetime::of(directives, exchange.status, headers, answered_at, settings);
    let is_forced = exchange.overridden.is_some_and(|by| by.force);
    let (lifetime, basis) = match (said, exchange.overridden) {
        (Lifetime::Explicit(lifetime), None) => (lifetime, 0),
        (Lifetime::Explicit(lifetime), Some(_)) if !is_forced => (lifetime, 0),
        (_, Some(by)) => {
            let ttl = u64::from(by.ttl) * SECOND;
            (initial_age.saturating_add(ttl), terms::OVERRIDDEN)
        }
        (Lifetime::Heuristic(lifetime), None) => (lifetime, terms::HEURISTIC),
        (Lifetime::Unknown, None) => return Err(NotStored::NoFreshness),
    };
    // `s-maxage` says what `proxy-revalidate` does (section 5.2.2.10).
    let must_revalidate =
        directives.must_revalidate || directives.proxy_revalidate || directives.s_maxage.is_some();
    let flag = |flag, is_set| if is_set { flag } else { 0 };
    // What the answer allows in so many words is not what `s-maxage` alone forbids.
    let is_strict = directives.must_revalidate || directives.proxy_revalidate;
    let stale = |said: Option<u32>, ours| match (is_forced, is_strict, must_revalidate) {
        (false, true, _) => 0,
        (false, false, true) => said.unwrap_or(0),
        _ => said.unwrap_or(ours),
    };
    let must_revalidate = must_revalidate && !is_forced;
    let terms = Terms {
        lifetime,
        initial_age,
        stale_while_revalidate: stale(
            directives.stale_while_revalidate,
            settings.stale_while_revalidate,
        ),
        stale_if_error: stale(directives.stale_if_error, settings.stale_if_error),
        flags: basis
            | flag(terms::NO_CACHE, directives.no_cache && !is_forced)
            | flag(terms::MUST_REVALIDATE, must_revalidate)
            | flag(terms::SHAREABLE, !is_personal(exchange, directives)),
    };
    match has_validator(headers, answered_at) || terms.may_be_used() {
        true => Ok(terms),
        false => Err(NotStored::Useless),
    }
}

impl Terms {
    /// Without a validation, now or for somebody who takes it stale.
    fn may_be_used(&self) -> bool {
        let is_fresh = self.lifetime > self.initial_age;
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        let may_be_stale = window > 0 || !self.has(terms::MUST_REVALIDATE) && self.lifetime > 0;
        !self.has(terms::NO_CACHE) && (is_fresh || may_be_stale)
    }
}

fn has_validator(headers: &HeaderMap, answered_at: u64) -> bool {
    let modified = || freshness::field(headers, &header::LAST_MODIFIED, answered_at / SECOND);
    headers.contains_key(header::ETAG) || modified().is_some()
}

/// Section 3.5.
fn is_personal(exchange: &Exchange<'_>, directives: &Directives) -> bool {
    let is_identified =
        exchange.is_identified || exchange.request_headers.contains_key(header::AUTHORIZATION);
    let is_for_all =
        directives.is_public || directives.must_revalidate || directives.s_maxage.is_some();
    is_identified && !is_for_all
}

fn varies_by_anything(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::VARY).iter();
    lines.any(|line| {
        let mut names = line.as_bytes().split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii() == b"*")
    })
}

/// Interim answers, parts, answers to conditions and ranges that no key tells apart, and those that nobody may store (RFC 6585).
fn is_of_one_request(status: StatusCode) -> bool {
    status.is_informational()
        || matches!(
            status.as_u16(),
            206 | 304 | 412 | 416 | 428 | 429 | 431 | 511
        )
}

/// Those of RFC 9110 that are left, and 451: nothing that they ask of a cache is left out here.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=411 | 413..=415 | 417 | 421 | 422 | 426 | 451 | 500..=505
    )
}
