//! Who a client is by its certificate (mutual TLS).

mod certificate;
mod der;
mod header;
mod x509;

use std::sync::Arc;

use http::{HeaderName, request::Parts};

pub use certificate::{ClientCertificate, ClientCertificateError};
pub use header::CertificateFormat;

use super::{authenticator::Authenticator, denied::Denied};
use crate::{claims::Claims, clock, context::RequestContext, field, identity::Identity};

/// Lets in clients with a certificate that the server has verified: the [`ClientCertificate`] in the request's extensions.
///
/// | setting | default |
/// |---|---|
/// | `allow_…` | any certificate that is verified |
/// | [`from_header`](Self::from_header) | never |
///
/// No certificate, or one that is not verified, not valid any more, or that none of the rules allows, is 403: a request can not be sent again with
/// another one. Beside other ways, whose challenges say what else there is, the first three are 401. The
/// [identity](Identity) has the method `client-cert`. Its `sub` is the name that a rule allowed; without rules the first URI, or DNS
/// name, or `CN=` and the common name, or `sha256:` and the fingerprint, so that a name of one kind is never taken for one of another.
/// Further claims are `uri` and `dns` (arrays), `cn`, `serial` and `fingerprint`.
///
/// ```
/// use tower::ServiceBuilder;
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use tower::{ServiceExt, service_fn};
/// use tower_gateway::{Body, auth::ClientCertLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = ClientCertLayer::new().allow_uri("spiffe://shop.example/billing").allow_dns("*.ops.shop.example");
/// # let backend = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::from("hello"))) });
/// let service = ServiceBuilder::new().layer(layer).service(backend);
/// assert_eq!(service.oneshot(Request::new(())).await?.status(), 403);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientCertLayer {
    rules: Arc<[Rule]>,
    header: Option<(HeaderName, CertificateFormat)>,
}

#[derive(Clone, Debug)]
enum Rule {
    Uri(String),
    Dns(String),
    CommonName(String),
    Fingerprint(String),
}

impl ClientCertLayer {
    /// Lets in whoever has a verified certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets in certificates with this URI. One that ends in `/*` covers all below it: `spiffe://shop.example/ns/*`.
    pub fn allow_uri(self, uri: impl Into<String>) -> Self {
        self.allow(Rule::Uri(uri.into()))
    }

    /// Lets in certificates with this DNS name among the alternative names. `*.shop.example` covers one label in front.
    pub fn allow_dns(self, name: impl Into<String>) -> Self {
        self.allow(Rule::Dns(name.into().to_ascii_lowercase()))
    }

    /// Lets in certificates of which this is the only common name. Whoever signs them has to see to it that nobody chooses it freely.
    pub fn allow_common_name(self, name: impl Into<String>) -> Self {
        self.allow(Rule::CommonName(name.into()))
    }

    /// Lets in this one certificate: its SHA-256, in hexadecimal; colons do not matter.
    pub fn allow_fingerprint(self, sha256: impl AsRef<str>) -> Self {
        let plain = sha256.as_ref().replace(':', "");
        self.allow(Rule::Fingerprint(plain.to_ascii_lowercase()))
    }

    /// Takes the certificate from this field when the peer is a [trusted proxy](RequestContext::peer_is_trusted), which has to have
    /// verified it, and to remove the field if a client sends it. The proxy's own certificate is then no matter: without the field the
    /// client has none. Whatever anybody else sends in it is not looked at, and nothing in it goes on. Default: never.
    pub fn from_header(mut self, name: HeaderName, format: CertificateFormat) -> Self {
        self.header = Some((name, format));
        self
    }

    fn allow(mut self, rule: Rule) -> Self {
        self.rules = self.rules.iter().cloned().chain([rule]).collect();
        self
    }

    fn certificate(&self, head: &Parts) -> Result<ClientCertificate, Denied> {
        let context = head.extensions.get::<RequestContext>();
        let is_trusted = context.is_some_and(RequestContext::peer_is_trusted);
        let Some((name, format)) = self.header.as_ref().filter(|_| is_trusted) else {
            let seen = head.extensions.get::<ClientCertificate>();
            return seen.cloned().ok_or_else(Denied::missing);
        };
        let mut values = head.headers.get_all(name).iter();
        let value = values.next().ok_or_else(Denied::missing)?;
        match values.next() {
            None => header::read(value.as_bytes(), *format),
            Some(_) => None,
        }
        .map(ClientCertificate::verified)
        .ok_or_else(|| Denied::malformed("The header has no client certificate, or several"))
    }

    /// The name by which it is let in.
    fn subject(&self, certificate: &ClientCertificate) -> Option<String> {
        if !self.rules.is_empty() {
            return self.rules.iter().find_map(|rule| rule.allows(certificate));
        }
        let name = certificate
            .uris()
            .first()
            .or(certificate.dns_names().first());
        let common = || Some(format!("CN={}", certificate.common_name()?));
        let fingerprint = || format!("sha256:{}", certificate.fingerprint());
        Some(name.cloned().or_else(common).unwrap_or_else(fingerprint))
    }
}

impl Authenticator for ClientCertLayer {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let certificate = self.certificate(head)?;
        if !certificate.is_verified() {
            return Err(Denied::invalid("the client certificate is not verified"));
        }
        if !certificate.is_valid(clock::wall()) {
            return Err(Denied::invalid("the client certificate is not valid now"));
        }
        let subject = self.subject(&certificate);
        let subject = subject.ok_or_else(|| Denied::forbidden("no rule allows the certificate"))?;
        Ok(Identity::new("client-cert", claims(&subject, &certificate)))
    }

    fn strip(&self, head: &mut Parts) {
        if let Some((name, _)) = &self.header {
            field::remove(&mut head.headers, name);
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let wrong = self.rules.iter().filter_map(Rule::mistake);
        wrong
            .map(|what| format!("client certificate: {what}"))
            .collect()
    }
}

impl_layer!(ClientCertLayer);

impl Rule {
    /// The name that it allows, if the certificate has it.
    fn allows(&self, certificate: &ClientCertificate) -> Option<String> {
        match self {
            Self::Uri(rule) => certificate
                .uris()
                .iter()
                .find(|uri| covers_uri(rule, uri))
                .cloned(),
            Self::Dns(rule) => certificate
                .dns_names()
                .iter()
                .find(|name| covers_dns(rule, name))
                .cloned(),
            Self::CommonName(rule) => {
                let is_one = certificate.common_name() == Some(rule);
                is_one.then(|| format!("CN={rule}"))
            }
            Self::Fingerprint(rule) => {
                let is_one = certificate.fingerprint() == rule;
                is_one.then(|| format!("sha256:{rule}"))
            }
        }
    }

    fn mistake(&self) -> Option<String> {
        match self {
            Self::Uri(uri) if x509::uri(uri.as_bytes()).is_none() => Some(format!(
                "{uri:?} is no URI; write `spiffe://shop.example/billing`"
            )),
            Self::Dns(name) => {
                let plain = name.strip_prefix("*.").unwrap_or(name);
                let is_name = x509::dns_name(plain.as_bytes()).is_some() && !plain.contains('*');
                (!is_name)
                    .then(|| format!("{name:?} is no DNS name; a `*` may only be its first label"))
            }
            Self::CommonName(name) if name.is_empty() => {
                Some("the common name is empty".to_owned())
            }
            Self::Fingerprint(hash) => {
                let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
                (!is_hash).then(|| format!("{hash:?} is no SHA-256; it has 64 hexadecimal digits"))
            }
            Self::Uri(_) | Self::CommonName(_) => None,
        }
    }
}

/// `…/*` covers what has something behind the slash, and no way back out of it.
fn covers_uri(rule: &str, uri: &str) -> bool {
    let Some(base) = rule.strip_suffix('*').filter(|base| base.ends_with('/')) else {
        return rule == uri;
    };
    uri.strip_prefix(base).is_some_and(|rest| {
        !rest.is_empty()
            && !rest.contains(['%', '?', '#'])
            && !rest.split('/').any(|part| matches!(part, "" | "." | ".."))
    })
}

fn covers_dns(rule: &str, name: &str) -> bool {
    match rule.strip_prefix('*') {
        None => rule == name,
        Some(end) => name
            .strip_suffix(end)
            .is_some_and(|label| !label.is_empty() && !label.contains(['.', '*'])),
    }
}

fn claims(subject: &str, certificate: &ClientCertificate) -> Claims {
    let texts = [
        ("cn", certificate.common_name()),
        (
            "serial",
            Some(certificate.serial()).filter(|serial| !serial.is_empty()),
        ),
        ("fingerprint", Some(certificate.fingerprint())),
    ];
    let arrays = [
        ("uri", certificate.uris()),
        ("dns", certificate.dns_names()),
    ];
    let mut all = serde_json::Map::new();
    all.insert("sub".to_owned(), subject.into());
    for (name, text) in texts {
        all.extend(text.map(|text| (name.to_owned(), text.into())));
    }
    for (name, array) in arrays.into_iter().filter(|(_, array)| !array.is_empty()) {
        all.insert(name.to_owned(), array.into());
    }
    Claims::parse(serde_json::Value::from(all).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
