//! What backends are told of whoever sends a request.

mod token;

use std::{
    future::Ready,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderName, HeaderValue, Request, Response, header, request::Parts};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::denied::Denied;
use crate::{
    context::RequestContext,
    field,
    template::{Param, Place, RequestFacts, Template},
};
pub use token::InternalToken;

/// Tells backends who sends a request, in headers that nobody else can set. Behind an
/// [`AuthenticateLayer`](super::AuthenticateLayer). It has no state; clones are independent.
///
/// A value is a template, mostly of [claims](crate::Claims): `{claims.sub}`, `{claims.realm_access.roles}`; see
/// [`Rewrite`](crate::routing::Rewrite) for all placeholders. The items of an array are joined by `,`. So that nothing is lost and no two lists
/// look alike (a text is a list of one), all but visible ASCII, `%`, `,` and blanks at the ends of a text are percent-encoded.
///
/// Whatever a client sends under these names, or under a name with `_` for `-`, is removed from every request, whether anybody is
/// known or not. A header whose value is missing is not there. Values beyond 8 KiB are answered with 403.
///
/// ```
/// use tower_gateway::auth::IdentityHeadersLayer;
///
/// let told = IdentityHeadersLayer::new()
///     .header("x-user-id", "{claims.sub}")
///     .header("x-user-roles", "{claims.realm_access.roles}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct IdentityHeadersLayer(Arc<Settings>);

#[derive(Clone, Debug, Default)]
struct Settings {
    headers: Vec<(HeaderName, Template)>,
    token: Option<InternalToken>,
    mistakes: Vec<String>,
}

impl IdentityHeadersLayer {
    /// Tells nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets this header from a template.
    pub fn header(self, name: impl AsRef<str>, template: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        self.edit(|settings| {
            let parsed = Template::parse(template.as_ref(), Place::Header);
            match (HeaderName::from_bytes(name.as_bytes()), parsed) {
                (Ok(header::AUTHORIZATION | header::COOKIE), _) => settings.mistakes.push(format!(
                    "identity header `{name}`: clients show who they are in this field, and it would be taken from them before that; set it in a rewrite"
                )),
                (Ok(name), Ok(template)) if !field::is_reserved(&name) => {
                    settings.headers.push((name, template));
                }
                (Ok(_), Err(error)) => settings.mistakes.push(format!("identity header `{name}`: {error}")),
                (Ok(_), Ok(_)) => settings.mistakes.push(format!(
                    "identity header `{name}`: this field frames the message or belongs to one connection, so the proxy alone writes it"
                )),
                (Err(_), _) => settings.mistakes.push(format!("identity header {name:?} is no name of a header field")),
            }
        })
    }

    /// Puts a token of the gateway's own in `Authorization`, in place of whatever the client sent there. Default: none.
    pub fn token(self, token: InternalToken) -> Self {
        self.edit(|settings| settings.token = Some(token))
    }

    fn edit(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What only the gateway sets.
    pub(crate) fn names(&self) -> impl Iterator<Item = HeaderName> {
        self.0.headers.iter().map(|(name, _)| name.clone())
    }

    /// What is wrong with the settings, on a route whose pattern has these params.
    pub(crate) fn mistakes(&self, params: &[Param<'_>]) -> Vec<String> {
        let unmet = self.0.headers.iter().flat_map(|(name, template)| {
            let unmet = template.unmet(params);
            unmet
                .into_iter()
                .map(move |error| format!("identity header `{name}`: {error}"))
        });
        let token = self.0.token.iter().flat_map(InternalToken::mistakes);
        self.0
            .mistakes
            .iter()
            .cloned()
            .chain(unmet)
            .chain(token)
            .collect()
    }

    /// Replaces what the client said by what is known.
    fn tell(&self, head: &mut Parts) -> Result<(), Denied> {
        let context = head.extensions.get::<RequestContext>();
        let facts = RequestFacts::new(&head.method, &head.uri, &head.headers, context);
        let is_known = context.is_some_and(|context| context.identity().is_some());
        let mut told: Vec<(&HeaderName, Option<HeaderValue>)> =
            Vec::with_capacity(self.0.headers.len());
        for (name, template) in &self.0.headers {
            let value = match is_known {
                true => template.render_header(&facts).map_err(Denied::forbidden)?,
                false => None,
            };
            told.push((name, value));
        }
        if let Some(token) = &self.0.token {
            let identity = context.and_then(RequestContext::identity);
            let signed =
                identity.map(|identity| token.of(identity).ok_or("it could not be signed"));
            match signed.transpose().map_err(Denied::unavailable)? {
                Some(signed) => _ = head.headers.insert(header::AUTHORIZATION, signed),
                None => _ = head.headers.remove(header::AUTHORIZATION),
            }
        }
        for (name, value) in told {
            field::remove_aliases(&mut head.headers, name);
            head.headers.remove(name);
            if let Some(value) = value {
                head.headers
                    .try_append(name, value)
                    .map_err(Denied::forbidden)?;
            }
        }
        Ok(())
    }
}

impl<S> Layer<S> for IdentityHeadersLayer {
    type Service = IdentityHeaders<S>;

    fn layer(&self, inner: S) -> IdentityHeaders<S> {
        let layer = self.clone();
        IdentityHeaders { inner, layer }
    }
}

/// The service that [`IdentityHeadersLayer`] makes. It is ready when the inner one is.
#[derive(Clone, Debug)]
pub struct IdentityHeaders<S> {
    inner: S,
    layer: IdentityHeadersLayer,
}

impl<S, B, R> Service<Request<B>> for IdentityHeaders<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = IdentityHeadersFuture<S::Future, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let answer = match self.layer.tell(&mut head) {
            Ok(()) => Either::Left(self.inner.call(Request::from_parts(head, body))),
            Err(denied) => {
                // The readiness that was asked for, such as a permit, is for those who wait.
                self.inner = self.inner.clone();
                Either::Right(std::future::ready(Ok(denied.into_response())))
            }
        };
        IdentityHeadersFuture { answer }
    }
}

pin_project! {
    /// The future of [`IdentityHeaders`].
    #[derive(Debug)]
    pub struct IdentityHeadersFuture<F, T> {
        #[pin]
        answer: Either<F, Ready<T>>,
    }
}

impl<F: Future> Future for IdentityHeadersFuture<F, F::Output> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().answer.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claims, Identity};
    use http_body_util::Full;
    use std::convert::Infallible;
    use tower::{ServiceExt, service_fn};

    /// What the service inside sees of a request with these headers and claims, and the status.
    async fn seen(
        layer: &IdentityHeadersLayer,
        headers: &[(&'static str, &str)],
        claims: Option<Claims>,
    ) -> (u16, Vec<String>) {
        let inner = service_fn(async |request: Request<()>| {
            let seen = request.headers().iter();
            let seen: Vec<_> = seen
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(seen.join("|"))))
        });
        let mut request = Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        if let Some(claims) = claims {
            let mut context = RequestContext::new();
            context.set_identity(Identity::new("jwt", claims));
            request.extensions_mut().insert(context);
        }
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap()
            .to_bytes();
        let seen = String::from_utf8(body.to_vec()).unwrap();
        let mut seen: Vec<_> = seen
            .split('|')
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        seen.sort();
        (status, seen)
    }

    #[tokio::test]
    async fn nobody_but_the_gateway_says_who_it_is() {
        let layer = IdentityHeadersLayer::new()
            .header("x-user-id", "{claims.sub}")
            .header("X-Roles", "{claims.roles}");
        let forged = [
            ("x-user-id", "root"),
            ("x-user-id", "admin"),
            ("x_user_id", "root"),
            ("x-user_id", "root"),
            ("x-roles", "admin"),
            ("x-other", "1"),
            ("authorization", "Bearer a"),
        ];
        let kept = ["authorization: Bearer a", "x-other: 1"];
        assert_eq!(
            seen(&layer, &forged, None).await,
            (200, kept.map(str::to_owned).to_vec())
        );
        let claims = Claims::new()
            .with("sub", "alice")
            .with("roles", ["a", "b,c"]);
        let told = [
            "authorization: Bearer a",
            "x-other: 1",
            "x-roles: a,b%2Cc",
            "x-user-id: alice",
        ];
        assert_eq!(
            seen(&layer, &forged, Some(claims)).await,
            (200, told.map(str::to_owned).to_vec())
        );
        let nameless = seen(&layer, &forged, Some(Claims::new())).await;
        assert_eq!(
            nameless,
            (200, kept.map(str::to_owned).to_vec()),
            "a claim that is missing leaves no forgery"
        );
    }

    #[tokio::test]
    async fn of_nobody_nothing_is_told() {
        let layer = IdentityHeadersLayer::new().header("x-known", "yes");
        assert_eq!(seen(&layer, &[("x-known", "yes")], None).await.1, [""; 0]);
        let known = seen(&layer, &[], Some(Claims::new())).await.1;
        assert_eq!(known, ["x-known: yes"]);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused() {
        let layer = IdentityHeadersLayer::new().header("x-user-id", "{claims.sub}");
        let claims = Claims::new().with("sub", "a".repeat(9_000));
        assert_eq!(seen(&layer, &[], Some(claims)).await.0, 403);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_the_gateway_takes_the_place_of_the_clients() {
        use crate::auth::jose::{Algorithm, ClaimPolicy, KeySet, Policy, SigningKey, verify};

        let key = SigningKey::generate(Algorithm::ES256)
            .unwrap()
            .with_kid("gw");
        let keys = KeySet::new([key.key()]).unwrap();
        let token = InternalToken::new(key, "gateway", "backends").claims(["sub", "n", "none"]);
        let layer = IdentityHeadersLayer::new().token(token);
        let sent = [("authorization", "Bearer outer")];
        assert_eq!(
            seen(&layer, &sent, None).await.1,
            [""; 0],
            "nobody has none"
        );
        let claims: Claims = r#"{"sub": "alice", "n": 1.50, "secret": "x"}"#.parse().unwrap();
        let told = async || {
            let seen = seen(&layer, &sent, Some(claims.clone())).await.1;
            seen[0]
                .strip_prefix("authorization: Bearer ")
                .unwrap()
                .to_owned()
        };
        let first = told().await;
        let verified = verify(&first, &keys, &Policy::new()).unwrap();
        let inner = verified.claims().unwrap();
        let policy = ClaimPolicy::new()
            .issuer("gateway")
            .audience(["backends"])
            .max_lifetime(std::time::Duration::from_secs(60));
        policy.check(&inner, crate::clock::wall()).unwrap();
        assert_eq!(
            (inner.subject(), inner.get("n").unwrap().json()),
            (Some("alice"), "1.50")
        );
        assert!(inner.get("secret").is_none() && inner.get("none").is_none());
        assert_eq!(told().await, first, "it is signed once");
        tokio::time::advance(std::time::Duration::from_secs(31)).await;
        let second = told().await;
        assert_ne!(second, first, "and in time again");
        let claims = verify(&second, &keys, &Policy::new())
            .unwrap()
            .claims()
            .unwrap();
        policy.check(&claims, crate::clock::wall()).unwrap();
    }

    #[test]
    fn wrong_settings_are_named() {
        let layer = || IdentityHeadersLayer::new();
        let key = || {
            crate::auth::jose::SigningKey::generate(crate::auth::jose::Algorithm::EdDSA).unwrap()
        };
        let token = || InternalToken::new(key(), "a", "b");
        let param = Param {
            name: "id",
            rest: false,
        };
        for (layer, what) in [
            (layer().header("a b", "x"), "\"a b\""),
            (layer().header("host", "x"), "`host`"),
            (layer().header("Authorization", "x"), "rewrite"),
            (layer().header("cookie", "x"), "rewrite"),
            (layer().header("Content_Length", "x"), "frames the message"),
            (layer().header("x-user", "{claims.}"), "`x-user`: template"),
            (layer().header("x-user", "{other}"), "no param `other`"),
            (
                layer().token(token().lifetime(std::time::Duration::ZERO)),
                "lifetime",
            ),
            (layer().token(token().claims(["exp"])), "`exp`"),
            (layer().token(InternalToken::new(key(), "", "b")), "issuer"),
        ] {
            let mistakes = layer.mistakes(&[param]);
            assert!(
                mistakes.len() == 1 && mistakes[0].contains(what),
                "{what}: {mistakes:?}"
            );
        }
        let layer = layer().header("x-user", "{claims.sub}/{id}");
        assert_eq!(layer.mistakes(&[param]), [""; 0]);
        assert_eq!(layer.names().collect::<Vec<_>>(), ["x-user"]);
    }
}
