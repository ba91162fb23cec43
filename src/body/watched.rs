//! A body that tells how it ends: for whatever a request holds until the last byte of its answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::Body;
use crate::error::Error;

/// How a body ended.
#[derive(Debug)]
pub(crate) enum End<'a> {
    /// All of it was passed on.
    Complete,
    /// It failed on its way.
    Broken(&'a Error),
    /// Nobody wanted the rest.
    Dropped,
}

/// Somebody who has to know how a body ends. A body that panics drops its witness without a word.
pub(crate) trait Witness: Send + Unpin + 'static {
    /// So many bytes of it were passed on.
    fn passed(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// It has ended.
    fn end(self, end: End<'_>);
}

/// A body with a witness.
struct Watched<W: Witness> {
    body: Body,
    witness: Option<W>,
}

impl Body {
    /// Tells `witness` of the bytes and the end of this body. One that has ended already tells it at once.
    pub(crate) fn watched(self, witness: impl Witness) -> Self {
        if self.is_end_stream() {
            witness.end(End::Complete);
            return self;
        }
        Self::boxed(Watched {
            body: self,
            witness: Some(witness),
        })
    }
}

impl<W: Witness> http_body::Body for Watched<W> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // Taken out for the poll: a body that panics is not one that nobody wanted.
        let witness = self.witness.take();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let Some(mut witness) = witness else {
            return polled;
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if frame.is_trailers() {
                    witness.end(End::Complete);
                } else {
                    witness.passed(frame.data_ref().map_or(0, Bytes::len));
                    self.witness = Some(witness);
                }
            }
            Poll::Ready(Some(Err(error))) => witness.end(End::Broken(error)),
            Poll::Ready(None) => witness.end(End::Complete),
            Poll::Pending => self.witness = Some(witness),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<W: Witness> Drop for Watched<W> {
    fn drop(&mut self) {
        if let Some(witness) = self.witness.take() {
            // A server that knows from one of these that it has all does not ask for the end.
            let has_all = self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
            witness.end(match has_all {
                true => End::Complete,
                false => End::Dropped,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::error::ErrorKind;

    struct Told(usize, Sender<(usize, String)>);

    impl Witness for Told {
        fn passed(&mut self, bytes: usize) {
            self.0 += bytes;
        }

        fn end(self, end: End<'_>) {
            let end = match end {
                End::Broken(error) => format!("{:?}", error.kind()),
                end => format!("{end:?}"),
            };
            self.1.send((self.0, end)).unwrap();
        }
    }

    #[tokio::test]
    async fn each_end_is_told_once() {
        let data = |text: &'static str| Ok(Frame::data(Bytes::from(text)));
        let broken = || Err(Error::new(ErrorKind::Incomplete));
        let stream = |frames: Vec<Result<Frame<Bytes>, Error>>| {
            Body::new(StreamBody::new(futures_util::stream::iter(frames)))
        };
        let trailers = || Ok(Frame::trailers(HeaderMap::new()));
        let cases: [(Body, usize, (usize, &str)); 8] = [
            (Body::empty(), 0, (0, "Complete")),
            (Body::from("abc"), 1, (3, "Complete")),
            (Body::from("abc"), 0, (0, "Dropped")),
            (stream(vec![data("abc"), data("de")]), 9, (5, "Complete")),
            (stream(vec![data("abc"), data("de")]), 1, (3, "Dropped")),
            (stream(vec![data("abc"), trailers()]), 2, (3, "Complete")),
            (stream(vec![data("abc"), broken()]), 2, (3, "Incomplete")),
            (stream(vec![broken(), data("abc")]), 2, (0, "Incomplete")),
        ];
        for (at, (body, reads, (bytes, end))) in cases.into_iter().enumerate() {
            let (told, ends) = channel();
            let mut body = body.watched(Told(0, told));
            for _ in 0..reads {
                let _ = body.frame().await;
            }
            drop(body);
            let ends: Vec<_> = ends.into_iter().collect();
            assert_eq!(ends, [(bytes, end.to_owned())], "case {at}");
        }
    }
}
