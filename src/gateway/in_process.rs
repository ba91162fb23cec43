//! A service in this process as a backend: held to the time that a request has, to the end of its answer's body.

use std::{sync::Arc, time::Duration};

use http::Request;

use super::{Next, NextFuture};
use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
    timer::Timer,
};

#[derive(Clone)]
pub(crate) struct InProcess {
    /// The one that it has in a gateway.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) service: Next,
    pub(crate) timeout: Option<Duration>,
}

impl InProcess {
    pub(crate) fn call(&self, mut request: Request<Body>) -> NextFuture {
        let own = self
            .timeout
            .and_then(|limit| clock::now().checked_add(limit));
        let deadline = match request.extensions_mut().get_mut::<RequestContext>() {
            Some(context) => {
                context.record(|notes| notes.try_at(self.name.as_ref(), None));
                if let Some(own) = own {
                    context.limit_deadline(own);
                }
                context.deadline()
            }
            None => own,
        };
        let Some(deadline) = deadline else {
            return self.service.send(request);
        };
        let reply = self.service.send(request);
        NextFuture::new(async move {
            let answer = tokio::time::timeout_at(deadline.into(), reply).await;
            let response = answer.map_err(|_| Error::new(ErrorKind::Deadline))??;
            Ok(response.map(|body| body.until(deadline, Timer::new())))
        })
    }
}
