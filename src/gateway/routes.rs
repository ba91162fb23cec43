//! The routes, ready for requests: which one takes a request, and why none does.

use http::{Method, Request};

use super::target::Ended;
use crate::{
    context::{Params, RequestContext},
    error::{Error, ErrorKind},
    problem::Allow,
    routing::{Facts, Outcome, RouteTable},
};

pub(crate) struct Routes(pub(crate) RouteTable<Ended>);

impl Routes {
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
