//! What stands in front of everything else: which requests are let in, who sent them, and what of them goes on.

mod request;
mod trusted;

use std::net::SocketAddr;

use http::{
    Extensions, HeaderMap, Request, Uri, Version, header,
    uri::{Authority, Scheme},
};

pub(crate) use trusted::TrustedProxies;

use crate::{
    body::Body,
    context::RequestContext,
    error::{Error, ErrorKind},
    path::{PathPolicy, canonicalize_uri},
    upstream::{ForwardFacts, ForwardHeaders, OwnedHeaders, Via, admit},
};

pub(crate) type TlsOf = dyn Fn(&Extensions) -> bool + Send + Sync;
pub(crate) type PeerOf = dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync;

/// The door's settings, checked.
pub(crate) struct Door {
    pub(crate) peer: Option<Box<PeerOf>>,
    pub(crate) tls: Option<Box<TlsOf>>,
    pub(crate) trusted: TrustedProxies,
    pub(crate) path: PathPolicy,
    pub(crate) owned: OwnedHeaders,
    pub(crate) forward: ForwardHeaders,
    pub(crate) via: Via,
}

impl Door {
    /// Who is there. Nothing is refused yet, so that a refusal can be logged with its client.
    pub(crate) fn greet(&self, request: &mut Request<Body>) {
        let peer = self
            .peer
            .as_ref()
            .and_then(|peer| peer(request.extensions()));
        let mut context = RequestContext {
            peer,
            ..RequestContext::default()
        };
        if let Some(peer) = peer {
            context.peer_is_trusted = self.trusted.contains(peer.ip());
            context.client_ip = Some(self.trusted.client_addr(peer.ip(), request.headers()));
        }
        context.scheme = Some(self.scheme(peer, request));
        request.extensions_mut().insert(context);
    }

    fn scheme(&self, peer: Option<SocketAddr>, request: &Request<Body>) -> Scheme {
        let told = peer.and_then(|peer| self.trusted.scheme(peer.ip(), request.headers()));
        let tls = self
            .tls
            .as_ref()
            .is_some_and(|tls| tls(request.extensions()));
        match told {
            Some("https") => Scheme::HTTPS,
            Some(_) => Scheme::HTTP,
            None if tls => Scheme::HTTPS,
            None => request.uri().scheme().cloned().unwrap_or(Scheme::HTTP),
        }
    }

    /// Refuses what can be read in two ways, makes the path canonical, and replaces what only the gateway may say.
    pub(crate) fn admit(&self, request: Request<Body>) -> Result<Request<Body>, Error> {
        let (mut parts, mut body) = request.into_parts();
        let host = request::check_request(&parts.method, &parts.uri, parts.version, &parts.headers)
            .map_err(refuse)?;
        if self.via.is_loop(&parts.headers) {
            return Err(ErrorKind::Loop.into());
        }
        let mut context = parts
            .extensions
            .remove::<RequestContext>()
            .unwrap_or_default();
        let told = context
            .peer
            .and_then(|peer| self.trusted.host(peer.ip(), &parts.headers));
        if let Some(host) = told.or(host) {
            context.authority = Authority::try_from(host.as_str()).ok();
        }
        if let Some(uri) = canonical(&parts.uri, self.path)? {
            parts.uri = uri;
        }
        if parts.version < Version::HTTP_2 && parts.headers.contains_key(header::TRANSFER_ENCODING)
        {
            body = body.strict();
        }
        admit(&mut parts.headers, parts.version, &self.owned, &mut context);
        self.sign(&mut parts.headers, &context, parts.version);
        parts.extensions.insert(context);
        Ok(Request::from_parts(parts, body))
    }

    fn sign(&self, headers: &mut HeaderMap, context: &RequestContext, version: Version) {
        let facts = ForwardFacts {
            client: context.client_ip(),
            peer: context.peer().map(|peer| peer.ip()),
            scheme: context.scheme().map_or("http", Scheme::as_str),
            host: context.authority().map(Authority::as_str),
            ..ForwardFacts::default()
        };
        self.forward.apply(headers, &facts);
        self.via.append(headers, version);
    }
}

/// The URI with its canonical path, if that is another one.
pub(crate) fn canonical(uri: &Uri, policy: PathPolicy) -> Result<Option<Uri>, Error> {
    canonicalize_uri(uri, policy).map_err(|error| {
        Error::new(ErrorKind::BadRequest)
            .with_detail(error.to_string())
            .with_source(error.code())
    })
}

fn refuse(error: request::RequestError) -> Error {
    let kind = match error.status().as_u16() {
        501 => ErrorKind::NotImplemented,
        417 => ErrorKind::ExpectationFailed,
        _ => ErrorKind::BadRequest,
    };
    Error::new(kind)
        .with_detail(error.to_string())
        .with_source(error.code())
}
