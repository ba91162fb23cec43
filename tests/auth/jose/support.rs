//! Tokens that no honest signer makes.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tower_gateway::auth::jose::{Algorithm, KeySet, Policy, SigningKey, Verified, VerifyError};

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub fn unbase64(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

pub const SECRET: &[u8; 64] = b"sixty-four bytes are as many as the longest of the hashes wants.";

/// A token of `SECRET` with this header and these segments, signed as they are.
pub fn forged(header: &str, payload: &str) -> String {
    sealed(&base64(header), &base64(payload))
}

/// Signs whatever the segments are.
pub fn sealed(header: &str, payload: &str) -> String {
    let signed = format!("{header}.{payload}");
    let key = hmac_key(SECRET);
    format!("{signed}.{}", base64(hmac(&key, signed.as_bytes())))
}

fn hmac_key(secret: &[u8]) -> aws_lc_rs::hmac::Key {
    aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret)
}

fn hmac(key: &aws_lc_rs::hmac::Key, signed: &[u8]) -> Vec<u8> {
    aws_lc_rs::hmac::sign(key, signed).as_ref().to_vec()
}

/// An HS256 signature with any bytes as the secret.
pub fn hs256(secret: &[u8], signed: &str) -> String {
    base64(hmac(&hmac_key(secret), signed.as_bytes()))
}

/// A key of `SECRET`, and the set that verifies it.
pub fn secret_keys() -> KeySet {
    let key = SigningKey::from_secret(SECRET, Algorithm::HS256).unwrap();
    KeySet::new([key.key()]).unwrap()
}

pub fn verify(token: &str, keys: &KeySet) -> Result<Verified, VerifyError> {
    tower_gateway::auth::jose::verify(token, keys, &Policy::default())
}

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("keys/", $name, ".pem"))
    };
}
pub(crate) use pem;

/// One key for each algorithm.
pub fn signing_keys() -> Vec<SigningKey> {
    let rsa = SigningKey::from_pem(pem!("rsa.pkcs8")).unwrap();
    let key = |algorithm| match rsa.clone().with_algorithm(algorithm) {
        Ok(key) => key,
        Err(_) => SigningKey::generate(algorithm).unwrap(),
    };
    Algorithm::ALL.into_iter().map(key).collect()
}
