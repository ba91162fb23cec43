//! An external service that says who sends a request, and whether they may (forward-auth).

mod exchange;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, Method, Response, header, request::Parts};

use self::exchange::Told;
use super::{
    asked::{Asked, asked_settings},
    authenticator::Authenticator,
    denied::Denied,
};
use crate::{field, identity::Identity};

const MAX_ANSWER: usize = 64 * 1024;

/// Asks a service about each request, and lets in what it answers with 2xx. Clones share the connections.
///
/// | setting | default |
/// |---|---|
/// | [`method`](Self::method) | `GET` |
/// | [`request_headers`](Self::request_headers) | `authorization`, `cookie` |
/// | [`subject`](Self::subject), [`claim`](Self::claim) | nothing is known but that it is let in |
/// | [`response_headers`](Self::response_headers) | none |
/// | [`max_answer_length`](Self::max_answer_length) | 64 KiB |
/// | [`timeout`](Self::timeout) | 2 s |
/// | [`max_concurrent`](Self::max_concurrent) | 64 questions at once |
/// | [`allow_http`](Self::allow_http) | `https` alone |
///
/// The service gets no body. What the request is stands in `X-Forwarded-Method`, `X-Forwarded-Uri` (path and query),
/// `X-Forwarded-Host`, `X-Forwarded-Proto` and, if the client's address is known, `X-Forwarded-For`. Any status but 2xx is the client's
/// answer, with its fields and its body: a redirect to a login with its cookies, a 403 with a page. If there is no answer in time, or one
/// that is too large, nobody is let in: 503. The [identity](Identity) has the method `forward-auth`.
///
/// ```
/// use http::HeaderName;
/// use tower_gateway::auth::ForwardAuthLayer;
///
/// let user = HeaderName::from_static("x-auth-user");
/// let layer = ForwardAuthLayer::new("https://sso.example/verify")
///     .subject(user.clone())
///     .response_headers([user]);
/// # let router: axum::Router = axum::Router::new().layer(layer);
/// ```
#[derive(Clone)]
pub struct ForwardAuthLayer(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    asked: Asked,
    method: Method,
    request_headers: Vec<HeaderName>,
    response_headers: Vec<HeaderName>,
    claims: Vec<(String, HeaderName)>,
}

impl ForwardAuthLayer {
    /// Asks at this URL, which begins with `https://`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(Arc::new(Settings {
            asked: Asked::at(url.into(), MAX_ANSWER),
            method: Method::GET,
            request_headers: vec![header::AUTHORIZATION, header::COOKIE],
            response_headers: Vec::new(),
            claims: Vec::new(),
        }))
    }

    /// The method with which it is asked, whatever that of the request is: `GET`, `HEAD` or `POST`. Default: `GET`.
    pub fn method(self, method: Method) -> Self {
        self.edit(|settings| settings.method = method)
    }

    /// The fields of the request that the service gets, all lines of each. Default: `authorization` and `cookie`.
    pub fn request_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.edit(|settings| settings.request_headers = names.into_iter().collect())
    }

    /// The fields of the service's answer that go on with the request. What a client sends under these names, or their aliases with `_`,
    /// never does, also if the service sends none; in a gateway on no route, but for `authorization`, `cookie` and the
    /// [`request_headers`](Self::request_headers), which other routes let through. Default: none.
    pub fn response_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.edit(|settings| settings.response_headers = names.into_iter().collect())
    }

    /// The field of the answer that says who it is: the claim `sub`.
    pub fn subject(self, name: HeaderName) -> Self {
        self.claim("sub", name)
    }

    /// A field of the answer that is a claim of this name: text, or an array if the answer has several lines of it. Without the field
    /// there is no such claim.
    pub fn claim(self, claim: impl Into<String>, name: HeaderName) -> Self {
        self.edit(|settings| settings.claims.push((claim.into(), name)))
    }

    /// The longest body of an answer, in bytes. Default: 64 KiB.
    pub fn max_answer_length(self, bytes: usize) -> Self {
        self.ask(|asked| asked.edit(|call| call.max_bytes = bytes))
    }

    asked_settings!();

    fn ask(self, change: impl FnOnce(&mut Asked)) -> Self {
        self.edit(|settings| change(&mut settings.asked))
    }

    fn edit(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    fn admit(&self, answer: Response<Bytes>) -> Result<Identity, Denied> {
        if !answer.status().is_success() {
            return Err(Denied::answer(exchange::answer(answer)));
        }
        let Told { claims, headers } =
            exchange::told(answer.headers(), &self.0.claims, &self.0.response_headers)
                .map_err(Denied::unavailable)?;
        Ok(Identity::new("forward-auth", claims).with_headers(headers))
    }
}

impl Authenticator for ForwardAuthLayer {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        let settings = &*self.0;
        let headers = exchange::question(head, &settings.request_headers).map_err(|()| {
            Denied::malformed("The request can not be shown to the authorisation service")
        })?;
        let asked = settings
            .asked
            .send(settings.method.clone(), headers, Bytes::new());
        self.admit(asked.await.map_err(Denied::unavailable)?)
    }

    fn strip(&self, head: &mut Parts) {
        for name in &self.0.response_headers {
            field::remove(&mut head.headers, name);
        }
    }

    /// What the service is shown has to get there.
    fn owned(&self) -> Vec<HeaderName> {
        let settings = &*self.0;
        let is_read = |name: &&HeaderName| {
            [header::AUTHORIZATION, header::COOKIE].contains(name)
                || settings.request_headers.contains(name)
        };
        let owned = settings.response_headers.iter();
        owned.filter(|name| !is_read(name)).cloned().collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let settings = &*self.0;
        let mut mistakes = settings.asked.mistakes();
        if !matches!(settings.method, Method::GET | Method::HEAD | Method::POST) {
            mistakes.push(format!(
                "the method is {}; it is GET, HEAD or POST",
                settings.method
            ));
        }
        for name in settings
            .request_headers
            .iter()
            .chain(&settings.response_headers)
        {
            if field::is_reserved(name) {
                mistakes.push(format!(
                    "`{name}` belongs to a connection or a body, and can not be passed on"
                ));
            }
        }
        if settings.claims.iter().any(|(claim, _)| claim.is_empty()) {
            mistakes.push("a claim has an empty name".to_owned());
        }
        mistakes
            .iter_mut()
            .for_each(|what| what.insert_str(0, "forward-auth: "));
        mistakes
    }
}

impl_layer!(ForwardAuthLayer);

impl fmt::Debug for ForwardAuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForwardAuthLayer")
            .field(&self.0.asked)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn wrong_settings_are_named() {
        let layer = || ForwardAuthLayer::new("https://sso.example/verify?key=secret");
        assert_eq!(layer().method(Method::POST).mistakes(), [""; 0]);
        for (layer, what) in [
            (ForwardAuthLayer::new("http://sso.example/"), "`https`"),
            (layer().method(Method::PUT), "PUT"),
            (layer().request_headers([header::HOST]), "`host`"),
            (
                layer().response_headers([header::CONTENT_LENGTH]),
                "`content-length`",
            ),
            (layer().claim("", header::ETAG), "claim"),
            (layer().timeout(Duration::ZERO), "timeout"),
            (layer().max_answer_length(0), "max_answer_length"),
            (layer().max_concurrent(0), "max_concurrent"),
        ] {
            let mistakes = layer.mistakes();
            let [mistake] = &*mistakes else {
                panic!("{mistakes:?}")
            };
            assert!(
                mistake.starts_with("forward-auth: ") && mistake.contains(what),
                "{mistake}"
            );
        }
        assert!(!format!("{:?}", layer()).contains("secret"));
    }
}
