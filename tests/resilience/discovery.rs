//! Endpoints that come and go while requests are under way.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt;
use tokio::sync::{Mutex, mpsc};
use tower_gateway::{BoxError, Discovered, Endpoint, Route, Upstream};

use crate::{
    backend::{Backend, Mode, until},
    support::{one_route, request, send, serve, text},
};

type Lists = mpsc::UnboundedSender<Result<Vec<Endpoint>, BoxError>>;

/// Endpoints as they are told.
fn told() -> (Lists, Upstream) {
    let (lists, told) = mpsc::unbounded_channel();
    let told = Arc::new(Mutex::new(told));
    let upstream = Upstream::discover(move || {
        let told = told.clone();
        async move {
            let list = told.lock().await.recv().await.ok_or("closed")??;
            Ok(Discovered::new(list).valid_for(Duration::ZERO))
        }
    });
    (lists, upstream)
}

#[tokio::test]
async fn a_change_drops_no_request_and_what_is_gone_drains() {
    let [a, b, _] = Backend::three().await;
    let (lists, upstream) = told();
    lists.send(Ok(vec![(&a).into()])).unwrap();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    assert_eq!(text(send(gateway, request("GET", "/")).await).await, "a");
    a.set(Mode::Holds);
    let held = send(gateway, request("GET", "/")).await;
    assert_eq!(held.status(), 200, "its body is still to come");

    lists.send(Ok(vec![(&b).into()])).unwrap();
    until("the other one is used", async || {
        text(send(gateway, request("GET", "/")).await).await == "b"
    })
    .await;
    let taken = a.taken();
    for _ in 0..10 {
        assert_eq!(text(send(gateway, request("GET", "/")).await).await, "b");
    }
    assert_eq!(a.taken(), taken, "nothing new for the one that is gone");
    assert_eq!(a.open(), 1, "what is under way goes on");
    a.let_go();
    assert_eq!(held.into_body().collect().await.unwrap().to_bytes(), "held");
    until("its connection is closed", async || a.open() == 0).await;

    lists.send(Ok(Vec::new())).unwrap();
    until("none is left", async || {
        send(gateway, request("GET", "/")).await.status() == 503
    })
    .await;
    lists
        .send(Ok(vec![(&b).into(), "http://[bad".into()]))
        .unwrap();
    lists.send(Ok(vec![(&b).into()])).unwrap();
    until("it is back", async || {
        send(gateway, request("GET", "/")).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn idle_connections_of_what_is_gone_are_closed() {
    let [a, b, _] = Backend::three().await;
    let (lists, upstream) = told();
    lists.send(Ok(vec![(&a).into()])).unwrap();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    assert_eq!(text(send(gateway, request("GET", "/")).await).await, "a");
    assert_eq!(a.open(), 1);
    lists.send(Ok(vec![(&b).into()])).unwrap();
    until("it is closed", async || a.open() == 0).await;
}

#[tokio::test]
async fn the_first_request_waits_for_the_first_answer() {
    let [a, ..] = Backend::three().await;
    let (lists, upstream) = told();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let first = tokio::spawn(send(gateway, request("GET", "/")));
    tokio::task::yield_now().await;
    lists.send(Ok(vec![(&a).into()])).unwrap();
    assert_eq!(text(first.await.unwrap()).await, "a");
}

#[tokio::test]
async fn without_an_answer_it_is_a_504_and_with_an_error_a_503() {
    let (lists, upstream) = told();
    let upstream = upstream.connect_timeout(Duration::from_millis(20));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    assert_eq!(send(gateway, request("GET", "/")).await.status(), 504);
    lists.send(Err("the registry is down".into())).unwrap();
    until("it is known", async || {
        send(gateway, request("GET", "/")).await.status() == 503
    })
    .await;
}

#[tokio::test]
async fn the_search_ends_with_the_gateway() {
    let (lists, upstream) = told();
    let gateway = one_route(Route::new("/{*rest}"), upstream);
    tokio::task::yield_now().await;
    assert!(!lists.is_closed());
    drop(gateway);
    tokio::time::timeout(Duration::from_secs(10), lists.closed())
        .await
        .unwrap();
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn settings_for_tls_are_not_in_vain() {
    let [a, ..] = Backend::three().await;
    let (lists, upstream) = told();
    lists.send(Ok(vec![(&a).into()])).unwrap();
    let upstream = upstream.tls_server_name("users.test");
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
    assert_eq!(a.open(), 0);
}

#[cfg(feature = "dns")]
#[test]
fn what_can_not_be_in_dns_is_a_build_error() {
    use tower_gateway::Dns;
    for (dns, what) in [
        (Dns::hosts("users"), "`users`"),
        (Dns::srv("gopher", "_o._tcp.test"), "gopher"),
        (Dns::srv("http", "_o._tcp.test:53"), "`_o._tcp.test:53`"),
    ] {
        let mistake = Upstream::discover(dns).check().unwrap_err().to_string();
        assert!(mistake.contains(what), "{mistake}");
    }
    assert!(
        Upstream::discover(Dns::hosts("http://users"))
            .check()
            .is_ok()
    );
}

/// The time for the whole begins with the wait for the endpoints.
#[tokio::test(start_paused = true)]
async fn the_wait_for_the_first_answer_is_part_of_a_requests_time() {
    use tower::ServiceExt;
    use tower_gateway::{Body, ErrorKind, RequestContext};
    let [a, ..] = Backend::three().await;
    a.set(Mode::Hangs);
    let second = Duration::from_secs(1);
    // What the upstream allows, what the context does, and whether endpoints are found meanwhile.
    for (own, context, is_found, seconds, kind) in [
        (2, None, false, 2, ErrorKind::Deadline),
        (2, None, true, 2, ErrorKind::Deadline),
        (9, Some(3), false, 3, ErrorKind::Deadline),
        (9, Some(3), true, 3, ErrorKind::Deadline),
        (90, Some(80), false, 30, ErrorKind::ConnectTimeout),
    ] {
        let (lists, upstream) = told();
        let upstream = upstream.connect_timeout(30 * second).timeout(own * second);
        let began = tokio::time::Instant::now();
        let mut request = request("GET", "/").map(Body::new);
        if let Some(limit) = context {
            let mut facts = RequestContext::new();
            facts.limit_deadline((began + limit * second).into_std());
            request.extensions_mut().insert(facts);
        }
        let asked = tokio::spawn(upstream.oneshot(request));
        tokio::time::sleep(second).await;
        if is_found {
            lists.send(Ok(vec![(&a).into()])).unwrap();
        }
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(
            began.elapsed().as_secs(),
            seconds,
            "{own} {context:?} {is_found}"
        );
    }
}
