//! A service in this process as a backend: held to the time that a request has, to the end of its answer's body.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{Next, NextFuture};
use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
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
            Ok(response.map(|body| {
                if body.is_end_stream() {
                    return body;
                }
                let sleep = tokio::time::sleep_until(deadline.into());
                Body::boxed(Timed {
                    body,
                    deadline,
                    sleep,
                })
            }))
        })
    }
}

pin_project! {
    /// A body that breaks off at a deadline.
    struct Timed {
        body: Body,
        deadline: Instant,
        #[pin]
        sleep: Sleep,
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.project();
        let frame = Pin::new(&mut *this.body).poll_frame(cx);
        let is_late = match &frame {
            Poll::Pending => this.sleep.poll(cx).is_ready(),
            // An answer that never stops coming never lets the timer run.
            Poll::Ready(Some(Ok(_))) => {
                !this.body.is_end_stream() && *this.deadline <= clock::now()
            }
            Poll::Ready(_) => false,
        };
        if is_late {
            *this.body = Body::empty();
            return Poll::Ready(Some(Err(ErrorKind::Deadline.into())));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
