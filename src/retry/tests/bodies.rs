//! Request bodies: replayed as a whole or not at all.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use super::support::*;
use crate::{
    body::Body,
    error::{Error, ErrorKind},
    retry::RetryLayer,
};

const LIMIT: usize = 1024;

fn put(body: Body) -> http::Request<Body> {
    request("PUT").map(|_| body)
}

/// A body of so many bytes in frames of a hundred, of unknown length, with trailers.
fn stream(length: usize) -> Body {
    let data = Bytes::from(
        (0..length)
            .map(|at| b'a' + (at % 26) as u8)
            .collect::<Vec<_>>(),
    );
    let mut frames: Vec<Result<Frame<Bytes>, Error>> = (0..length)
        .step_by(100)
        .map(|at| Ok(Frame::data(data.slice(at..length.min(at + 100)))))
        .collect();
    frames.push(Ok(Frame::trailers(
        [(http::header::ETAG, "t".parse().unwrap())]
            .into_iter()
            .collect(),
    )));
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test(start_paused = true)]
async fn a_body_within_the_limit_is_sent_again_with_its_trailers() {
    let backend = Backend::new([read(Status(503)), Status(503), read(Status(200))]);
    let layer = RetryLayer::new().replay_limit(LIMIT);
    let answer = layer
        .layer(backend.clone())
        .oneshot(put(stream(1_000)))
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), backend.count()), (200, 3));
    let bodies = backend.bodies();
    let whole = bodies[0].clone().unwrap();
    assert_eq!(whole.len(), 1_002);
    assert_eq!(bodies, vec![Ok(whole); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_sent_once_if_it_is_read() {
    let whole = Body::from(vec![b'x'; LIMIT + 1]);
    // What is sent, what becomes of the first try; how often it is sent, and how much arrives.
    let cases = [
        (stream(LIMIT + 1), read(Status(503)), 1, vec![LIMIT + 3]),
        (stream(LIMIT + 1), Status(503), 2, vec![LIMIT + 3]),
        (whole, read(Status(503)), 1, vec![LIMIT + 1]),
        (
            Body::from(vec![b'x'; LIMIT + 1]),
            Fail(ErrorKind::Connect),
            2,
            vec![LIMIT + 1],
        ),
        (
            Body::from(vec![b'x'; LIMIT]),
            read(Status(503)),
            2,
            vec![LIMIT; 2],
        ),
    ];
    for (body, act, tries, lengths) in cases {
        let backend = Backend::new([act, read(Status(200))]);
        let layer = RetryLayer::new().replay_limit(LIMIT);
        let answer = layer
            .layer(backend.clone())
            .oneshot(put(body))
            .await
            .unwrap();
        let arrived: Vec<_> = backend
            .bodies()
            .iter()
            .map(|body| body.as_ref().unwrap().len())
            .collect();
        assert_eq!((backend.count(), arrived), (tries, lengths));
        let is_once = tries == 1;
        assert_eq!(answer.status(), if is_once { 503 } else { 200 });
        assert_eq!(layer.handle().counts().not_replayable, u64::from(is_once));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_goes_on_is_taken_over() {
    let (client, upload) = upload();
    let backend = service_fn({
        let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        move |request: http::Request<Body>| {
            let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                let mut body = request.into_body();
                if call == 0 {
                    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
                    assert_eq!(first, "one ");
                    // Somebody goes on with the body of a try that has failed.
                    tokio::spawn(async move {
                        let rest = body.collect().await.unwrap_err();
                        assert_eq!(rest.kind(), ErrorKind::Internal);
                    });
                    return Err(Error::new(ErrorKind::Incomplete));
                }
                let all = body.collect().await?.to_bytes();
                Ok(http::Response::new(Body::from(all)))
            }
        }
    });
    let service = RetryLayer::new().layer(backend);
    let asked = tokio::spawn(service.oneshot(put(upload)));
    for part in ["one ", "two ", "three"] {
        client.send(part.into()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(client);
    let answer = asked.await.unwrap().unwrap();
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "one two three");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_off_is_not_asked_again() {
    let frames = || {
        let frames = [
            Ok(Frame::data(Bytes::from("abc"))),
            Err(Error::new(ErrorKind::ClientGone)),
        ];
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    };
    let backend = Backend::always(read(Status(503)));
    let layer = RetryLayer::new();
    let error = layer
        .layer(backend.clone())
        .oneshot(put(frames()))
        .await
        .unwrap_err();
    assert_eq!((error.kind(), backend.count()), (ErrorKind::ClientGone, 1));

    // Also when the backend makes something else of it.
    let layer = RetryLayer::new();
    let service = layer.layer(service_fn(|request: http::Request<Body>| async {
        assert!(request.into_body().collect().await.is_err());
        Err::<http::Response<Body>, _>(Error::new(ErrorKind::Incomplete))
    }));
    assert!(service.oneshot(put(frames())).await.is_err());
    let counts = layer.handle().counts();
    assert_eq!((counts.retries, counts.not_replayable), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_both_ways_flows_and_is_let_go() {
    let (client, upload) = upload();
    let layer = RetryLayer::new().all_methods().replay_limit(LIMIT);
    let echo = service_fn(|request: http::Request<Body>| async {
        Ok::<_, Error>(http::Response::new(request.into_body()))
    });
    let asked = request("POST").map(|_| upload);
    let answer = layer.layer(echo).oneshot(asked).await.unwrap();
    let mut body = answer.into_body();
    for _ in 0..100 {
        client.send(Bytes::from(vec![b'x'; 100])).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 100);
    }
    drop(client);
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_becomes_final_when_it_passes_the_limit() {
    let (client, upload) = upload();
    let layer = RetryLayer::new().replay_limit(LIMIT);
    let backend = Backend::always(read(Status(503)));
    let asked = tokio::spawn(layer.layer(backend.clone()).oneshot(put(upload)));
    for _ in 0..100 {
        client.send(Bytes::from(vec![b'x'; 100])).await.unwrap();
    }
    drop(client);
    assert_eq!(asked.await.unwrap().unwrap().status(), 503);
    assert_eq!(backend.bodies(), [Ok("x".repeat(10_000))]);
}
