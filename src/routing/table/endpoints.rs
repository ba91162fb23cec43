//! The routes that share a path pattern, and the choice between them.

use std::cell::{Cell, OnceCell};

use http::Method;
use smallvec::SmallVec;

use super::Facts;
use super::hosts::Hosts;
use crate::routing::host::request_host;
use crate::routing::methods::MethodSet;
use crate::routing::specificity::Rank;
use crate::routing::{HeaderMatch, QueryMatch};

/// The routes of one path pattern. Mostly that is a run of entries; where some of them want a host it is a number
/// under which [`Hosts`] keeps more runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoint(u32);

impl Endpoint {
    pub(super) const NONE: Self = Self(u32::MAX);
    const HOSTED: u32 = 1 << 31;

    pub(super) fn run(start: u32) -> Self {
        Self(start)
    }

    pub(super) fn hosted(id: u32) -> Self {
        Self(id | Self::HOSTED)
    }

    pub(super) fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// A route under one of its hosts. The entries of a run lie side by side, in the order of preference.
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) order: i32,
    pub(super) route: u32,
    /// Position in `checks`, or [`NO_CHECKS`].
    pub(super) checks: u32,
    pub(super) methods: MethodSet,
    /// The run ends here.
    pub(super) last: bool,
}

pub(super) const NO_CHECKS: u32 = u32::MAX;

/// What few routes ask for.
pub(super) struct Checks {
    /// All methods, if one of them has no bit of its own.
    pub(super) methods: Box<[Method]>,
    pub(super) headers: Box<[HeaderMatch]>,
    pub(super) queries: Box<[QueryMatch]>,
}

pub(super) struct Endpoints {
    pub(super) entries: Box<[Entry]>,
    pub(super) checks: Box<[Checks]>,
    pub(super) hosts: Hosts,
    /// The lowest order of any route: nothing is preferred to a route that has it.
    pub(super) lowest: i32,
}

/// A request while its route is searched.
pub(super) struct Request<'a> {
    facts: &'a Facts<'a>,
    method: MethodSet,
    hosts: OnceCell<SmallVec<[u32; 4]>>,
    refused: Cell<bool>,
}

impl<'a> Request<'a> {
    pub(super) fn new(facts: &'a Facts<'a>) -> Self {
        let method = MethodSet::of(facts.method);
        Self {
            facts,
            method,
            hosts: OnceCell::new(),
            refused: Cell::new(false),
        }
    }

    /// Whether some route was passed over for its methods.
    pub(super) fn refused(&self) -> bool {
        self.refused.get()
    }
}

impl Endpoints {
    /// The route that is preferred among those of an endpoint that take the request.
    #[inline]
    pub(super) fn best(&self, endpoint: Endpoint, request: &Request<'_>) -> Option<&Entry> {
        if endpoint.0 & Endpoint::HOSTED == 0 {
            return self.first(endpoint.0, request);
        }
        let mut best: Option<&Entry> = None;
        self.runs(endpoint, request, |start| {
            if let Some(entry) = self.first(start, request) {
                let preferred =
                    best.is_none_or(|best| (entry.order, best.rank) < (best.order, entry.rank));
                best = if preferred { Some(entry) } else { best };
            }
        });
        best
    }

    /// Adds the methods of all routes of an endpoint that take the request but for its method.
    pub(super) fn allow(&self, endpoint: Endpoint, request: &Request<'_>, allow: &mut Vec<Method>) {
        self.runs(endpoint, request, |start| {
            for entry in self
                .run(start)
                .filter(|entry| self.predicates_hold(entry, request.facts))
            {
                entry.methods.list(allow);
                allow.extend_from_slice(self.checks(entry).map_or(&[], |checks| &checks.methods));
            }
        });
    }

    /// Calls `visit` with the start of each run of an endpoint that is for the request's host.
    fn runs(&self, endpoint: Endpoint, request: &Request<'_>, mut visit: impl FnMut(u32)) {
        if endpoint.0 & Endpoint::HOSTED == 0 {
            return visit(endpoint.0);
        }
        let id = endpoint.0 & !Endpoint::HOSTED;
        let hosts = request.hosts.get_or_init(|| {
            let host = request.facts.host.and_then(request_host);
            host.map(|host| self.hosts.resolve(&host))
                .unwrap_or_default()
        });
        hosts
            .iter()
            .chain([&Hosts::ANY])
            .filter_map(|host| self.hosts.run(id, *host))
            .for_each(visit);
    }

    #[inline]
    fn first(&self, start: u32, request: &Request<'_>) -> Option<&Entry> {
        let mut substitute: Option<&Entry> = None;
        for entry in self.run(start) {
            if substitute
                .is_some_and(|other| (other.order, other.rank) != (entry.order, entry.rank))
            {
                break;
            }
            if !self.method_taken(entry, request) {
                request.refused.set(true);
            } else if self.predicates_hold(entry, request.facts) {
                // A GET route serves HEAD, but a route for HEAD is better, wherever it was declared.
                if entry.methods.overlaps(request.method) {
                    return Some(entry);
                }
                substitute = substitute.or(Some(entry));
            }
        }
        substitute
    }

    fn run(&self, start: u32) -> impl Iterator<Item = &Entry> {
        let mut ended = false;
        self.entries[start as usize..]
            .iter()
            .take_while(move |entry| !std::mem::replace(&mut ended, entry.last))
    }

    fn method_taken(&self, entry: &Entry, request: &Request<'_>) -> bool {
        entry.methods.overlaps(request.method.served_by())
            && (!request.method.is_other()
                || self.checks(entry).is_none_or(|checks| {
                    checks.methods.is_empty() || checks.methods.contains(request.facts.method)
                }))
    }

    fn predicates_hold(&self, entry: &Entry, facts: &Facts<'_>) -> bool {
        self.checks(entry).is_none_or(|checks| {
            checks
                .headers
                .iter()
                .all(|header| header.holds(facts.headers))
                && checks.queries.iter().all(|query| query.holds(facts.query))
        })
    }

    fn checks(&self, entry: &Entry) -> Option<&Checks> {
        (entry.checks != NO_CHECKS).then(|| &self.checks[entry.checks as usize])
    }
}
