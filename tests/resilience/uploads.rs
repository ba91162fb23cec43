//! Requests with bodies that are sent again: the second backend gets all that the first one was to have.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_gateway::{RetryLayer, Route, Upstream};

use crate::{
    backend::until,
    support::{one_route, raw_backend, read_head, request, send, serve, text},
};

#[cfg(feature = "http2")]
mod grpc {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::stream;
    use http::{HeaderMap, Method, Request, Response};
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::{body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::sync::{Notify, mpsc};
    use tower::ServiceExt;
    use tower_gateway::{Balance, Body, BoxError};

    use super::*;

    /// How the first try ends.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        /// 503, with nothing of the body read.
        Refuses,
        /// gRPC's UNAVAILABLE in the head, with nothing of the body read.
        Unavailable,
        /// The stream is reset after a part of the body.
        Resets,
        /// The connection ends after a part of the body.
        Leaves,
    }

    /// What a try got: body and trailers.
    type Got = (Bytes, Option<HeaderMap>);

    #[derive(Clone, Default)]
    struct Backends {
        tries: Arc<AtomicUsize>,
        got: Arc<Mutex<Option<Got>>>,
    }

    impl Backends {
        /// The first request of all meets the fault, the others are served.
        async fn start(&self, fault: Fault) -> SocketAddr {
            let this = self.clone();
            raw_backend(move |_, stream| {
                let this = this.clone();
                async move {
                    let leaves = Arc::new(Notify::new());
                    let left = leaves.clone();
                    let serve = service_fn(move |request| {
                        let (this, leaves) = (this.clone(), leaves.clone());
                        async move { this.serve(request, fault, &leaves).await }
                    });
                    let connection = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), serve);
                    tokio::select! {
                        _ = connection => {}
                        () = left.notified() => {}
                    }
                }
            })
            .await
        }

        async fn serve(
            &self,
            mut request: Request<Incoming>,
            fault: Fault,
            leaves: &Notify,
        ) -> Result<Response<Body>, std::io::Error> {
            let answer = Response::builder().header("content-type", "application/grpc");
            if self.tries.fetch_add(1, SeqCst) > 0 {
                let collected = request.into_body().collect().await.unwrap();
                let trailers = collected.trailers().cloned();
                *self.got.lock().unwrap() = Some((collected.to_bytes(), trailers));
                let status =
                    HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                let body = Full::new(Bytes::from("reply"))
                    .with_trailers(std::future::ready(Some(Ok(status))));
                return Ok(answer.body(Body::new(body)).unwrap());
            }
            match fault {
                Fault::Refuses => return Ok(answer.status(503).body(Body::empty()).unwrap()),
                Fault::Unavailable => {
                    return Ok(answer
                        .header("grpc-status", "14")
                        .body(Body::empty())
                        .unwrap());
                }
                Fault::Resets | Fault::Leaves => {}
            }
            request.body_mut().frame().await.unwrap().unwrap();
            if fault == Fault::Leaves {
                leaves.notify_one();
                std::future::pending::<()>().await;
            }
            Err(std::io::Error::other("reset"))
        }
    }

    #[tokio::test]
    async fn a_call_that_failed_half_way_is_sent_again_as_a_whole() {
        for fault in [
            Fault::Refuses,
            Fault::Unavailable,
            Fault::Resets,
            Fault::Leaves,
        ] {
            // Whether the caller has said all before the first try ends.
            for is_slow in [false, true] {
                let told = format!("{fault:?}, {is_slow}");
                let backends = Backends::default();
                let urls = [backends.start(fault).await, backends.start(fault).await]
                    .map(|address| format!("http://{address}"));
                let retry = RetryLayer::new().methods([Method::POST]);
                let handle = retry.handle();
                let upstream = Upstream::http(urls)
                    .http2_only()
                    .balance(Balance::round_robin())
                    .retry(retry);
                let gateway = one_route(Route::new("/{*rest}"), upstream);

                let (frames, sent) = mpsc::unbounded_channel();
                let say = |frame: Frame<Bytes>| frames.send(frame).unwrap();
                let part = |letter: u8| Frame::data(Bytes::from(vec![letter; 10_000]));
                let trailers =
                    HeaderMap::from_iter([("x-check".parse().unwrap(), "sum".parse().unwrap())]);
                say(part(b'a'));
                if !is_slow {
                    say(part(b'b'));
                    say(Frame::trailers(trailers.clone()));
                }
                let body = stream::unfold(sent, |mut sent| async {
                    Some((Ok::<_, BoxError>(sent.recv().await?), sent))
                });
                let asked = Request::post("/a.B/C")
                    .header("host", "t.example")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(Body::new(StreamBody::new(Box::pin(body))))
                    .unwrap();
                let answer = tokio::spawn(gateway.oneshot(asked));
                if is_slow {
                    until("it is sent again", async || {
                        backends.tries.load(SeqCst) == 2
                    })
                    .await;
                    say(part(b'b'));
                    say(Frame::trailers(trailers.clone()));
                }
                drop(frames);
                let answer = answer.await.unwrap().unwrap();
                assert_eq!(answer.status(), 200, "{told}");
                let answer = answer.into_body().collect().await.unwrap();
                assert_eq!(answer.trailers().unwrap()["grpc-status"], "0", "{told}");
                assert_eq!(answer.to_bytes(), "reply");
                let (body, got) = backends.got.lock().unwrap().take().unwrap();
                let whole = [[b'a'; 10_000], [b'b'; 10_000]].concat();
                assert!(body == whole, "{told}: {} bytes", body.len());
                assert_eq!(got, Some(trailers), "{told}");
                assert_eq!(backends.tries.load(SeqCst), 2);
                let counts = handle.counts();
                assert_eq!((counts.retries, counts.extra_in_flight), (1, 0), "{told}");
            }
        }
    }
}

/// More than sockets hold.
const LARGE: usize = 8 * 1024 * 1024;

/// A backend that does not read its first request beyond the head, and the sizes of the bodies of all others.
async fn half_deaf(sizes: Arc<Mutex<Vec<usize>>>) -> SocketAddr {
    raw_backend(move |number, mut stream: TcpStream| {
        let sizes = sizes.clone();
        async move {
            read_head(&mut stream).await;
            if number == 0 {
                // As long as the test lasts.
                return std::future::pending().await;
            }
            let mut body = vec![0; LARGE];
            stream.read_exact(&mut body).await.unwrap();
            let size = body.iter().filter(|byte| **byte == b'x').count();
            sizes.lock().unwrap().push(size);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await
}

/// The time of a try is over while its body is under way: it is sent again if all of it is kept, and never cut.
#[tokio::test]
async fn an_upload_that_is_not_read_is_given_up_in_time() {
    for (limit, status, tries) in [(LARGE, 200, 1), (64 * 1024, 504, 0)] {
        let sizes = Arc::<Mutex<Vec<usize>>>::default();
        let backend = half_deaf(sizes.clone()).await;
        let retry = RetryLayer::new()
            .replay_limit(limit)
            .try_timeout(Duration::from_secs(1));
        let handle = retry.handle();
        let upstream = Upstream::http([format!("http://{backend}")]).retry(retry);
        let endpoints = upstream.handle();
        let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
        let asked = request("PUT", "/a").map(|_| Full::new(Bytes::from(vec![b'x'; LARGE])));
        let response = send(gateway, asked).await;
        assert_eq!(response.status(), status);
        if status == 200 {
            assert_eq!(text(response).await, "done");
        }
        assert_eq!(*sizes.lock().unwrap(), vec![LARGE; tries]);
        let counts = handle.counts();
        assert_eq!(counts.retries as usize, tries);
        assert_eq!(counts.not_replayable as usize, 1 - tries);
        until("nothing is in flight", async || {
            let counts = handle.counts();
            counts.in_flight + counts.extra_in_flight == 0
                && endpoints.endpoints()[0].in_flight == 0
        })
        .await;
    }
}
