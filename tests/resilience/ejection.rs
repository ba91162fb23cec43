//! Endpoints that fail get no requests for a while.

use std::{net::SocketAddr, time::Duration};

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tower_gateway::{Balance, OutlierEjection, Route, Upstream};

use crate::{
    backend::{Backend, Mode, until},
    support::{connect, one_route, raw_backend, read_head, request, send, serve},
};

/// Takes turns, and ejects after three failures in a row, for ever.
fn ejecting() -> OutlierEjection {
    OutlierEjection::new()
        .consecutive_failures(3)
        .failure_percentage(None, 1, Duration::from_secs(1))
        .max_ejection(Duration::from_secs(10_000))
        .base_ejection(Duration::from_secs(10_000))
}

fn upstream(backends: &[Backend], ejection: OutlierEjection) -> Upstream {
    Upstream::http(backends)
        .balance(Balance::round_robin())
        .head_timeout(Duration::from_millis(400))
        .outlier_ejection(ejection)
}

async fn get(gateway: SocketAddr) -> bool {
    let mut client = connect(gateway).await;
    // An answer whose body breaks at once may not even begin.
    let Ok(response) = client.send_request(request("GET", "/")).await else {
        return false;
    };
    response.status().is_success() && response.into_body().collect().await.is_ok()
}

#[tokio::test]
async fn whatever_way_it_fails() {
    for (mode, is_ejected) in [
        (Mode::Status(500), true),
        (Mode::Status(503), true),
        (Mode::Resets, true),
        (Mode::Garbage, true),
        (Mode::Breaks, true),
        (Mode::Hangs, true),
        (Mode::Status(404), false),
        (Mode::Status(501), false),
    ] {
        let backends = Backend::three().await;
        let upstream = upstream(&backends, ejecting());
        let handle = upstream.handle();
        let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
        backends[1].set(mode);
        let mut failed = 0;
        for _ in 0..30 {
            failed += usize::from(!get(gateway).await);
        }
        let expected = if is_ejected { 3 } else { 10 };
        assert_eq!(failed, expected, "{mode:?}");
        let status = handle.endpoints();
        let ejected = [0, 1, 2].map(|at| (status[at].is_ejected, status[at].ejections));
        assert_eq!(ejected[1], (is_ejected, u64::from(is_ejected)), "{mode:?}");
        assert_eq!([ejected[0], ejected[2]], [(false, 0); 2], "{mode:?}");
        // A request without a body may be sent again when the connection was to blame.
        assert!(
            backends[1].taken() <= 2 * expected,
            "{mode:?}: {}",
            backends[1].taken()
        );
        assert_eq!(
            backends[0].taken() + backends[2].taken(),
            30 - expected,
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn it_comes_back() {
    let backends = Backend::three().await;
    let ejection = ejecting().base_ejection(Duration::from_millis(1));
    let gateway = serve(one_route(
        Route::new("/{*rest}"),
        upstream(&backends, ejection),
    ))
    .await;
    backends[2].set(Mode::Status(500));
    until("it was ejected", async || {
        get(gateway).await;
        backends[2].taken() >= 3
    })
    .await;
    backends[2].set(Mode::Status(200));
    let before = backends[2].taken();
    until("it is back", async || {
        get(gateway).await;
        backends[2].taken() >= before + 10
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_is_not_its_failure() {
    let backends = Backend::three().await;
    let upstream = upstream(&backends, ejecting()).head_timeout(Duration::from_secs(100));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for mode in [Mode::Hangs, Mode::Holds] {
        backends[0].set(mode);
        for _ in 0..5 {
            // Each connection asks until it has met the one that hangs, and goes.
            let taken = backends[0].taken();
            while backends[0].taken() == taken {
                let mut client = connect(gateway).await;
                let asked = tokio::spawn(client.send_request(request("GET", "/")));
                until("it was passed on", async || {
                    asked.is_finished() || backends[0].taken() > taken
                })
                .await;
                asked.abort();
            }
        }
    }
    backends[0].set(Mode::Status(200));
    let taken = backends[0].taken();
    for _ in 0..9 {
        assert!(get(gateway).await);
    }
    assert_eq!(backends[0].taken(), taken + 3);
}

#[tokio::test]
async fn with_panic_off_nobody_is_asked() {
    for panic in [true, false] {
        let backends = Backend::three().await;
        let upstream = upstream(&backends, ejecting().max_ejected(1.0)).panic_mode(panic);
        let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
        for backend in &backends {
            backend.set(Mode::Status(500));
        }
        for _ in 0..9 {
            assert!(!get(gateway).await);
        }
        let response = send(gateway, request("GET", "/")).await;
        assert_eq!(response.status(), if panic { 500 } else { 503 });
        let taken: usize = backends.iter().map(Backend::taken).sum();
        assert_eq!(taken, if panic { 10 } else { 9 });
    }
}

/// The server around the gateway knows the length, and does not ask for the end.
#[tokio::test]
async fn a_long_answer_counts_as_a_success() {
    let [other, ..] = Backend::three().await;
    let alternates = raw_backend(|_, mut stream| async move {
        let long = format!(
            "200 OK\r\ncontent-length: 300000\r\n\r\n{}",
            "x".repeat(300_000)
        );
        let short = "500 X\r\ncontent-length: 0\r\n\r\n".to_owned();
        for answer in [short, long].iter().cycle() {
            read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 {answer}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let upstream = Upstream::http([other.url(), format!("http://{alternates}")])
        .balance(Balance::round_robin())
        .outlier_ejection(ejecting().consecutive_failures(2));
    let handle = upstream.handle();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(!get(gateway).await);
    }
    assert_eq!(failed, 10);
    assert_eq!(handle.endpoints()[1].ejections, 0);
}
