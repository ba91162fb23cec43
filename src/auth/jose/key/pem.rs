//! Keys in PEM (RFC 7468).

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    der::{BIT_STRING, CONTEXT_0, Der, INTEGER, OCTET_STRING, OID, SEQUENCE},
    public::{Curve, Public},
};
use crate::auth::jose::KeyError;

/// The label of the only key in it, and its DER.
pub(in crate::auth::jose) fn block(pem: &[u8]) -> Result<(&str, Vec<u8>), KeyError> {
    let wrong = |wrong| KeyError::Pem(wrong);
    let text = str::from_utf8(pem).map_err(|_| wrong("PEM has to be text"))?;
    let mut found = None;
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun
            .split_once("-----")
            .ok_or(wrong("a line of the PEM does not end"))?;
        let (body, ended) = body
            .split_once("-----END ")
            .ok_or(wrong("the PEM has no end"))?;
        rest = ended
            .strip_prefix(label)
            .and_then(|ended| ended.strip_prefix("-----"))
            .ok_or(wrong("the PEM ends with another label than it began with"))?;
        // What openssl writes ahead of a key on a named curve, which says it itself.
        if label == "EC PARAMETERS" {
            continue;
        }
        if found.replace((label, body)).is_some() {
            return Err(wrong("the PEM has more than one key or certificate"));
        }
    }
    let (label, body) = found.ok_or(wrong("there is no PEM"))?;
    if body.contains(':') {
        return Err(wrong("an encrypted PEM is not supported"));
    }
    let base64: Vec<u8> = body
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let der = BASE64_STANDARD
        .decode(base64)
        .map_err(|_| wrong("the PEM is not base64"))?;
    Ok((label, der))
}

/// A public key.
pub(super) fn public(pem: &[u8]) -> Result<Public, KeyError> {
    let (label, der) = block(pem)?;
    match label {
        "PUBLIC KEY" => spki(Der(&der)),
        "RSA PUBLIC KEY" => rsa(Der(&der)),
        "CERTIFICATE" => spki(certified(Der(&der)).ok_or(NOT_DER)?),
        _ if label.ends_with("PRIVATE KEY") => Err(KeyError::Private),
        _ => Err(KeyError::Pem(
            "the PEM is neither PUBLIC KEY, RSA PUBLIC KEY nor CERTIFICATE",
        )),
    }
}

const NOT_DER: KeyError = KeyError::Pem("the PEM is not the DER that its label says");

/// RFC 8017 appendix A.1.1.
pub(in crate::auth::jose) fn rsa_public(der: &[u8]) -> Result<Public, KeyError> {
    rsa(Der(der))
}

fn rsa(mut der: Der<'_>) -> Result<Public, KeyError> {
    let mut read = || {
        let mut numbers = der.read(SEQUENCE)?;
        let (n, e) = (numbers.positive()?, numbers.positive()?);
        der.end(numbers.end((n, e))?)
    };
    let (n, e) = read().ok_or(NOT_DER)?;
    Public::rsa(n, e)
}

const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1];
const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];

fn oid(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7],
        Curve::P384 => &[0x2B, 0x81, 0x04, 0, 0x22],
        Curve::P521 => &[0x2B, 0x81, 0x04, 0, 0x23],
    }
}

/// What a private key is for, as PKCS #8 says it.
pub(in crate::auth::jose) enum Kind {
    Rsa,
    Ec(Curve),
    Ed25519,
}

/// `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2, RFC 5480, RFC 8410).
fn kind(mut algorithm: Der<'_>) -> Result<Kind, KeyError> {
    let unsupported = KeyError::Pem("the key is neither RSA, P-256, P-384, P-521 nor Ed25519");
    match algorithm.read(OID).ok_or(NOT_DER)?.0 {
        RSA => Ok(Kind::Rsa),
        ED25519 => Ok(Kind::Ed25519),
        EC => curve(&mut algorithm).map(Kind::Ec).ok_or(unsupported),
        _ => Err(unsupported),
    }
}

fn curve(der: &mut Der<'_>) -> Option<Curve> {
    let named = der.read(OID)?.0;
    Curve::ALL.into_iter().find(|curve| oid(*curve) == named)
}

/// `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
fn spki(mut der: Der<'_>) -> Result<Public, KeyError> {
    let mut read = || {
        let mut info = der.read(SEQUENCE)?;
        let algorithm = info.read(SEQUENCE)?;
        let bits = info.bits()?;
        der.end(info.end((algorithm, bits))?)
    };
    let (algorithm, bits) = read().ok_or(NOT_DER)?;
    match kind(algorithm)? {
        Kind::Rsa => rsa(Der(bits)),
        Kind::Ec(curve) => Public::ec(curve, bits),
        Kind::Ed25519 => Public::ed25519(bits),
    }
}

/// The key of a certificate (RFC 5280 section 4.1).
fn certified(mut der: Der<'_>) -> Option<Der<'_>> {
    let mut certificate = der.read(SEQUENCE)?;
    let mut signed = certificate.read(SEQUENCE)?;
    certificate.read(SEQUENCE)?;
    certificate.read(BIT_STRING)?;
    if signed.is(CONTEXT_0) {
        signed.read(CONTEXT_0)?;
    }
    signed.read(INTEGER)?;
    // Signature algorithm, issuer, validity, subject.
    for _ in 0..4 {
        signed.read(SEQUENCE)?;
    }
    let rest = signed.0;
    let key = signed.read(SEQUENCE)?;
    let header = rest.len() - signed.0.len() - key.0.len();
    der.end(certificate.end(Der(rest.get(..header + key.0.len())?))?)
}

/// What the key of a PKCS #8 file (RFC 5958) is for.
pub(in crate::auth::jose) fn pkcs8_kind(der: &[u8]) -> Result<Kind, KeyError> {
    let read = || {
        let mut info = Der(der).read(SEQUENCE)?;
        info.read(INTEGER)?;
        info.read(SEQUENCE)
    };
    kind(read().ok_or(NOT_DER)?)
}

/// The curve of an `ECPrivateKey` (RFC 5915).
pub(in crate::auth::jose) fn sec1_curve(der: &[u8]) -> Result<Curve, KeyError> {
    let read = || {
        let mut key = Der(der).read(SEQUENCE)?;
        key.read(INTEGER)?;
        key.read(OCTET_STRING)?;
        curve(&mut key.read(CONTEXT_0)?)
    };
    read().ok_or(KeyError::Pem(
        "the key names no curve of P-256, P-384, P-521",
    ))
}
