//! How specific a route is, as a value that can be compared.

use smallvec::SmallVec;

/// How closely a route describes the requests that it takes; the greater one wins.
///
/// Compared in this order, the first difference decides:
///
/// 1. **path**, segment by segment from the left: a literal, then `{param}`, then the pattern's end, then `{*rest}`
/// 2. **method**: some named, then any
/// 3. **host**: exact, then the longest wildcard suffix, then any
/// 4. **headers**: more predicates, then fewer
/// 5. **query**: more predicates, then fewer
///
/// ```
/// use http::Method;
/// use tower_gateway::routing::RouteMatch;
///
/// let me = RouteMatch::new("/u/me".parse()?);
/// let id = RouteMatch::new("/u/{id}".parse()?).method(Method::GET);
/// assert!(me.specificity() > id.specificity());
/// # Ok::<(), tower_gateway::routing::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Specificity {
    pub(super) path: PathRank,
    pub(super) rank: Rank,
}

pub(super) type PathRank = SmallVec<[SegmentRank; 16]>;

/// Declared from the least specific upwards. `End` is above `CatchAll`: `/a` takes fewer requests than `/a/{*rest}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SegmentRank {
    CatchAll,
    End,
    Param,
    Literal,
}

/// What decides between routes of one path. The fields stand in the order in which they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rank {
    pub(super) method: bool,
    pub(super) host: u16,
    pub(super) headers: u16,
    pub(super) queries: u16,
}
