//! A compact JWS: read, then verified.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use memchr::memchr_iter;

use super::{Algorithm, ClaimError, Claims, Key, KeySet, Policy, VerifyError};
use crate::json::{Value, parse_object};

/// Verifies a compact JWS (RFC 7515 section 7.1): one of the keys that it may mean has signed it, with an algorithm that the
/// key is bound to and the policy allows.
///
/// The payload may be any bytes, none included. The same as [`Unverified::parse`] and [`Unverified::verify`] at once.
///
/// # Errors
///
/// See [`VerifyError`]. [`VerifyError::UnknownKey`] alone says that newer keys might help.
pub fn verify(token: &str, keys: &KeySet, policy: &Policy) -> Result<Verified, VerifyError> {
    Unverified::parse(token, policy)?.verify(keys)
}

/// A token that has been read and keeps to the policy, but that nobody vouches for yet.
///
/// For choosing the keys: by what it *says* its issuer is ([`claims`](Self::claims)), or by its [`kid`](Self::kid). Nothing
/// else may be done with what it says.
pub struct Unverified<'t> {
    /// Header and payload as they were signed.
    signed: &'t str,
    /// Payload and signature, decoded.
    decoded: Vec<u8>,
    payload_length: usize,
    header: Header,
}

/// What the header says.
struct Header {
    algorithm: Algorithm,
    kid: Option<Box<str>>,
    typ: Option<Box<str>>,
}

impl<'t> Unverified<'t> {
    /// Reads a token: its form, its header and what the policy asks for. No key is needed.
    ///
    /// # Errors
    ///
    /// Any [`VerifyError`] but [`UnknownKey`](VerifyError::UnknownKey), [`Ambiguous`](VerifyError::Ambiguous) and
    /// [`Signature`](VerifyError::Signature).
    pub fn parse(token: &'t str, policy: &Policy) -> Result<Self, VerifyError> {
        let (length, max) = (token.len(), policy.max_length);
        if length > max {
            return Err(VerifyError::TooLong { length, max });
        }
        let mut dots = memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(VerifyError::Segments);
        };
        let part = |from, to| token.get(from..to).unwrap_or_default();
        // Everything in one buffer; each part is as long as it is decoded, or shorter.
        let mut decoded = Vec::with_capacity(length);
        decode("header", part(0, first), &mut decoded)?;
        let header = Header::parse(&decoded, policy)?;
        decoded.clear();
        // Only the payload may be empty.
        if second > first + 1 {
            decode("payload", part(first + 1, second), &mut decoded)?;
        }
        let payload_length = decoded.len();
        decode("signature", part(second + 1, length), &mut decoded)?;
        Ok(Self {
            signed: part(0, second),
            decoded,
            payload_length,
            header,
        })
    }

    /// `alg` of its header.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// `kid` of its header.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What it claims, unproven.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if its payload is not that of a JWT.
    pub fn claims(&self) -> Result<Claims, ClaimError> {
        Claims::parse(self.decoded.split_at(self.payload_length).0)
    }

    /// Verifies it with the keys that it may mean.
    ///
    /// # Errors
    ///
    /// [`UnknownKey`](VerifyError::UnknownKey), [`AlgorithmNotAllowed`](VerifyError::AlgorithmNotAllowed),
    /// [`Ambiguous`](VerifyError::Ambiguous) and [`Signature`](VerifyError::Signature).
    pub fn verify(mut self, keys: &KeySet) -> Result<Verified, VerifyError> {
        let (_, signature) = self.decoded.split_at(self.payload_length);
        let signed = self.signed.as_bytes();
        let key = keys.signer(self.kid(), self.algorithm(), signed, signature)?;
        let key = key.clone();
        self.decoded.truncate(self.payload_length);
        Ok(Verified {
            payload: self.decoded,
            header: self.header,
            key,
        })
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Unverified", &self.header, f)
    }
}

/// A token that one of the keys has signed.
///
/// Its `Debug` shows what the header says, not the payload.
pub struct Verified {
    payload: Vec<u8>,
    header: Header,
    key: Key,
}

impl Verified {
    /// The payload, as it was signed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload as claims (RFC 7519).
    ///
    /// # Errors
    ///
    /// [`ClaimError`] if the payload is not strict JSON, or a registered claim has the wrong type.
    pub fn claims(&self) -> Result<Claims, ClaimError> {
        Claims::parse(&self.payload)
    }

    /// The algorithm it was verified with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// `kid` of its header.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// `typ` of its header, as it is there.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// The key that has signed it.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Verified", &self.header, f)
    }
}

impl Header {
    fn parse(decoded: &[u8], policy: &Policy) -> Result<Self, VerifyError> {
        let (text, node) = parse_object(decoded)?;
        let (mut alg, mut kid, mut typ) = (None, None, None);
        for (name, value) in Value::new(text, &node).members().into_iter().flatten() {
            match name {
                "alg" => alg = Some(string("alg", value)?),
                "kid" => kid = Some(string("kid", value)?),
                "typ" => typ = Some(string("typ", value)?),
                _ => refuse(name)?,
            }
        }
        let alg = alg.ok_or(VerifyError::Header {
            member: "alg",
            wrong: "is missing",
        })?;
        let algorithm = alg
            .parse()
            .map_err(|_| VerifyError::UnsupportedAlgorithm(alg.into()))?;
        if !policy.algorithms.contains(algorithm) {
            return Err(VerifyError::AlgorithmNotAllowed(algorithm));
        }
        if !policy.accepts_type(typ) {
            return Err(VerifyError::Type(typ.map(Into::into)));
        }
        Ok(Self {
            algorithm,
            kid: kid.map(Into::into),
            typ: typ.map(Into::into),
        })
    }
}

fn string<'a>(member: &'static str, value: Value<'a>) -> Result<&'a str, VerifyError> {
    value.as_str().ok_or(VerifyError::Header {
        member,
        wrong: "has to be a string",
    })
}

/// Members that change how a token is read, or that bring a key for it; others are ignored (RFC 7515 section 4.2).
fn refuse(name: &str) -> Result<(), VerifyError> {
    const CRITICAL: &str = "is not understood, so that the token has to be refused";
    const KEY: &str = "brings a key, which a token may not";
    let known = [
        ("crit", CRITICAL),
        ("b64", CRITICAL),
        ("jwk", KEY),
        ("jku", KEY),
        ("x5u", KEY),
        ("x5c", KEY),
    ];
    match known.into_iter().find(|(member, _)| *member == name) {
        Some((member, wrong)) => Err(VerifyError::Header { member, wrong }),
        None => Ok(()),
    }
}

fn decode(part: &'static str, text: &str, into: &mut Vec<u8>) -> Result<(), VerifyError> {
    match BASE64_URL_SAFE_NO_PAD.decode_vec(text, into) {
        Ok(()) if !text.is_empty() => Ok(()),
        _ => Err(VerifyError::Base64(part)),
    }
}

fn debug(name: &str, header: &Header, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("algorithm", &header.algorithm)
        .field("kid", &header.kid)
        .field("typ", &header.typ)
        .finish_non_exhaustive()
}
