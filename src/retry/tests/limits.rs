//! Pauses, deadlines, timeouts and the budget.

use std::time::Duration;

use futures_util::FutureExt;
use tower::{Layer, ServiceExt};

use super::support::*;
use crate::{
    clock,
    error::{ErrorKind, Rejection},
    retry::RetryLayer,
};

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_differ() {
    let mut pauses = [Vec::new(), Vec::new()];
    for _ in 0..50 {
        let backend = Backend::always(Status(503));
        let layer = RetryLayer::new().backoff(100 * MS, 150 * MS);
        let _ = layer.layer(backend.clone()).oneshot(request("GET")).await;
        let times = backend.times();
        pauses[0].push(times[1] - times[0]);
        pauses[1].push(times[2] - times[1]);
    }
    for (pauses, most) in pauses.iter().zip([100, 150]) {
        let (least, longest) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
        // One in fifty is at least this close to each end, but for some 10^-4 of all runs.
        assert!(
            least < most / 4 && longest > most * 3 / 4 && longest <= most + 1,
            "{pauses:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_if_there_is_time() {
    // What the answer says, what the request has, and when it comes again.
    for (says, limit, again) in [
        ("2", None, Some(2_000)),
        ("5", None, Some(5_000)),
        ("6", None, None),
        ("2", Some(3_000), Some(2_000)),
        ("2", Some(2_000), None),
        ("2", Some(1_000), None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None, Some(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, None),
        ("soon", None, None),
    ] {
        for status in [429, 503] {
            let backend = Backend::new([RetryAfter(status, says)]);
            let asked = match limit {
                Some(limit) => within(limit * MS, request("GET")),
                None => request("GET"),
            };
            let start = clock::now();
            let service = RetryLayer::new().layer(backend.clone());
            let answer = service.oneshot(asked).await.unwrap();
            let times = backend.times();
            match again {
                Some(again) => {
                    assert_eq!(answer.status(), 200);
                    assert!((again..=again + 26).contains(&times[1]), "{times:?}");
                }
                None => {
                    assert_eq!(answer.status(), status);
                    assert_eq!(clock::now(), start, "nothing was waited for");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_pause_goes_past_the_deadline() {
    let mut given_up = 0;
    for _ in 0..50 {
        let backend = Backend::always(Status(503));
        let layer = RetryLayer::new().backoff(SECOND, SECOND).budget_minimum(9);
        let start = clock::now();
        let asked = within(500 * MS, request("GET"));
        let answer = layer.layer(backend.clone()).oneshot(asked).await.unwrap();
        // The runtime's timers may be late by a millisecond.
        let took = clock::now() - start;
        let is_late = took == 500 * MS;
        assert_eq!(answer.status(), if is_late { 504 } else { 503 });
        assert!(took < 500 * MS || is_late, "the answer is not held back");
        assert!(backend.times().iter().all(|at| *at < 500));
        given_up += usize::from(backend.count() < 3);
    }
    assert!(given_up > 0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_too_late_is_the_end() {
    let backend = Backend::always(Status(503));
    let layer = RetryLayer::new().backoff(400 * MS, 400 * MS);
    let asked = within(500 * MS, request("GET"));
    let mut answer = Box::pin(layer.layer(backend.clone()).oneshot(asked));
    assert!((&mut answer).now_or_never().is_none());
    tokio::time::advance(600 * MS).await;
    let answer = answer.await.unwrap();
    let Rejection(error) = answer.extensions().get().unwrap();
    assert_eq!((error.kind(), backend.count()), (ErrorKind::Deadline, 1));
    assert_eq!(layer.handle().counts().retries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_takes_too_long_is_dropped_and_counts_as_a_504() {
    let backend = Backend::new([
        Never,
        after(3 * SECOND, Status(200)),
        after(SECOND, Status(200)),
    ]);
    let layer = RetryLayer::new().try_timeout(2 * SECOND).budget_minimum(9);
    let service = layer.layer(backend.clone());
    let answer = service.clone().oneshot(request("GET")).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), backend.count(), backend.dropped()),
        (200, 3, 2)
    );

    let backend = Backend::always(Never);
    let service = layer.layer(backend.clone());
    let start = clock::now();
    let answer = service.oneshot(request("GET")).await.unwrap();
    let Rejection(error) = answer.extensions().get().unwrap();
    assert_eq!(
        (answer.status().as_u16(), error.kind()),
        (504, ErrorKind::Timeout)
    );
    assert_eq!((backend.count(), backend.dropped()), (3, 3));
    assert!(clock::now() - start >= 6 * SECOND);

    let backend = Backend::always(Never);
    let service = layer.layer(backend.clone());
    let answer = service.oneshot(request("POST")).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), backend.count()),
        (504, 1),
        "it may have been sent"
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_made_worse() {
    const REQUESTS: usize = 5_000;
    for hedged in [false, true] {
        let act = match hedged {
            true => after(50 * MS, Status(503)),
            false => Status(503),
        };
        let backend = Backend::always(act);
        let layer = RetryLayer::new();
        let layer = if hedged {
            layer.hedge_after(10 * MS)
        } else {
            layer
        };
        let service = layer.layer(backend.clone());
        let start = clock::now();
        let mut asked = Vec::new();
        for _ in 0..REQUESTS {
            asked.push(tokio::spawn(service.clone().oneshot(request("GET"))));
            tokio::time::sleep(10 * MS).await;
        }
        for asked in asked {
            assert_eq!(asked.await.unwrap().unwrap().status(), 503);
        }
        let windows = (clock::now() - start).as_secs() as usize / 10 + 1;
        let most = REQUESTS * 12 / 10 + 3 * windows;
        let tries = backend.count();
        // And it is made use of.
        assert!((REQUESTS * 119 / 100..=most).contains(&tries), "{tries}");
        let counts = layer.handle().counts();
        assert_eq!(counts.retries + counts.hedges, (tries - REQUESTS) as u64);
        assert_eq!(counts.hedges > 0, hedged);
        assert!(counts.over_budget > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn few_requests_have_the_minimum() {
    let backend = Backend::always(Status(503));
    let layer = RetryLayer::new();
    let count = || layer.handle().counts().retries;
    for _ in 0..9 {
        let _ = layer.layer(backend.clone()).oneshot(request("GET")).await;
    }
    assert_eq!(
        count(),
        3,
        "a service of its own for each request shares the budget"
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    let _ = layer
        .clone()
        .layer(backend.clone())
        .oneshot(request("GET"))
        .await;
    assert_eq!(count(), 5);
}
