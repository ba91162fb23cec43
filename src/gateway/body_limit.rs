//! How many bytes a request's body may have.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};

use super::NextFuture;
use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// Lets a request through whose body is within the limit, or turns out to be.
pub(crate) fn within(
    most: Option<u64>,
    mut request: Request<Body>,
    then: impl FnOnce(Request<Body>) -> NextFuture,
) -> NextFuture {
    let limited = match most {
        Some(most) => limit(&mut request, most),
        None => Ok(None),
    };
    match limited {
        Ok(None) => then(request),
        Ok(Some(overrun)) => {
            let reply = then(request);
            NextFuture::new(async move {
                let answer = reply.await;
                if overrun.has_happened() {
                    // Whoever read the body saw it break off, and may have made anything of that.
                    return Err(ErrorKind::BodyTooLarge.into());
                }
                answer
            })
        }
        Err(error) => NextFuture::ready(Err(error)),
    }
}

/// Whether the body of a request turned out to be over its limit while somebody read it.
struct Overrun(Arc<AtomicBool>);

impl Overrun {
    fn has_happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Holds a body to a limit. One that says its length is refused, or let through as it is; only the others are counted.
fn limit(request: &mut Request<Body>, most: u64) -> Result<Option<Overrun>, Error> {
    let size = request.body().size_hint();
    if size.lower() > most {
        return Err(ErrorKind::BodyTooLarge.into());
    }
    if size.upper().is_some_and(|upper| upper <= most) {
        return Ok(None);
    }
    let overrun = Arc::new(AtomicBool::new(false));
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = Body::boxed(Limited {
        body,
        left: most,
        overrun: overrun.clone(),
    });
    Ok(Some(Overrun(overrun)))
}

struct Limited {
    body: Body,
    left: u64,
    overrun: Arc<AtomicBool>,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                self.overrun.store(true, Ordering::Relaxed);
                self.body = Body::empty();
                return Poll::Ready(Some(Err(ErrorKind::BodyTooLarge.into())));
            };
            self.left = left;
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
