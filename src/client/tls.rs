//! TLS to backends, over rustls with aws-lc-rs, whatever provider the program around us has installed.
//!
//! There is no switch that turns verification off: a backend with a certificate of its own is trusted by naming the
//! authority that signed it.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use super::{Address, Protocol, connect::Opened, io::Io};
use crate::error::{Error, ErrorKind};

/// The settings of TLS to one upstream, checked and ready.
#[derive(Clone)]
pub(crate) struct Tls {
    auto: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

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

    pub(crate) fn build(&self) -> Result<Tls, String> {
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
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain)
                    .map_err(|error| format!("the client certificate {error}"))?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| format!("the client key is not a PEM private key: {error}"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    format!("the client certificate and key do not fit: {error}")
                })?
            }
        };
        let server_name = match &self.server_name {
            None => None,
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|_| format!("`{name}` is neither a DNS name nor an IP address"))?,
            ),
        };
        let speaking = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let auto: &[&[u8]] = if cfg!(feature = "http2") {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"http/1.1"]
        };
        Ok(Tls {
            auto: speaking(auto),
            http1: speaking(&[b"http/1.1"]),
            http2: speaking(&[b"h2"]),
            server_name,
        })
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

impl Tls {
    /// Shakes hands; ALPN decides which HTTP is spoken.
    pub(crate) async fn handshake(
        &self,
        address: &Address,
        protocol: Protocol,
        io: Io,
    ) -> Result<Opened, Error> {
        let failed = |source: io::Error| {
            Error::new(ErrorKind::Tls).with_source(io::Error::new(
                source.kind(),
                format!("{address}: {source}"),
            ))
        };
        let config = match protocol {
            Protocol::Auto => &self.auto,
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                let host = address.authority.host();
                let host = host
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .to_owned();
                ServerName::try_from(host).map_err(|error| failed(io::Error::other(error)))?
            }
        };
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(name, io).await.map_err(failed)?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if protocol == Protocol::Http2 && !http2 {
            return Err(failed(io::Error::other(
                "the backend does not speak HTTP/2",
            )));
        }
        Ok(Opened {
            io: Io::Tls(Box::new(stream)),
            http2,
        })
    }
}
