//! Clients that leave and backends that do anything: no count is left behind.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::Request;
use tower::{Layer, Service, ServiceExt};

use super::support::*;
use crate::{body::Body, error::ErrorKind, random, retry::RetryLayer};

/// A random number below `most`.
fn below(most: u64) -> u64 {
    random::next_u64() % most
}

fn act(depth: u32) -> Act {
    match below(if depth == 0 { 7 } else { 9 }) {
        0 | 1 => Status([200, 404, 500, 502, 503][below(5) as usize]),
        2 => RetryAfter(
            [429, 503][below(2) as usize],
            ["0", "1", "9", "x"][below(4) as usize],
        ),
        3 | 4 => {
            use ErrorKind::*;
            Fail(
                [
                    Connect,
                    Incomplete,
                    Timeout,
                    CircuitOpen,
                    ClientGone,
                    Saturated,
                ][below(6) as usize],
            )
        }
        5 => Never,
        6 => Panic,
        7 => after(below(60) as u32 * MS, act(depth - 1)),
        _ => read(match act(0) {
            Read(_) => Never,
            act => act,
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn after_many_faults_nothing_is_in_flight() {
    let layer = RetryLayer::new()
        .budget(1.0)
        .hedge_after(20 * MS)
        .try_timeout(50 * MS)
        .replay_limit(8);
    let handle = layer.handle();
    let (mut left, mut panicked, mut answered) = (0, 0, 0);
    for _ in 0..10_000 {
        let backend = Backend::new((0..3).map(|_| act(1)));
        let service = layer.layer(backend);
        let method = ["GET", "PUT", "POST"][below(3) as usize];
        let body = match below(3) {
            0 => Body::empty(),
            1 => Body::from("abc"),
            _ => Body::from("0123456789"),
        };
        let asked = service.oneshot(request(method).map(|_| body));
        let patience = match below(2) {
            0 => below(150) as u32 * MS,
            _ => 60 * SECOND,
        };
        let asked = AssertUnwindSafe(tokio::time::timeout(patience, asked)).catch_unwind();
        match asked.await {
            Ok(Ok(_)) => answered += 1,
            Ok(Err(_)) => left += 1,
            Err(_) => panicked += 1,
        }
    }
    assert!(
        left > 500 && panicked > 500 && answered > 500,
        "{left} {panicked} {answered}"
    );
    let counts = handle.counts();
    assert_eq!(
        (counts.in_flight, counts.extra_in_flight),
        (0, 0),
        "{counts:?}"
    );
    assert_eq!(counts.requests, 10_000);
    assert!(
        counts.retries > 500 && counts.hedges > 200 && counts.hedges_won > 50,
        "{counts:?}"
    );
    assert!(counts.not_replayable > 50, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_it_all() {
    // In the first try, in the pause, in a later try, with two tries under way.
    for (acts, leaves, tries, dropped) in [
        (vec![Never], 500, 1, 1),
        (vec![RetryAfter(503, "1")], 500, 1, 0),
        (vec![RetryAfter(503, "1"), Never], 1_500, 2, 1),
        (vec![after(2 * SECOND, Status(200)), Never], 1_500, 2, 2),
    ] {
        let backend = Backend::new(acts);
        let layer = RetryLayer::new().hedge_after(SECOND);
        let asked = layer.layer(backend.clone()).oneshot(request("GET"));
        let asked = tokio::time::timeout(leaves * MS, asked).await;
        assert!(asked.is_err());
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!((backend.count(), backend.dropped()), (tries, dropped));
        let counts = layer.handle().counts();
        assert_eq!((counts.in_flight, counts.extra_in_flight), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn gauges_tell_what_is_under_way() {
    let backend = Backend::new([Never, Never]);
    let layer = RetryLayer::new().hedge_after(SECOND);
    let asked = tokio::spawn(layer.layer(backend).oneshot(request("GET")));
    for (seconds, extra) in [(0, 0), (2, 1)] {
        tokio::time::sleep(seconds * SECOND + MS).await;
        let counts = layer.handle().counts();
        assert_eq!((counts.in_flight, counts.extra_in_flight), (1, extra));
    }
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    assert_eq!(layer.handle().counts().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_asked_is_called_and_asked_again_for_each_request() {
    // The backend checks it, and its clones are not ready.
    let mut service = RetryLayer::new().layer(Backend::always(Fail(ErrorKind::Connect)));
    for _ in 0..3 {
        let ready = ServiceExt::<Request<Body>>::ready(&mut service).await;
        let answer = ready.unwrap().call(request("GET"));
        assert!(answer.await.is_err());
    }
}
