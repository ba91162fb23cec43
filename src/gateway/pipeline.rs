//! The way of a request through the gateway, in the order in which it goes: the door, a route, an upstream. What each
//! stage does stands elsewhere; [`Plan`] says the same for people to read.

use std::{fmt, sync::Arc};

use http::{HeaderValue, Method, Request, Response, Version};

use super::{
    Next, NextFuture,
    answer::{Answer, Asked, close},
    assembly::Assembly,
    body_limit,
    door::Door,
    guards::Guards,
    next::Layers,
    outer::Outer,
    routes::Routes,
    target::{Ended, Target, Way, in_time},
    upstream::Ready,
};
use crate::{
    body::Body,
    error::{Error, ErrorKind},
    observe::ObserveLayer,
    problem::grpc,
    upstream::count_down,
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
    /// The gateway's layers around [`Routes::dispatch`], if there are any.
    pub(crate) layers: Option<Next>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) proxy_status: Option<String>,
}

impl Pipeline {
    /// From the client's request to the answer that it gets. Nothing fails: what goes wrong is an answer too.
    ///
    /// What needs no waiting is done at once, so that the only future is the one that waits for the backend.
    pub(crate) fn run(&self, mut request: Request<Body>) -> Answer {
        let is_head = request.method() == Method::HEAD;
        let is_grpc = grpc::is_grpc(&request);
        self.inside.door.greet(&mut request);
        let observation = self.observe.begin(&mut request);
        let mut ending = None;
        let reply =
            observation.in_scope(
                || match (self.inside.door.check(&mut request), &self.outer) {
                    (Err(error), _) => self.inside.refuse(error, request.version()),
                    (Ok(end), outer) => {
                        ending = end;
                        match outer {
                            Some(outer) => outer.send(request),
                            None => self.inside.open(request),
                        }
                    }
                },
            );
        let inside = self.inside.clone();
        Answer::new(
            reply,
            inside,
            observation,
            Asked {
                is_head,
                is_grpc,
                ending,
            },
        )
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
            return self.refuse(error, request.version());
        }
        match &self.layers {
            Some(layers) => layers.send(request),
            None => self.routes.dispatch(request),
        }
    }

    fn refuse(&self, error: Error, version: Version) -> NextFuture {
        let mut response = self.reject(error);
        if version < Version::HTTP_2 {
            // Where a refused request ends is not certain: what follows it must not be read as another one.
            close(&mut response);
        }
        NextFuture::ready(Ok(response))
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

impl Routes {
    pub(crate) fn dispatch(&self, mut request: Request<Body>) -> NextFuture {
        match self.find(&mut request) {
            Ok(route) => route.call(request),
            Err(missed) => NextFuture::ready(Err(missed.into())),
        }
    }
}

impl Ended {
    pub(crate) fn call(&self, request: Request<Body>) -> NextFuture {
        body_limit::within(self.body_limit, request, |request| {
            in_time(
                self.timeout,
                self.way.keeps_time(),
                request,
                |request| match &self.way {
                    Way::Straight(target) => target.call(request),
                    Way::Layered(layers) => layers.send(request),
                },
            )
        })
    }
}

impl Target {
    pub(crate) fn call(&self, request: Request<Body>) -> NextFuture {
        let Some(choice) = self.choose(&request) else {
            return NextFuture::ready(Err(ErrorKind::NoEndpoint.into()));
        };
        let reply = self.rewritten(request, |request| choice.upstream.call(request));
        match choice.others {
            Some(others) => others.offer(reply),
            None => reply,
        }
    }
}

impl Ready {
    pub(crate) fn call(&self, mut request: Request<Body>) -> NextFuture {
        match self {
            Self::Layered(layers) => layers.send(request),
            Self::InProcess(service) => service.call(request),
            Self::Proxy(proxy) => match count_down(&mut request).transpose() {
                Some(answer) => NextFuture::ready(answer),
                None => match proxy.begin(&mut request) {
                    None => match proxy.call(request) {
                        Ok(reply) => NextFuture::new(reply),
                        Err(error) => NextFuture::ready(Err(error)),
                    },
                    Some(known) => {
                        let proxy = proxy.clone();
                        NextFuture::new(async move {
                            known.await?;
                            proxy.call(request)?.await
                        })
                    }
                },
            },
        }
    }
}

impl Guards {
    pub(crate) fn of_gateway(&self, own: &Layers) -> Layers {
        let mut all = Layers::default();
        all.add(&self.deadline);
        all.add(&self.throttle);
        all.add(&self.limit);
        all.extend(own);
        all
    }

    /// Who may not costs nothing of what follows, and what is stored is there whatever becomes of the backend.
    pub(crate) fn of_route(&self, admission: &Layers, own: &Layers, caching: &Layers) -> Layers {
        let mut all = Layers::default();
        all.add(&self.deadline);
        all.extend(admission);
        all.add(&self.priority);
        all.add(&self.limit);
        all.extend(own);
        all.extend(caching);
        all.add(&self.retry);
        all.add(&self.breaker);
        all
    }

    /// What comes behind the retries is there for each try.
    pub(crate) fn of_upstream(&self, own: &Layers) -> Layers {
        let mut all = Layers::default();
        all.extend(own);
        all.add(&self.mirror);
        all.add(&self.retry);
        all.add(&self.breaker);
        all.add(&self.limit);
        all.add(&self.deadline);
        all
    }
}

/// The order as text: a line for the door, one for each route, one for each upstream. What is not asked for is not there.
pub(crate) struct Plan<'a> {
    pub(crate) outer: &'a Outer,
    pub(crate) layers: &'a Layers,
    pub(crate) assembly: &'a Assembly,
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "door: client address > observe > checks > loop > ")?;
        through(self.outer.names(), f)?;
        write!(f, "canonical path > own headers > ")?;
        through(self.layers.names(), f)?;
        writeln!(f, "match")?;
        for route in &self.assembly.routes {
            write!(f, "route {}: ", route.takes())?;
            match route.body_limit.or(self.assembly.body_limit) {
                None | Some(u64::MAX) => {}
                Some(most) => write!(f, "body limit {most} > ")?,
            }
            if let Some(limit) = route.timeout {
                write!(f, "timeout {limit:?} > ")?;
            }
            through(route.stages(self.assembly).names(), f)?;
            let is_split = route.targets.len() > 1;
            through(is_split.then_some("split"), f)?;
            through((!route.rewrite.is_empty()).then_some("rewrite"), f)?;
            let targets: Vec<_> = route
                .targets
                .iter()
                .map(|(name, weight)| match is_split {
                    true => format!("upstream {name} (weight {weight})"),
                    false => format!("upstream {name}"),
                })
                .collect();
            writeln!(f, "{}", targets.join(" | "))?;
        }
        for (name, upstream) in &self.assembly.upstreams {
            write!(f, "upstream {name}: ")?;
            through(upstream.stages().names(), f)?;
            match upstream.endpoints() {
                Some(endpoints) => {
                    write!(f, "Max-Forwards > endpoint > Host > connection to ")?;
                    match &endpoints[..] {
                        [] => writeln!(f, "what is discovered")?,
                        some => writeln!(f, "{}", some.join(" | "))?,
                    }
                }
                None => writeln!(f, "service in this process")?,
            }
        }
        Ok(())
    }
}

fn through<'a>(
    stages: impl IntoIterator<Item = &'a str>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    stages
        .into_iter()
        .try_for_each(|stage| write!(f, "{stage} > "))
}
