//! A request of the gateway, as a template reads it.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, Method, Uri};

use super::Facts;
use crate::{claims::Claims, context::RequestContext, identity::Identity};

/// The facts of a request: its head, and what its context knows.
#[derive(Debug)]
pub(crate) struct RequestFacts<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    context: Option<&'a RequestContext>,
    host: Option<Cow<'a, str>>,
}

impl<'a> RequestFacts<'a> {
    pub(crate) fn new(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        context: Option<&'a RequestContext>,
    ) -> Self {
        Self {
            method,
            uri,
            headers,
            context,
            host: context.and_then(RequestContext::host).map(plain_host),
        }
    }
}

/// One spelling for each host: in lower case, without the dot of the root.
fn plain_host(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => host.to_ascii_lowercase().into(),
        false => host.into(),
    }
}

impl Facts for RequestFacts<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        self.context?.param(name)
    }

    fn method(&self) -> &Method {
        self.method
    }

    fn uri(&self) -> &Uri {
        self.uri
    }

    fn headers(&self) -> &HeaderMap {
        self.headers
    }

    fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    fn scheme(&self) -> Option<&str> {
        self.context?.scheme().map(|scheme| scheme.as_str())
    }

    fn client_ip(&self) -> Option<IpAddr> {
        self.context?.client_ip()
    }

    fn request_id(&self) -> Option<&str> {
        self.context?.request_id()
    }

    fn claims(&self) -> Option<&Claims> {
        self.context?.identity().map(Identity::claims)
    }
}
