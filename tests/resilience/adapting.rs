//! A limit that follows what the backend can do, over sockets.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use tokio::{sync::Semaphore, time::Instant};
use tower_gateway::{
    ConcurrencyLimitLayer, Route,
    load::{Adaptive, ConcurrencyLimitHandle},
};

use crate::support::{axum_backend, connect, one_route, request, serve, upstream};

const SECOND: Duration = Duration::from_secs(1);
const WELL: usize = 16;
const SLOW: usize = 2;

/// Lets 24 clients ask one thing after another for a while; the limits that were seen in its last half.
async fn ask_for(
    time: Duration,
    gateway: std::net::SocketAddr,
    limit: &ConcurrencyLimitHandle,
) -> (u32, u32) {
    let (start, mut seen) = (Instant::now(), (u32::MAX, 0));
    let client = || async move {
        let mut connection = connect(gateway).await;
        while start.elapsed() < time {
            connection.ready().await.unwrap();
            let response = connection.send_request(request("GET", "/")).await.unwrap();
            assert_eq!(response.status(), 200);
        }
    };
    let clients = futures_util::future::join_all((0..24).map(|_| client()));
    let look = async {
        while start.elapsed() < time {
            tokio::time::sleep(SECOND / 10).await;
            if start.elapsed() > time / 2 {
                seen = (seen.0.min(limit.limit()), seen.1.max(limit.limit()));
            }
        }
    };
    tokio::join!(clients, look);
    seen
}

#[tokio::test(start_paused = true)]
async fn the_limit_falls_with_the_backend_and_rises_again() {
    // So many at a time, and the others wait inside: what is slow is the backend and not the call.
    let places = Arc::new(Semaphore::new(WELL));
    let serves = places.clone();
    let answer = move || {
        let serves = serves.clone();
        async move {
            let _place = serves.acquire_owned().await;
            tokio::time::sleep(SECOND / 10).await;
        }
    };
    let backend = axum_backend(Router::new().route("/", get(answer))).await;
    let adaptive = Adaptive::gradient().initial(8).min(1).max(24);
    let limit = ConcurrencyLimitLayer::adaptive(adaptive).queue(64, 60 * SECOND);
    let handle = limit.handle();
    let upstream = upstream(backend).concurrency_limit(limit);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;

    let (_, well) = ask_for(10 * SECOND, gateway, &handle).await;
    let taken = places
        .clone()
        .acquire_many_owned((WELL - SLOW) as u32)
        .await;
    let (slow, _) = ask_for(15 * SECOND, gateway, &handle).await;
    drop(taken);
    let (_, again) = ask_for(15 * SECOND, gateway, &handle).await;
    let seen = format!("{well}, then {slow}, then {again}");
    assert!(well >= 12, "{seen}");
    assert!(slow <= 6, "{seen}");
    assert!(again >= 12, "{seen}");
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
}
