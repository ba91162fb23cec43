//! Passes a request on to one of a backend's endpoints, and its answer back.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;

use super::{
    OwnedHeaders,
    endpoint::LiveEndpoint,
    endpoints::{Endpoints, Taken, Wish},
    expect,
    failover::{Detour, Detoured, Spare},
    join_cookies,
    score::{Score, Terms},
    strip_request, strip_response,
    upgrade::Switch,
    upload::Upload,
};
use crate::{
    body::Body,
    client::{Answer, InFlight, Limits, Outgoing, Unanswered},
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
    rendezvous,
};

/// The `Host` that a backend sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The endpoint's own host and port (the default); `localhost` for a Unix socket.
    #[default]
    Rewrite,
    /// What the client asked for, or what a trusted proxy says that it did.
    Keep,
    /// This one.
    Fixed(HeaderValue),
}

#[derive(Clone, Debug)]
pub(crate) struct ProxySettings {
    pub(crate) host: HostHeader,
    pub(crate) head_timeout: Option<Duration>,
    pub(crate) activity_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) upgrades: Vec<String>,
    pub(crate) tunnel_idle_timeout: Option<Duration>,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            host: HostHeader::Rewrite,
            head_timeout: None,
            activity_timeout: Some(Duration::from_secs(100)),
            timeout: None,
            upgrades: vec!["websocket".to_owned()],
            tunnel_idle_timeout: Some(Duration::from_secs(10 * 60)),
        }
    }
}

/// A backend's endpoints and how to speak to them. Clones share the connections, whatever they are called.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// The one that it has in a gateway.
    name: Option<Arc<str>>,
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) settings: ProxySettings,
}

impl Proxy {
    pub(crate) fn new(endpoints: Arc<Endpoints>, settings: ProxySettings) -> Self {
        Self {
            name: None,
            inner: Arc::new(Inner {
                endpoints,
                settings,
            }),
        }
    }

    pub(crate) fn named(self, name: Arc<str>) -> Self {
        Self {
            name: Some(name),
            ..self
        }
    }

    /// Starts what goes on beside the requests. Says what a request has to wait for, if nobody knows yet where the endpoints
    /// are; it is part of having a connection, and limited with it, and part of the request's whole time.
    pub(crate) fn begin(
        &self,
        request: &mut Request<Body>,
    ) -> Option<impl Future<Output = Result<(), Error>> + Send + use<>> {
        self.inner.endpoints.attend();
        if !self.inner.endpoints.is_unknown() {
            return None;
        }
        let inner = self.inner.clone();
        let now = clock::now();
        let extensions = request.extensions_mut();
        let context = extensions.get_or_insert_default::<RequestContext>();
        let own = inner.settings.timeout;
        if let Some(own) = own.and_then(|limit| now.checked_add(limit)) {
            context.limit_deadline(own);
        }
        let left = context
            .deadline()
            .map(|end| end.saturating_duration_since(now));
        Some(async move {
            let limit = inner.endpoints.factory.config.connect_timeout;
            let (limit, error) = match left {
                Some(left) if left <= limit => {
                    (left, Error::new(ErrorKind::Deadline).with_retryable(true))
                }
                _ => (limit, Error::new(ErrorKind::ConnectTimeout)),
            };
            let known = tokio::time::timeout(limit, inner.endpoints.known());
            known.await.map_err(|_| {
                error.with_source(format!("no endpoint was discovered within {limit:?}"))
            })
        })
    }

    /// Sends the request to an endpoint. What needs no waiting is done at once.
    pub(crate) fn call(
        &self,
        request: Request<Body>,
    ) -> Result<impl Future<Output = Result<Response<Body>, Error>> + Send + use<>, Error> {
        let Prepared {
            in_flight,
            outgoing,
            limits,
            switch,
            spare,
            score,
            bind,
        } = self.prepare(request)?;
        Ok(Reply {
            is_head: outgoing.method == Method::HEAD,
            answer: in_flight.send(outgoing, limits),
            switch,
            spare,
            score,
            bind,
            detour: None,
        })
    }

    fn prepare(&self, request: Request<Body>) -> Result<Prepared, Error> {
        let Inner {
            endpoints,
            settings,
        } = &*self.inner;
        let (mut parts, mut body) = request.into_parts();
        let mut context = parts
            .extensions
            .remove::<RequestContext>()
            .unwrap_or_default();
        if !context.is_admitted {
            // Without a gateway in front nobody has cleaned the request yet.
            let owned = OwnedHeaders::new();
            admit(&mut parts.headers, parts.version, &owned, &mut context);
        }
        let tried = context.tried.take();
        let key = endpoints
            .key()
            .and_then(|key| key.of(&parts.headers, Some(&context)))
            .map(|key| rendezvous::hash(&key));
        let affinity = endpoints.affinity();
        let token = affinity.and_then(|affinity| affinity.read(&parts.headers));
        let met = tried.as_ref().map(|tried| tried.all()).unwrap_or_default();
        let taken = endpoints.take(&Wish {
            token,
            key,
            tried: &met,
        });
        let Taken {
            endpoint,
            in_flight,
            has_others,
        } = taken?;
        if let Some(tried) = &tried {
            tried.add(endpoint.id);
        }
        context.record(|notes| notes.try_at(self.name.as_ref(), Some(&endpoint.label)));

        let bind = affinity.map(|_| Bind {
            has: token.is_some_and(|token| token == endpoint.token.as_bytes()),
            is_secure: context.scheme() == Some(&Scheme::HTTPS),
            backend: self.inner.clone(),
            answering: endpoint.clone(),
        });

        let mut headers = parts.headers;
        headers.remove(header::CONNECTION);
        headers.remove(header::TRANSFER_ENCODING);
        let switch = match context.upgrade() {
            Some(asked) if settings.allows(asked) => parts
                .extensions
                .remove::<OnUpgrade>()
                .map(|client| {
                    Switch::ask(client, asked, settings.tunnel_idle_timeout, &mut headers)
                })
                .transpose()?,
            _ => None,
        };
        match &settings.host {
            HostHeader::Rewrite => headers.insert(header::HOST, endpoint.host.clone()),
            HostHeader::Fixed(host) => headers.insert(header::HOST, host.clone()),
            HostHeader::Keep => {
                let kept = context
                    .authority()
                    .or(parts.uri.authority().map(Authority::as_str))
                    .map(HeaderValue::from_str);
                match kept {
                    Some(Ok(host)) => headers.insert(header::HOST, host),
                    _ if headers.contains_key(header::HOST) => None,
                    _ => headers.insert(header::HOST, endpoint.host.clone()),
                }
            }
        };
        if parts.version >= Version::HTTP_2 {
            join_cookies(&mut headers);
        }
        let upload = match endpoints.keeps_score() {
            true => Upload::follow(&mut body),
            false => None,
        };
        let on_continue: Option<Arc<dyn Fn() + Send + Sync>> =
            if !body.is_end_stream() && headers.contains_key(header::EXPECT) {
                let key = expect::Key::default();
                body = expect::gate(body, key.clone());
                Some(Arc::new(move || key.open()))
            } else {
                None
            };
        let path = parts
            .uri
            .into_parts()
            .path_and_query
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let path = endpoint
            .address
            .join(path)
            .map_err(|error| Error::new(ErrorKind::BadRequest).with_source(error))?;
        let own = settings
            .timeout
            .and_then(|limit| clock::now().checked_add(limit));
        let others = context.deadline();
        let limits = Limits {
            head: settings.head_timeout,
            activity: settings.activity_timeout,
            deadline: others.into_iter().chain(own).min(),
        };
        let own = own.into_iter().chain(context.try_ends).min();
        let terms = Terms {
            patience: context.patience(),
            own: own.filter(|own| others.is_none_or(|others| *own <= others)),
            upload,
        };
        let in_flight = match switch {
            Some(_) => in_flight.for_upgrades(),
            None => in_flight,
        };
        let score = Score::begin(endpoints, &endpoint, &terms);
        let spare = has_others.then(|| Spare {
            terms,
            key,
            backend: self.inner.clone(),
            record: context.record,
            tried,
            chosen: endpoint.clone(),
            switches: switch.is_some(),
        });
        Ok(Prepared {
            in_flight,
            outgoing: Outgoing {
                method: parts.method,
                path,
                headers,
                body,
                on_continue,
            },
            limits,
            switch,
            spare,
            score,
            bind,
        })
    }
}

/// All that it takes to send a request.
struct Prepared {
    in_flight: InFlight,
    outgoing: Outgoing,
    limits: Limits,
    switch: Option<Box<Switch>>,
    spare: Option<Spare>,
    score: Option<Score>,
    bind: Option<Bind>,
}

/// A client that is to stay with the endpoint that answers.
struct Bind {
    /// It knows already.
    has: bool,
    is_secure: bool,
    backend: Arc<Inner>,
    answering: Arc<LiveEndpoint>,
}

impl Bind {
    /// Another endpoint has answered.
    fn turn_to(&mut self, other: Arc<LiveEndpoint>) {
        self.answering = other;
        self.has = false;
    }

    fn tell(self, headers: &mut HeaderMap) {
        let affinity = self.backend.endpoints.affinity();
        if let (false, Some(affinity)) = (self.has, affinity)
            && let Some(field) = affinity.set_cookie(&self.answering.token, self.is_secure)
        {
            headers.append(header::SET_COOKIE, field);
        }
    }
}

pin_project_lite::pin_project! {
    /// An endpoint's answer on its way back. Written by hand, for an `async` block keeps what it awaits twice.
    struct Reply<F> {
        #[pin]
        answer: F,
        switch: Option<Box<Switch>>,
        spare: Option<Spare>,
        score: Option<Score>,
        bind: Option<Bind>,
        detour: Option<Detour>,
        is_head: bool,
    }
}

impl<F> Future for Reply<F>
where
    F: Future<Output = Result<Answer, Unanswered>>,
{
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = loop {
            if let Some(detour) = this.detour {
                let Detoured {
                    answer,
                    endpoint,
                    score,
                } = ready!(detour.as_mut().poll(cx))?;
                if let Some(bind) = this.bind {
                    bind.turn_to(endpoint);
                }
                *this.score = score;
                break answer;
            }
            match ready!(this.answer.as_mut().poll(cx)) {
                Ok(answer) => break answer,
                Err(Unanswered { error, unsent }) => {
                    if let Some(score) = this.score.take() {
                        score.fail(&error);
                    }
                    match (this.spare.take(), unsent) {
                        (Some(spare), Some(unsent)) => {
                            *this.detour = Some(spare.detour(error, unsent));
                        }
                        _ => return Poll::Ready(Err(error)),
                    }
                }
            }
        };
        let (score, bind) = (this.score.take(), this.bind.take());
        let mut response = match answer {
            Answer::Body(mut response) => {
                if let Some(score) = score {
                    response = score.answer(response);
                }
                strip_response(response.headers_mut());
                if *this.is_head {
                    *response.body_mut() = Body::empty();
                }
                response
            }
            Answer::Switched(switched) => {
                let joined =
                    match this.switch.take() {
                        Some(switch) => switch.join(switched.0, switched.1),
                        None => Err(Error::new(ErrorKind::Upgrade)
                            .with_source("a 101 that nobody asked for")),
                    };
                match (score, &joined) {
                    (Some(score), Ok(_)) => score.switched(),
                    (Some(score), Err(error)) => score.fail(error),
                    (None, _) => {}
                }
                joined?
            }
        };
        if let Some(bind) = bind {
            bind.tell(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}

impl ProxySettings {
    fn allows(&self, protocol: &str) -> bool {
        self.upgrades
            .iter()
            .any(|known| known.eq_ignore_ascii_case(protocol))
    }
}

/// Takes off what belongs to the client's connection or is not for the client to say, and notes what it asked for.
pub(crate) fn admit(
    headers: &mut HeaderMap,
    version: Version,
    owned: &OwnedHeaders,
    context: &mut RequestContext,
) {
    let stripped = strip_request(headers, owned, context.peer_is_trusted);
    if version == Version::HTTP_11 {
        context.upgrade = stripped
            .upgrade
            .and_then(|protocol| protocol.to_str().ok().map(Into::into));
    }
    context.is_admitted = true;
}
