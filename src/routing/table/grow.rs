//! The trie as it grows from routes, one branch for each segment.

use std::collections::HashMap;

use super::TableError;
use crate::routing::RouteMatch;
use crate::routing::pattern::Segment;

/// Positions are 32 bits wide, and some of those are flags.
const MAX_ALTERNATIVES: usize = 1 << 24;
/// In bytes; escapes can make three of each.
const MAX_TEXT: usize = 1 << 28;

#[derive(Default)]
pub(super) struct Branch<'a> {
    pub(super) literals: Vec<(&'a str, usize)>,
    pub(super) param: Option<usize>,
    /// Routes whose pattern ends here.
    pub(super) end: Vec<u32>,
    /// Routes whose pattern has its catch-all here.
    pub(super) catch_all: Vec<u32>,
}

/// The branches, the first one the root.
pub(super) fn grow(routes: &[RouteMatch]) -> Result<Vec<Branch<'_>>, TableError> {
    let alternatives =
        |route: &RouteMatch| route.hosts().len().max(1) * route.methods().len().max(1);
    let text = |route: &RouteMatch| route.path().as_str().len();
    if routes.iter().map(alternatives).sum::<usize>() > MAX_ALTERNATIVES
        || routes.iter().map(text).sum::<usize>() > MAX_TEXT
    {
        return Err(TableError::TooLarge);
    }
    let mut branches = vec![Branch::default()];
    let mut literals = HashMap::new();
    for (route, id) in routes.iter().zip(0..) {
        let mut at = 0;
        let mut catch_all = false;
        for segment in route.path().segments() {
            let new = branches.len();
            let next = match segment {
                Segment::Literal(text) => *literals.entry((at, &**text)).or_insert_with(|| {
                    branches[at].literals.push((text, new));
                    new
                }),
                Segment::Param(_) => *branches[at].param.get_or_insert(new),
                Segment::CatchAll(_) => {
                    catch_all = true;
                    continue;
                }
            };
            if next == new {
                branches.push(Branch::default());
            }
            at = next;
        }
        let here = &mut branches[at];
        if catch_all {
            here.catch_all.push(id)
        } else {
            here.end.push(id)
        }
    }
    Ok(branches)
}
