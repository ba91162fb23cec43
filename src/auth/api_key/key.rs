//! One key: what of it is kept, and who has it.

use std::{fmt, time::SystemTime};

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    claims::Claims,
    error::{Error, ErrorKind},
    identity::Identity,
};

/// A plain key that is shorter can be guessed.
const SHORTEST: usize = 16;

/// An API key, and who has it. The key itself is not kept, only its SHA-256: a key is random and long, unlike a password, so that a
/// fast hash of it can not be turned back.
///
/// A key may begin with an identifier, which ends at the first `.`: `gw_live_6f9a01c2.…`. It is no secret, and a [store](super::ApiKeyStore)
/// may look a key up by it.
///
/// ```
/// use tower_gateway::{Claims, auth::ApiKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (shown_once, key) = ApiKey::generate("gw_live", "billing")?;
/// let key = key.with_claims(Claims::new().with("scope", "invoices:read invoices:write").with("tenant", 7));
///
/// // What a database keeps, and what a key is made of again.
/// let same = ApiKey::from_hash("billing", &key.hash())?;
/// assert_eq!(same.hash(), ApiKey::new("billing", &shown_once)?.hash());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ApiKey {
    hash: [u8; 32],
    id: Option<Box<str>>,
    claims: Claims,
    expires_at: Option<SystemTime>,
}

/// Text that is no API key, or no hash of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApiKeyError(&'static str);

impl ApiKey {
    /// This key, which is hashed at once. It is not a password: whoever can guess it is let in. [`generate`](Self::generate) makes good ones.
    ///
    /// # Errors
    /// It has less than 16 bytes, or others than visible ASCII.
    pub fn new(subject: impl Into<String>, key: &str) -> Result<Self, ApiKeyError> {
        if key.len() < SHORTEST {
            return Err(ApiKeyError(
                "the key is too short; it has at least 16 bytes",
            ));
        }
        if !is_key(key.as_bytes()) {
            return Err(ApiKeyError(
                "the key has others than visible ASCII characters",
            ));
        }
        let known = Self::of(subject.into(), sha256(key.as_bytes()));
        Ok(match id_of(key) {
            Some(id) => known.with_id(id),
            None => known,
        })
    }

    /// The key that has this SHA-256, in hexadecimal.
    ///
    /// # Errors
    /// It is not of 64 hexadecimal digits.
    pub fn from_hash(subject: impl Into<String>, sha256: &str) -> Result<Self, ApiKeyError> {
        let hash = from_hex(sha256).ok_or(ApiKeyError("a SHA-256 has 64 hexadecimal digits"))?;
        Ok(Self::of(subject.into(), hash))
    }

    /// A new key of 256 random bits, with an identifier that begins with `prefix`: the text that is shown to its owner once, and what
    /// is kept. A prefix tells people and secret scanners what they have found, as `shop_live`; it may be empty.
    ///
    /// # Errors
    /// The prefix has others than letters, digits, `-` and `_`, or the operating system gives no randomness.
    pub fn generate(prefix: &str, subject: impl Into<String>) -> Result<(String, Self), Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !prefix.bytes().all(is_plain) {
            let wrong = "the prefix has others than letters, digits, `-` and `_`";
            return Err(Error::new(ErrorKind::Internal).with_source(wrong));
        }
        let mut random = [0; 40];
        rand::fill(&mut random)
            .map_err(|_| Error::new(ErrorKind::Internal).with_source("there is no randomness"))?;
        let (id, secret) = random.split_at(8);
        let separator = if prefix.is_empty() { "" } else { "_" };
        let secret = BASE64_URL_SAFE_NO_PAD.encode(secret);
        let text = format!("{prefix}{separator}{}.{secret}", hex(id));
        let key = Self::new(subject, &text)
            .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
        Ok((text, key))
    }

    /// What it may do: the claim `scope`, names with blanks between them. Default: none.
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.claims = self.claims.with("scope", scope.into());
        self
    }

    /// What is known of its owner, in place of what was said before; the subject stays.
    pub fn with_claims(mut self, claims: Claims) -> Self {
        self.claims = claims.with("sub", self.claims.subject());
        self.noting_id()
    }

    /// The part of it that is no secret. Default: what stands before the first `.` of a key, if it is known.
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self.noting_id()
    }

    /// From when on it is not valid any more. Default: never.
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// The part of it that is no secret.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Its SHA-256, in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&self.hash)
    }

    /// What is known of its owner.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    fn of(subject: String, hash: [u8; 32]) -> Self {
        Self {
            hash,
            id: None,
            claims: Claims::new().with("sub", subject),
            expires_at: None,
        }
    }

    fn noting_id(mut self) -> Self {
        if let Some(id) = &self.id {
            self.claims = self.claims.with("key_id", id);
        }
        self
    }

    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Who has sent the key with this hash, or why nobody has.
    pub(super) fn owner(&self, hash: &[u8; 32], now: SystemTime) -> Result<Identity, &'static str> {
        if constant_time::verify_slices_are_equal(&self.hash, hash).is_err() {
            return Err("it is another key");
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err("it has expired");
        }
        Ok(Identity::new("api-key", self.claims.clone()))
    }
}

/// Whether these are characters of a key: visible ASCII.
pub(super) fn is_key(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic)
}

/// What stands before the first `.`.
pub(super) fn id_of(key: &str) -> Option<&str> {
    let (id, _) = key.split_once('.')?;
    (!id.is_empty()).then_some(id)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != hash.len() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

/// Its hash is no secret, but nobody's business either.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("subject", &self.claims.subject())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, time::Duration};

    const KEY: &str = "gw_live_abcd.0123456789";

    #[test]
    fn a_key_is_known_by_its_hash() {
        let key = ApiKey::new("a", KEY).unwrap();
        assert_eq!(key.id(), Some("gw_live_abcd"));
        // printf %s gw_live_abcd.0123456789 | sha256sum
        assert_eq!(
            key.hash(),
            "d48fd06de585be41d95cde1c11fe726782faad3602d6de7344d35effff744330"
        );
        let now = SystemTime::UNIX_EPOCH;
        let stored = ApiKey::from_hash("b", &key.hash().to_uppercase()).unwrap();
        let owner = stored.owner(&sha256(KEY.as_bytes()), now).unwrap();
        assert_eq!((owner.method(), owner.subject()), ("api-key", Some("b")));
        assert!(
            stored
                .owner(&sha256(b"gw_live_abcd.0123456788"), now)
                .is_err()
        );
    }

    #[test]
    fn a_key_ends_with_the_second_that_is_named() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let key = ApiKey::new("a", KEY).unwrap().expires_at(end);
        let hash = sha256(KEY.as_bytes());
        assert!(key.owner(&hash, end - Duration::from_nanos(1)).is_ok());
        assert!(key.owner(&hash, end).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for key in [
            "",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789\nabcdef",
            "0123456789äbcdef",
        ] {
            assert!(ApiKey::new("a", key).is_err(), "{key:?}");
        }
        let hash = ApiKey::new("a", KEY).unwrap().hash();
        for hash in [
            "",
            &hash[1..],
            &hash[2..],
            &format!("{hash}00"),
            &hash.replace('0', "g"),
            &hash.replace('0', "+"),
        ] {
            assert!(ApiKey::from_hash("a", hash).is_err(), "{hash}");
        }
        for prefix in ["a.b", "a b", "ä"] {
            assert!(ApiKey::generate(prefix, "a").is_err(), "{prefix}");
        }
    }

    #[test]
    fn new_keys_differ_and_are_found_again() {
        let mut seen = HashSet::new();
        for prefix in ["gw_live", "", "gw_live"] {
            let (text, key) = ApiKey::generate(prefix, "a").unwrap();
            assert!(text.starts_with(prefix) && text.len() >= 16 + 1 + 43);
            assert_eq!(key.id(), text.split('.').next());
            let (_, secret) = text.split_once('.').unwrap();
            assert!(seen.insert(secret.to_owned()) && seen.insert(key.id().unwrap().to_owned()));
            assert_eq!(key.hash(), ApiKey::new("b", &text).unwrap().hash());
        }
    }

    #[test]
    fn identifiers_end_at_the_first_dot() {
        for (key, id) in [
            ("a.b", Some("a")),
            ("a.b.c", Some("a")),
            ("a", None),
            (".a", None),
            ("a.", Some("a")),
        ] {
            assert_eq!(id_of(key), id, "{key}");
        }
    }

    #[test]
    fn neither_key_nor_hash_is_in_the_debug_text() {
        let key = ApiKey::new("a", KEY).unwrap();
        let text = format!("{key:?}");
        assert!(
            text.contains("gw_live_abcd") && !text.contains("0123") && !text.contains(&key.hash())
        );
    }
}
