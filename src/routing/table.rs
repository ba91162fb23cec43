//! The table of all routes: built once, then only searched.

use std::fmt;
use std::ops::{ControlFlow, Range};

use http::{HeaderMap, Method};
use smallvec::SmallVec;
use thiserror::Error;

use super::RouteMatch;
use endpoints::{Endpoints, Entry, Request};
use trie::Trie;

mod compile;
mod conflicts;
mod endpoints;
mod grow;
mod hosts;
mod index;
mod texts;
mod trie;

use texts::Texts;

/// All routes, each with a value of the caller's. Immutable; to change routes, build another table and swap it in.
///
/// A search costs what the path is long, however many routes there are: one look-up for each segment, and more only
/// where it has to go back from a literal to a param or a catch-all beside it. No place of the table is visited twice,
/// so a path of `s` segments costs at most `2^(s+1)` steps, and that only if the routes have both a literal and a param
/// below every place; a client can not make it worse. Hosts are looked up as well, while routes of one path that differ
/// by method, header or query alone are tried one after the other. Nothing recurses, and up to eight captures need no
/// allocation.
///
/// A table may mix orders; then a search ends early only at a route of the lowest order that the table has.
pub struct RouteTable<T> {
    values: Box<[T]>,
    patterns: Texts,
    trie: Trie,
    endpoints: Endpoints,
}

impl<T> RouteTable<T> {
    /// Builds the table; positions in this list name routes in [`Conflict`]s.
    ///
    /// # Errors
    ///
    /// [`TableError`] with every pair of routes that can not be told apart, see [`Conflict`].
    pub fn build(routes: impl IntoIterator<Item = (RouteMatch, T)>) -> Result<Self, TableError> {
        let (matches, values): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
        let branches = grow::grow(&matches)?;
        conflicts::check(&branches, &matches)?;
        let (trie, endpoints) = compile::compile(&branches, &matches);
        let patterns = Texts::new(matches.iter().map(|route| route.path().as_str()));
        Ok(Self {
            values: values.into(),
            patterns,
            trie,
            endpoints,
        })
    }

    /// The route that takes a request. [`Outcome`] says what else there is; precedence is described
    /// [above](crate::routing#precedence).
    pub fn find<'t>(&'t self, facts: &Facts<'_>) -> Outcome<'t, T> {
        let request = Request::new(facts);
        let lowest = self.endpoints.lowest;
        let mut best: Option<&Entry> = None;
        let (mut captures, mut kept) = (Captures::default(), Captures::default());
        self.trie.walk(
            facts.path.as_bytes(),
            &mut captures,
            |endpoint, captures| {
                let Some(entry) = self.endpoints.best(endpoint, &request) else {
                    return ControlFlow::Continue(());
                };
                if entry.order == lowest {
                    best = Some(entry);
                    return ControlFlow::Break(());
                }
                if best.is_none_or(|known| entry.order < known.order) {
                    best = Some(entry);
                    kept = captures.clone();
                }
                ControlFlow::Continue(())
            },
        );
        match best {
            Some(entry) => Outcome::Found(Found {
                value: &self.values[entry.route as usize],
                pattern: self.patterns.get(entry.route),
                captures: if entry.order == lowest {
                    captures
                } else {
                    kept
                },
            }),
            None if request.refused() => self.refusal(facts, &request),
            None => Outcome::NotFound,
        }
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    #[cold]
    fn refusal(&self, facts: &Facts<'_>, request: &Request<'_>) -> Outcome<'_, T> {
        let mut allow = Vec::new();
        self.trie.walk(
            facts.path.as_bytes(),
            &mut Captures::default(),
            |endpoint, _| {
                self.endpoints.allow(endpoint, request, &mut allow);
                ControlFlow::Continue(())
            },
        );
        if allow.is_empty() {
            return Outcome::NotFound;
        }
        allow.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        allow.dedup();
        Outcome::MethodNotAllowed { allow }
    }
}

impl<T> fmt::Debug for RouteTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable")
            .field("routes", &self.len())
            .finish_non_exhaustive()
    }
}

/// What a table looks at in a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host as the client named it, in `Host` or `:authority`; a port, letter case and a final dot are ignored.
    pub host: Option<&'a str>,
    /// The canonical path, still percent-encoded; it begins with `/`, any other target is not found.
    pub path: &'a str,
    /// The query without its `?`.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// What a search came to.
#[derive(Debug)]
pub enum Outcome<'t, T> {
    /// This route takes the request.
    Found(Found<'t, T>),
    /// Routes would take the request, were it not for its method: answer 405 with these in `Allow` (RFC 9110 section
    /// 15.5.6). In alphabetical order, each once; HEAD stands beside GET.
    MethodNotAllowed {
        /// The methods that would be taken.
        allow: Vec<Method>,
    },
    /// No route takes the request, whatever its method: answer 404.
    NotFound,
}

/// The route that takes a request.
pub struct Found<'t, T> {
    /// The value that was given with the route.
    pub value: &'t T,
    /// The route's path pattern as it was written.
    pub pattern: &'t str,
    /// What the pattern's params took.
    pub captures: Captures,
}

impl<'t, T> Found<'t, T> {
    /// Each param's name with what it took of `path`, the one that was searched, still percent-encoded. A catch-all
    /// that took nothing, not even a slash, is left out.
    pub fn params<'p>(&self, path: &'p str) -> impl Iterator<Item = (&'t str, &'p str)> {
        let names = self
            .pattern
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let values = self
            .captures
            .ranges()
            .map(|range| path.get(range).unwrap_or_default());
        names
            .map(|name| name.strip_prefix('*').unwrap_or(name))
            .zip(values)
    }

    /// What one param took of `path`; see [`params`](Self::params).
    pub fn param<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        self.params(path)
            .find_map(|(known, value)| (known == name).then_some(value))
    }
}

// By hand, because a derived one would ask for `T: Debug` of every caller.
impl<T> fmt::Debug for Found<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("pattern", &self.pattern)
            .field("captures", &self.captures)
            .finish_non_exhaustive()
    }
}

/// The parts of a path that a pattern's params took, in the order of the params. A catch-all that took nothing, not
/// even a slash, has no part here: there is then one fewer than params.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(SmallVec<[Span; 8]>);

/// Half the size of a range, so that eight of them are one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Captures {
    /// Byte ranges of the path that was searched.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.0
            .iter()
            .map(|span| span.start as usize..span.end as usize)
    }

    fn push(&mut self, start: usize, end: usize) {
        self.0.push(Span {
            start: start as u32,
            end: end as u32,
        });
    }
}

/// Routes that do not make a table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TableError {
    /// Some routes can not be told apart.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Conflicts(Vec<Conflict>),
    /// The table can not address that many routes, or that much text of patterns.
    #[error(
        "too many routes: at most 2^24 alternatives of host and method, and 256 MiB of patterns"
    )]
    TooLarge,
}

/// Two routes that can not be told apart, because some request would be taken by both and nothing prefers one of them.
///
/// That is so when they have the same `order`, the same path but for the names of params, a host pattern in common (or
/// both none), a method in common (or both none), and the same header and query predicates. Sharing one host or method
/// of several is enough: `GET,POST` and `POST,PUT` conflict over `POST`. Routes for GET and for HEAD share nothing,
/// since HEAD prefers its own.
///
/// Predicates that differ (`x = a` beside `x = b`) are no conflict, though a request with both values is taken by both
/// routes: where they are equally many, the route that was declared first wins.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "route {first} `{first_route}` and route {second} `{second_route}` can not be told apart for {shared}"
)]
pub struct Conflict {
    /// Position of the route that was declared first, from 0.
    pub first: usize,
    /// Position of the other one.
    pub second: usize,
    first_route: String,
    second_route: String,
    /// A method and a host.
    pub(crate) shared: String,
}
