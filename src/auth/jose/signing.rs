//! Signing, for tokens of one's own.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    hmac, rand,
    rsa::{KeyPairComponents, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
        RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaPublicKeyComponents, RsaSignatureEncoding,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{
    Algorithm, Key, KeyError,
    key::{Curve, Jwk, Public, pem, secret_key},
};
use crate::json::{Value, parse_object};

/// A key that signs, with one algorithm. Clones share it.
///
/// Its `Debug` shows the name and the algorithm, never the key.
#[derive(Clone)]
pub struct SigningKey {
    typ: Arc<str>,
    algorithm: Algorithm,
    pair: Arc<Pair>,
    /// What verifies it, and has the name.
    key: Key,
}

/// A private key and its public half, which a secret does not have.
struct Pair {
    signer: Signer,
    public: Option<Public>,
}

enum Signer {
    Secret(Box<hmac::Key>),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key, of the library's randomness: `ES256`, `ES384`, `ES512` or `EdDSA`; RSA (2048 bits) takes a while; for `HS*` a secret as
    /// long as the hash, which nobody else has.
    ///
    /// # Errors
    ///
    /// [`KeyError::Crypto`] if the library has none.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        use Algorithm::{ES256, ES384, ES512, EdDSA, HS256, HS384, HS512};
        let signer = match algorithm {
            HS256 | HS384 | HS512 => {
                let mut secret = [0; 64];
                rand::fill(&mut secret).map_err(crypto)?;
                return Self::from_secret(secret, algorithm);
            }
            ES256 => Signer::Ec(EcdsaKeyPair::generate(signing(Curve::P256)).map_err(crypto)?),
            ES384 => Signer::Ec(EcdsaKeyPair::generate(signing(Curve::P384)).map_err(crypto)?),
            ES512 => Signer::Ec(EcdsaKeyPair::generate(signing(Curve::P521)).map_err(crypto)?),
            EdDSA => Signer::Ed25519(Ed25519KeyPair::generate().map_err(crypto)?),
            _ => Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(crypto)?),
        };
        Self::new(signer, Some(algorithm))
    }

    /// A private key in PEM: `PRIVATE KEY` (PKCS #8), `RSA PRIVATE KEY`, `EC PRIVATE KEY`. RSA signs with `RS256`, unless
    /// [`with_algorithm`](Self::with_algorithm) says otherwise.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`] for a public key, [`KeyError::Pem`] and the others as for [`Key::from_pem`].
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let (label, der) = pem::block(pem.as_ref())?;
        let signer = match label {
            "PRIVATE KEY" => match pem::pkcs8_kind(&der)? {
                pem::Kind::Rsa => Signer::Rsa(RsaKeyPair::from_pkcs8(&der).map_err(crypto)?),
                pem::Kind::Ec(curve) => {
                    Signer::Ec(EcdsaKeyPair::from_pkcs8(signing(curve), &der).map_err(crypto)?)
                }
                // With or without the public half (RFC 8410 section 7).
                pem::Kind::Ed25519 => Signer::Ed25519(
                    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(crypto)?,
                ),
            },
            "RSA PRIVATE KEY" => Signer::Rsa(RsaKeyPair::from_der(&der).map_err(crypto)?),
            "EC PRIVATE KEY" => {
                let curve = pem::sec1_curve(&der)?;
                Signer::Ec(
                    EcdsaKeyPair::from_private_key_der(signing(curve), &der).map_err(crypto)?,
                )
            }
            "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => return Err(KeyError::Public),
            _ => {
                return Err(KeyError::Pem(
                    "the PEM is neither PRIVATE KEY, RSA PRIVATE KEY nor EC PRIVATE KEY",
                ));
            }
        };
        Self::new(signer, None)
    }

    /// A private key, or a secret with `alg`, as a JWK. With `key_ops` it has to have `sign`. RSA without `alg` signs with `RS256`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`] for a public key; the others as for [`Key::from_jwk`].
    pub fn from_jwk(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let (text, node) = parse_object(json.as_ref())?;
        let jwk = Jwk(Value::new(text, &node));
        jwk.kty()?;
        if !jwk.is_private() {
            return Err(KeyError::Public);
        }
        jwk.check_use("sign")?;
        let algorithm = jwk.algorithm()?;
        let key = match jwk.kty()? {
            "oct" => {
                let algorithm = algorithm.ok_or(KeyError::Member {
                    member: "alg",
                    wrong: "is missing; a secret has to say HS256, HS384 or HS512",
                })?;
                Self::from_secret(jwk.bytes("k")?, algorithm)?
            }
            _ => Self::new(signer(jwk)?, algorithm)?,
        };
        Ok(match jwk.text("kid")? {
            Some(kid) => key.with_kid(kid),
            None => key,
        })
    }

    /// A secret for `HS256`, `HS384` or `HS512`.
    ///
    /// # Errors
    ///
    /// As for [`Key::from_secret`].
    pub fn from_secret(secret: impl AsRef<[u8]>, algorithm: Algorithm) -> Result<Self, KeyError> {
        let signer = Signer::Secret(secret_key(secret.as_ref(), algorithm)?.into());
        Ok(Self {
            typ: "JWT".into(),
            algorithm,
            pair: Arc::new(Pair {
                signer,
                public: None,
            }),
            key: Key::from_secret(secret, algorithm)?,
        })
    }

    /// With this name, as `kid` of what it signs.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<Arc<str>>) -> Self {
        self.key = self.key.with_kid(kid);
        self
    }

    /// With this `typ` in what it signs. Default: `JWT`.
    #[must_use]
    pub fn with_typ(mut self, typ: impl Into<Arc<str>>) -> Self {
        self.typ = typ.into();
        self
    }

    /// With this algorithm, for an RSA key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Mismatch`] if the key can not be used with it.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Result<Self, KeyError> {
        let Some(public) = &self.pair.public else {
            return match algorithm == self.algorithm {
                true => Ok(self),
                false => Err(KeyError::Mismatch(algorithm)),
            };
        };
        let mut key = verifying(public, algorithm)?;
        if let Some(kid) = self.key.kid() {
            key = key.with_kid(kid);
        }
        self.key = key;
        self.algorithm = algorithm;
        Ok(self)
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs a payload, as it is: a compact JWS.
    ///
    /// # Errors
    ///
    /// [`KeyError::Crypto`] if the library could not.
    pub fn sign(&self, payload: impl AsRef<[u8]>) -> Result<String, KeyError> {
        let name = self.algorithm.name();
        let kid = self
            .key
            .kid()
            .map(|kid| format!(r#","kid":{}"#, quoted(kid)));
        let (kid, typ) = (kid.unwrap_or_default(), quoted(&self.typ));
        let header = format!(r#"{{"alg":"{name}"{kid},"typ":{typ}}}"#);
        let mut token = BASE64_URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Signs claims: a JWT.
    ///
    /// # Errors
    ///
    /// [`KeyError::Json`] for claims that are no JSON object; [`KeyError::Crypto`] if the library could not.
    pub fn sign_claims<T: Serialize + ?Sized>(&self, claims: &T) -> Result<String, KeyError> {
        let payload = serde_json::to_vec(claims).map_err(|_| super::JsonError::NotAnObject)?;
        parse_object(&payload)?;
        self.sign(payload)
    }

    /// The key that verifies what it signs, with the same name and this algorithm alone.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key.clone()
    }

    /// Its public key as a JWK, for a JWK set; nothing for a secret.
    #[must_use]
    pub fn public_jwk(&self) -> Option<String> {
        let mut jwk = self.pair.public.as_ref()?.to_jwk();
        jwk.pop();
        if let Some(kid) = self.key.kid() {
            jwk += &format!(r#","kid":{}"#, quoted(kid));
        }
        jwk += &format!(r#","alg":"{}","use":"sig"}}"#, self.algorithm);
        Some(jwk)
    }

    fn new(signer: Signer, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let public = signer.public()?;
        let default = match &public {
            Public::Rsa { .. } => Algorithm::RS256,
            Public::Ec { curve, .. } => curve.algorithm(),
            Public::Ed25519(_) => Algorithm::EdDSA,
        };
        let algorithm = algorithm.unwrap_or(default);
        let key = verifying(&public, algorithm)?;
        let public = Some(public);
        Ok(Self {
            typ: "JWT".into(),
            algorithm,
            pair: Arc::new(Pair { signer, public }),
            key,
        })
    }

    fn signature(&self, signed: &[u8]) -> Result<Vec<u8>, KeyError> {
        // The library has its own randomness and ignores what it is given.
        let random = rand::SystemRandom::new();
        Ok(match &self.pair.signer {
            Signer::Secret(key) => hmac::sign(key, signed).as_ref().to_vec(),
            Signer::Ed25519(pair) => pair.try_sign(signed).map_err(crypto)?.as_ref().to_vec(),
            Signer::Ec(pair) => pair
                .sign(&random, signed)
                .map_err(crypto)?
                .as_ref()
                .to_vec(),
            Signer::Rsa(pair) => {
                let encoding = encoding(self.algorithm).ok_or(KeyError::Crypto)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, signed, &mut signature)
                    .map_err(crypto)?;
                signature
            }
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.key.kid())
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Signer {
    fn public(&self) -> Result<Public, KeyError> {
        match self {
            Self::Secret(_) => Err(KeyError::Secret),
            Self::Rsa(pair) => pem::rsa_public(pair.public_key().as_ref()),
            Self::Ed25519(pair) => Public::ed25519(pair.public_key().as_ref()),
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let mut curves = [Curve::P256, Curve::P384, Curve::P521].into_iter();
                let curve = curves.find(|curve| point.len() == 1 + 2 * curve.size());
                Public::ec(curve.ok_or(KeyError::Crypto)?, point)
            }
        }
    }
}

/// The private key of a JWK, which its public half has to fit.
fn signer(jwk: Jwk<'_>) -> Result<Signer, KeyError> {
    let public = jwk.public()?;
    Ok(match &public {
        Public::Rsa { n, e } => {
            let private = ["d", "p", "q", "dp", "dq", "qi"].map(|member| jwk.bytes(member));
            let [d, p, q, dp, dq, qi] = private;
            let public_key = RsaPublicKeyComponents { n: &**n, e: &**e };
            let pair = RsaKeyPair::from_components(&KeyPairComponents {
                public_key,
                d: d?,
                p: p?,
                q: q?,
                dP: dp?,
                dQ: dq?,
                qInv: qi?,
            });
            Signer::Rsa(pair.map_err(crypto)?)
        }
        Public::Ec { curve, point } => {
            let d = jwk.sized("d", curve.size())?;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(signing(*curve), &d, point);
            Signer::Ec(pair.map_err(crypto)?)
        }
        Public::Ed25519(point) => {
            let seed = jwk.sized("d", 32)?;
            Signer::Ed25519(Ed25519KeyPair::from_seed_and_public_key(&seed, point).map_err(crypto)?)
        }
    })
}

/// The key that verifies with this algorithm alone.
fn verifying(public: &Public, algorithm: Algorithm) -> Result<Key, KeyError> {
    let only = std::iter::once(algorithm).collect::<super::algorithm::Algorithms>();
    Key::from_public(public, only.within(public.algorithms())?)
}

fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

fn encoding(algorithm: Algorithm) -> Option<&'static RsaSignatureEncoding> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        Algorithm::PS512 => &RSA_PSS_SHA512,
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn crypto<E>(_: E) -> KeyError {
    KeyError::Crypto
}
