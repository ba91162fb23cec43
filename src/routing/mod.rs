//! Which route takes a request: patterns, predicates and the table that is searched.
//!
//! A [`RouteMatch`] says what a route wants: a [`PathPattern`], and optionally methods, hosts ([`HostPattern`]), and
//! predicates on header fields ([`HeaderMatch`]) and query parameters ([`QueryMatch`]). A [`RouteTable`] is built
//! once from many of them and is immutable; [`RouteTable::find`] returns an [`Outcome`], which is plain data.
//!
//! Everything here is pure: no I/O, no clock, no randomness.
//!
//! # Precedence
//!
//! Of all routes that take a request, the one with the lowest [`order`](RouteMatch::order) wins, then the one with
//! the greatest [`Specificity`]: path first, then method, host, headers, query. A route whose predicate fails is
//! passed over and the next best is tried, on less specific paths too. What is left equal goes to the route that was
//! declared first; routes that differ in nothing that could decide are refused when the table is built
//! ([`TableError`]).
//!
//! ```
//! use http::{HeaderMap, Method};
//! use tower_gateway::routing::{Facts, HostPattern, Outcome, PathPattern, RouteMatch, RouteTable};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = RouteTable::build([
//!     (RouteMatch::new("/users/{id}".parse()?).method(Method::GET), "user"),
//!     (RouteMatch::new("/users/me".parse()?), "me"),
//!     (RouteMatch::new("/{*rest}".parse()?).host("*.example.com".parse()?), "site"),
//! ])?;
//!
//! let headers = HeaderMap::new();
//! let facts = Facts { method: &Method::GET, host: None, path: "/users/7", query: None, headers: &headers };
//! match table.find(&facts) {
//!     Outcome::Found(found) => {
//!         assert_eq!(*found.value, "user");
//!         assert_eq!(found.param("/users/7", "id"), Some("7"));
//!     }
//!     other => unreachable!("{other:?}"),
//! }
//! # Ok(()) }
//! ```

mod host;
mod matcher;
mod methods;
mod pattern;
mod predicate;
mod rewrite;
mod specificity;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub use host::{HostError, HostPattern};
pub use matcher::RouteMatch;
pub use pattern::{PathPattern, PatternError};
pub use predicate::{HeaderMatch, QueryMatch};
pub use specificity::Specificity;
pub use table::{Captures, Conflict, Facts, Found, Outcome, RouteTable, TableError};

pub use rewrite::Rewrite;
pub(crate) use rewrite::{Plan, Rewriter};
pub(crate) use split::WeightedSplit;
