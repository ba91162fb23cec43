//! What is kept of an answer.

mod bodies;
mod written;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use smallvec::SmallVec;

pub(super) use self::bodies::Chunks;
use self::bodies::Part;
use super::{
    purge::Purge,
    rules::{Age, Kept, Terms},
    vary::Selecting,
};
use crate::body::Body;

/// An answer that is stored: its head, and its body.
#[derive(Clone, Debug)]
pub struct Stored {
    pub(super) head: Arc<StoredHead>,
    pub(super) body: StoredBody,
}

/// The head of an answer that is stored, and what was worked out about it.
#[derive(Clone, Debug)]
pub struct StoredHead {
    pub(super) status: StatusCode,
    /// What a client gets, without what is not stored (RFC 9111, section 3.1).
    pub(super) headers: HeaderMap,
    /// When it came or was validated last, in milliseconds since 1970.
    pub(super) answered_at: u64,
    /// The fields that `Vary` names, as they were in the request.
    pub(super) selecting: Selecting,
    pub(super) terms: Terms,
    pub(super) tags: Vec<Box<str>>,
    /// It has been purged softly, or something has changed it: it is to be validated.
    pub(super) is_invalid: bool,
}

/// A body that is stored. Clones share it.
#[derive(Clone)]
pub struct StoredBody(Kind);

#[derive(Clone)]
enum Kind {
    Whole(SmallVec<[Bytes; 1]>),
    Later(Arc<dyn Fn() -> Body + Send + Sync>, u64),
}

/// Bytes of a stored head that are in no text: the maps, pointers and numbers.
const HEAD: usize = 300;
/// The same for each field.
const FIELD: usize = 110;

impl Stored {
    /// Puts together what a store has kept.
    pub fn new(head: StoredHead, body: StoredBody) -> Self {
        Self {
            head: Arc::new(head),
            body,
        }
    }

    /// Its head.
    pub fn head(&self) -> &StoredHead {
        &self.head
    }

    /// Its body.
    pub fn body(&self) -> &StoredBody {
        &self.body
    }

    /// About how many bytes of memory it takes, if its body is in memory.
    pub(super) fn weight(&self) -> u64 {
        let body = match &self.body.0 {
            Kind::Whole(chunks) => chunks.iter().map(|chunk| chunk.len() + 40).sum(),
            Kind::Later(..) => 0,
        };
        (self.head.weight() + body) as u64
    }
}

impl StoredHead {
    /// Whether no request chooses the other one any more, which came before: those without a selecting field come last.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let is_asked = |field| other.selecting.contains(field);
        self.selecting == other.selecting
            || !self.selecting.is_empty() && self.selecting.iter().all(is_asked)
    }

    /// What decides about its use, beside its terms.
    pub(super) fn kept(&self) -> Kept {
        Kept {
            answered_at: self.answered_at,
            is_invalid: self.is_invalid,
        }
    }

    pub(super) fn age(&self, now: u64) -> Age {
        self.terms.age(self.kept(), now)
    }

    /// A word for people, if they have said how long it is fresh.
    pub(super) fn detail(&self) -> Option<&'static str> {
        self.terms.is_overridden().then_some("ttl-override")
    }

    #[cfg(test)]
    pub(super) fn of_tests() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            answered_at: 0,
            selecting: Selecting::new(),
            terms: Terms::of_tests(),
            tags: Vec::new(),
            is_invalid: false,
        }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields that a client gets, but for `Age` and `Cache-Status`.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// When it came or was validated last, in milliseconds since 1970.
    pub fn answered_at(&self) -> u64 {
        self.answered_at
    }

    /// On which terms it may be used.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The tags by which it can be purged.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(AsRef::as_ref)
    }

    fn weight(&self) -> usize {
        let fields = self.headers.iter();
        let fields: usize = fields
            .map(|(name, value)| name.as_str().len() + value.len() + FIELD)
            .sum();
        let selecting = self.selecting.iter();
        let selecting: usize = selecting
            .map(|(_, value)| FIELD + value.as_ref().map_or(0, Vec::len))
            .sum();
        let tags: usize = self.tags.iter().map(|tag| tag.len() + FIELD).sum();
        HEAD + fields + selecting + tags
    }
}

impl StoredBody {
    /// A body whose bytes are all here.
    pub fn whole(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        Self(Kind::Whole(chunks.into_iter().collect()))
    }

    /// A body of so many bytes that is fetched when somebody wants it. If there are more or fewer, or it fails, the answer is broken off.
    pub fn later(bytes: u64, open: impl Fn() -> Body + Send + Sync + 'static) -> Self {
        Self(Kind::Later(Arc::new(open), bytes))
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Whole(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Kind::Later(_, bytes) => *bytes,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, to be read once.
    pub fn open(&self) -> Body {
        match &self.0 {
            Kind::Whole(chunks) => match &chunks[..] {
                [] => Body::empty(),
                [one] => Body::from(one.clone()),
                _ => Body::boxed(Chunks::new(chunks.clone())),
            },
            Kind::Later(open, _) => open(),
        }
    }

    /// These bytes of one that is fetched: what is before them is read and left out.
    pub(super) fn open_part(&self, part: Range<u64>) -> Body {
        Body::boxed(Part::new(self.open(), part))
    }

    pub(super) fn chunks(&self) -> Option<&[Bytes]> {
        match &self.0 {
            Kind::Whole(chunks) => Some(chunks),
            Kind::Later(..) => None,
        }
    }
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBody")
            .field("len", &self.len())
            .finish()
    }
}

/// All answers of one key. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Variants(pub(super) Arc<[Stored]>);

impl Variants {
    /// At most so many are kept of a key: those that have come last.
    pub const MOST: usize = 32;

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Stored> {
        self.0.iter()
    }

    /// With one more: it takes the place of those that no request would choose any more, and of the oldest when there are too many, or they weigh too much together.
    pub fn with(&self, stored: Stored, most_weight: u64) -> Self {
        let mut kept: Vec<_> = self
            .0
            .iter()
            .filter(|other| !stored.head.covers(&other.head))
            .cloned()
            .collect();
        kept.sort_by_key(|other| std::cmp::Reverse(other.head.answered_at));
        kept.truncate(Self::MOST - 1);
        let mut weight = stored.weight();
        let fit = kept.iter().take_while(|other| {
            weight += other.weight();
            weight <= most_weight
        });
        let fit = fit.count();
        kept.truncate(fit);
        Self(std::iter::once(stored).chain(kept).collect())
    }

    /// With another head for the one that has the same selecting fields, unless that was stored later.
    pub fn updated(&self, head: StoredHead) -> Self {
        let head = Arc::new(head);
        let updated = |stored: &Stored| {
            let is_meant = stored.head.selecting == head.selecting
                && stored.head.answered_at <= head.answered_at;
            Stored {
                head: if is_meant { &head } else { &stored.head }.clone(),
                body: stored.body.clone(),
            }
        };
        Self(self.0.iter().map(updated).collect())
    }

    /// Without those that are to be removed, or with those marked that are to be marked; and how many these are.
    pub fn purged(&self, key: &[u8], what: &Purge) -> (Self, u64) {
        let mut count = 0;
        let purged = |stored: &Stored| {
            if !what.matches(key, &stored.head) {
                return Some(stored.clone());
            }
            count += 1;
            what.is_soft().then(|| Stored {
                head: Arc::new(StoredHead {
                    is_invalid: true,
                    ..StoredHead::clone(&stored.head)
                }),
                body: stored.body.clone(),
            })
        };
        let kept = self.0.iter().filter_map(purged).collect();
        (Self(kept), count)
    }
}

impl FromIterator<Stored> for Variants {
    fn from_iter<I: IntoIterator<Item = Stored>>(stored: I) -> Self {
        Self(stored.into_iter().collect())
    }
}
