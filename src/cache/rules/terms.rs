//! The terms on which an answer is stored, and what they say of a request.

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use smallvec::SmallVec;

use super::{
    age,
    asked::Asked,
    directives::Directives,
    freshness::{self, Lifetime, signed},
    targeted,
};

/// A request that was forwarded, and the head of its answer.
#[derive(Clone, Copy)]
pub(in crate::cache) struct Exchange<'a> {
    pub(in crate::cache) method: &'a Method,
    pub(in crate::cache) asked: Asked,
    /// Somebody has shown who they are, and the key does not say who.
    pub(in crate::cache) is_identified: bool,
    pub(in crate::cache) status: StatusCode,
    pub(in crate::cache) headers: &'a HeaderMap,
    /// In milliseconds since 1970: when it was sent, and when the head of the answer came.
    pub(in crate::cache) asked_at: u64,
    pub(in crate::cache) answered_at: u64,
}

/// What people have said about answers.
#[derive(Clone, Debug, Default)]
pub(in crate::cache) struct Rules {
    /// The field that speaks to this cache and no other (RFC 9213).
    pub(in crate::cache) target: Option<HeaderName>,
    pub(in crate::cache) keeps_set_cookie: bool,
    /// How long a stale answer may be used while the backend fails, in seconds, where it says nothing itself.
    pub(in crate::cache) stale_if_error: Option<u64>,
    /// The same while it is validated.
    pub(in crate::cache) stale_while_revalidate: Option<u64>,
}

/// A lifetime in seconds that people have given an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Override {
    pub(in crate::cache) ttl: u64,
    /// It holds whatever the answer says.
    pub(in crate::cache) is_forced: bool,
}

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum NotStored {
    /// No answer to such a method is.
    Method,
    /// A part, or an answer to a condition.
    Status,
    /// The client says so.
    Request,
    NoStore,
    Private,
    Authorization,
    SetCookie,
    /// `must-understand`, and it is not.
    NotUnderstood,
    /// It may not be used again, and there is nothing to validate it by.
    Useless,
}

/// What was worked out of an answer when it came. It says for how long the answer may be used, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// In seconds; less than zero: it had expired when it came.
    pub(in crate::cache) lifetime: i64,
    /// In milliseconds.
    pub(in crate::cache) initial_age: u64,
    pub(in crate::cache) stale_while_revalidate: u64,
    pub(in crate::cache) stale_if_error: u64,
    pub(in crate::cache) no_cache: bool,
    pub(in crate::cache) must_revalidate: bool,
    /// Whoever shows who they are may have it too (section 3.5).
    pub(in crate::cache) is_shareable: bool,
    /// People have said how long it is fresh.
    pub(in crate::cache) is_overridden: bool,
}

/// What may be done with a stored answer, for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) struct Verdict {
    pub(in crate::cache) what: Use,
    /// In seconds.
    pub(in crate::cache) age: u64,
    /// How long it is still fresh, in seconds; less than zero: for how long it has been stale.
    pub(in crate::cache) ttl: i64,
    /// It may be used if the backend fails.
    pub(in crate::cache) if_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Use {
    Fresh,
    /// The client takes it.
    Stale,
    /// It is to be validated meanwhile.
    WhileRevalidate,
    /// It has to be validated: because it is stale, or because the client says so.
    Validate {
        by_request: bool,
    },
}

impl NotStored {
    /// A word for people.
    pub(in crate::cache) fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::Request => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::NotUnderstood => "must-understand",
            Self::Useless => "no-freshness",
        }
    }
}

impl Terms {
    /// Whether an answer may be stored (section 3), and on which terms; with the names of the fields that are not.
    pub(in crate::cache) fn of(
        exchange: &Exchange<'_>,
        rules: &Rules,
        given: Option<Override>,
    ) -> Result<(Self, SmallVec<[HeaderName; 2]>), NotStored> {
        let (status, headers) = (exchange.status, exchange.headers);
        if !matches!(*exchange.method, Method::GET | Method::HEAD) {
            return Err(NotStored::Method);
        }
        let is_part = matches!(status.as_u16(), 206 | 304) || status.is_informational();
        if is_part || headers.contains_key(header::CONTENT_RANGE) {
            return Err(NotStored::Status);
        }
        if exchange.asked.no_store {
            return Err(NotStored::Request);
        }
        let (directives, is_targeted) = targeted::directives(headers, rules.target.as_ref());
        let is_forced = given.is_some_and(|given| given.is_forced);
        if !is_forced {
            allowed(&directives, status)?;
        }
        let is_shareable = is_forced || is_shareable(&directives);
        if exchange.is_identified && !is_shareable {
            return Err(NotStored::Authorization);
        }
        if headers.contains_key(header::SET_COOKIE)
            && !rules.keeps_set_cookie
            && !directives.fields.contains(&header::SET_COOKIE)
        {
            return Err(NotStored::SetCookie);
        }
        let answered_at = exchange.answered_at;
        let lifetime = freshness::lifetime(&directives, is_targeted, status, headers, answered_at);
        let given = given.filter(|given| {
            let is_said = matches!(lifetime, Lifetime::Said(_)) || directives.no_cache;
            given.is_forced || !is_said
        });
        let seconds = match (given, lifetime) {
            (Some(given), _) => signed(given.ttl),
            (None, Lifetime::Said(seconds) | Lifetime::Guessed(seconds)) => seconds,
            (None, Lifetime::Unknown) => 0,
        };
        let no_cache = directives.no_cache && !is_forced;
        let is_strict = directives.must_revalidate || directives.proxy_revalidate || no_cache;
        let must_revalidate = !is_forced && (is_strict || directives.s_maxage.get().is_some());
        // `s-maxage` forbids it as well (section 5.2.2.10), but not where the answer allows it in so many words.
        let stale = |said: Option<u64>, ours: Option<u64>| match (is_forced, is_strict) {
            (false, true) => 0,
            _ => said.or(ours.filter(|_| !must_revalidate)).unwrap_or(0),
        };
        let terms = Self {
            lifetime: seconds,
            initial_age: age::initial(headers, exchange.asked_at, answered_at),
            stale_while_revalidate: stale(
                directives.stale_while_revalidate,
                rules.stale_while_revalidate,
            ),
            stale_if_error: stale(directives.stale_if_error, rules.stale_if_error),
            no_cache,
            must_revalidate,
            is_shareable: !exchange.is_identified || is_shareable,
            is_overridden: given.is_some(),
        };
        let has_validator =
            headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
        let is_used_stale = terms.stale_while_revalidate + terms.stale_if_error > 0;
        let is_used = !no_cache && seconds > 0 || is_used_stale;
        // Without an explicit word for it, an answer of other statuses may not be stored at all.
        let is_storable = given.is_some()
            || freshness::is_heuristic(status)
            || directives.is_public
            || matches!(lifetime, Lifetime::Said(_));
        if !is_storable || !is_used && !has_validator {
            return Err(NotStored::Useless);
        }
        Ok((terms, directives.fields))
    }

    /// A word for people, if they have a hand in it.
    pub(in crate::cache) fn detail(&self) -> Option<&'static str> {
        self.is_overridden.then_some("ttl-override")
    }

    /// What may be done with it for this request (section 4.2 and 5.2.1; RFC 5861). `is_invalid`: it counts as stale, whatever its age.
    pub(in crate::cache) fn verdict(
        &self,
        answered_at: u64,
        is_invalid: bool,
        asked: &Asked,
        now: u64,
    ) -> Verdict {
        let age = age::now(self.initial_age, answered_at, now) / 1000;
        let ttl = self.lifetime.saturating_sub(signed(age));
        let is_fresh = ttl > 0 && !is_invalid;
        let staleness = ttl.min(0).unsigned_abs();
        // Whoever says that it has to be validated is not overruled.
        let may_be_stale = !self.no_cache && !self.must_revalidate;
        let is_asked = |most: u64| may_be_stale && staleness <= most;
        let if_error = self.stale_if_error > 0 && staleness <= self.stale_if_error
            || asked.stale_if_error.is_some_and(is_asked);
        let is_tolerated = !is_invalid && asked.max_stale.is_some_and(is_asked);
        let is_refused = asked.no_cache
            || asked.no_store
            || asked
                .max_age
                .is_some_and(|most| age > most && !is_tolerated)
            || asked
                .min_fresh
                .is_some_and(|least| ttl < signed(least) && !is_tolerated);
        let what = if is_refused {
            Use::Validate { by_request: true }
        } else if self.no_cache {
            Use::Validate { by_request: false }
        } else if is_fresh {
            Use::Fresh
        } else if is_tolerated {
            Use::Stale
        } else if !is_invalid && staleness < self.stale_while_revalidate {
            Use::WhileRevalidate
        } else {
            Use::Validate { by_request: false }
        };
        Verdict {
            what,
            age,
            ttl,
            if_error,
        }
    }
}

fn allowed(directives: &Directives, status: StatusCode) -> Result<(), NotStored> {
    if directives.must_understand && !freshness::is_understood(status) {
        return Err(NotStored::NotUnderstood);
    }
    // Whoever understands the status may leave out the other one (section 5.2.2.3).
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::NoStore);
    }
    match directives.is_private {
        true => Err(NotStored::Private),
        false => Ok(()),
    }
}

/// Section 3.5.
fn is_shareable(directives: &Directives) -> bool {
    directives.is_public || directives.must_revalidate || directives.s_maxage.get().is_some()
}

#[cfg(test)]
impl Terms {
    /// Fresh for an hour.
    pub(in crate::cache) fn of_tests() -> Self {
        Self {
            lifetime: 3600,
            initial_age: 0,
            stale_while_revalidate: 0,
            stale_if_error: 0,
            no_cache: false,
            must_revalidate: false,
            is_shareable: true,
            is_overridden: false,
        }
    }
}
