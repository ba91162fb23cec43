//! The trie over path segments, in arrays, and the walk through it.
//!
//! A node stands for some segments that were taken; what is left of the path is then empty or begins with `/`. Chains
//! of literals that do not branch are one node with one label. Few children are compared one after the other, many
//! are found through a hash index that all nodes share. A param is one child at most. Nodes lie in the order in which
//! a walk meets them, so that the end of a route is mostly one cache line.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::Captures;
use super::endpoints::Endpoint;
use super::index::{self, Index};

pub(super) const NONE: u32 = u32::MAX;
/// In place of the number of children: they are found through the index.
pub(super) const HASHED: u8 = u8::MAX;

pub(super) struct Trie {
    /// The first one is the root.
    pub(super) nodes: Box<[Node]>,
    pub(super) labels: Box<[u8]>,
    pub(super) index: Index,
}

pub(super) struct Node {
    /// Literal segments, each with its slash in front, that are taken on entry: the edge to a literal child, or what
    /// always follows a param.
    pub(super) label: u32,
    pub(super) label_len: u16,
    /// First byte of the label's first segment, `/` if that is empty.
    pub(super) lead: u8,
    /// Number of literal children, or [`HASHED`].
    pub(super) fanout: u8,
    /// The first of the literal children, which lie side by side unless they are hashed.
    pub(super) children: u32,
    pub(super) param: u32,
    /// Routes whose pattern ends here.
    pub(super) end: Endpoint,
    /// Routes whose pattern has its catch-all here.
    pub(super) catch_all: Endpoint,
}

/// How far a walk has come, and what is to be tried next there.
#[derive(Clone, Copy)]
struct Place {
    node: u32,
    at: u32,
    step: Step,
}

/// In the order in which they are tried, which is that of [`SegmentRank`](crate::routing::specificity::SegmentRank).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Literal,
    Param,
    CatchAll,
}

/// A place to come back to, and the number of captures that were made on the way there.
struct Fork(Place, u32);

impl Trie {
    /// Visits every endpoint whose pattern takes `path`, the most specific pattern first, until told to stop.
    ///
    /// A node can only be entered at one position of a path, because each level takes one segment: nothing is visited
    /// twice. From a node at most two are entered, a literal and a param, so a path of `s` segments costs at most
    /// `2^(s+1)` nodes, and never more than the table has. It takes a table that has both below every node to come
    /// near that, whatever the path.
    ///
    /// `captures` is what the pattern of the endpoint took that is being visited.
    #[inline]
    pub(super) fn walk(
        &self,
        path: &[u8],
        captures: &mut Captures,
        mut visit: impl FnMut(Endpoint, &Captures) -> ControlFlow<()>,
    ) {
        if path.first() != Some(&b'/') || u32::try_from(path.len()).is_err() {
            return;
        }
        let mut forks: SmallVec<[Fork; 8]> = SmallVec::new();
        let mut next = self.enter(0, path, 0);
        loop {
            let Some(place) = next.take().or_else(|| {
                let Fork(place, count) = forks.pop()?;
                captures.0.truncate(count as usize);
                Some(place)
            }) else {
                return;
            };
            let node = &self.nodes[place.node as usize];
            let at = place.at as usize;
            if at == path.len() {
                for endpoint in [node.end, node.catch_all] {
                    if endpoint.is_some() && visit(endpoint, captures).is_break() {
                        return;
                    }
                }
                continue;
            }
            if place.step == Step::Literal {
                next = self.child(place.node, node, path, at);
                if next.is_some() {
                    if node.param != NONE || node.catch_all.is_some() {
                        forks.push(Fork(
                            Place {
                                step: Step::Param,
                                ..place
                            },
                            captures.0.len() as u32,
                        ));
                    }
                    continue;
                }
            }
            if place.step <= Step::Param && node.param != NONE {
                let end = index::segment_end(path, at + 1);
                next = if end > at + 1 {
                    self.enter(node.param, path, end)
                } else {
                    None
                };
                if next.is_some() {
                    if node.catch_all.is_some() {
                        forks.push(Fork(
                            Place {
                                step: Step::CatchAll,
                                ..place
                            },
                            captures.0.len() as u32,
                        ));
                    }
                    captures.push(at + 1, end);
                    continue;
                }
            }
            if node.catch_all.is_some() {
                captures.push(at + 1, path.len());
                if visit(node.catch_all, captures).is_break() {
                    return;
                }
            }
        }
    }

    /// Enters a node: the place after its label, if that stands in the path and ends where a segment ends.
    #[inline]
    fn enter(&self, id: u32, path: &[u8], at: usize) -> Option<Place> {
        let node = &self.nodes[id as usize];
        let label = self
            .labels
            .get(node.label as usize..)?
            .get(..usize::from(node.label_len))?;
        let end = at + label.len();
        let taken =
            same(path.get(at..end)?, label) && path.get(end).is_none_or(|byte| *byte == b'/');
        taken.then_some(Place {
            node: id,
            at: end as u32,
            step: Step::Literal,
        })
    }

    /// The literal child that takes the next segment.
    #[inline]
    fn child(&self, id: u32, node: &Node, path: &[u8], at: usize) -> Option<Place> {
        if node.fanout == HASHED {
            let (hash, _) = index::segment(self.index.seed(), id, path, at + 1);
            return self.index.find(hash, |child| self.enter(child, path, at));
        }
        let lead = path.get(at + 1).copied().unwrap_or(b'/');
        (node.children..node.children + u32::from(node.fanout))
            .filter(|child| self.nodes[*child as usize].lead == lead)
            .find_map(|child| self.enter(child, path, at))
    }
}

/// Whether two slices of one length are equal. Labels are short, a call of `memcmp` would be most of what they cost.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    if a_words.iter().zip(b_words).any(|(a, b)| a != b) {
        return false;
    }
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a), Some(b)) => a == b,
        _ => a_rest.iter().eq(b_rest),
    }
}
