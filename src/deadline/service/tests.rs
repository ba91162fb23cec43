use std::{convert::Infallible, time::Duration};

use futures_util::StreamExt;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{clock, context::RequestContext, error::Rejection};

const SECOND: Duration = Duration::from_secs(1);

fn ask() -> Request<Body> {
    Request::new(Body::empty())
}

/// An answer whose head and whose frames come so late each.
fn slow(
    head: Duration,
    frames: Vec<Duration>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    service_fn(move |_: Request<Body>| {
        let frames = frames.clone();
        async move {
            tokio::time::sleep(head).await;
            let frames = futures_util::stream::unfold(frames.into_iter(), |mut left| async {
                let late = left.next()?;
                if !late.is_zero() {
                    tokio::time::sleep(late).await;
                }
                Some((Ok::<_, Error>(Frame::data(Bytes::from("x"))), left))
            });
            Ok(Response::new(Body::new(StreamBody::new(Box::pin(
                frames.fuse(),
            )))))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn head_and_body_have_to_be_there_in_time() {
    let layer = || DeadlineLayer::new().timeout(5 * SECOND);
    let start = clock::now();
    let late = layer().layer(slow(6 * SECOND, vec![]));
    let response = late.oneshot(ask()).await.unwrap();
    assert_eq!(response.status(), 504);
    let Rejection(error) = response.extensions().get().unwrap();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(clock::now() - start, 5 * SECOND);

    for (frames, is_whole) in [
        (vec![SECOND; 3], true),
        (vec![SECOND; 4], false),
        (vec![SECOND * 9], false),
    ] {
        let start = clock::now();
        let service = layer().layer(slow(SECOND + SECOND / 2, frames));
        let response = service.oneshot(ask()).await.unwrap();
        let mut body = response.into_body();
        let error = loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error.kind()),
                None => break None,
            }
        };
        assert_eq!(error, (!is_whole).then_some(ErrorKind::Deadline));
        assert!(body.frame().await.is_none());
        if !is_whole {
            assert_eq!(clock::now() - start, 5 * SECOND);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_stops_coming_ends_too() {
    let endless = service_fn(|_: Request<Body>| async {
        let frames = futures_util::stream::repeat_with(|| Ok::<_, Error>(Frame::data("x".into())));
        Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(frames))))
    });
    let service = DeadlineLayer::new().timeout(SECOND).layer(endless);
    let mut body = service.oneshot(ask()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(SECOND).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_has_no_time_left_is_not_begun() {
    let never = service_fn(
        |_: Request<Body>| -> std::future::Ready<Result<Response<Body>, Infallible>> {
            panic!("it was begun")
        },
    );
    let mut request = ask();
    let mut context = RequestContext::new();
    context.limit_deadline(clock::now());
    request.extensions_mut().insert(context);
    let response = DeadlineLayer::new().layer(never).oneshot(request).await;
    assert_eq!(response.unwrap().status(), 504);
}

#[tokio::test]
async fn without_a_deadline_nothing_is_wrapped() {
    let service = DeadlineLayer::new().layer(service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from("abc")))
    }));
    let response = service.oneshot(ask()).await.unwrap();
    assert_eq!(format!("{:?}", response.body()), "Body(\"full\")");
    assert_eq!(response.body().size_hint().exact(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_body_keeps_its_form() {
    let service = DeadlineLayer::new().timeout(SECOND);
    let service = service.layer(service_fn(|_: Request<Body>| async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x", "y".parse().unwrap());
        let body = http_body_util::Full::new(Bytes::from("abc"));
        let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok::<_, Infallible>(Response::new(Body::new(body)))
    }));
    let body = service.oneshot(ask()).await.unwrap().into_body();
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x"], "y");
    assert_eq!(collected.to_bytes(), "abc");
}
