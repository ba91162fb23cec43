//! Whom an upstream trusts, and as whom it speaks.

use super::Upstream;

impl Upstream {
    /// Trusts only these authorities (PEM, one or more), instead of what the operating system trusts. A certificate that is
    /// not trusted is a 502; a text that is not PEM is a mistake that `build` reports, and so is, as for every setting for
    /// TLS, an endpoint that is not `https`.
    #[cfg(feature = "tls")]
    pub fn tls_authority(self, pem: impl Into<Vec<u8>>) -> Self {
        let roots = crate::tls::Roots::Own(pem.into());
        self.set(|this| this.tls.roots = roots)
    }

    /// Trusts the web's roots that are compiled in, instead of what the operating system trusts.
    #[cfg(feature = "webpki-roots")]
    pub fn tls_web_roots(self) -> Self {
        self.set(|this| this.tls.roots = crate::tls::Roots::Web)
    }

    /// Shows this certificate chain to the backend (PEM), with its private key (PEM), when it asks. Default: none.
    #[cfg(feature = "tls")]
    pub fn tls_identity(self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let identity = (chain.into(), key.into());
        self.set(|this| this.tls.identity = Some(identity))
    }

    /// The name to ask for (SNI, RFC 6066, section 3) and to check the certificate against. Default: the endpoint's host.
    #[cfg(feature = "tls")]
    pub fn tls_server_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(|this| this.tls.server_name = Some(name))
    }
}
