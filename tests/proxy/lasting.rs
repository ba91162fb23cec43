//! How long a body may take: without a byte in either direction, and in all.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::{
    early::others,
    keeping::pass,
    wire::{PAIRS, chain_with, data, frames, next, soon, whole},
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const LIMIT: Duration = Duration::from_secs(1);
/// Two of these are longer than the limit.
const STEP: Duration = Duration::from_millis(600);

#[tokio::test]
async fn a_byte_in_either_direction_is_activity() {
    for pair in PAIRS {
        let set = |upstream: tower_gateway::Upstream| upstream.activity_timeout(LIMIT);
        let (mut client, mut backend) = chain_with(pair, |route| route, set).await;
        let (sent, body) = frames();
        let answer = client.send(Request::post("/a").body(body).unwrap());
        let mut exchange = backend.next().await;
        for _ in 0..5 {
            pass(STEP).await;
            sent.send(data("x")).unwrap();
            assert_eq!(next(exchange.request.body_mut()).await, "x", "{pair:?}");
        }
        drop(sent);
        let rest = soon(pair, exchange.request.body_mut().collect()).await;
        assert_eq!(rest.unwrap().to_bytes(), "", "{pair:?}");
        pass(STEP).await;
        let (sent, body) = frames();
        let _asked = exchange.answer(body);
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{pair:?}");
        let mut answer = answer.into_body();
        for _ in 0..5 {
            pass(STEP).await;
            sent.send(data("y")).unwrap();
            assert_eq!(next(&mut answer).await, "y", "{pair:?}");
        }
        drop(sent);
        let rest = soon(pair, answer.collect()).await;
        assert_eq!(rest.unwrap().to_bytes(), "", "{pair:?}");
    }
}

#[tokio::test]
async fn the_time_for_the_head_begins_when_the_request_is_sent() {
    for pair in PAIRS {
        for answers in [true, false] {
            let case = (pair, answers);
            // Only the upload is held to its activity: what comes behind it is left to the limit for the head.
            let set = |to: tower_gateway::Upstream| {
                let silence = if answers { LIMIT } else { HOUR };
                to.head_timeout(LIMIT).activity_timeout(silence)
            };
            let (mut client, mut backend) = chain_with(pair, |route| route, set).await;
            let (sent, body) = frames();
            let mut answer = client.send(Request::post("/a").body(body).unwrap());
            let mut exchange = backend.next().await;
            for _ in 0..5 {
                pass(STEP).await;
                sent.send(data("x")).unwrap();
                assert_eq!(next(exchange.request.body_mut()).await, "x", "{case:?}");
            }
            drop(sent);
            let rest = soon(case, exchange.request.body_mut().collect()).await;
            assert_eq!(rest.unwrap().to_bytes(), "", "{case:?}");
            pass(STEP).await;
            others().await;
            assert!(!exchange.answer.is_closed(), "{case:?}");
            let expected = if answers {
                exchange.answer.send(Response::new(whole(""))).unwrap();
                StatusCode::OK
            } else {
                pass(STEP).await;
                StatusCode::GATEWAY_TIMEOUT
            };
            let answer = soon(case, &mut answer).await.unwrap();
            assert_eq!(answer.status(), expected, "{case:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_is_broken_off_when_its_time_is_over() {
    for pair in PAIRS {
        for is_endless in [false, true] {
            let (mut client, mut backend) = chain_with(
                pair,
                |route| route.timeout(HOUR),
                |upstream| upstream.activity_timeout(2 * HOUR),
            )
            .await;
            let answer = client.send(Request::get("/a").body(whole("")).unwrap());
            let (sent, mut body) = frames();
            if is_endless {
                let piece = || Ok(Frame::data(Bytes::from_static(&[b'm'; 16 * 1024])));
                body = StreamBody::new(stream::repeat_with(piece)).boxed_unsync();
            } else {
                sent.send(data("more")).unwrap();
            }
            let _asked = backend.next().await.answer(body);
            let mut answer = answer.await.unwrap().into_body();
            assert!(next(&mut answer).await.starts_with(b"m"), "{pair:?}");
            pass(HOUR).await;
            let end = async {
                loop {
                    match answer.frame().await {
                        Some(Ok(_)) => {}
                        other => return other,
                    }
                }
            };
            let end = soon((pair, is_endless), end).await;
            assert!(matches!(end, Some(Err(_))), "{pair:?} {is_endless}");
        }
    }
}
