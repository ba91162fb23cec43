//! Which upstream of a split takes a request, and where it goes when that one does not.

use std::sync::Arc;

use http::{Request, Response};

use super::{NextFuture, target::Target, upstream::Ready};
use crate::{
    body::Body,
    context::{RequestContext, Tried},
    error::{Error, ErrorKind, Rejection},
    random,
};

/// An upstream, and those that another try could go to.
pub(crate) struct Choice<'a> {
    pub(crate) upstream: &'a Ready,
    /// There are some, and somebody may try again.
    pub(crate) others: Option<Others>,
}

/// What is known of a request, and the target that it goes to now.
pub(crate) struct Others {
    tried: Arc<Tried>,
    target: usize,
}

impl Target {
    pub(crate) fn choose(&self, request: &Request<Body>) -> Option<Choice<'_>> {
        let Some(split) = &self.split else {
            return self.chosen(0, None);
        };
        let context = request.extensions().get::<RequestContext>();
        let key = self.sticky.as_ref();
        let key = key.and_then(|sticky| sticky.of(request.headers(), context));
        let pick = |is_there: &dyn Fn(usize) -> bool| match &key {
            Some(key) => split.pick(key, is_there),
            None => split.pick_random(random::next_u64(), is_there),
        };
        let Some(tried) = context.and_then(|context| context.tried.as_ref()) else {
            return self.chosen(pick(&|_| true)?, None);
        };
        let is_left = |index: usize| !tried.has_refused(self.address(index));
        let Some(index) = pick(&is_left) else {
            // None is left, and who asks again is told so again.
            return self.chosen(pick(&|_| true)?, None);
        };
        let has_others = pick(&|other| other != index && is_left(other)).is_some();
        let others = has_others.then(|| Others {
            tried: tried.clone(),
            target: self.address(index),
        });
        self.chosen(index, others)
    }

    fn chosen(&self, index: usize, others: Option<Others>) -> Option<Choice<'_>> {
        let upstream = self.upstreams.get(index)?;
        Some(Choice { upstream, others })
    }

    /// What no other target has.
    fn address(&self, index: usize) -> usize {
        self.upstreams
            .get(index)
            .map_or(0, |upstream| std::ptr::from_ref(upstream).addr())
    }
}

impl Others {
    /// Says so when the target does not take the request.
    pub(crate) fn offer(self, reply: NextFuture) -> NextFuture {
        NextFuture::new(async move {
            let mut answer = reply.await;
            if let Some(error) = refusal(&mut answer) {
                self.tried.refuse(self.target);
                *error = error.clone().with_elsewhere();
            }
            answer
        })
    }
}

/// The error of an upstream that was not asked.
fn refusal(answer: &mut Result<Response<Body>, Error>) -> Option<&mut Error> {
    let error = match answer {
        Err(error) => error,
        Ok(response) => &mut response.extensions_mut().get_mut::<Rejection>()?.0,
    };
    let is_refusal = matches!(
        error.kind(),
        ErrorKind::CircuitOpen | ErrorKind::Saturated | ErrorKind::NoEndpoint
    );
    (is_refusal && error.is_retryable()).then_some(error)
}
