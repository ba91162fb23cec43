//! How keys are asked for.

use crate::{
    auth::jose::{KeyId, KeySet},
    error::BoxError,
};

/// Where the keys of an issuer come from.
///
/// A [`KeySet`] is one whose keys are always the same, [`FixedKeys`](super::FixedKeys) are read when the program starts, and
/// [`Jwks`](super::Jwks) asks the issuer. A closure is one, too, for keys that somebody else looks after:
///
/// ```
/// use std::sync::{Arc, RwLock};
/// use tower_gateway::auth::{jose::KeySet, keys::KeySource};
///
/// let known: Arc<RwLock<Option<KeySet>>> = Arc::default();
/// let source = { let known = known.clone(); move || known.read().ok()?.clone() };
/// assert!(KeySource::current(&source).is_none());
/// *known.write().unwrap() = Some(KeySet::new([])?);
/// assert!(KeySource::current(&source).is_some());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait KeySource: Send + Sync + 'static {
    /// The keys there are now, at once: every request asks. `None`: there are none yet, or those there are may not be used any more.
    fn current(&self) -> Option<KeySet>;

    /// Looks for newer keys: there are no [`current`](Self::current) ones, or a token has an `unknown_kid`. The answer is the keys that are to
    /// be used then; they need not have the key.
    ///
    /// Clients choose the `kid` of a token: a source that asks somebody bounds how often it does. A future that is dropped before it is
    /// done leaves nothing behind. Default: the current ones.
    ///
    /// # Errors
    ///
    /// It can not be found out which keys there are. A request is then answered with 503, and its sender is not told why.
    fn refresh(
        &self,
        unknown_kid: Option<&str>,
    ) -> impl Future<Output = Result<KeySet, BoxError>> + Send {
        let _ = unknown_kid;
        let current = self.current().ok_or_else(|| "there are no keys".into());
        std::future::ready(current)
    }

    /// Whether a key is still among the [`current`](Self::current) ones: asked for each token that was verified before.
    fn contains(&self, key: &KeyId) -> bool {
        self.current().is_some_and(|keys| keys.contains(key))
    }

    /// What is wrong with the settings, each with what is allowed: reported when a gateway is built. A source that has a mistake
    /// has no keys. Default: nothing.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Always these keys.
impl KeySource for KeySet {
    fn current(&self) -> Option<KeySet> {
        Some(self.clone())
    }

    fn contains(&self, key: &KeyId) -> bool {
        self.contains(key)
    }
}

/// The keys that the closure has at the moment.
impl<F> KeySource for F
where
    F: Fn() -> Option<KeySet> + Send + Sync + 'static,
{
    fn current(&self) -> Option<KeySet> {
        self()
    }
}
