//! HTTP/2 connections to a backend that dies, goes away, grows old or fails a single stream.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    server::{Connection, SendResponse},
};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
};
use tower_gateway::{Gateway, Route, Upstream};

use crate::{keeping::pass, support, wire::soon};

type Server = Connection<TcpStream, Bytes>;
type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// How long a test waits for what should come at once.
const SOON: Duration = Duration::from_secs(10);
/// A limit that a test lets pass.
const SHORT: Duration = Duration::from_millis(100);

/// Serves HTTP/2 in clear, and counts connections.
async fn backend<F, Fut>(serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, Server) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let address = support::raw_backend(move |number, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let serve = serve.clone();
        async move { serve(number, h2::server::handshake(stream).await.unwrap()).await }
    })
    .await;
    (address, connections)
}

async fn gateway(backend: SocketAddr, set: impl FnOnce(Upstream) -> Upstream) -> SocketAddr {
    let upstream = Upstream::http([format!("http://{backend}")]);
    let gateway = Gateway::builder()
        .upstream("backend", set(upstream.http2_only()))
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .unwrap();
    support::serve(gateway).await
}

async fn get(gateway: SocketAddr, path: &str) -> Response<Incoming> {
    let sent = support::send(gateway, support::request("GET", path));
    tokio::time::timeout(SOON, sent).await.expect("an answer")
}

async fn status(gateway: SocketAddr, path: &str) -> u16 {
    get(gateway, path).await.status().as_u16()
}

async fn next(server: &mut Server) -> Asked {
    server.accept().await.unwrap().unwrap()
}

/// Answers everything that comes.
async fn answer_all(mut server: Server) {
    while let Some(Ok((_, mut answer))) = server.accept().await {
        answer.send_response(Response::new(()), true).unwrap();
    }
}

/// Keeps the connection going until it is told.
async fn until(server: &mut Server, told: &Notify) {
    tokio::select! {
        () = told.notified() => {}
        other = server.accept() => panic!("{:?}", other.map(|asked| asked.map(|asked| asked.0))),
    }
}

/// An answer whose body is not over.
fn begin(answer: &mut SendResponse<Bytes>) -> SendStream<Bytes> {
    answer.send_response(Response::new(()), false).unwrap()
}

/// A backend whose first connection answers one request and is never heard of again.
async fn vanishes(told: Arc<Notify>) -> (SocketAddr, Arc<AtomicUsize>) {
    backend(move |number, mut server| {
        let told = told.clone();
        async move {
            if number == 0 {
                let (_, mut answer) = next(&mut server).await;
                answer.send_response(Response::new(()), true).unwrap();
                until(&mut server, &told).await;
                // Open, and silent.
                std::future::pending::<()>().await;
            }
            answer_all(server).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_that_let_a_request_wait_in_silence_gets_no_other() {
    let told = Arc::new(Notify::new());
    let (backend, connections) = vanishes(told.clone()).await;
    let gateway = gateway(backend, |upstream| {
        upstream.head_timeout(SHORT).max_connections(1)
    })
    .await;
    assert_eq!(status(gateway, "/a").await, 200);
    told.notify_one();
    assert_eq!(status(gateway, "/b").await, 504);
    assert_eq!(status(gateway, "/c").await, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_does_not_answer_a_ping_is_closed() {
    let told = Arc::new(Notify::new());
    let (backend, connections) = vanishes(told.clone()).await;
    let gateway = gateway(backend, |upstream| {
        upstream.http2_keep_alive(SHORT, SHORT).max_connections(1)
    })
    .await;
    assert_eq!(status(gateway, "/a").await, 200);
    told.notify_one();
    assert_eq!(status(gateway, "/b").await, 504);
    assert_eq!(status(gateway, "/c").await, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_answers_others_outlives_a_slow_request() {
    let slow = Arc::new(Notify::new());
    let arrived = slow.clone();
    let (backend, connections) = backend(move |_, mut server| {
        let arrived = arrived.clone();
        async move {
            let mut held = Vec::new();
            while let Some(Ok((request, mut answer))) = server.accept().await {
                if request.uri().path() == "/slow" {
                    held.push(answer);
                    arrived.notify_one();
                } else {
                    answer.send_response(Response::new(()), true).unwrap();
                }
            }
        }
    })
    .await;
    let gateway = gateway(backend, |upstream| upstream.head_timeout(SHORT * 5)).await;
    let late = tokio::spawn(async move { status(gateway, "/slow").await });
    slow.notified().await;
    assert_eq!(status(gateway, "/quick").await, 200);
    assert_eq!(late.await.unwrap(), 504);
    assert_eq!(status(gateway, "/quick").await, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_peer_that_never_sends_its_settings_is_a_failure_to_connect() {
    let backend = support::raw_backend(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let gateway = gateway(backend, |upstream| upstream.connect_timeout(SHORT)).await;
    let (one, two) = tokio::join!(get(gateway, "/a"), get(gateway, "/b"));
    for answer in [one, two] {
        assert_eq!(answer.status(), 504);
    }
}

#[tokio::test]
async fn an_old_connection_counts_until_its_last_stream_has_ended() {
    let end = Arc::new(Notify::new());
    let told = end.clone();
    let (backend, connections) = backend(move |number, mut server| {
        let told = told.clone();
        async move {
            if number == 0 {
                let (_, mut answer) = next(&mut server).await;
                let mut body = begin(&mut answer);
                until(&mut server, &told).await;
                body.send_data(Bytes::from("over"), true).unwrap();
            }
            answer_all(server).await;
        }
    })
    .await;
    let gateway = gateway(backend, |upstream| {
        upstream
            .max_age(Duration::from_nanos(1))
            .max_connections(1)
            .waiting(1, SHORT)
    })
    .await;
    let held = get(gateway, "/a").await;
    assert_eq!(
        status(gateway, "/b").await,
        503,
        "the cap is one connection"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    end.notify_one();
    assert_eq!(held.into_body().collect().await.unwrap().to_bytes(), "over");
    assert_eq!(status(gateway, "/c").await, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_goes_away_counts_until_its_last_stream_has_ended() {
    let (away, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (away.clone(), end.clone());
    let (backend, connections) = backend(move |number, mut server| {
        let (away, end) = told.clone();
        async move {
            if number == 0 {
                let (_, mut answer) = next(&mut server).await;
                let mut body = begin(&mut answer);
                until(&mut server, &away).await;
                server.graceful_shutdown();
                // Behind the GOAWAY: whoever reads this has read that.
                body.send_data(Bytes::from("going"), false).unwrap();
                until(&mut server, &end).await;
                body.send_data(Bytes::from("gone"), true).unwrap();
            }
            answer_all(server).await;
        }
    })
    .await;
    let gateway = gateway(backend, |upstream| {
        upstream.max_connections(1).waiting(1, SHORT)
    })
    .await;
    let mut held = get(gateway, "/a").await.into_body();
    away.notify_one();
    let going = held.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(going, "going");
    assert_eq!(
        status(gateway, "/b").await,
        503,
        "the cap is one connection"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    end.notify_one();
    assert_eq!(held.collect().await.unwrap().to_bytes(), "gone");
    assert_eq!(status(gateway, "/c").await, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stream_that_fails_leaves_its_connection_and_a_connection_that_fails_is_replaced() {
    let (backend, connections) = backend(|_, mut server| async move {
        while let Some(Ok((request, mut answer))) = server.accept().await {
            match request.uri().path() {
                "/reset" => answer.send_reset(Reason::INTERNAL_ERROR),
                "/abort" => server.abrupt_shutdown(Reason::INTERNAL_ERROR),
                _ => drop(answer.send_response(Response::new(()), true).unwrap()),
            }
        }
    })
    .await;
    let gateway = gateway(backend, |upstream| upstream.max_connections(1)).await;
    for (path, expected, opened) in [
        ("/a", 200, 1),
        ("/reset", 502, 1),
        ("/a", 200, 1),
        ("/abort", 502, 1),
        ("/a", 200, 2),
    ] {
        assert_eq!(status(gateway, path).await, expected, "{path}");
        assert_eq!(connections.load(Ordering::SeqCst), opened, "{path}");
    }
}

#[tokio::test]
async fn a_request_more_than_there_may_be_streams_opens_a_connection() {
    let (tell, mut held) = mpsc::unbounded_channel();
    let (backend, connections) = backend(move |_, mut server| {
        let tell = tell.clone();
        async move {
            while let Some(Ok((_, answer))) = server.accept().await {
                tell.send(answer).unwrap();
            }
        }
    })
    .await;
    let gateway = gateway(backend, |upstream| upstream.max_streams(1)).await;
    for _ in 0..2 {
        let asked = [(); 2].map(|()| tokio::spawn(status(gateway, "/a")));
        let mut answers = Vec::new();
        for _ in &asked {
            answers.push(soon("a request", held.recv()).await.unwrap());
        }
        assert_eq!(connections.load(Ordering::SeqCst), 2);
        for mut answer in answers {
            answer.send_response(Response::new(()), true).unwrap();
        }
        for asked in asked {
            assert_eq!(asked.await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_idle_time() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let (tell, mut ended) = mpsc::unbounded_channel();
    let (backend, connections) = backend(move |number, server| {
        let tell = tell.clone();
        async move {
            answer_all(server).await;
            tell.send(number).unwrap();
        }
    })
    .await;
    // PINGs would find the clock's jumps too long.
    let set = |upstream: Upstream| upstream.idle_timeout(HOUR).http2_keep_alive(None, SHORT);
    let gateway = gateway(backend, set).await;
    for _ in 0..3 {
        assert_eq!(status(gateway, "/a").await, 200);
        pass(HOUR / 60 * 59).await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert!(ended.try_recv().is_err(), "it was used in time");
    pass(HOUR / 60).await;
    // Though nobody asks.
    assert_eq!(soon("the end", ended.recv()).await, Some(0));
    assert_eq!(status(gateway, "/a").await, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
