//! What can be wrong with a token and a key. Precise, for logs; nothing for clients.

use super::Algorithm;
use crate::json::JsonError;

/// Why a token is refused. For logs; a client should be told no more than RFC 6750 says (`invalid_token`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Longer than [`Policy::max_length`](super::Policy::max_length) allows.
    #[error("the token has {length} bytes; at most {max} are allowed")]
    TooLong {
        /// Bytes it has.
        length: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// Not three segments with two dots between them.
    #[error("a token is three segments with two dots between them")]
    Segments,
    /// A segment (`header`, `payload`, `signature`) is not canonical base64url without padding, or is empty and may not be.
    #[error("the {0} is not canonical base64url without padding, or empty")]
    Base64(&'static str),
    /// The header is not strict JSON.
    #[error("the header: {0}")]
    Json(#[from] JsonError),
    /// A member of the header is missing, has the wrong type, or may not be there.
    #[error("`{member}` in the header {wrong}")]
    Header {
        /// Its name.
        member: &'static str,
        /// What is wrong, as the end of a sentence.
        wrong: &'static str,
    },
    /// An algorithm that does not exist here, `none` among them.
    #[error("the algorithm {0:?} is not supported")]
    UnsupportedAlgorithm(Box<str>),
    /// The policy, or every key that the token could mean, does not allow the algorithm.
    #[error("the algorithm {0} is not allowed here")]
    AlgorithmNotAllowed(Algorithm),
    /// `typ` is none of those the policy wants, or missing.
    #[error("`typ` is {0:?}, which is not accepted here")]
    Type(Option<Box<str>>),
    /// No key has this `kid`, or none fits a token that has no `kid`. Fetching keys anew may help.
    #[error("no key for `kid` {kid:?}")]
    UnknownKey {
        /// As the token has it: do not log it unescaped.
        kid: Option<Box<str>>,
    },
    /// The token has no `kid`, and more than [`KeySet::MAX_TRIES`](super::KeySet::MAX_TRIES) keys could have signed it.
    #[error("the token has no `kid`, and {0} keys could have signed it")]
    Ambiguous(usize),
    /// The signature is not that of the key.
    #[error("the signature is wrong")]
    Signature,
}

/// Why a key, or a set of keys, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The JWK or the set is not strict JSON.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// The PEM or the DER in it can not be read, or is of a kind that is not supported.
    #[error("{0}")]
    Pem(&'static str),
    /// A member is missing, has the wrong type or a value that is not allowed.
    #[error("`{member}` {wrong}")]
    Member {
        /// Its name, such as `kty` or `use`.
        member: &'static str,
        /// What is wrong and what is allowed, as the end of a sentence.
        wrong: &'static str,
    },
    /// An algorithm that does not exist here.
    #[error("the algorithm {0:?} is not supported")]
    Algorithm(Box<str>),
    /// The key can not be used with the algorithm.
    #[error("this kind of key can not be used with {0}")]
    Mismatch(Algorithm),
    /// An RSA modulus is too short or too long.
    #[error("the RSA modulus has {0} bits; 2048 to 8192 are allowed")]
    RsaSize(usize),
    /// A secret is shorter than the hash (RFC 7518 section 3.2).
    #[error("the secret has {length} bytes; {algorithm} needs at least {min}")]
    ShortSecret {
        /// Bytes it has.
        length: usize,
        /// Bytes it needs.
        min: usize,
        /// For which algorithm.
        algorithm: Algorithm,
    },
    /// A private key where a public key is wanted: verifying does not need it, and it should not be there.
    #[error("this is a private key; a public key is wanted")]
    Private,
    /// A public key where a private key is wanted.
    #[error("this is a public key; a private key is wanted")]
    Public,
    /// A secret in a set of public keys.
    #[error("a secret (`kty` \"oct\") is not allowed in a set of public keys")]
    Secret,
    /// A set with secrets and public keys.
    #[error("a set has either secrets or public keys, not both")]
    Mixed,
    /// Two keys of a set have the same `kid` and an algorithm in common.
    #[error("two keys have the `kid` {0:?} and an algorithm in common")]
    DuplicateKid(Box<str>),
    /// Too many keys, or too many bytes.
    #[error("the set has {count} {unit}; at most {max} are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
        /// `keys` or `bytes`.
        unit: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// A set has keys, and none that could be used; why the first of them is not.
    #[error("none of the keys can be used; the first: {0}")]
    NoneUsable(Box<KeyError>),
    /// The cryptographic library refuses the key, or could not sign.
    #[error("the cryptographic library refuses the key")]
    Crypto,
}
