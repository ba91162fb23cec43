//! A key that verifies, bound to its algorithms.

mod der;
mod jwk;
pub(super) mod pem;
mod public;
mod rsa;

use std::{fmt, sync::Arc};

use aws_lc_rs::{digest, hmac, signature::ParsedPublicKey};

use super::{Algorithm, KeyError, algorithm::Algorithms};
use crate::json::{Value, parse_object};
pub(super) use jwk::Jwk;
pub(super) use public::{Curve, Public};

/// A key that verifies signatures, and the algorithms that it verifies. Clones share it.
///
/// Which algorithms is decided when the key is loaded: a curve has one, a secret is given one, and so has an RSA key with `alg`.
/// An RSA key without `alg` verifies `RS*` and `PS*`, all six, as issuers publish it for either; restrict it with
/// [`with_algorithms`](Self::with_algorithms), or in the [`Policy`](super::Policy).
///
/// RSA keys have 2048 to 8192 bits and an exponent of at least 65537, and are not of the generator of CVE-2017-15361.
#[derive(Clone)]
pub struct Key {
    kid: Option<Arc<str>>,
    algorithms: Algorithms,
    id: KeyId,
    material: Arc<Material>,
}

impl Key {
    /// A public key as a JWK (RFC 7517): `kty` `RSA`, `EC` (P-256, P-384, P-521) or `OKP` (Ed25519).
    ///
    /// With `use` it has to be `sig`, with `key_ops` it has to have `verify`, and `alg` has to fit the key. Members that are not
    /// known are ignored.
    ///
    /// # Errors
    ///
    /// [`KeyError::Private`] for a private key, [`KeyError::Secret`] for a secret (see [`from_secret`](Self::from_secret));
    /// a [`KeyError`] that names the member for what is missing, weak or wrong.
    pub fn from_jwk(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let (text, node) = parse_object(json.as_ref())?;
        Self::from_value(Value::new(text, &node))
    }

    /// A public key in PEM: `PUBLIC KEY`, `RSA PUBLIC KEY`, or the key of a `CERTIFICATE`, of which nothing else is looked at: neither
    /// who signed it nor how long it lasts.
    ///
    /// # Errors
    ///
    /// [`KeyError::Private`] for a private key; [`KeyError::Pem`] and the others for what can not be read or is weak.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let public = pem::public(pem.as_ref())?;
        Self::from_public(&public, public.algorithms())
    }

    /// A secret for `HS256`, `HS384` or `HS512`: at least as long as the hash (32, 48, 64 bytes; RFC 7518 section 3.2).
    ///
    /// # Errors
    ///
    /// [`KeyError::ShortSecret`]; [`KeyError::Mismatch`] for another algorithm.
    pub fn from_secret(secret: impl AsRef<[u8]>, algorithm: Algorithm) -> Result<Self, KeyError> {
        let key = secret_key(secret.as_ref(), algorithm)?;
        // As much as every signature tells of the secret; a plain hash would be the same under each algorithm.
        let tag = hmac::sign(&key, b"tower-gateway key id");
        let digest = digest::digest(&digest::SHA256, tag.as_ref());
        Ok(Self::new(Material {
            verifiers: vec![(algorithm, Verifier::Secret(key.into()))],
            digest,
        }))
    }

    /// With this name: tokens that have another `kid` are not verified with it. A key without one verifies a token whatever
    /// its `kid` is, unless another key has that.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<Arc<str>>) -> Self {
        self.kid = Some(kid.into());
        self.identified()
    }

    /// Bound to these algorithms alone.
    ///
    /// # Errors
    ///
    /// [`KeyError::Mismatch`] for one that it was not bound to before, and [`KeyError::Member`] for none at all.
    pub fn with_algorithms(
        mut self,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Self, KeyError> {
        let wanted: Algorithms = algorithms.into_iter().collect();
        self.algorithms = wanted.within(self.algorithms)?;
        Ok(self.identified())
    }

    /// Its name.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it verifies.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.algorithms.iter()
    }

    /// What is the same for the same key with the same name and the same algorithms, however often it is loaded.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A public key of a set.
    pub(super) fn from_value(value: Value<'_>) -> Result<Self, KeyError> {
        let jwk = Jwk(value);
        if jwk.kty()? == "oct" {
            return Err(KeyError::Secret);
        }
        if jwk.is_private() {
            return Err(KeyError::Private);
        }
        jwk.check_use("verify")?;
        let algorithm = jwk.algorithm()?;
        let public = jwk.public()?;
        let algorithms = match algorithm {
            Some(algorithm) => Algorithms::from_iter([algorithm]).within(public.algorithms())?,
            None => public.algorithms(),
        };
        Self::from_public(&public, algorithms)?.named(jwk)
    }

    /// A secret of a set.
    pub(super) fn from_secret_value(value: Value<'_>) -> Result<Self, KeyError> {
        let jwk = Jwk(value);
        if jwk.kty()? != "oct" {
            return Err(KeyError::Mixed);
        }
        jwk.check_use("verify")?;
        let algorithm = jwk.algorithm()?.ok_or(KeyError::Member {
            member: "alg",
            wrong: "is missing; a secret has to say HS256, HS384 or HS512",
        })?;
        Self::from_secret(jwk.bytes("k")?, algorithm)?.named(jwk)
    }

    pub(super) fn from_public(public: &Public, algorithms: Algorithms) -> Result<Self, KeyError> {
        let verifiers = algorithms.iter().map(|algorithm| {
            let parsed = public.parse(algorithm)?;
            Ok((algorithm, Verifier::Public(parsed)))
        });
        Ok(Self::new(Material {
            verifiers: verifiers.collect::<Result<_, KeyError>>()?,
            digest: digest::digest(&digest::SHA256, public.to_jwk().as_bytes()),
        }))
    }

    fn new(material: Material) -> Self {
        let algorithms = material.verifiers.iter().map(|(algorithm, _)| *algorithm);
        let key = Self {
            kid: None,
            algorithms: algorithms.collect(),
            id: KeyId([0; 32]),
            material: Arc::new(material),
        };
        key.identified()
    }

    fn named(self, jwk: Jwk<'_>) -> Result<Self, KeyError> {
        Ok(match jwk.text("kid")? {
            Some(kid) => self.with_kid(kid),
            None => self,
        })
    }

    fn identified(mut self) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.material.digest.as_ref());
        for algorithm in self.algorithms.iter() {
            hash.update(algorithm.name().as_bytes());
        }
        if let Some(kid) = &self.kid {
            hash.update(b" ");
            hash.update(kid.as_bytes());
        }
        self.id.0.copy_from_slice(hash.finish().as_ref());
        self
    }

    pub(super) fn is_secret(&self) -> bool {
        let mut verifiers = self.material.verifiers.iter();
        verifiers.any(|(_, verifier)| matches!(verifier, Verifier::Secret(_)))
    }

    pub(super) fn bound_to(&self) -> Algorithms {
        self.algorithms
    }

    /// Whether it has signed this, with an algorithm that it is bound to.
    pub(super) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let mut verifiers = self.material.verifiers.iter();
        let verifier = verifiers.find(|(bound, _)| *bound == algorithm);
        self.algorithms.contains(algorithm)
            && verifier.is_some_and(|(_, verifier)| match verifier {
                Verifier::Public(key) => key.verify_sig(signed, signature).is_ok(),
                Verifier::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// Which key it was: a digest of its material, its `kid` and its algorithms.
///
/// For remembering what verified a token, and asking later whether the key is still there
/// ([`KeySet::contains`](super::KeySet::contains)). That of a secret does not give the secret away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

struct Material {
    verifiers: Vec<(Algorithm, Verifier)>,
    /// For a public key, its thumbprint (RFC 7638).
    digest: digest::Digest,
}

enum Verifier {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// A secret that is long enough for its algorithm.
pub(super) fn secret_key(secret: &[u8], algorithm: Algorithm) -> Result<hmac::Key, KeyError> {
    let (hash, min) = match algorithm {
        Algorithm::HS256 => (hmac::HMAC_SHA256, 32),
        Algorithm::HS384 => (hmac::HMAC_SHA384, 48),
        Algorithm::HS512 => (hmac::HMAC_SHA512, 64),
        _ => return Err(KeyError::Mismatch(algorithm)),
    };
    let length = secret.len();
    match length >= min {
        true => Ok(hmac::Key::new(hash, secret)),
        false => Err(KeyError::ShortSecret {
            length,
            min,
            algorithm,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrowed_key_verifies_no_more_than_it_says() {
        use Algorithm::{RS256, RS384};
        let signing = super::super::SigningKey::generate(RS256).unwrap();
        let token = signing.sign("{}").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let engine = base64::prelude::BASE64_URL_SAFE_NO_PAD;
        let signature = base64::Engine::decode(&engine, signature).unwrap();
        let key = Key::from_jwk(signing.public_jwk().unwrap().replace("alg", "x")).unwrap();
        assert!(key.verify(RS256, signed.as_bytes(), &signature));
        let other = key.with_algorithms([RS384]).unwrap();
        assert!(!other.verify(RS256, signed.as_bytes(), &signature));
    }
}
