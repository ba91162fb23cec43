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
    uri::{Authority, PathAndQuery},
};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;

use super::{
    Endpoint, OwnedHeaders,
    endpoint::pick_for,
    expect,
    failover::{Detour, Spare},
    join_cookies, restore_upgrade, strip_request, strip_response, tunnel, upgrade,
};
use crate::{
    body::Body,
    client::{Answer, Client, Limits, Outgoing, Switched, Unanswered},
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
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
    pub(super) endpoints: Box<[Endpoint]>,
    pub(super) settings: ProxySettings,
}

impl Proxy {
    pub(crate) fn new(endpoints: Vec<Endpoint>, settings: ProxySettings) -> Self {
        Self {
            name: None,
            inner: Arc::new(Inner {
                endpoints: endpoints.into(),
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

    /// Sends the request to an endpoint. What needs no waiting is done at once.
    pub(crate) fn call(
        &self,
        request: Request<Body>,
    ) -> Result<impl Future<Output = Result<Response<Body>, Error>> + Send + use<>, Error> {
        let Prepared {
            client,
            outgoing,
            limits,
            switch,
            spare,
        } = self.prepare(request)?;
        Ok(Reply {
            is_head: outgoing.method == Method::HEAD,
            answer: client.send(outgoing, limits),
            switch,
            spare,
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
        let chosen = pick_for(endpoints, tried.as_deref()).ok_or(ErrorKind::NoEndpoint)?;
        let endpoint = &endpoints[chosen];
        context.record(|notes| notes.try_at(self.name.as_ref(), Some(&endpoint.label)));

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
        let limits = Limits {
            head: settings.head_timeout,
            activity: settings.activity_timeout,
            deadline: context.deadline().into_iter().chain(own).min(),
        };
        let client = match switch {
            Some(_) => endpoint.client.for_upgrades(),
            None => &endpoint.client,
        };
        let spare = (endpoints.len() > 1).then(|| Spare {
            backend: self.inner.clone(),
            record: context.record,
            tried,
            chosen,
            switches: switch.is_some(),
        });
        Ok(Prepared {
            client: client.clone(),
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
        })
    }
}

/// All that it takes to send a request.
struct Prepared {
    client: Client,
    outgoing: Outgoing,
    limits: Limits,
    switch: Option<Box<Switch>>,
    spare: Option<Spare>,
}

pin_project_lite::pin_project! {
    /// An endpoint's answer on its way back. Written by hand, for an `async` block keeps what it awaits twice.
    struct Reply<F> {
        #[pin]
        answer: F,
        switch: Option<Box<Switch>>,
        spare: Option<Spare>,
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
                break ready!(detour.as_mut().poll(cx))?;
            }
            match ready!(this.answer.as_mut().poll(cx)) {
                Ok(answer) => break answer,
                Err(Unanswered { error, unsent }) => match (this.spare.take(), unsent) {
                    (Some(spare), Some(unsent)) => *this.detour = Some(spare.detour(error, unsent)),
                    _ => return Poll::Ready(Err(error)),
                },
            }
        };
        Poll::Ready(match answer {
            Answer::Body(mut response) => {
                strip_response(response.headers_mut());
                if *this.is_head {
                    *response.body_mut() = Body::empty();
                }
                Ok(response)
            }
            Answer::Switched(switched) => match this.switch.take() {
                Some(switch) => switch.join(switched.0, switched.1),
                None => {
                    Err(Error::new(ErrorKind::Upgrade).with_source("a 101 that nobody asked for"))
                }
            },
        })
    }
}

/// A client that wants to change the protocol.
struct Switch {
    client: OnUpgrade,
    asked: HeaderValue,
    key: Option<HeaderValue>,
    idle: Option<Duration>,
}

impl Switch {
    /// Asks the backend for the protocol that the client asks for.
    fn ask(
        client: OnUpgrade,
        asked: &str,
        idle: Option<Duration>,
        headers: &mut HeaderMap,
    ) -> Result<Box<Self>, Error> {
        let asked = HeaderValue::from_str(asked).map_err(|_| ErrorKind::BadRequest)?;
        restore_upgrade(headers, asked.clone());
        let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        Ok(Box::new(Self {
            client,
            asked,
            key,
            idle,
        }))
    }

    /// Checks the 101 and joins the connections behind it.
    fn join(self, mut response: Response<()>, backend: Switched) -> Result<Response<Body>, Error> {
        let key = self.key.as_ref().map(HeaderValue::as_bytes);
        let asked = self.asked.to_str().unwrap_or_default();
        if let Some(mistake) = upgrade::mistake(asked, key, response.headers()) {
            return Err(Error::new(ErrorKind::Upgrade).with_source(mistake));
        }
        let protocol = response.headers().get(header::UPGRADE).cloned();
        strip_response(response.headers_mut());
        if let Some(protocol) = protocol {
            restore_upgrade(response.headers_mut(), protocol);
        }
        tokio::spawn(tunnel::join(self.client, backend, self.idle));
        Ok(response.map(|()| Body::empty()))
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
