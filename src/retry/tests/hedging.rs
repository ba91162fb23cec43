//! A second try beside the first.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use http::Response;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::support::*;
use crate::{
    body::Body,
    clock,
    context::{Record, RequestContext},
    error::{Error, ErrorKind},
    retry::RetryLayer,
};

#[tokio::test(start_paused = true)]
async fn the_first_good_answer_wins_and_the_loser_is_dropped() {
    let ok = |delay: u32| after(delay * MS, Status(200));
    let bad = |delay: u32| after(delay * MS, Status(503));
    let open = |delay: u32| after(delay * MS, Fail(ErrorKind::CircuitOpen));
    // What becomes of the tries; the status, when it is there, how many tries there were, how many of them were dropped,
    // and whether a hedge won.
    let cases = [
        (vec![ok(5)], 200, 5, 1, 0, false),
        (vec![ok(100), ok(20)], 200, 30, 2, 1, true),
        (vec![ok(20), ok(100)], 200, 20, 2, 1, false),
        (vec![Never, ok(20)], 200, 30, 2, 1, true),
        (vec![ok(50), bad(5)], 200, 50, 2, 0, false),
        (vec![ok(50), open(5)], 200, 50, 2, 0, false),
        (vec![bad(20), ok(50)], 200, 60, 2, 0, true),
        (
            vec![after(50 * MS, Status(404)), Never],
            404,
            50,
            2,
            1,
            false,
        ),
    ];
    for (acts, status, at, tries, dropped, won) in cases {
        let told = format!("{acts:?}");
        let backend = Backend::new(acts);
        let layer = RetryLayer::new().hedge_after(10 * MS);
        let start = clock::now();
        let service = layer.layer(backend.clone());
        let answer = service.oneshot(request("GET")).await.unwrap();
        assert_eq!(answer.status(), status, "{told}");
        let took = (clock::now() - start).as_millis();
        assert_eq!(took, at, "{told}");
        assert_eq!(
            (backend.count(), backend.dropped()),
            (tries, dropped),
            "{told}"
        );
        let counts = layer.handle().counts();
        assert_eq!(
            (counts.hedges, counts.retries),
            (tries as u64 - 1, 0),
            "{told}"
        );
        assert_eq!(counts.hedges_won, u64::from(won), "{told}");
        assert_eq!((counts.in_flight, counts.extra_in_flight), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_there_is_a_retry_and_all_are_counted() {
    let bad = |delay: u32| after(delay * MS, Status(503));
    let backend = Backend::new([bad(20), bad(30)]);
    let layer = RetryLayer::new().hedge_after(10 * MS);
    let answer = layer
        .layer(backend.clone())
        .oneshot(request("GET"))
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), backend.count()), (200, 3));
    let counts = layer.handle().counts();
    assert_eq!(
        (counts.hedges, counts.retries, counts.hedges_won),
        (1, 1, 0)
    );

    let backend = Backend::always(bad(20));
    let layer = RetryLayer::new().hedge_after(10 * MS).max_tries(2);
    let answer = layer
        .layer(backend.clone())
        .oneshot(request("GET"))
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), backend.count()), (503, 2));
    assert_eq!(layer.handle().counts().hedges_won, 0);
}

#[tokio::test(start_paused = true)]
async fn both_tries_have_their_own_time() {
    let backend = Backend::new([Never, Never, Status(200)]);
    let layer = RetryLayer::new().hedge_after(10 * MS).try_timeout(100 * MS);
    let start = clock::now();
    let answer = layer
        .layer(backend.clone())
        .oneshot(request("GET"))
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), backend.count(), backend.dropped()),
        (200, 3, 2)
    );
    assert!((110..140).contains(&(clock::now() - start).as_millis()));
}

#[tokio::test(start_paused = true)]
async fn only_what_is_safe_and_whole_is_hedged() {
    let slow = || read(after(50 * MS, Status(200)));
    let pending =
        futures_util::stream::pending::<Result<http_body::Frame<bytes::Bytes>, crate::Error>>();
    let endless = Body::new(http_body_util::StreamBody::new(pending));
    let put = |body: Body| request("PUT").map(|_| body);
    for (request, limit, act, tries) in [
        (request("GET"), 60_000, slow(), 2),
        (request("POST"), 60_000, slow(), 1),
        (put(Body::from("abc")), 60_000, slow(), 2),
        (put(Body::from(vec![b'x'; 65 * 1024])), 60_000, slow(), 1),
        (put(endless), 60_000, after(50 * MS, Status(200)), 1),
        (request("GET"), 10, slow(), 1),
        (request("GET"), 11, slow(), 2),
    ] {
        let request = within(limit * MS, request);
        let told = format!("{request:?}");
        let backend = Backend::always(act);
        let layer = RetryLayer::new().hedge_after(10 * MS);
        layer.layer(backend.clone()).oneshot(request).await.unwrap();
        assert_eq!(backend.count(), tries, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_sends_the_whole_body_too() {
    let backend = Backend::new([read(Never), read(Status(200))]);
    let layer = RetryLayer::new().hedge_after(10 * MS);
    let asked = request("PUT").map(|_| Body::from("the body"));
    layer.layer(backend.clone()).oneshot(asked).await.unwrap();
    assert_eq!(
        backend.bodies(),
        [Ok("the body".to_owned()), Ok("the body".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_measured() {
    let backend = Backend::new([]);
    let layer = RetryLayer::new().hedge_percentile(0.9);
    let service = layer.layer(backend.clone());
    let ask = |delay: u32| {
        let act = after(delay * MS, Status(200));
        backend.push(act);
        let service = service.clone();
        async move {
            let start = clock::now();
            service.oneshot(request("GET")).await.unwrap();
            (clock::now() - start).as_millis()
        }
    };
    for at in 0..100 {
        // One in twenty takes a second: the 90th percentile is at ten milliseconds.
        let delay = if at % 20 == 0 { 1_000 } else { 10 };
        assert_eq!(ask(delay).await, delay.into(), "too little is known");
    }
    assert_eq!(layer.handle().counts().hedges, 0);
    // The second one answers at once.
    let took = ask(1_000).await;
    assert!((10..=13).contains(&took), "{took}");
    assert_eq!(layer.handle().counts().hedges_won, 1);

    let both = RetryLayer::new().hedge_percentile(0.9).hedge_after(3 * MS);
    let backend = Backend::new([Never]);
    let start = clock::now();
    both.layer(backend).oneshot(request("GET")).await.unwrap();
    assert_eq!((clock::now() - start).as_millis(), 3, "until more is known");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_wins_does_not_make_the_next_ones_earlier() {
    let backend = Backend::new([]);
    let layer = RetryLayer::new().hedge_percentile(0.9).budget(1.0);
    let service = layer.layer(backend.clone());
    let mut took = Vec::new();
    for at in 0..400 {
        // From some moment on a fifth never answers: that is more than one in ten, so the percentile is later.
        let is_stuck = at > 100 && at % 5 == 0;
        if is_stuck {
            backend.push(Never);
            backend.push(Status(200));
        } else {
            backend.push(after(10 * MS, Status(200)));
        }
        let start = clock::now();
        service.clone().oneshot(request("GET")).await.unwrap();
        if is_stuck {
            took.push((clock::now() - start).as_millis());
        }
    }
    let (first, last) = (took[0], took[took.len() - 1]);
    assert!((10..=13).contains(&first) && last > first, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_loser_does_not_outlive_the_answer() {
    let backend = Backend::new([Never]);
    let layer = RetryLayer::new().hedge_after(10 * MS);
    let mut service = layer.layer(backend.clone());
    let ready = ServiceExt::<http::Request<Body>>::ready(&mut service).await;
    let mut answer = Box::pin(ready.unwrap().call(request("GET")));
    assert_eq!(answer.as_mut().await.unwrap().status(), 200);
    assert_eq!(backend.dropped(), 1, "though the future is still there");
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn the_log_has_all_tries_and_where_the_answer_is_from() {
    for (delays, from) in [([30, 90], "1"), ([90, 30], "2")] {
        let tries = AtomicU32::new(0);
        let service = service_fn(|request: http::Request<Body>| {
            let at = tries.fetch_add(1, Ordering::SeqCst);
            let context = request.extensions().get::<RequestContext>().unwrap();
            let label = (at + 1).to_string().into();
            context.record(|notes| notes.try_at(None, Some(&label)));
            let delay = delays[at as usize] * MS;
            async move {
                tokio::time::sleep(delay).await;
                Ok::<_, Error>(Response::new(Body::empty()))
            }
        });
        let mut asked = request("GET");
        let record = Arc::new(Record::default());
        asked.extensions_mut().insert(RequestContext {
            record: Some(record.clone()),
            ..RequestContext::new()
        });
        let service = RetryLayer::new().hedge_after(10 * MS).layer(service);
        service.oneshot(asked).await.unwrap();
        let notes = record.lock();
        assert_eq!((notes.tries, notes.endpoint.as_deref()), (2, Some(from)));
    }
}
