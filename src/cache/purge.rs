//! What is to be removed from a store.

use bytes::Bytes;

use super::{key, stored::StoredHead};

/// What is to be removed: all of it, what has a tag, or what is behind a path.
///
/// ```
/// use tower_gateway::cache::Purge;
///
/// let all = Purge::all();
/// let products = Purge::tag("products").softly();
/// let shop = Purge::prefix("/shop/").host("shop.example.com");
/// # let _ = (all, products, shop);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub(super) what: What,
    host: Option<String>,
    is_soft: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    All,
    Tag(String),
    Prefix(String),
    Key(Bytes),
    /// What begins with the key of this URL.
    Url(Bytes),
}

impl Purge {
    fn new(what: What) -> Self {
        Self {
            what,
            host: None,
            is_soft: false,
        }
    }

    /// All of it.
    pub fn all() -> Self {
        Self::new(What::All)
    }

    /// What the backend has given this tag, in `Cache-Tag` or `Surrogate-Key`. Case matters.
    pub fn tag(tag: impl Into<String>) -> Self {
        Self::new(What::Tag(tag.into()))
    }

    /// What has a path that begins so, whatever the query: `/shop` is `/shop`, `/shop/a` and `/shopping`, and `/shop/` is not the last one. The path is the one that
    /// the key has: canonical, before it is rewritten for a backend.
    pub fn prefix(path: impl Into<String>) -> Self {
        Self::new(What::Prefix(path.into()))
    }

    /// One key and all of its variants.
    pub(super) fn key(key: &[u8]) -> Self {
        Self::new(What::Key(Bytes::copy_from_slice(key)))
    }

    /// All keys of one URL, with whatever is added to them.
    pub(super) fn url(key: &[u8]) -> Self {
        Self::new(What::Url(Bytes::copy_from_slice(key)))
    }

    /// Only what was asked for from this host: with its port, if it is not that of the scheme. Default: from any.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into().to_ascii_lowercase());
        self
    }

    /// Marks it as stale, instead of removing it: it is validated before it is used, or used while the backend fails.
    pub fn softly(mut self) -> Self {
        self.is_soft = true;
        self
    }

    /// Whether it is only to be marked as stale.
    pub fn is_soft(&self) -> bool {
        self.is_soft
    }

    /// The key, if one alone is meant.
    pub fn only_key(&self) -> Option<&[u8]> {
        match &self.what {
            What::Key(key) => Some(key),
            _ => None,
        }
    }

    /// Whether this answer of this key is meant.
    pub fn matches(&self, key: &[u8], head: &StoredHead) -> bool {
        self.may_match(key) && self.has_tag(head)
    }

    /// Whether one of this key might be, by all that its answer may have.
    pub(super) fn may_match(&self, key: &[u8]) -> bool {
        let is_meant = match &self.what {
            What::All | What::Tag(_) => true,
            What::Key(own) => own == key,
            What::Url(own) => key.starts_with(own),
            What::Prefix(prefix) => {
                key::path_of(key).is_some_and(|path| path.starts_with(prefix.as_bytes()))
            }
        };
        let host = self.host.as_ref();
        is_meant && host.is_none_or(|host| key::authority_of(key) == Some(host.as_bytes()))
    }

    fn has_tag(&self, head: &StoredHead) -> bool {
        match &self.what {
            What::Tag(tag) => head.tags().any(|own| own == tag),
            _ => true,
        }
    }
}
