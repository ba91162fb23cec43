//! The layer that lets in whom an authenticator knows.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower::{Layer, Service, util::Oneshot};

use super::{
    authenticator::{Authenticator, Check, Sender, Way},
    denied::Denied,
};
use crate::context::RequestContext;

/// Lets in whom an [`Authenticator`] knows, and says in [`RequestContext::identity`] who it is; others are answered as the table of
/// [`Denied`] says. Clones share the authenticator's state.
///
/// Every authenticator that is built in is a layer by itself, and can be made one of these. So can any of them together:
///
/// ```
/// use tower_gateway::auth::{AuthenticateLayer, Authenticator};
///
/// # fn layers(keys: impl Authenticator, staff: impl Authenticator) {
/// // One of them is enough; of several denials the most telling is the answer, with the challenges of all.
/// let either = AuthenticateLayer::any_of([keys.into(), staff.into()]);
/// // And whoever says nothing passes as nobody. Wrong credentials are refused still.
/// let layer = either.optional();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AuthenticateLayer {
    way: Way,
    /// Why nobody is let in.
    mistakes: Arc<[String]>,
}

impl AuthenticateLayer {
    /// Lets in whom this one knows.
    pub fn new(authenticator: impl Authenticator) -> Self {
        Self::of(Way::one(authenticator))
    }

    /// Lets in whom one of them knows, asked in this order until one does. The credentials for the others have then not been found
    /// right: one that forwards them, as a token, may forward a forged one, so that backends have to verify it themselves.
    pub fn any_of(layers: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Way::any(
            layers.into_iter().map(|layer| layer.way).collect(),
        ))
    }

    /// Lets in whom all of them know, asked in this order until one does not. The identity is the first one's; what the
    /// others know is added to its claims under the name of their [method](crate::Identity::method), as `client-cert.sub`.
    pub fn all_of(layers: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Way::all(
            layers.into_iter().map(|layer| layer.way).collect(),
        ))
    }

    /// Lets in requests without credentials too, as nobody's: [`RequestContext::identity`] is `None`. Credentials that are there have
    /// to be right.
    pub fn optional(self) -> Self {
        Self::of(self.way.optional())
    }

    fn of(way: Way) -> Self {
        let mistakes = way.mistakes().into();
        Self { way, mistakes }
    }

    /// The fields that nobody else may set.
    pub(crate) fn owned(&self) -> Vec<HeaderName> {
        self.way.owned()
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        self.mistakes.to_vec()
    }
}

impl<A: Authenticator> From<A> for AuthenticateLayer {
    fn from(authenticator: A) -> Self {
        Self::new(authenticator)
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        let layer = self.clone();
        Authenticate { inner, layer }
    }
}

/// The service that [`AuthenticateLayer`] makes. It is always ready: the service inside is asked for its readiness when a request is let in,
/// so that none is kept by one that is not.
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    layer: AuthenticateLayer,
}

pin_project! {
    /// The future of [`Authenticate`].
    pub struct AuthenticateFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        stage: Stage<S, B>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<S, B>
    where
        S: Service<Request<B>>,
    {
        Check {
            check: Check,
            // What a request that is let in goes on with.
            rest: Option<(Authenticate<S>, B)>,
        },
        Call {
            #[pin]
            answer: Oneshot<S, Request<B>>,
        },
        Refused,
    }
}

impl<S, B, R> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AuthenticateFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        AuthenticateFuture {
            stage: Stage::Check {
                check: self.layer.way.check(head),
                rest: Some((self.clone(), body)),
            },
        }
    }
}

impl<S, B, R> Future for AuthenticateFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            let next = match stage.as_mut().project() {
                StageProjection::Call { answer } => return answer.poll(cx),
                // Nothing comes of a future that is asked again after its answer.
                StageProjection::Refused => return Poll::Pending,
                StageProjection::Check { check, rest } => {
                    let (head, checked) = ready!(check.as_mut().poll(cx));
                    match rest.take().map(|(service, body)| {
                        let head = service.layer.decide(head, checked)?;
                        Ok((service.inner, Request::from_parts(head, body)))
                    }) {
                        Some(Ok((inner, request))) => Stage::Call {
                            answer: Oneshot::new(inner, request),
                        },
                        Some(Err(denied)) => {
                            stage.set(Stage::Refused);
                            return Poll::Ready(Ok(Denied::into_response(denied)));
                        }
                        None => Stage::Refused,
                    }
                }
            };
            stage.set(next);
        }
    }
}

/// What somebody who has not said who they are would be told if they had to. Left in a request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Challenges(pub(super) Arc<[HeaderValue]>);

impl AuthenticateLayer {
    /// The head as it goes on.
    fn decide(&self, mut head: Parts, checked: Result<Sender, Denied>) -> Result<Parts, Denied> {
        if !self.mistakes.is_empty() {
            return Err(Denied::unavailable(self.mistakes.join("; ")));
        }
        let sender = checked?;
        self.way.strip(&mut head);
        if let Sender::Known(identity) = &sender {
            for (name, value) in identity.headers() {
                let added = head.headers.try_append(name, value.clone());
                added.map_err(Denied::unavailable)?;
            }
        }
        let context = head.extensions.get_or_insert_default::<RequestContext>();
        match sender {
            Sender::Known(identity) => context.identity = Some(identity),
            Sender::Nobody(denied) => {
                context.identity = None;
                let challenges = Challenges(denied.into_challenges().into());
                head.extensions.insert(challenges);
            }
        }
        Ok(head)
    }
}

impl<S, B> fmt::Debug for AuthenticateFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthenticateFuture")
    }
}
