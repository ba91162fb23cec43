//! Whom to trust over TLS, and as whom to speak: rustls with aws-lc-rs, whatever provider the program around us has installed.
//!
//! There is no switch that turns verification off: a server with a certificate of its own is trusted by naming the
//! authority that signed it.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

/// What a person asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    pub(crate) roots: Roots,
    /// PEM: the client's certificate chain, and its key.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) server_name: Option<String>,
}

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub(crate) enum Roots {
    /// What the operating system trusts.
    #[default]
    System,
    /// The web's roots, compiled in.
    #[cfg(feature = "webpki-roots")]
    Web,
    /// Only these authorities, as PEM.
    Own(Vec<u8>),
}

impl TlsSettings {
    /// Whether anything differs from the defaults.
    pub(crate) fn is_asked_for(&self) -> bool {
        !matches!(self.roots, Roots::System)
            || self.identity.is_some()
            || self.server_name.is_some()
    }

    /// What is spoken with, without a protocol for ALPN.
    pub(crate) fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.roots {
            Roots::System => {
                let verifier =
                    rustls_platform_verifier::Verifier::new(provider).map_err(|error| {
                        format!("the system's trust store can not be used: {error}")
                    })?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
            #[cfg(feature = "webpki-roots")]
            Roots::Web => {
                let roots = RootCertStore {
                    roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
                };
                builder.with_root_certificates(roots)
            }
            Roots::Own(pem) => builder.with_root_certificates(own_roots(pem)?),
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => {
                let chain = certificates(chain)
                    .map_err(|error| format!("the client certificate {error}"))?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| format!("the client key is not a PEM private key: {error}"))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("the client certificate and key do not fit: {error}"))
            }
        }
    }

    /// The name to ask for and to check, if it is not the server's address.
    pub(crate) fn server_name(&self) -> Result<Option<ServerName<'static>>, String> {
        let name = self.server_name.as_ref();
        name.map(|name| {
            ServerName::try_from(name.clone())
                .map_err(|_| format!("`{name}` is neither a DNS name nor an IP address"))
        })
        .transpose()
    }
}

fn own_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(|error| format!("the authority {error}"))? {
        roots
            .add(certificate)
            .map_err(|error| format!("the authority is not usable: {error}"))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not PEM: {error}"))?;
    if found.is_empty() {
        Err("has no PEM certificate".to_owned())
    } else {
        Ok(found)
    }
}
