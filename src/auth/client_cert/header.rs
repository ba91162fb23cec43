//! A certificate in a header field, as proxies that end TLS hand it on.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    certificate::ClientCertificate,
    x509::{self, Names},
};
use crate::auth::query;

/// How a proxy writes the client's certificate into a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFormat {
    /// RFC 9440: the DER as a byte sequence, `:MIIB…:`.
    ClientCert,
    /// PEM, percent-encoded, as nginx has it in `$ssl_client_escaped_cert`.
    EscapedPem,
    /// `X-Forwarded-Client-Cert` of Envoy and Istio, with one element: `Hash=…;Subject="…";URI=…`. If it has `Cert`, names are taken from that.
    Xfcc,
}

/// Reads the value of the field. `None`: it is not of the form, or has several certificates.
pub(super) fn read(value: &[u8], format: CertificateFormat) -> Option<ClientCertificate> {
    match format {
        CertificateFormat::ClientCert => {
            let base64 = value.strip_prefix(b":")?.strip_suffix(b":")?;
            ClientCertificate::from_der(&BASE64_STANDARD.decode(base64).ok()?).ok()
        }
        CertificateFormat::EscapedPem => escaped_pem(value),
        CertificateFormat::Xfcc => xfcc(value),
    }
}

fn escaped_pem(value: &[u8]) -> Option<ClientCertificate> {
    let text = query::unescaped(std::str::from_utf8(value).ok()?);
    let text = std::str::from_utf8(&text).ok()?.trim();
    let base64 = text
        .strip_prefix("-----BEGIN CERTIFICATE-----")?
        .strip_suffix("-----END CERTIFICATE-----")?;
    let base64: String = base64.split_ascii_whitespace().collect();
    ClientCertificate::from_der(&BASE64_STANDARD.decode(base64).ok()?).ok()
}

fn xfcc(value: &[u8]) -> Option<ClientCertificate> {
    let mut names = Names::default();
    let (mut hash, mut subject, mut cert) = (None, None, None);
    let mut rest = std::str::from_utf8(value).ok()?;
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let (value, behind) = quotable(behind)?;
        rest = match behind.strip_prefix(';') {
            Some(more) if !more.is_empty() => more,
            None if behind.is_empty() => behind,
            // Another certificate, or nothing that has a form.
            _ => return None,
        };
        let once = |place: &mut Option<_>, value| place.replace(value).is_none().then_some(());
        match &*key.to_ascii_lowercase() {
            "hash" => once(&mut hash, value)?,
            "subject" => once(&mut subject, value)?,
            "cert" => once(&mut cert, value)?,
            "uri" if value.is_empty() => {}
            "uri" => names.uris.push(x509::uri(value.as_bytes())?),
            "dns" => names.dns.push(x509::dns_name(value.as_bytes())?),
            "by" | "chain" => {}
            _ => return None,
        }
    }
    let hash = hash?.to_ascii_lowercase();
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    if let Some(cert) = cert {
        return escaped_pem(cert.as_bytes()).filter(|read| read.fingerprint() == hash);
    }
    names.common_names = common_names(&subject.unwrap_or_default())?;
    Some(ClientCertificate::told(names, hash))
}

/// A value up to `;` or `,`, or between quotes, and what is behind it.
fn quotable(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end)?;
        return (!value.contains('"')).then_some((value.into(), behind));
    };
    let mut value = String::new();
    let mut rest = quoted;
    loop {
        let (before, behind) = rest.split_once('"')?;
        // Envoy puts a backslash before quotes alone, and one that is there already belongs to the name.
        match before.strip_suffix('\\') {
            None => {
                value.push_str(before);
                return Some((value.into(), behind));
            }
            Some(before) => {
                value.push_str(before);
                value.push('"');
                rest = behind;
            }
        }
    }
}

/// The common names in a distinguished name as text (RFC 4514): `CN=billing,O=Shop`. The form with slashes tells none: in it nobody
/// knows where a value ends.
fn common_names(subject: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = if subject.starts_with('/') {
        ""
    } else {
        subject
    };
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let (value, behind) = attribute(behind)?;
        rest = behind;
        if key.trim().eq_ignore_ascii_case("CN") {
            names.push(value);
        }
    }
    Some(names)
}

/// A value without its escapes, and what is behind it.
fn attribute(text: &str) -> Option<(String, &str)> {
    // The bytes of some type, in hexadecimal.
    if text.starts_with('#') {
        return None;
    }
    let mut value = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'\\', [high, low, behind @ ..]) if high.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let byte = digit(*high)? << 4 | digit(*low)?;
                value.push(u8::try_from(byte).ok()?);
                rest = behind;
            }
            (b'\\', [next, behind @ ..]) => {
                value.push(*next);
                rest = behind;
            }
            (b'\\', []) => return None,
            (b',' | b'+', _) => break,
            _ => value.push(*first),
        }
    }
    let value = String::from_utf8(value).ok()?;
    let behind = text.get(text.len() - rest.len()..)?;
    (!value.contains(char::is_control)).then_some((value, behind))
}
