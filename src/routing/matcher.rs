//! What a route wants of a request.

use std::fmt;

use http::Method;

use super::specificity::Rank;
use super::{HeaderMatch, HostPattern, PathPattern, QueryMatch, Specificity};

/// What a route wants of a request: a path, and everything else optional.
///
/// Several methods, or several hosts, are alternatives; header and query predicates have to hold all together.
/// Cheap to build: nothing is allocated for what is not asked for.
///
/// ```
/// use http::{Method, header::HeaderName};
/// use tower_gateway::routing::{HeaderMatch, RouteMatch};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let canary = RouteMatch::new("/orders/{*rest}".parse()?)
///     .method(Method::GET)
///     .method(Method::POST)
///     .host("shop.example.com".parse()?)
///     .header(HeaderMatch::exact(HeaderName::from_static("x-env"), "canary"));
/// assert_eq!(canary.to_string(), "GET,POST shop.example.com/orders/{*rest} [header x-env = canary]");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RouteMatch {
    path: PathPattern,
    methods: Vec<Method>,
    hosts: Vec<HostPattern>,
    headers: Vec<HeaderMatch>,
    queries: Vec<QueryMatch>,
    order: i32,
}

impl RouteMatch {
    /// Every request on this path, whatever its method, host, headers and query.
    pub fn new(path: PathPattern) -> Self {
        Self {
            path,
            methods: Vec::new(),
            hosts: Vec::new(),
            headers: Vec::new(),
            queries: Vec::new(),
            order: 0,
        }
    }

    /// Adds a method. None added means any. A route for GET serves HEAD as well (RFC 9110 section 9.3.2), unless
    /// another route of the same specificity names HEAD.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// Adds a host. None added means any.
    #[must_use]
    pub fn host(mut self, host: HostPattern) -> Self {
        self.hosts.push(host);
        self
    }

    /// Adds a predicate on header fields.
    #[must_use]
    pub fn header(mut self, header: HeaderMatch) -> Self {
        self.headers.push(header);
        self
    }

    /// Adds a predicate on query parameters.
    #[must_use]
    pub fn query(mut self, query: QueryMatch) -> Self {
        self.queries.push(query);
        self
    }

    /// Sets the order, default 0. The lowest order that takes a request wins, before any specificity is compared.
    #[must_use]
    pub fn order(mut self, order: i32) -> Self {
        self.order = order;
        self
    }

    /// The path pattern.
    pub fn path(&self) -> &PathPattern {
        &self.path
    }

    /// How specific this is. With several hosts it is the value for the most specific of them; a table compares the
    /// host that really took the request.
    pub fn specificity(&self) -> Specificity {
        let host = self
            .hosts
            .iter()
            .map(HostPattern::rank)
            .max()
            .unwrap_or_default();
        Specificity {
            path: self.path.rank(),
            rank: self.rank(host),
        }
    }

    pub(super) fn rank(&self, host: u16) -> Rank {
        let count = |len| u16::try_from(len).unwrap_or(u16::MAX);
        Rank {
            method: !self.methods.is_empty(),
            host,
            headers: count(self.headers.len()),
            queries: count(self.queries.len()),
        }
    }

    pub(super) fn methods(&self) -> &[Method] {
        &self.methods
    }

    pub(super) fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    pub(super) fn headers(&self) -> &[HeaderMatch] {
        &self.headers
    }

    pub(super) fn queries(&self) -> &[QueryMatch] {
        &self.queries
    }

    pub(super) fn precedence(&self) -> i32 {
        self.order
    }
}

impl fmt::Display for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if at == 0 { "" } else { "," })?;
        }
        if !self.methods.is_empty() {
            f.write_str(" ")?;
        }
        for (at, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if at == 0 { "" } else { "," })?;
        }
        write!(f, "{}", self.path)?;
        self.headers
            .iter()
            .try_for_each(|header| write!(f, " [header {header}]"))?;
        self.queries
            .iter()
            .try_for_each(|query| write!(f, " [query {query}]"))?;
        match self.order {
            0 => Ok(()),
            order => write!(f, " [order {order}]"),
        }
    }
}
