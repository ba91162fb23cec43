use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    body::Body,
    context::RequestContext,
    error::{BoxError, Error, ErrorKind},
};

/// What the other service got: method, path, body, trailers.
type Got = Arc<Mutex<Vec<(String, Vec<u8>, Option<HeaderMap>)>>>;

/// A layer whose copies are written down, and answered when there is a permit.
fn mirror(go: &Arc<Semaphore>) -> (MirrorLayer, Got) {
    let got = Got::default();
    let (write, go) = (got.clone(), go.clone());
    let other = service_fn(move |request: Request<Body>| {
        let (write, go) = (write.clone(), go.clone());
        async move {
            let head = format!("{} {}", request.method(), request.uri());
            let context = request.extensions().get::<RequestContext>();
            assert!(context.is_none_or(|context| context.deadline().is_none()));
            let body = request.into_body().collect().await?;
            let trailers = body.trailers().cloned();
            let said = (head, body.to_bytes().to_vec(), trailers);
            write.lock().unwrap().push(said);
            go.acquire().await?.forget();
            Ok::<_, BoxError>(Response::new(Body::from("ignored")))
        }
    });
    (MirrorLayer::new(other), got)
}

/// Reads the request and answers.
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let said = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Body::from(said)))
}

/// Lets spawned tasks run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn request(body: Body) -> Request<Body> {
    let mut request = Request::post("/a?x=1").body(body).unwrap();
    let mut context = RequestContext::new();
    context.limit_deadline(crate::clock::now() + Duration::from_secs(1));
    request.extensions_mut().insert(context);
    request
}

fn frames(frames: Vec<Result<Frame<Bytes>, Error>>) -> Body {
    Body::new(StreamBody::new(stream::iter(frames)))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(text.into()))
}

#[tokio::test]
async fn bodies_are_copied_whole_or_not_at_all() {
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
    let with_trailers = || {
        let last = Ok(Frame::trailers(trailers.clone()));
        frames(vec![data("ab"), data("cd"), last])
    };
    let broken = || frames(vec![data("ab"), Err(ErrorKind::ClientGone.into())]);
    let cases: Vec<(Body, Option<(&str, bool)>)> = vec![
        (Body::empty(), Some(("", false))),
        (Body::from("abc"), Some(("abc", false))),
        (frames(vec![data("ab"), data("cd")]), Some(("abcd", false))),
        (with_trailers(), Some(("abcd", true))),
        (Body::from("12345678"), Some(("12345678", false))),
        (Body::from("123456789"), None),
        (frames(vec![data("1234"), data("56789")]), None),
        (broken(), None),
    ];
    for (at, (body, expected)) in cases.into_iter().enumerate() {
        let (layer, got) = mirror(&Arc::new(Semaphore::new(9)));
        let layer = layer.max_body(8);
        let handle = layer.handle();
        let answer = layer.layer(service_fn(main)).oneshot(request(body)).await;
        assert_eq!(answer.is_ok(), at != 7, "case {at}");
        settle().await;
        let got = std::mem::take(&mut *got.lock().unwrap());
        let counts = handle.counts();
        match expected {
            Some((body, has_trailers)) => {
                let [(head, copy, copied)] = &got[..] else {
                    panic!("case {at}: {got:?}");
                };
                assert_eq!((&**head, &**copy), ("POST /a?x=1", body.as_bytes()));
                assert_eq!(*copied, has_trailers.then(|| trailers.clone()));
                assert_eq!((counts.sent, counts.answered, counts.left_out), (1, 1, 0));
            }
            None => {
                assert!(got.is_empty(), "case {at}: {got:?}");
                assert_eq!((counts.sent, counts.left_out), (0, 1), "case {at}");
            }
        }
        assert_eq!(counts.in_flight, 0, "case {at}");
    }
}

#[tokio::test]
async fn a_copy_of_many_small_frames_is_one_piece() {
    let pieces: Arc<Mutex<Vec<usize>>> = Arc::default();
    let write = pieces.clone();
    let other = service_fn(move |request: Request<Body>| {
        let write = write.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                let length = frame?.data_ref().map_or(0, Bytes::len);
                write.lock().unwrap().push(length);
            }
            Ok::<_, BoxError>(Response::new(Body::empty()))
        }
    });
    let many = ["a", "", "", "b", ""].into_iter().cycle().take(500);
    let service = MirrorLayer::new(other).layer(service_fn(main));
    let request = request(frames(many.map(data).collect()));
    service.oneshot(request).await.unwrap();
    settle().await;
    assert_eq!(*pieces.lock().unwrap(), [200]);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_copied() {
    let (layer, got) = mirror(&Arc::new(Semaphore::new(9)));
    let handle = layer.handle();
    let deaf = service_fn(|_: Request<Body>| async { Ok::<_, Error>(Response::new(())) });
    layer
        .layer(deaf)
        .oneshot(request("abc".into()))
        .await
        .unwrap();
    settle().await;
    assert!(got.lock().unwrap().is_empty());
    assert_eq!(
        (handle.counts().left_out, handle.counts().in_flight),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn copies_are_bounded_and_nobody_waits_for_them() {
    let go = Arc::new(Semaphore::new(0));
    let (layer, got) = mirror(&go);
    let layer = layer.max_in_flight(3).timeout(Duration::from_secs(1));
    let handle = layer.handle();
    for _ in 0..10 {
        // Applied anew each time, as some servers do.
        let service = layer.layer(service_fn(main));
        service.oneshot(request("abc".into())).await.unwrap();
        settle().await;
    }
    let counts = handle.counts();
    assert_eq!((counts.in_flight, counts.sent, counts.left_out), (3, 3, 7));
    assert_eq!(got.lock().unwrap().len(), 3);
    go.add_permits(1);
    settle().await;
    assert_eq!(
        (handle.counts().answered, handle.counts().in_flight),
        (1, 2)
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    settle().await;
    let counts = handle.counts();
    assert_eq!(
        (counts.failed, counts.in_flight),
        (2, 0),
        "its own time is over"
    );
}

#[tokio::test]
async fn a_share_of_the_requests() {
    for (share, least, most) in [(0.0, 0, 0), (0.3, 200, 400), (1.0, 1000, 1000)] {
        let (layer, _) = mirror(&Arc::new(Semaphore::new(10_000)));
        let layer = layer.share(share).max_in_flight(10_000);
        for _ in 0..1000 {
            let service = layer.layer(service_fn(main));
            service.oneshot(request(Body::empty())).await.unwrap();
        }
        let sent = layer.handle().counts().sent;
        assert!((least..=most).contains(&sent), "{share}: {sent}");
    }
}

#[tokio::test]
async fn what_asks_for_another_protocol_is_not_copied() {
    let (layer, _) = mirror(&Arc::new(Semaphore::new(9)));
    let mut asked = request(Body::empty());
    asked
        .headers_mut()
        .insert("upgrade", "websocket".parse().unwrap());
    layer.layer(service_fn(main)).oneshot(asked).await.unwrap();
    assert_eq!(layer.handle().counts(), MirrorCounts::default());
}

#[tokio::test]
async fn a_mirror_that_fails_or_panics_is_not_felt() {
    for panics in [false, true] {
        let other = service_fn(move |_: Request<Body>| async move {
            if panics {
                std::panic::panic_any("on purpose");
            }
            Err::<Response<Body>, _>(Error::new(ErrorKind::Connect))
        });
        let layer = MirrorLayer::new(other);
        let service = layer.layer(service_fn(main));
        let answer = service.oneshot(request("abc".into())).await.unwrap();
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            "abc"
        );
        settle().await;
        let counts = layer.handle().counts();
        assert_eq!((counts.failed, counts.in_flight), (1, 0), "{panics}");
    }
}

#[test]
fn wrong_settings_are_named() {
    let layer = || mirror(&Arc::new(Semaphore::new(0))).0;
    assert_eq!(layer().mistakes(), [""; 0]);
    for (layer, what) in [
        (layer().share(-0.1), "-0.1"),
        (layer().share(1.1), "1.1"),
        (layer().share(f64::NAN), "NaN"),
        (layer().timeout(Duration::ZERO), "timeout"),
        (layer().max_in_flight(0), "max_in_flight"),
        (
            MirrorLayer::new(crate::Upstream::http(["ftp://a"])),
            "`ftp://a` is not an endpoint",
        ),
    ] {
        let mistakes = layer.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{mistakes:?}"
        );
    }
}
