//! Keys that are there when the program starts.

use std::{env, fs, path::Path};

use super::KeySource;
use crate::{
    auth::jose::{Algorithm, Key, KeyError, KeySet},
    error::BoxError,
};

/// Keys from text, files and environment variables, read as soon as they are named, and never again.
///
/// Either public keys or secrets, and every one has to be good: what can not be read, or is weak, is a mistake that `build` reports
/// with the file's or the variable's name; there are no keys then.
///
/// ```no_run
/// use tower_gateway::auth::{jose::Algorithm, keys::FixedKeys};
///
/// // The new key beside the old one, whose tokens are still about.
/// let keys = FixedKeys::new().pem_file("/etc/keys/2026.pem").pem_file("/etc/keys/2025.pem");
/// let keys = FixedKeys::new().secret_env("TOKEN_SECRET", Algorithm::HS256);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FixedKeys {
    keys: Vec<Key>,
    mistakes: Vec<String>,
    /// What they are together, at the moment.
    set: Option<Result<KeySet, KeyError>>,
}

impl FixedKeys {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key that was made elsewhere.
    pub fn key(self, key: Key) -> Self {
        self.with(Ok(vec![key]))
    }

    /// A public key in PEM, or that of a certificate; see [`Key::from_pem`].
    pub fn pem(self, pem: impl AsRef<[u8]>) -> Self {
        self.add("the PEM", Ok(pem), from_pem)
    }

    /// The same from a file.
    pub fn pem_file(self, path: impl AsRef<Path>) -> Self {
        self.add_file(path.as_ref(), from_pem)
    }

    /// The same from an environment variable.
    pub fn pem_env(self, name: &str) -> Self {
        self.add_env(name, from_pem)
    }

    /// A public key as a JWK, or a JWK set; see [`Key::from_jwk`] and [`KeySet::from_jwks`]. Only keys that are not for signatures are left
    /// out of a set.
    pub fn jwk(self, json: impl AsRef<[u8]>) -> Self {
        self.add("the JWK", Ok(json), from_jwk)
    }

    /// The same from a file.
    pub fn jwk_file(self, path: impl AsRef<Path>) -> Self {
        self.add_file(path.as_ref(), from_jwk)
    }

    /// The same from an environment variable.
    pub fn jwk_env(self, name: &str) -> Self {
        self.add_env(name, from_jwk)
    }

    /// A secret for HS256, HS384 or HS512, of at least as many bytes as the hash has; see [`Key::from_secret`].
    pub fn secret(self, secret: impl AsRef<[u8]>, algorithm: Algorithm) -> Self {
        self.add("the secret", Ok(secret), |bytes| {
            from_secret(bytes, algorithm)
        })
    }

    /// The same from a file. When that is text, the end of its last line is not part of it: editors put one there.
    pub fn secret_file(self, path: impl AsRef<Path>, algorithm: Algorithm) -> Self {
        self.add_file(path.as_ref(), |bytes| {
            let text = std::str::from_utf8(bytes).ok();
            let line = text.and_then(|text| text.strip_suffix('\n'));
            let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line).as_bytes());
            from_secret(line.unwrap_or(bytes), algorithm)
        })
    }

    /// The same from an environment variable, whose text is the secret as it is: nothing is decoded.
    pub fn secret_env(self, name: &str, algorithm: Algorithm) -> Self {
        self.add_env(name, |bytes| from_secret(bytes, algorithm))
    }

    /// All of them as a set.
    ///
    /// # Errors
    ///
    /// All mistakes.
    pub fn key_set(&self) -> Result<KeySet, BoxError> {
        let set = self.current();
        set.ok_or_else(|| self.mistakes().join("; ").into())
    }

    fn add_file(self, path: &Path, read: impl FnOnce(&[u8]) -> Result<Vec<Key>, KeyError>) -> Self {
        let bytes = fs::read(path).map_err(|error| error.to_string());
        self.add(&format!("the file `{}`", path.display()), bytes, read)
    }

    fn add_env(self, name: &str, read: impl FnOnce(&[u8]) -> Result<Vec<Key>, KeyError>) -> Self {
        // The error of what is not Unicode has the value, which is a secret perhaps.
        let text = env::var(name).map_err(|error| match error {
            env::VarError::NotPresent => "it is not set".to_owned(),
            env::VarError::NotUnicode(_) => "it is not Unicode".to_owned(),
        });
        self.add(&format!("the variable `{name}`"), text, read)
    }

    fn add(
        self,
        from: &str,
        bytes: Result<impl AsRef<[u8]>, String>,
        read: impl FnOnce(&[u8]) -> Result<Vec<Key>, KeyError>,
    ) -> Self {
        let keys = bytes.and_then(|bytes| read(bytes.as_ref()).map_err(|error| error.to_string()));
        self.with(keys.map_err(|reason| format!("{from}: {reason}")))
    }

    fn with(mut self, keys: Result<Vec<Key>, String>) -> Self {
        match keys {
            Ok(keys) => self.keys.extend(keys),
            Err(mistake) => self.mistakes.push(mistake),
        }
        self.set = Some(KeySet::new(self.keys.iter().cloned()));
        self
    }
}

impl KeySource for FixedKeys {
    fn current(&self) -> Option<KeySet> {
        match &self.set {
            Some(Ok(set)) if self.mistakes.is_empty() && !set.keys().is_empty() => {
                Some(set.clone())
            }
            _ => None,
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.mistakes.clone();
        if let Some(Err(error)) = &self.set {
            mistakes.push(format!("the keys can not be together: {error}"));
        } else if self.keys.is_empty() && mistakes.is_empty() {
            mistakes.push("there are no keys; name at least one".to_owned());
        }
        mistakes
    }
}

fn from_pem(pem: &[u8]) -> Result<Vec<Key>, KeyError> {
    Key::from_pem(pem).map(|key| vec![key])
}

fn from_jwk(json: &[u8]) -> Result<Vec<Key>, KeyError> {
    let set = match KeySet::from_jwks(json) {
        // It has no such member, so it is no set.
        Err(KeyError::Member { member: "keys", .. }) => {
            return Key::from_jwk(json).map(|key| vec![key]);
        }
        set => set?,
    };
    let is_for_else = |error: &KeyError| matches!(error, KeyError::Member { member, .. } if ["use", "key_ops"].contains(member));
    match set.skipped().iter().find(|(_, error)| !is_for_else(error)) {
        Some((_, error)) => Err(error.clone()),
        None => Ok(set.keys().to_vec()),
    }
}

fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<Vec<Key>, KeyError> {
    Key::from_secret(secret, algorithm).map(|key| vec![key])
}

#[cfg(test)]
mod tests;
