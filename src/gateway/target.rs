//! Where a route's requests end: rewritten, and given to one of its upstreams.

use std::{sync::Arc, time::Duration};

use http::Request;

use super::{Next, NextFuture, in_process::InProcess, upstream::Ready};
use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
    routing::{Plan, Rewriter, WeightedSplit},
    sticky::StickyKey,
    template::RequestFacts,
    timer::Timer,
    upstream::ForwardHeaders,
};

/// A route that is ready for requests.
pub(crate) struct Ended {
    pub(crate) name: Arc<str>,
    pub(crate) params: Arc<[Box<str>]>,
    pub(crate) body_limit: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) way: Way,
}

/// Straight to the target, or through the route's layers.
pub(crate) enum Way {
    Straight(Arc<Target>),
    Layered(Next),
}

impl Way {
    /// Whether an answer's body is in the hands of who keeps the request's deadline, and nobody else's.
    pub(crate) fn keeps_time(&self) -> bool {
        let Self::Straight(target) = self else {
            return false;
        };
        let mut upstreams = target.upstreams.iter();
        upstreams.all(|upstream| !matches!(upstream, Ready::Layered(_)))
    }
}

/// Sends a request on that has at most this long; `keeps_time`: the body of its answer sees to that itself.
pub(crate) fn in_time(
    limit: Option<Duration>,
    keeps_time: bool,
    mut request: Request<Body>,
    then: impl FnOnce(Request<Body>) -> NextFuture,
) -> NextFuture {
    let Some(deadline) = limit.and_then(|limit| clock::now().checked_add(limit)) else {
        return then(request);
    };
    if let Some(context) = request.extensions_mut().get_mut::<RequestContext>() {
        context.limit_deadline(deadline);
    }
    let reply = then(request);
    NextFuture::new(async move {
        let answer = tokio::time::timeout_at(deadline.into(), reply).await;
        let response = answer.map_err(|_| Error::new(ErrorKind::Deadline))??;
        Ok(match keeps_time {
            true => response,
            // What the layers hold goes with the body.
            false => response.map(|body| body.until(deadline, Timer::new())),
        })
    })
}

/// The upstreams of a route, and what is changed on the way to them.
pub(crate) struct Target {
    pub(crate) upstreams: Vec<Ready>,
    pub(crate) split: Option<WeightedSplit>,
    pub(crate) sticky: Option<StickyKey>,
    pub(crate) rewriter: Option<Rewriter>,
    pub(crate) forward: ForwardHeaders,
}

impl Ready {
    /// The same, logged under this name.
    pub(super) fn named(self, name: &str) -> Self {
        let name: Arc<str> = name.into();
        match self {
            Self::Proxy(proxy) => Self::Proxy(proxy.named(name)),
            Self::InProcess(service) => Self::InProcess(InProcess {
                name: Some(name),
                ..service
            }),
            // The layers are there once for all clones, so that what is inside them has no name.
            Self::Layered(layers) => Self::Layered(Next::from_fn(move |request| {
                if let Some(context) = request.extensions().get::<RequestContext>() {
                    context.record(|notes| notes.go_to(&name));
                }
                layers.send(request)
            })),
        }
    }
}

impl Target {
    /// Rewrites a request on its way there, and the answer on its way back.
    pub(crate) fn rewritten(
        &self,
        request: Request<Body>,
        then: impl FnOnce(Request<Body>) -> NextFuture,
    ) -> NextFuture {
        let Some(rewriter) = &self.rewriter else {
            return then(request);
        };
        let (request, plan) = match self.rewrite(rewriter, request) {
            Ok(rewritten) => rewritten,
            Err(error) => return NextFuture::ready(Err(error)),
        };
        let reply = then(request);
        NextFuture::new(async move {
            let mut response = reply.await?;
            plan.apply_response(response.headers_mut())
                .map_err(|error| Error::new(ErrorKind::Protocol).with_source(error))?;
            Ok(response)
        })
    }

    fn rewrite(
        &self,
        rewriter: &Rewriter,
        request: Request<Body>,
    ) -> Result<(Request<Body>, Plan), Error> {
        let plan = plan(rewriter, &request)?;
        let (mut parts, body) = request.into_parts();
        plan.apply_request(&mut parts.uri, &mut parts.headers)
            .map_err(|error| Error::new(ErrorKind::BadRequest).with_source(error))?;
        if let Some(prefix) = plan.stripped() {
            self.forward.apply_prefix(&mut parts.headers, prefix);
        }
        Ok((Request::from_parts(parts, body), plan))
    }
}

fn plan(rewriter: &Rewriter, request: &Request<Body>) -> Result<Plan, Error> {
    let facts = RequestFacts::new(
        request.method(),
        request.uri(),
        request.headers(),
        request.extensions().get(),
    );
    rewriter.plan(&facts).map_err(|error| {
        Error::new(ErrorKind::BadRequest)
            .with_detail("A value does not fit where it has to go")
            .with_source(error)
    })
}
