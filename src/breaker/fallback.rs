//! Who answers while the circuit is open.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use tower::{Service, ServiceExt};

use crate::{
    body::Body,
    error::{BoxError, Error},
};

/// Any service, with its types erased.
#[derive(Clone)]
pub(super) struct Fallback(Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>);

pub(super) type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl Fallback {
    pub(super) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(move |request| {
            // A clone that has never been asked is asked, and the same one is called.
            let answer = service.clone().oneshot(request);
            Box::pin(async move {
                match answer.await {
                    Ok(response) => response.map(Body::of_answer),
                    Err(error) => Error::from_boxed(error.into()).into_response(),
                }
            })
        }))
    }

    pub(super) fn answer(&self, request: Request<Body>) -> Answer {
        (self.0)(request)
    }
}
