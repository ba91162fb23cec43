//! The answer of a gateway, on its way: nothing fails any more from here.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Response, StatusCode, header};

use super::{NextFuture, door::Ending, pipeline::Inside};
use crate::{
    body::Body,
    observe::{Observation, ObserveFuture},
    problem::grpc,
};

/// The answer to a request, on its way.
pub(crate) struct Answer {
    reply: ObserveFuture<Rescued>,
    is_head: bool,
    ending: Option<Ending>,
}

/// What of the request matters to its answer.
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) is_grpc: bool,
    /// How its chunked HTTP/1 body ends.
    pub(crate) ending: Option<Ending>,
}

impl Answer {
    pub(crate) fn new(
        reply: NextFuture,
        inside: Arc<Inside>,
        observation: Observation,
        asked: Asked,
    ) -> Self {
        let rescued = Rescued {
            reply,
            inside,
            is_grpc: asked.is_grpc,
        };
        Self {
            reply: ObserveFuture::new(rescued, observation),
            is_head: asked.is_head,
            ending: asked.ending,
        }
    }
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(Pin::new(&mut self.reply).poll(cx))?;
        if self.is_head {
            // hyper's HTTP/2 server would send a body that an in-process service or a rejection has.
            *response.body_mut() = Body::empty();
        }
        if let Some(ending) = &self.ending
            && !ending.is_certain()
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            close(&mut response);
        }
        Poll::Ready(Ok(response))
    }
}

/// Ends the connection behind an answer.
pub(crate) fn close(response: &mut Response<Body>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
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
