//! Where answers are kept: the trait that people implement, and how the layer asks whatever implements it.

mod memory;

use std::{fmt, pin::Pin, sync::Arc};

pub use self::memory::MemoryStore;
use super::{
    key::Key,
    purge::Purge,
    stored::{StoredHead, Variants},
};
use crate::{body::Body, error::BoxError};

/// Keeps answers: in the memory of this process ([`MemoryStore`]), or for several gateways together.
///
/// A key has several answers where a backend's `Vary` says so; whoever stores does not choose among them. What fails, or is late, is a miss for the
/// [`CacheLayer`](super::CacheLayer): nobody is refused for it.
pub trait CacheStore: Send + Sync + 'static {
    /// What [`get`](Self::get) would say, if it can be said without waiting; then nothing is allocated for a hit. `None`: nobody knows yet. Default:
    /// `None`.
    fn get_now(&self, key: &Key) -> Option<Variants> {
        let _ = key;
        None
    }

    /// All answers of a key; none of them is no error.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Variants, BoxError>> + Send;

    /// Keeps one more ([`Variants::with`] says what it takes the place of). The body comes from the backend while this reads it; if it fails, nothing is to be
    /// kept. Dropped before it is done, nothing is kept either.
    fn put(
        &self,
        key: &Key,
        head: StoredHead,
        body: Body,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Gives another head to the answer that has the same selecting fields, and was not stored later: it has been validated, or is not valid any more. One that is
    /// gone stays gone.
    fn update(
        &self,
        key: &Key,
        head: StoredHead,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Removes what is meant, or marks it as stale, as the [`Purge`] says; how many there were.
    fn purge(&self, what: &Purge) -> impl Future<Output = Result<u64, BoxError>> + Send;

    /// The most bytes that a body may have. Default: no limit.
    fn max_object(&self) -> u64 {
        u64::MAX
    }

    /// How many answers there are, and about how many bytes they take, if it is known. Default: unknown.
    fn figures(&self) -> Option<(u64, u64)> {
        None
    }

    /// What is wrong with the settings: reported when a gateway is built. Default: nothing.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Any store.
#[derive(Clone)]
pub(super) struct AnyStore(Arc<dyn Erased>);

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

trait Erased: Send + Sync {
    fn get_now(&self, key: &Key) -> Option<Variants>;
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Variants>;
    fn put<'a>(&'a self, key: &'a Key, head: StoredHead, body: Body) -> Later<'a, ()>;
    fn update<'a>(&'a self, key: &'a Key, head: StoredHead) -> Later<'a, ()>;
    fn purge<'a>(&'a self, what: &'a Purge) -> Later<'a, u64>;
    fn max_object(&self) -> u64;
    fn figures(&self) -> Option<(u64, u64)>;
    fn mistakes(&self) -> Vec<String>;
}

impl<C: CacheStore> Erased for C {
    fn get_now(&self, key: &Key) -> Option<Variants> {
        CacheStore::get_now(self, key)
    }

    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Variants> {
        Box::pin(CacheStore::get(self, key))
    }

    fn put<'a>(&'a self, key: &'a Key, head: StoredHead, body: Body) -> Later<'a, ()> {
        Box::pin(CacheStore::put(self, key, head, body))
    }

    fn update<'a>(&'a self, key: &'a Key, head: StoredHead) -> Later<'a, ()> {
        Box::pin(CacheStore::update(self, key, head))
    }

    fn purge<'a>(&'a self, what: &'a Purge) -> Later<'a, u64> {
        Box::pin(CacheStore::purge(self, what))
    }

    fn max_object(&self) -> u64 {
        CacheStore::max_object(self)
    }

    fn figures(&self) -> Option<(u64, u64)> {
        CacheStore::figures(self)
    }

    fn mistakes(&self) -> Vec<String> {
        CacheStore::mistakes(self)
    }
}

impl AnyStore {
    pub(super) fn new(store: impl CacheStore) -> Self {
        Self(Arc::new(store))
    }

    pub(super) fn get_now(&self, key: &Key) -> Option<Variants> {
        self.0.get_now(key)
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Variants, BoxError> {
        self.0.get(key).await
    }

    pub(super) async fn put(
        &self,
        key: &Key,
        head: StoredHead,
        body: Body,
    ) -> Result<(), BoxError> {
        self.0.put(key, head, body).await
    }

    pub(super) async fn update(&self, key: &Key, head: StoredHead) -> Result<(), BoxError> {
        self.0.update(key, head).await
    }

    pub(super) async fn purge(&self, what: &Purge) -> Result<u64, BoxError> {
        self.0.purge(what).await
    }

    pub(super) fn max_object(&self) -> u64 {
        self.0.max_object()
    }

    pub(super) fn figures(&self) -> Option<(u64, u64)> {
        self.0.figures()
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        self.0.mistakes()
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheStore")
    }
}
