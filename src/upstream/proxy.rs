//! Passes a request on to one of a backend's endpoints, and its answer back.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header,
    uri::PathAndQuery,
};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;

use super::{
    Endpoint, OwnedHeaders, endpoint::pick, expect, join_cookies, restore_upgrade, strip_request,
    strip_response, tunnel, upgrade,
};
use crate::{
    body::Body,
    client::{Download, Limits, Outgoing},
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
};

/// The `Host` that a backend sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The endpoint's own host and port (the default).
    #[default]
    Rewrite,
    /// What the client asked for.
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
            tunnel_idle_timeout: None,
        }
    }
}

/// A backend's endpoints and how to speak to them. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    endpoints: Box<[Endpoint]>,
    settings: ProxySettings,
}

impl Proxy {
    pub(crate) fn new(name: &str, endpoints: Vec<Endpoint>, settings: ProxySettings) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            endpoints: endpoints.into(),
            settings,
        }))
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        let Inner {
            name,
            endpoints,
            settings,
        } = &*self.0;
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
        let endpoint = pick(endpoints).ok_or(ErrorKind::NoEndpoint)?;
        context.record(|notes| {
            notes.upstream = Some(name.clone());
            notes.endpoint = Some(endpoint.label.clone());
            notes.tries += 1;
        });

        let mut headers = parts.headers;
        let client_upgrade = parts.extensions.remove::<OnUpgrade>();
        let asked = match (&client_upgrade, context.upgrade()) {
            (Some(_), Some(asked))
                if settings
                    .upgrades
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(asked)) =>
            {
                Some(asked)
            }
            _ => None,
        };
        headers.remove(header::CONNECTION);
        headers.remove(header::TRANSFER_ENCODING);
        if let Some(asked) = asked {
            let protocol = HeaderValue::from_str(asked).map_err(|_| ErrorKind::BadRequest)?;
            restore_upgrade(&mut headers, protocol);
        }
        let key = asked.and_then(|_| headers.get(header::SEC_WEBSOCKET_KEY).cloned());
        match &settings.host {
            HostHeader::Rewrite => headers.insert(header::HOST, endpoint.host.clone()),
            HostHeader::Fixed(host) => headers.insert(header::HOST, host.clone()),
            HostHeader::Keep => {
                let kept = context
                    .authority()
                    .or(parts.uri.authority())
                    .map(|host| HeaderValue::from_str(host.as_str()));
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
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let path = endpoint
            .address
            .join(&path)
            .map_err(|error| Error::new(ErrorKind::BadRequest).with_source(error))?;
        let deadline = match (context.deadline(), settings.timeout) {
            (deadline, None) => deadline,
            (None, Some(limit)) => clock::now().checked_add(limit),
            (Some(deadline), Some(limit)) => Some(
                clock::now()
                    .checked_add(limit)
                    .map_or(deadline, |own| deadline.min(own)),
            ),
        };
        let limits = Limits {
            head: settings.head_timeout,
            activity: settings.activity_timeout,
            deadline,
        };
        let is_head = parts.method == Method::HEAD;
        let outgoing = Outgoing {
            method: parts.method,
            path,
            headers,
            body,
            on_continue,
        };
        let mut response = endpoint.client.send(outgoing, limits).await?;

        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(client), Some(asked)) = (client_upgrade, asked) else {
                return Err(
                    Error::new(ErrorKind::Upgrade).with_source("a 101 that nobody asked for")
                );
            };
            return switch(response, client, asked, key, settings.tunnel_idle_timeout);
        }
        strip_response(response.headers_mut());
        Ok(response.map(|body| {
            if is_head || body.is_end_stream() {
                Body::empty()
            } else {
                Body::boxed(body)
            }
        }))
    }
}

/// Checks the 101 and joins the connections behind it.
fn switch(
    mut response: Response<Download>,
    client: OnUpgrade,
    asked: &str,
    key: Option<HeaderValue>,
    idle: Option<Duration>,
) -> Result<Response<Body>, Error> {
    let key = key.as_ref().map(HeaderValue::as_bytes);
    if let Some(mistake) = upgrade::mistake(asked, key, response.headers()) {
        return Err(Error::new(ErrorKind::Upgrade).with_source(mistake));
    }
    let backend = hyper::upgrade::on(&mut response);
    let protocol = response.headers().get(header::UPGRADE).cloned();
    strip_response(response.headers_mut());
    if let Some(protocol) = protocol {
        restore_upgrade(response.headers_mut(), protocol);
    }
    let (parts, link) = response.into_parts();
    tokio::spawn(async move {
        tunnel::join(client, backend, idle).await;
        // The connection counts as in use until here.
        drop(link);
    });
    Ok(Response::from_parts(parts, Body::empty()))
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
