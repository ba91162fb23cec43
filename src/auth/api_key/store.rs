//! Where keys are looked up: in a list, or wherever somebody keeps them.

use std::{collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;

use super::key::ApiKey;
use crate::error::BoxError;

/// Looks keys up where they are kept, such as in a database.
///
/// ```
/// use tower_gateway::{BoxError, auth::{ApiKey, ApiKeyStore}};
///
/// struct Database;
///
/// impl ApiKeyStore for Database {
///     async fn find(&self, id: Option<&str>, sha256: &str) -> Result<Option<ApiKey>, BoxError> {
///         // SELECT subject, scope FROM keys WHERE sha256 = $1
///         # let _ = id;
///         let Some((subject, scope)) = Some(("billing", "read")) else { return Ok(None) };
///         Ok(Some(ApiKey::from_hash(subject, sha256)?.with_scope(scope)))
///     }
/// }
/// ```
pub trait ApiKeyStore: Send + Sync + 'static {
    /// The key that has this SHA-256 (in hexadecimal, lower case) or this identifier; `None` if there is none. One that is found by its
    /// identifier is compared by its hash afterwards, so it need not be done here. An error lets nobody in: 503.
    ///
    /// It has to end in time by itself. Dropped before that, it leaves nothing behind.
    fn find(
        &self,
        id: Option<&str>,
        sha256: &str,
    ) -> impl Future<Output = Result<Option<ApiKey>, BoxError>> + Send;
}

/// A list of keys, which can be changed while it is in use. Clones share it. Of two entries for one key the later one counts.
///
/// ```
/// use tower_gateway::auth::{ApiKey, ApiKeyLayer, ApiKeys};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = ApiKeys::from([ApiKey::new("billing", "gw_live_6f9a.bm90IGEgc2VjcmV0")?]);
/// let layer = ApiKeyLayer::new(keys.clone());
/// // Later, while requests come in:
/// keys.retain(|key| key.id() != Some("gw_live_6f9a"));
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct ApiKeys(Arc<ArcSwap<List>>);

type List = HashMap<[u8; 32], ApiKey>;

impl ApiKeys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, or puts it in place of the entry for the same key. Who comes from now on is let in.
    pub fn add(&self, key: ApiKey) {
        self.0.rcu(|list| {
            let mut list = List::clone(list);
            list.insert(*key.digest(), key.clone());
            list
        });
    }

    /// Removes all keys of which this is not true.
    pub fn retain(&self, is_kept: impl Fn(&ApiKey) -> bool) {
        self.0.rcu(|list| {
            let mut list = List::clone(list);
            list.retain(|_, key| is_kept(key));
            list
        });
    }

    /// Puts these keys in place of all others, at once.
    pub fn replace(&self, keys: impl IntoIterator<Item = ApiKey>) {
        self.0.store(Arc::new(list(keys)));
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Whether there are none: nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn find(&self, hash: &[u8; 32]) -> Option<ApiKey> {
        self.0.load().get(hash).cloned()
    }
}

fn list(keys: impl IntoIterator<Item = ApiKey>) -> List {
    keys.into_iter().map(|key| (*key.digest(), key)).collect()
}

impl FromIterator<ApiKey> for ApiKeys {
    fn from_iter<I: IntoIterator<Item = ApiKey>>(keys: I) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(list(keys))))
    }
}

impl<const N: usize> From<[ApiKey; N]> for ApiKeys {
    fn from(keys: [ApiKey; N]) -> Self {
        keys.into_iter().collect()
    }
}

impl From<Vec<ApiKey>> for ApiKeys {
    fn from(keys: Vec<ApiKey>) -> Self {
        keys.into_iter().collect()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("len", &self.len()).finish()
    }
}
