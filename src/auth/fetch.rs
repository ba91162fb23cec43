//! One exchange with somebody whom authentication asks, bounded in time and in bytes.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, Uri, header, uri::PathAndQuery};
use http_body::Body as _;
use http_body_util::BodyExt;

#[cfg(feature = "tls")]
use crate::tls::TlsSettings;
use crate::{
    body::Body,
    client::{Address, Answer, Client, ClientConfig, ClientConnector, Limits, Outgoing, Resolver},
    error::{Error, ErrorKind, causes},
};

/// How somebody is asked.
#[derive(Clone)]
pub(super) struct CallSettings {
    /// Whether `http` will do, to this machine as well; otherwise it is `https` alone.
    pub(super) allow_http: bool,
    /// For all of it, from the connection to the last byte of the answer.
    pub(super) timeout: Duration,
    /// The most bytes of an answer's body.
    pub(super) max_bytes: usize,
    #[cfg(feature = "tls")]
    pub(super) tls: TlsSettings,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            allow_http: false,
            timeout: Duration::from_secs(5),
            max_bytes: 1024 * 1024,
            #[cfg(feature = "tls")]
            tls: TlsSettings::default(),
        }
    }
}

/// Asks at one URL. Clones share its connections, which belong to the runtime that made them.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client,
    host: HeaderValue,
    path: PathAndQuery,
    /// The URL for logs, without its query.
    label: Arc<str>,
    timeout: Duration,
    max_bytes: usize,
}

/// Why there is no answer. For logs, never for clients.
#[derive(Debug, thiserror::Error)]
#[error("`{url}`: {reason}")]
pub(super) struct CallError {
    url: Arc<str>,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("{}", Chain(.0))]
    Failed(Error),
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

impl Caller {
    /// For this URL, which may have a query.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL or the settings for TLS, and what is allowed.
    pub(super) fn new(url: &str, settings: &CallSettings) -> Result<Self, String> {
        let bad = |reason: &str| Err(format!("`{}` {reason}", shown(url)));
        let Ok(uri) = url.parse::<Uri>() else {
            return bad("is not a URL; write `https://host/path`");
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return bad("is not a whole URL; write `https://host/path`");
        };
        match scheme {
            "https" if cfg!(feature = "tls") => {}
            "https" => return bad("needs the feature `tls`"),
            "http" if settings.allow_http => {}
            "http" => return bad("is not `https`, and `http` is not allowed"),
            _ => return bad("has a scheme that is neither `https` nor `http`"),
        }
        if url.contains('#') {
            return bad("has a fragment, which is sent to nobody; leave it out");
        }
        if authority.as_str().contains('@') {
            // It may be a password, and this text ends in a log.
            let host = authority.host();
            return Err(format!(
                "the URL for `{host}` has user information; send it in a header"
            ));
        }
        let origin = format!("{scheme}://{authority}");
        let address = Address::parse(&origin).map_err(|error| error.to_string())?;
        let Ok(host) = HeaderValue::from_str(authority.as_str()) else {
            return bad("has a host that is no header value");
        };
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        let label = format!("{origin}{}", path.path()).into();
        let defaults = ClientConfig::default();
        let config = ClientConfig {
            connect_timeout: defaults.connect_timeout.min(settings.timeout),
            max_wait: defaults.max_wait.min(settings.timeout),
            ..defaults
        };
        #[cfg(feature = "tls")]
        let tls = match address.is_tls() {
            true => Some(settings.tls.build()?),
            false if settings.tls.is_asked_for() => {
                return bad("is not `https`, but there are settings for TLS");
            }
            false => None,
        };
        let connector = ClientConnector::new(address, config, Resolver::default());
        #[cfg(feature = "tls")]
        let connector = match tls {
            Some(tls) => connector.with_tls(tls),
            None => connector,
        };
        Ok(Self {
            client: Client::new(connector),
            host,
            path,
            label,
            timeout: settings.timeout,
            max_bytes: settings.max_bytes,
        })
    }

    /// The same with another path and query, over the same connections.
    pub(super) fn with_path(mut self, path: PathAndQuery) -> Self {
        self.path = path;
        self
    }

    /// Asks, and waits for the whole answer, whatever its status is: a redirect is an answer, too. What is about the
    /// connection, the body's length or its coding in `headers` gives way to our own.
    ///
    /// # Errors
    ///
    /// That there is no answer, or none within the limits.
    pub(super) async fn send(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, CallError> {
        for ours in [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::EXPECT,
            header::TE,
            header::TRAILER,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ] {
            headers.remove(ours);
        }
        // Some peers know these, which have no name in the crate `http`.
        headers.remove("keep-alive");
        headers.remove("proxy-connection");
        headers.insert(header::HOST, self.host.clone());
        let identity = HeaderValue::from_static("identity");
        headers.insert(header::ACCEPT_ENCODING, identity);
        if !headers.contains_key(header::USER_AGENT) {
            let agent = HeaderValue::from_static("tower-gateway");
            headers.insert(header::USER_AGENT, agent);
        }
        let outgoing = Outgoing {
            method,
            path: self.path.clone(),
            headers,
            body: Body::from(body),
            on_continue: None,
        };
        let exchanged = tokio::time::timeout(self.timeout, self.exchange(outgoing)).await;
        exchanged
            .unwrap_or(Err(Reason::TooSlow(self.timeout)))
            .map_err(|reason| CallError {
                url: self.label.clone(),
                reason,
            })
    }

    async fn exchange(&self, outgoing: Outgoing) -> Result<Response<Bytes>, Reason> {
        let Some(in_flight) = self.client.clone().enter(usize::MAX) else {
            return Err(Reason::Failed(ErrorKind::Saturated.into()));
        };
        let answer = in_flight.send(outgoing, Limits::default()).await;
        let (head, mut body) = match answer {
            Ok(Answer::Body(response)) => response.into_parts(),
            Ok(Answer::Switched(_)) => {
                let error = Error::new(ErrorKind::Protocol);
                return Err(Reason::Failed(
                    error.with_source("another protocol than was asked for"),
                ));
            }
            Err(unanswered) => return Err(Reason::Failed(unanswered.error)),
        };
        let most = self.max_bytes;
        if body.size_hint().lower() > most as u64 {
            return Err(Reason::TooLarge(most));
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(Reason::Failed)?.into_data() {
                if data.len() > most - bytes.len() {
                    return Err(Reason::TooLarge(most));
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Response::from_parts(head, bytes.freeze()))
    }
}

/// A URL for logs, whatever it is: without its query and what follows, and without user information.
pub(super) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((user, host)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let scheme = user.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://{host}")
}

/// An error with what caused it.
struct Chain<'a>(&'a Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut causes = causes(self.0);
        if let Some(first) = causes.next() {
            write!(f, "{first}")?;
        }
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests;
