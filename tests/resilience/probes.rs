//! Endpoints are asked whether they are well.

use std::time::Duration;

use tower_gateway::{Balance, Gateway, HealthCheck, Route, Upstream};

use crate::{
    backend::{Backend, Mode, until},
    support::{one_route, request, send, serve},
};

fn check() -> HealthCheck {
    HealthCheck::get("/healthz")
        .interval(Duration::from_millis(2))
        .timeout(Duration::from_millis(200))
}

fn upstream(backends: &[Backend], check: HealthCheck) -> Upstream {
    Upstream::http(backends)
        .balance(Balance::round_robin())
        .health_check(check)
}

fn gateway(backends: &[Backend], check: HealthCheck) -> Gateway {
    one_route(Route::new("/{*rest}"), upstream(backends, check))
}

#[tokio::test]
async fn one_that_is_not_well_gets_no_requests_until_it_is() {
    for mode in [
        Mode::Status(503),
        Mode::Resets,
        Mode::Garbage,
        Mode::Hangs,
        Mode::Status(302),
    ] {
        let backends = Backend::three().await;
        // It begins before the first request.
        let upstream = upstream(&backends, check());
        let handle = upstream.handle();
        let gateway = one_route(Route::new("/{*rest}"), upstream);
        until("each was asked", async || {
            backends.iter().all(|backend| backend.probes() > 1)
        })
        .await;
        let gateway = serve(gateway).await;
        backends[1].set(mode);
        let count = backends[1].probes();
        until("it was asked again", async || {
            backends[1].probes() > count + 3
        })
        .await;
        let taken = backends[1].taken();
        for _ in 0..20 {
            assert_eq!(
                send(gateway, request("GET", "/")).await.status(),
                200,
                "{mode:?}"
            );
        }
        assert_eq!(backends[1].taken(), taken, "{mode:?}");
        let healthy: Vec<_> = handle.endpoints().iter().map(|at| at.is_healthy).collect();
        assert_eq!(healthy, [Some(true), Some(false), Some(true)], "{mode:?}");
        backends[1].set(Mode::Status(204));
        until("it is used again", async || {
            send(gateway, request("GET", "/")).await;
            backends[1].taken() > taken + 5
        })
        .await;
    }
}

#[tokio::test]
async fn the_thresholds_count_in_a_row() {
    let backends = Backend::three().await;
    let check = check()
        .unhealthy_after(4)
        .healthy_after(50)
        .status(200..=399);
    let gateway = serve(gateway(&backends, check)).await;
    backends[0].set(Mode::Status(302));
    let count = backends[0].probes();
    until("a redirect is fine", async || {
        backends[0].probes() > count + 10
    })
    .await;
    send(gateway, request("GET", "/")).await;
    let before = backends[0].taken();
    for _ in 0..6 {
        send(gateway, request("GET", "/")).await;
    }
    assert_eq!(backends[0].taken(), before + 2);
    backends[0].set(Mode::Status(500));
    let count = backends[0].probes();
    until("it was asked again", async || {
        backends[0].probes() > count + 5
    })
    .await;
    backends[0].set(Mode::Status(200));
    let (count, before) = (backends[0].probes(), backends[0].taken());
    until("it was well", async || {
        send(gateway, request("GET", "/")).await;
        backends[0].taken() > before
    })
    .await;
    assert!(
        backends[0].probes() >= count + 48,
        "{}",
        backends[0].probes() - count
    );
}

#[tokio::test]
async fn probes_begin_with_the_first_request_when_there_was_no_runtime() {
    let backends = Backend::three().await;
    let built = {
        let backends = backends.clone();
        let build = move || gateway(&backends, check());
        std::thread::spawn(build).join().unwrap()
    };
    let gateway = serve(built).await;
    assert_eq!(backends[0].probes(), 0);
    send(gateway, request("GET", "/")).await;
    until("they run", async || backends[0].probes() > 3).await;
}

#[tokio::test]
async fn probes_end_with_the_gateway() {
    let backends = Backend::three().await;
    let gateway = gateway(&backends, check());
    until("they run", async || backends[0].probes() > 3).await;
    backends[0].set(Mode::Hangs);
    until("a probe is under way", async || backends[0].open() == 1).await;
    drop(gateway);
    until("it is given up", async || {
        backends.iter().all(|backend| backend.open() == 0)
    })
    .await;
}

/// A list that is told again is no reason to ask.
#[tokio::test]
async fn each_probe_has_its_time_whatever_is_discovered() {
    let [a, b, _] = Backend::three().await;
    a.set(Mode::Status(500));
    let (lists, told) = tokio::sync::mpsc::unbounded_channel::<Vec<String>>();
    let told = std::sync::Arc::new(tokio::sync::Mutex::new(told));
    let upstream = Upstream::discover(move || {
        let told = told.clone();
        async move {
            let list = told.lock().await.recv().await.ok_or("closed")?;
            Ok(tower_gateway::Discovered::new(list).valid_for(Duration::ZERO))
        }
    })
    .health_check(check().interval(Duration::from_secs(1000)));
    let handle = upstream.handle();
    let _gateway = one_route(Route::new("/{*rest}"), upstream);
    lists.send(vec![a.url()]).unwrap();
    until("it is asked", async || a.probes() == 1).await;
    for _ in 0..3 {
        lists.send(vec![a.url()]).unwrap();
    }
    lists.send(vec![a.url(), b.url()]).unwrap();
    until("the new one is asked", async || b.probes() == 1).await;
    until("it is known", async || {
        handle.endpoints()[1].is_healthy == Some(true)
    })
    .await;
    assert_eq!(a.probes(), 1);
}

#[tokio::test]
async fn the_first_probe_is_one() {
    let [a, ..] = Backend::three().await;
    let check = check().interval(Duration::from_secs(1000));
    let upstream = upstream(std::slice::from_ref(&a), check);
    let handle = upstream.handle();
    let _gateway = one_route(Route::new("/{*rest}"), upstream);
    until("it is known", async || {
        handle.endpoints()[0].is_healthy == Some(true)
    })
    .await;
    // A second one would have begun by now.
    for _ in 0..5000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(a.probes(), 1);
}

/// One that hangs is its own affair, and one that comes later does not wait for it.
#[tokio::test(start_paused = true)]
async fn each_is_asked_in_its_own_time() {
    let [a, b, c] = Backend::three().await;
    b.set(Mode::Hangs);
    let second = Duration::from_secs(1);
    let check = check().interval(second).timeout(10 * second);
    let (lists, told) = tokio::sync::mpsc::unbounded_channel::<Vec<String>>();
    let told = std::sync::Arc::new(tokio::sync::Mutex::new(told));
    let upstream = Upstream::discover(move || {
        let told = told.clone();
        async move {
            let list = told.lock().await.recv().await.ok_or("closed")?;
            Ok(tower_gateway::Discovered::new(list).valid_for(Duration::ZERO))
        }
    })
    .health_check(check);
    let handle = upstream.handle();
    let _gateway = one_route(Route::new("/{*rest}"), upstream);
    lists.send(vec![a.url(), b.url()]).unwrap();
    until("b is asked", async || b.probes() == 1).await;
    tokio::time::sleep(5 * second).await;
    assert!((5..=7).contains(&a.probes()), "{}", a.probes());
    assert_eq!(b.probes(), 1, "one at a time");
    lists.send(vec![a.url(), b.url(), c.url()]).unwrap();
    until("c is asked", async || c.probes() == 1).await;
    tokio::time::sleep(second / 2).await;
    assert_eq!(handle.endpoints()[2].is_healthy, Some(true));
    tokio::time::sleep(15 * second).await;
    assert_eq!(handle.endpoints()[1].is_healthy, Some(false));
    assert_eq!(b.probes(), 3, "at once when the last one took longer");

    // What is gone is not asked any more, and its connection is not kept.
    let open = a.open();
    assert_eq!(open, 1);
    lists.send(vec![c.url()]).unwrap();
    tokio::time::sleep(second / 2).await;
    assert_eq!(a.open(), 0);
    tokio::time::sleep(10 * second).await;
    assert_eq!(b.open(), 0, "its last probe is over");
    assert_eq!(b.probes(), 3);
}

/// At most sixteen probes are under way, however many endpoints hang.
#[tokio::test(start_paused = true)]
async fn probes_are_bounded() {
    let open = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut urls = Vec::new();
    for _ in 0..40 {
        let open = open.clone();
        let address = crate::support::raw_backend(move |_, mut stream| {
            let open = open.clone();
            async move {
                use std::sync::atomic::Ordering::SeqCst;
                open.fetch_add(1, SeqCst);
                while tokio::io::AsyncReadExt::read_u8(&mut stream).await.is_ok() {}
                open.fetch_sub(1, SeqCst);
            }
        });
        urls.push(format!("http://{}", address.await));
    }
    let second = Duration::from_secs(1);
    let check = check().interval(second).timeout(2 * second);
    let upstream = Upstream::http(&urls).health_check(check.unhealthy_after(1));
    let handle = upstream.handle();
    let _gateway = one_route(Route::new("/{*rest}"), upstream);
    for _ in 0..100 {
        tokio::time::sleep(second / 10).await;
        let open = open.load(std::sync::atomic::Ordering::SeqCst);
        assert!(open <= 16, "{open}");
    }
    let endpoints = handle.endpoints();
    assert!(endpoints.iter().all(|at| at.is_healthy == Some(false)));
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_not_in_a_row_are_forgotten() {
    let address = crate::support::raw_backend(|_, mut stream| async move {
        for status in [200, 500].iter().cycle() {
            crate::support::read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
            let sent = tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes());
            sent.await.unwrap();
        }
    })
    .await;
    let second = Duration::from_secs(1);
    let upstream = Upstream::http([format!("http://{address}")])
        .health_check(check().interval(second).timeout(second));
    let handle = upstream.handle();
    let _gateway = one_route(Route::new("/{*rest}"), upstream);
    tokio::time::sleep(second / 2).await;
    for _ in 0..20 {
        assert_eq!(handle.endpoints()[0].is_healthy, Some(true));
        tokio::time::sleep(second).await;
    }
}
