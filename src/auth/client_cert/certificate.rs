//! What is known of a client's certificate.

use std::{fmt, sync::Arc, time::SystemTime};

use aws_lc_rs::digest;

use super::x509::{self, Names};

/// The certificate of a client, as whoever ended its TLS has seen it: a server puts it into the extensions of each request on the
/// connection. Clones share it.
///
/// A certificate is public, and anybody can make one: only a [verified](Self::verified) one says who somebody is.
///
/// ```no_run
/// use tower_gateway::auth::ClientCertificate;
///
/// # fn f(first_of_the_chain: &[u8], request: &mut http::Request<()>) -> Result<(), Box<dyn std::error::Error>> {
/// // With a TLS configuration that demands certificates, and has checked this one.
/// let certificate = ClientCertificate::from_der(first_of_the_chain)?.verified();
/// request.extensions_mut().insert(certificate);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ClientCertificate(Arc<Facts>);

#[derive(Clone)]
struct Facts {
    names: Names,
    serial: String,
    fingerprint: String,
    valid: Option<(SystemTime, SystemTime)>,
    is_verified: bool,
}

/// Bytes that are no certificate, or one whose names can be taken for others: with control characters, or that are no DNS name or URI
/// where one has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no certificate whose names can be read in one way")]
pub struct ClientCertificateError(());

impl ClientCertificate {
    /// Reads a certificate (RFC 5280) in DER. It is not verified by that.
    ///
    /// # Errors
    /// It is none, or has names that can be taken for others.
    pub fn from_der(der: &[u8]) -> Result<Self, ClientCertificateError> {
        let read = x509::read(der).ok_or(ClientCertificateError(()))?;
        Ok(Self(Arc::new(Facts {
            names: read.names,
            serial: hex(&read.serial),
            fingerprint: hex(digest::digest(&digest::SHA256, der).as_ref()),
            valid: read.valid,
            is_verified: false,
        })))
    }

    /// Says that the chain of signatures has been checked, and that the client has the key.
    pub fn verified(mut self) -> Self {
        Arc::make_mut(&mut self.0).is_verified = true;
        self
    }

    /// Whether the chain of signatures has been checked.
    pub fn is_verified(&self) -> bool {
        self.0.is_verified
    }

    /// The common name of the subject (`CN`), if there is just one.
    pub fn common_name(&self) -> Option<&str> {
        match &*self.0.names.common_names {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The DNS names among the alternative names, in lower case.
    pub fn dns_names(&self) -> &[String] {
        &self.0.names.dns
    }

    /// The URIs among the alternative names, such as `spiffe://example.org/billing`.
    pub fn uris(&self) -> &[String] {
        &self.0.names.uris
    }

    /// The SHA-256 of the certificate, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// The serial number, in hexadecimal; empty if a proxy does not tell.
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    /// What a proxy tells of it.
    pub(super) fn told(names: Names, fingerprint: String) -> Self {
        Self(Arc::new(Facts {
            names,
            serial: String::new(),
            fingerprint,
            valid: None,
            is_verified: false,
        }))
    }

    /// Whether it is valid at this time, as far as that is known.
    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        self.0
            .valid
            .is_none_or(|(from, to)| (from..=to).contains(&now))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("names", &self.0.names)
            .field("serial", &self.0.serial)
            .field("fingerprint", &self.0.fingerprint)
            .field("is_verified", &self.0.is_verified)
            .finish()
    }
}
