//! The way of a request through the gateway, in the order in which it goes.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Method, Request, Response, Version, header};

use super::{Next, NextFuture, door::Door, target::Ended};
use crate::{
    body::Body,
    context::{Params, RequestContext},
    error::{Error, ErrorKind},
    observe::{ObserveFuture, ObserveLayer},
    problem::{Allow, grpc},
    routing::{Facts, Outcome, RouteTable},
};

/// A gateway that is ready for requests.
pub(crate) struct Pipeline {
    pub(crate) observe: ObserveLayer,
    /// What comes before the door's checks: the outer layers around [`Inside::enter`], if there are any.
    pub(crate) outer: Option<Next>,
    pub(crate) inside: Arc<Inside>,
    pub(crate) plan: String,
}

/// The door and what is behind it.
pub(crate) struct Inside {
    pub(crate) door: Door,
    /// The gateway's layers around [`Inside::dispatch`], if there are any.
    pub(crate) layers: Option<Next>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) proxy_status: Option<String>,
}

pub(crate) struct Routes(pub(crate) RouteTable<Ended>);

impl Pipeline {
    /// From the client's request to the answer that it gets. Nothing fails: what goes wrong is an answer too.
    ///
    /// What needs no waiting is done at once, so that the only future is the one that waits for the backend.
    pub(crate) fn run(&self, mut request: Request<Body>) -> Answer {
        let is_head = request.method() == Method::HEAD;
        let is_grpc = grpc::is_grpc(&request);
        self.inside.door.greet(&mut request);
        let observation = self.observe.begin(&mut request);
        let reply = observation.in_scope(|| match &self.outer {
            Some(outer) => outer.send(request),
            None => self.inside.open(request),
        });
        let inside = self.inside.clone();
        let rescued = Rescued {
            reply,
            inside,
            is_grpc,
        };
        Answer {
            reply: ObserveFuture::new(rescued, observation),
            is_head,
        }
    }
}

/// The answer to a request, on its way.
pub(crate) struct Answer {
    reply: ObserveFuture<Rescued>,
    is_head: bool,
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(Pin::new(&mut self.reply).poll(cx))?;
        if self.is_head {
            // hyper's HTTP/2 server would send a body that an in-process service or a rejection has.
            *response.body_mut() = Body::empty();
        }
        Poll::Ready(Ok(response))
    }
}

/// A reply that is an answer even when it fails, so that a failure is observed as it is answered.
struct Rescued {
    reply: NextFuture,
    inside: Arc<Inside>,
    is_grpc: bool,
}

impl Future for Rescued {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.reply).poll(cx));
        let mut response = reply.unwrap_or_else(|error| self.inside.reject(error));
        if self.is_grpc {
            grpc::translate(&mut response);
        }
        Poll::Ready(Ok(response))
    }
}

impl Routes {
    pub(crate) fn dispatch(&self, mut request: Request<Body>) -> NextFuture {
        match self.find(&mut request) {
            Ok(route) => route.call(request),
            Err(missed) => NextFuture::ready(Err(missed.into())),
        }
    }

    /// The route that takes a request, whose context then has its name and its params.
    pub(crate) fn find<B>(&self, request: &mut Request<B>) -> Result<&Ended, Missed> {
        let context = request.extensions().get::<RequestContext>();
        let facts = Facts {
            method: request.method(),
            host: context.and_then(RequestContext::authority),
            path: request.uri().path(),
            query: request.uri().query(),
            headers: request.headers(),
        };
        let found = match self.0.find(&facts) {
            Outcome::Found(found) => found,
            Outcome::NotFound => return Err(Missed::Path),
            Outcome::MethodNotAllowed { allow } => return Err(Missed::Method(allow)),
        };
        let route = found.value;
        let params = match request.uri().path_and_query() {
            Some(path) if !route.params.is_empty() => {
                let ranges = found.captures.ranges();
                Params::new(
                    path.clone(),
                    route.params.clone(),
                    ranges.map(|at| Some(at.start as u32..at.end as u32)),
                )
            }
            _ => Params::default(),
        };
        if let Some(context) = request.extensions_mut().get_mut::<RequestContext>() {
            context.route = Some(route.name.clone());
            context.params = params;
            context.record(|notes| notes.route = Some(route.name.clone()));
        }
        Ok(route)
    }
}

impl Inside {
    /// Through the door and the gateway's layers to a route. What goes wrong is an answer, so that the outer layers
    /// treat it like any other.
    pub(crate) fn enter(self: &Arc<Self>, request: Request<Body>) -> NextFuture {
        let reply = self.open(request);
        let inside = self.clone();
        NextFuture::new(async move {
            let reply = reply.await;
            Ok(reply.unwrap_or_else(|error| inside.reject(error)))
        })
    }

    /// The same, but what fails behind the door is still to be answered.
    fn open(&self, mut request: Request<Body>) -> NextFuture {
        if let Err(error) = self.door.admit(&mut request) {
            let mut response = self.reject(error);
            if request.version() < Version::HTTP_2 {
                // Where a refused request ends is not certain: what follows it must not be read as another one.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            return NextFuture::ready(Ok(response));
        }
        match &self.layers {
            Some(layers) => layers.send(request),
            None => self.routes.dispatch(request),
        }
    }

    /// The answer for an error.
    pub(crate) fn reject(&self, error: Error) -> Response<Body> {
        let kind = error.kind().proxy_status();
        let mut response = error.into_response();
        if let (Some(name), Some(kind)) = (&self.proxy_status, kind)
            && let Ok(value) = HeaderValue::try_from(format!("{name}; error={kind}"))
        {
            response.headers_mut().insert("proxy-status", value);
        }
        response
    }
}

/// Why no route takes a request.
pub(crate) enum Missed {
    Path,
    /// The path is known, with these methods.
    Method(Vec<Method>),
}

impl From<Missed> for Error {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Path => ErrorKind::RouteNotFound.into(),
            Missed::Method(allow) => {
                Self::new(ErrorKind::MethodNotAllowed).with_source(Allow(allow))
            }
        }
    }
}
