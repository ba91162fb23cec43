//! The log's place at the end of a response's body.

use super::entry::Entry;
use crate::body::{End, Witness};

impl Witness for Box<Entry> {
    fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Dropping the entry writes it.
    fn end(mut self, end: End<'_>) {
        match end {
            End::Complete => self.complete(),
            End::Broken(error) => self.break_off(error),
            End::Dropped => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use bytes::Bytes;
    use http::{HeaderMap, Request, Response};
    use http_body::{Body as _, Frame, SizeHint};
    use http_body_util::{BodyExt, Full, StreamBody};
    use tracing::Level;

    use crate::{
        body::Body,
        error::{Error, ErrorKind},
        observe::log::capture::{Log, answer, data, frames, get, seen},
    };

    #[tokio::test]
    async fn bodies_end_in_many_ways() {
        let trailers = || Ok(Frame::trailers(HeaderMap::new()));
        let status =
            |status: u16, body: Body| Response::builder().status(status).body(body).unwrap();
        // Each with how many frames are read before the body is dropped.
        let cases: Vec<(Response<Body>, usize, &str, u16, u64)> = vec![
            (status(200, Body::empty()), 0, "ok", 200, 0),
            (status(404, Body::from("abc")), 1, "ok", 404, 3),
            (status(200, Body::from("abc")), 0, "client_gone", 200, 0),
            (
                status(200, Body::new(Full::new(Bytes::from("abc")))),
                1,
                "ok",
                200,
                3,
            ),
            (
                status(200, frames([data("abc"), data("de")])),
                1,
                "client_gone",
                200,
                3,
            ),
            (
                status(200, frames([data("abc"), data("de")])),
                2,
                "client_gone",
                200,
                5,
            ),
            (
                status(200, frames([data("abc"), data("de")])),
                3,
                "ok",
                200,
                5,
            ),
            (
                status(200, frames([data("abc"), trailers()])),
                2,
                "ok",
                200,
                3,
            ),
            (
                status(200, frames([data("abc"), trailers()])),
                9,
                "ok",
                200,
                3,
            ),
            (status(500, frames([data("abc")])), 9, "ok", 500, 3),
            (status(204, frames([data("abc")])), 0, "ok", 204, 0),
            (status(304, frames([data("abc")])), 0, "ok", 304, 0),
            (status(101, frames([data("abc")])), 0, "ok", 101, 0),
        ];
        for (response, reads, outcome, code, bytes) in cases {
            let log = Log::at(Level::TRACE);
            let response = answer(get("/"), response).await;
            let at_head = usize::from(reads == 0 && outcome == "ok");
            assert_eq!(log.count(), at_head, "{code}");
            let mut body = response.into_body();
            for _ in 0..reads {
                let _ = body.frame().await;
            }
            drop(body);
            assert_eq!(
                log.outcome(),
                seen(Level::INFO, outcome, code, bytes),
                "{reads} reads"
            );
        }
        let log = Log::at(Level::TRACE);
        let head = Request::head("/").body(Body::empty()).unwrap();
        let response = answer(head, status(200, frames([data("abc")]))).await;
        assert_eq!(
            log.outcome(),
            seen(Level::INFO, "ok", 200, 0),
            "a server drops the body of a HEAD"
        );
        drop(response);
        assert_eq!(log.count(), 1);
    }

    /// One frame, and a way to say that it was the last.
    struct Once {
        data: Option<&'static str>,
        tells_end: bool,
    }

    impl http_body::Body for Once {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let data = self.data.take();
            Poll::Ready(data.map(|data| Ok(Frame::data(data.into()))))
        }

        fn is_end_stream(&self) -> bool {
            self.tells_end && self.data.is_none()
        }

        fn size_hint(&self) -> SizeHint {
            match self.tells_end {
                true => SizeHint::default(),
                false => SizeHint::with_exact(self.data.map_or(0, str::len) as u64),
            }
        }
    }

    /// HTTP/2 heeds the one, HTTP/1 with a length the other.
    #[tokio::test]
    async fn a_server_need_not_ask_for_the_end() {
        for tells_end in [true, false] {
            let log = Log::at(Level::TRACE);
            let data = Some("abc");
            let body = Body::new(Once { data, tells_end });
            let mut response = answer(get("/"), Response::new(body)).await;
            response.body_mut().frame().await.unwrap().unwrap();
            drop(response);
            assert_eq!(
                log.outcome(),
                seen(Level::INFO, "ok", 200, 3),
                "{tells_end}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_keeps_its_form() {
        let _log = Log::at(Level::TRACE);
        let response = answer(get("/"), Response::new(Body::from("abc"))).await;
        let mut body = response.into_body();
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(3), false)
        );
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "abc"
        );
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(0), true)
        );
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_broken_body_is_told() {
        let log = Log::at(Level::TRACE);
        let broken = Error::new(ErrorKind::Incomplete).with_source("reset by 10.0.0.1");
        let response = answer(get("/"), Response::new(frames([data("abc"), Err(broken)]))).await;
        assert_eq!(
            response.into_body().collect().await.unwrap_err().kind(),
            ErrorKind::Incomplete
        );
        assert_eq!(log.outcome(), seen(Level::WARN, "broken", 200, 3));
        let (_, fields) = log.only();
        assert_eq!(fields["rejection"], "Incomplete");
        assert_eq!(fields["error"], "The backend broke off: reset by 10.0.0.1");
    }

    #[test]
    fn a_pending_body_writes_nothing_yet() {
        let log = Log::at(Level::TRACE);
        let stream =
            StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Error>>());
        let mut cx = Context::from_waker(Waker::noop());
        let mut future = Box::pin(answer(get("/"), Response::new(Body::new(stream))));
        let Poll::Ready(response) = future.as_mut().poll(&mut cx) else {
            panic!("the head is there")
        };
        let mut body = std::pin::pin!(response.into_body());
        assert!(body.as_mut().poll_frame(&mut cx).is_pending());
        assert_eq!(log.count(), 0);
        body.set(Body::empty());
        assert_eq!(log.outcome(), seen(Level::INFO, "client_gone", 200, 0));
    }

    #[tokio::test]
    async fn a_body_that_panics_is_broken() {
        let log = Log::at(Level::TRACE);
        let stream =
            futures_util::stream::poll_fn(|_| -> Poll<Option<Result<Frame<Bytes>, Error>>> {
                std::panic::panic_any("on purpose")
            });
        let response = answer(get("/"), Response::new(Body::new(StreamBody::new(stream)))).await;
        let read = std::panic::AssertUnwindSafe(response.into_body().collect());
        assert!(futures_util::FutureExt::catch_unwind(read).await.is_err());
        assert_eq!(log.outcome(), seen(Level::WARN, "broken", 200, 0));
    }
}
