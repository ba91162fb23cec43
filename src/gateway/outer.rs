//! The layers behind the checks of the door, all of them tower-http's, in their fixed order: CORS, rescue, compression,
//! sensitive headers, decompression.

use std::sync::Arc;

use super::{GatewayBuilder, Next, next::Layers, pipeline::Inside};

/// The layers that were asked for, each at its place.
#[derive(Default)]
pub(crate) struct Outer([(&'static str, Layers); 5]);

/// Outside of [`RESCUE`], so that a browser shows its page the 500 for a panic too.
#[cfg(feature = "cors")]
const CORS: usize = 0;
#[cfg(feature = "catch-panic")]
const RESCUE: usize = 1;
#[cfg(feature = "compression")]
const COMPRESSION: usize = 2;
#[cfg(feature = "sensitive-headers")]
const SENSITIVE: usize = 3;
#[cfg(feature = "decompression")]
const DECOMPRESSION: usize = 4;

impl Outer {
    /// The layers around the door, if there are any.
    pub(crate) fn around(&self, inside: &Arc<Inside>) -> Option<Next> {
        if self.0.iter().all(|(_, layers)| layers.is_empty()) {
            return None;
        }
        let inside = inside.clone();
        let door = Next::from_fn(move |request| inside.enter(request));
        Some(
            self.0
                .iter()
                .rev()
                .fold(door, |inner, (_, layers)| layers.around(inner)),
        )
    }

    /// The places that are taken, from the outermost.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let used = self.0.iter().filter(|(_, layers)| !layers.is_empty());
        used.map(|(name, _)| *name)
    }

    #[cfg(any(
        feature = "catch-panic",
        feature = "compression",
        feature = "sensitive-headers",
        feature = "cors",
        feature = "decompression"
    ))]
    fn at(&mut self, place: usize, name: &'static str) -> &mut Layers {
        self.0[place].0 = name;
        &mut self.0[place].1
    }
}

/// Settings that come with a feature of tower-http.
impl GatewayBuilder {
    /// Answers 500 when a layer or a service in this process panics, instead of closing the connection. It does not guard
    /// the closures that are given to CORS, which stands further outside. Default: off.
    #[cfg(feature = "catch-panic")]
    pub fn catch_panic(mut self) -> Self {
        use crate::{Body, Error, ErrorKind};
        use tower_http::catch_panic::CatchPanicLayer;
        let answer = |_| Error::new(ErrorKind::Internal).into_response::<Body>();
        self.outer
            .at(RESCUE, "rescue")
            .push(CatchPanicLayer::custom(answer));
        self
    }

    /// Compresses answers for clients that accept it, except those that say `Cache-Control: no-transform` (RFC 9110,
    /// section 7.7). A strong `ETag` becomes a weak one, since the bytes are others (section 8.8.3). Small answers, images,
    /// gRPC and server-sent events are left alone, whatever the layer's own predicate says. Default: off.
    #[cfg(feature = "compression")]
    pub fn compression(mut self, layer: tower_http::compression::CompressionLayer) -> Self {
        use tower_http::compression::predicate::{DefaultPredicate, Predicate};
        let layer = layer.compress_when(DefaultPredicate::new().and(transform::is_allowed));
        let place = self.outer.at(COMPRESSION, "compression");
        place.push(tower::util::MapResponseLayer::new(transform::weaken));
        place.push(layer);
        place.push(tower::util::MapResponseLayer::new(transform::note));
        self
    }

    /// Marks these headers of requests and responses as sensitive ([`http::HeaderValue::is_sensitive`]), so that they are
    /// not shown. Default: none.
    #[cfg(feature = "sensitive-headers")]
    pub fn sensitive_headers(mut self, names: impl IntoIterator<Item = http::HeaderName>) -> Self {
        let layer = tower_http::sensitive_headers::SetSensitiveHeadersLayer::new(names);
        self.outer.at(SENSITIVE, "sensitive headers").push(layer);
        self
    }

    /// Answers CORS preflights and adds the CORS headers, to refusals as well, except of requests that are no proper HTTP.
    /// A backend's own are replaced. An `OPTIONS` request that is no preflight goes on to the routes. Default: off.
    #[cfg(feature = "cors")]
    pub fn cors(mut self, layer: tower_http::cors::CorsLayer) -> Self {
        use http::{Method, header::ACCESS_CONTROL_REQUEST_METHOD};
        use tower::Layer;
        let only_preflights = tower::layer::layer_fn(move |next: Next| {
            let cors = Next::new(layer.layer(next.clone()));
            Next::from_fn(move |request| {
                let is_preflight = request
                    .headers()
                    .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
                if request.method() == Method::OPTIONS && !is_preflight {
                    // The layer would answer it.
                    next.send(request)
                } else {
                    cors.send(request)
                }
            })
        });
        self.outer.at(CORS, "cors").push(only_preflights);
        self
    }

    /// Decompresses request bodies. The [body limit](Self::body_limit) counts what comes out. Default: off, backends get
    /// bodies as clients sent them.
    #[cfg(feature = "decompression")]
    pub fn decompression(
        mut self,
        layer: tower_http::decompression::RequestDecompressionLayer,
    ) -> Self {
        self.outer.at(DECOMPRESSION, "decompression").push(layer);
        self
    }
}

/// What compression has to heed, besides what its layer knows.
#[cfg(feature = "compression")]
mod transform {
    use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode, Version, header};

    use crate::body::Body;

    /// The answer was not encoded when it came to the compression.
    #[derive(Clone)]
    struct Plain;

    pub(super) fn is_allowed(
        _: StatusCode,
        _: Version,
        headers: &HeaderMap,
        _: &Extensions,
    ) -> bool {
        let mut directives = headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        !directives.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    }

    pub(super) fn note(mut response: Response<Body>) -> Response<Body> {
        if !response.headers().contains_key(header::CONTENT_ENCODING) {
            response.extensions_mut().insert(Plain);
        }
        response
    }

    pub(super) fn weaken(mut response: Response<Body>) -> Response<Body> {
        let was_plain = response.extensions_mut().remove::<Plain>().is_some();
        if was_plain
            && response.headers().contains_key(header::CONTENT_ENCODING)
            && let Some(tag) = response.headers().get(header::ETAG)
            && tag.as_bytes().starts_with(b"\"")
            && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
        {
            response.headers_mut().insert(header::ETAG, weak);
        }
        response
    }
}
