//! What stands in front of everything else: which requests are let in, who sent them, and what of them goes on.

mod body;
mod request;
mod trusted;

use std::net::SocketAddr;

use http::{Extensions, HeaderMap, HeaderValue, Request, Uri, Version, uri::Scheme};

pub(crate) use body::{CheckedBody, Ending};
use request::{Checked, RequestError, check_request};
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
            // What an absolute target or `:scheme` says is the client's word, and no proof of TLS.
            None => Scheme::HTTP,
        }
    }

    /// Refuses what can be read in two ways, and what comes round in a circle. Nobody else may answer before: where a
    /// request ends is not certain until now. Says how to learn how a chunked body ends.
    pub(crate) fn check(&self, request: &mut Request<Body>) -> Result<Option<Ending>, Error> {
        let version = request.version();
        let headers = request.headers();
        let Checked {
            host,
            host_field,
            is_chunked,
            has_via,
        } = check_request(request.method(), request.uri(), version, headers).map_err(refuse)?;
        if has_via && self.via.is_loop(headers) {
            return Err(ErrorKind::Loop.into());
        }
        let peer = request
            .extensions()
            .get::<RequestContext>()
            .and_then(RequestContext::peer);
        let told = peer.and_then(|peer| self.trusted.host(peer.ip(), headers));
        let authority = told.or(host).and_then(|at| {
            // Mostly the same as `Host`, whose bytes can be shared.
            let same = host_field.filter(|field| field.as_bytes() == at.as_str().as_bytes());
            same.cloned()
                .or_else(|| HeaderValue::from_str(at.as_str()).ok())
        });
        let context = request.extensions_mut();
        context.get_or_insert_default::<RequestContext>().authority = authority;
        // Only these can have trailers.
        let ending = if is_chunked {
            Some(Ending::default())
        } else if version >= Version::HTTP_2 {
            None
        } else {
            return Ok(None);
        };
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = CheckedBody::wrap(body, &self.owned, ending.clone());
        Ok(ending)
    }

    /// Makes the path canonical, and replaces what only the gateway may say.
    pub(crate) fn admit(&self, request: &mut Request<Body>) -> Result<(), Error> {
        if let Some(uri) = canonical(request.uri(), self.path)? {
            *request.uri_mut() = uri;
        }
        let version = request.version();
        // Taken out, so that fields and context can be changed side by side.
        let mut headers = std::mem::take(request.headers_mut());
        let context = request
            .extensions_mut()
            .get_or_insert_default::<RequestContext>();
        admit(&mut headers, version, &self.owned, context);
        self.sign(&mut headers, context, version);
        *request.headers_mut() = headers;
        Ok(())
    }

    fn sign(&self, headers: &mut HeaderMap, context: &RequestContext, version: Version) {
        let facts = ForwardFacts {
            client: context.client_ip(),
            peer: context.peer().map(|peer| peer.ip()),
            scheme: context.scheme().map_or("http", Scheme::as_str),
            host: context.authority.as_ref(),
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

fn refuse(error: RequestError) -> Error {
    let kind = match error.status().as_u16() {
        501 => ErrorKind::NotImplemented,
        417 => ErrorKind::ExpectationFailed,
        _ => ErrorKind::BadRequest,
    };
    Error::new(kind)
        .with_detail(error.to_string())
        .with_source(error.code())
}
