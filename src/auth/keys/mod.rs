//! Where keys come from.

use super::jose::KeySet;
use crate::error::BoxError;

/// Where the keys of an issuer come from.
pub trait KeySource: Send + Sync + 'static {
    /// The keys as they are known.
    fn current(&self) -> Option<KeySet>;

    /// Newer keys, since there is none of this name.
    fn refresh(&self, kid: Option<&str>) -> impl Future<Output = Result<KeySet, KeysError>> + Send;

    /// What is wrong with the settings.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeysError(pub BoxError);

impl KeySource for KeySet {
    fn current(&self) -> Option<KeySet> {
        Some(self.clone())
    }

    async fn refresh(&self, _: Option<&str>) -> Result<KeySet, KeysError> {
        Ok(self.clone())
    }
}
