//! Whatever happens to a request, nothing of it stays behind.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use super::support::{get, ms};
use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{BoxError, Error, ErrorKind},
    load::{Adaptive, ConcurrencyLimitLayer, Priority},
};

/// A sequence of numbers that is the same each time.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A backend that does one of everything.
async fn backend(request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let mut dice = request.extensions().get::<Dice>().unwrap().clone();
    tokio::time::sleep(ms(dice.roll(20))).await;
    match dice.roll(8) {
        0 => return Err("broken".into()),
        1 => return Err(Box::new(Error::new(ErrorKind::Timeout))),
        2 => std::future::pending().await,
        3 => panic!("in the service"),
        _ => {}
    }
    let frames = futures_util::stream::unfold(dice, |mut dice| async {
        tokio::time::sleep(ms(dice.roll(4))).await;
        match dice.roll(12) {
            0 => None,
            1 => Some((Err(Error::new(ErrorKind::Incomplete)), dice)),
            2 => panic!("in the body"),
            3 => std::future::pending().await,
            _ => Some((Ok(Frame::data(Bytes::from("x"))), dice)),
        }
    });
    Ok(Response::new(Body::new(StreamBody::new(frames))))
}

async fn faults(layer: ConcurrencyLimitLayer, requests: u64) {
    let handle = layer.handle();
    let service = layer.layer(service_fn(backend));
    let mut dice = Dice(requests);
    let mut tasks = Vec::new();
    for id in 0..requests {
        let mut request = get("/");
        let priority = Priority::ALL[dice.roll(3) as usize];
        request.extensions_mut().insert(priority);
        request
            .extensions_mut()
            .insert(Dice(id << 20 | dice.roll(1 << 20)));
        if dice.roll(3) == 0 {
            let mut context = RequestContext::new();
            context.limit_deadline(clock::now() + ms(dice.roll(40)));
            request.extensions_mut().insert(context);
        }
        let service = service.clone();
        let patience = ms(1 + dice.roll(60));
        let reads = dice.roll(10);
        tasks.push(tokio::spawn(async move {
            // A client that leaves, in whatever it is.
            let _ = tokio::time::timeout(patience, async {
                let Ok(mut response) = service.oneshot(request).await else {
                    return;
                };
                for _ in 0..reads {
                    let _ = response.body_mut().frame().await;
                }
            })
            .await;
        }));
        if dice.roll(50) == 0 {
            handle.set_max(1 + dice.roll(20) as u32);
        }
        if dice.roll(3) > 0 {
            tokio::time::advance(Duration::from_micros(dice.roll(3_000))).await;
        }
        if dice.roll(40) == 0
            && let Some(task) = tasks.last()
        {
            task.abort();
        }
    }
    for task in tasks {
        let _ = task.await;
    }
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
    let shed: u64 = Priority::ALL
        .map(|priority| handle.shed(priority))
        .iter()
        .sum();
    assert!(
        handle.admitted() > requests / 20 && shed > requests / 20,
        "{handle:?}"
    );
    handle.set_max(1);
    let service = layer.layer(service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let response = service.oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), 200, "the permits are there");
}

#[tokio::test(start_paused = true)]
async fn after_ten_thousand_faults_nothing_is_left_behind() {
    let queue = |layer: ConcurrencyLimitLayer| layer.queue(10, ms(30));
    faults(queue(ConcurrencyLimitLayer::max(10)), 4_000).await;
    faults(
        queue(ConcurrencyLimitLayer::max(10).lifo_after(Duration::ZERO)),
        2_000,
    )
    .await;
    faults(ConcurrencyLimitLayer::max(10), 1_000).await;
    faults(
        queue(ConcurrencyLimitLayer::adaptive(Adaptive::gradient())),
        2_000,
    )
    .await;
    faults(
        queue(ConcurrencyLimitLayer::adaptive(Adaptive::aimd(ms(15)))),
        1_000,
    )
    .await;
}
