//! Upstreams of every sort: services in this process, several endpoints, names that change, and one gateway for several
//! runtimes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::Path,
    http::HeaderMap,
    routing::{get, post},
};
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tower::ServiceExt;
use tower_gateway::{Body, Gateway, RequestContext, Route, Upstream};

use crate::support::{
    Recorder, axum_backend, connect, one_route, raw_backend, read_head, request, send, serve, text,
    upstream,
};

/// A backend that answers each request with the number of its connection, which it closes after one answer if asked to.
async fn numbered(close: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let backend = raw_backend(move |number, mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let (mut read, mut chunk) = (Vec::new(), [0; 1024]);
            while let Ok(length @ 1..) = stream.read(&mut chunk).await {
                read.extend_from_slice(&chunk[..length]);
                if !read.ends_with(b"\r\n\r\n") {
                    continue;
                }
                read.clear();
                let number = number.to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{number}",
                    number.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() || close {
                    return;
                }
            }
        }
    })
    .await;
    (backend, connections)
}

#[tokio::test]
async fn a_router_in_this_process_is_an_upstream() {
    let app = Router::new()
        .route("/v2/echo", post(|body: String| async move { body }))
        .route(
            "/v2/facts/{id}",
            get(
                |Path(id): Path<u32>,
                 Extension(context): Extension<RequestContext>,
                 headers: HeaderMap| async move {
                    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
                    format!(
                        "{id} {} {} {} {} {}",
                        context.route().unwrap(),
                        context.param("rest").unwrap(),
                        context.client_ip().unwrap(),
                        header("x-forwarded-host"),
                        header("host"),
                    )
                },
            ),
        );
    let route = Route::new("/api/{*rest}")
        .name("api")
        .strip_prefix("/api")
        .add_prefix("/v2");
    let gateway = serve(one_route(route, Upstream::service(app))).await;

    let answer = send(gateway, request("GET", "/api/facts/7")).await;
    assert_eq!(
        text(answer).await,
        "7 api facts/7 127.0.0.1 t.example t.example"
    );

    let mut asked = request("POST", "/api/echo");
    *asked.body_mut() = vec![b'x'; 300_000].into();
    assert_eq!(text(send(gateway, asked).await).await.len(), 300_000);

    let answer = send(gateway, request("HEAD", "/api/facts/7")).await;
    assert_eq!(
        (answer.status().as_u16(), text(answer).await.len()),
        (200, 0)
    );
    assert_eq!(
        send(gateway, request("GET", "/api/nothing")).await.status(),
        404
    );
    assert_eq!(
        send(gateway, request("GET", "/api/facts/x")).await.status(),
        400,
        "the router's own answer"
    );
}

#[tokio::test]
async fn an_upstream_is_a_service_by_itself() {
    let (recorder, backend) = Recorder::start().await;
    let asked = Request::get("/a?b=c")
        .header("host", "t.example")
        .header("connection", "x-named")
        .header("x-named", "1")
        .header("x-forwarded-for", "6.6.6.6")
        .body(Body::empty())
        .unwrap();
    let answer = upstream(backend).oneshot(asked).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = recorder.take();
    assert_eq!(
        (seen.target(), seen.header("host")),
        ("/a?b=c", vec![&*backend.to_string()])
    );
    assert!(seen.header("x-named").is_empty() && seen.header("x-forwarded-for").is_empty());
}

#[tokio::test]
async fn all_endpoints_are_used_and_the_less_busy_one_is_preferred() {
    let free = Arc::new(Notify::new());
    let mut endpoints = Vec::new();
    for name in ["one", "two"] {
        let free = free.clone();
        let app = Router::new()
            .route("/name", get(move || async move { name }))
            .route(
                "/hold",
                get(move || {
                    let free = free.clone();
                    async move {
                        free.notified().await;
                        name
                    }
                }),
            );
        endpoints.push(format!("http://{}", axum_backend(app).await));
    }
    let gateway = serve(one_route(
        Route::new("/{*rest}"),
        Upstream::http(&endpoints),
    ))
    .await;
    let mut connection = connect(gateway).await;
    let mut ones = 0;
    for _ in 0..200 {
        let answer = connection
            .send_request(request("GET", "/name"))
            .await
            .unwrap();
        ones += usize::from(text(answer).await == "one");
    }
    // 100 are expected, with a deviation of 7.
    assert!((45..=155).contains(&ones), "{ones} of 200");

    let held =
        tokio::spawn(async move { text(send(gateway, request("GET", "/hold")).await).await });
    // Once it is under way, the other endpoint has fewer requests, and both are always compared.
    let mut answers = Vec::new();
    for _ in 0..60 {
        let answer = connection
            .send_request(request("GET", "/name"))
            .await
            .unwrap();
        answers.push(text(answer).await);
    }
    free.notify_one();
    let busy = held.await.unwrap();
    assert!(
        answers[10..].iter().all(|name| *name != busy),
        "{busy} is busy: {answers:?}"
    );
}

type Answers = Vec<io::Result<Vec<IpAddr>>>;

/// An upstream for a name with these answers of its resolver, one after another, and how often it was asked.
fn by_name(port: u16, answers: Answers) -> (Upstream, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answers = Mutex::new(answers.into_iter());
    let upstream = Upstream::http([format!("http://users.test:{port}")]);
    let upstream = upstream.resolver(move |name| {
        assert_eq!(name, "users.test");
        count.fetch_add(1, Ordering::SeqCst);
        let answer = answers.lock().unwrap().next();
        async move { answer.unwrap_or_else(|| Err(io::Error::other("no more answers"))) }
    });
    (upstream, asked)
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
/// Nobody listens there.
const GONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

#[tokio::test]
async fn a_name_is_resolved_again_when_its_addresses_fail() {
    let (backend, _) = numbered(true).await;
    let (upstream, asked) = by_name(backend.port(), vec![Ok(vec![GONE]), Ok(vec![HERE])]);
    let gateway = serve(one_route(Route::new("/a"), upstream)).await;
    for (status, times) in [(502, 1), (200, 2), (200, 2), (200, 2)] {
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), status);
        assert_eq!(asked.load(Ordering::SeqCst), times);
    }
}

#[tokio::test]
async fn a_name_that_has_no_address_is_asked_for_again() {
    let (backend, _) = numbered(true).await;
    let answers = vec![
        Err(io::Error::other("no server")),
        Ok(Vec::new()),
        Ok(vec![HERE]),
    ];
    let (upstream, asked) = by_name(backend.port(), answers);
    let gateway = serve(one_route(Route::new("/a"), upstream)).await;
    for status in [502, 502, 200] {
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), status);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn each_address_of_a_name_gets_its_chance() {
    let (backend, connections) = numbered(true).await;
    let (upstream, asked) = by_name(backend.port(), vec![Ok(vec![GONE, HERE])]);
    let gateway = serve(one_route(Route::new("/a"), upstream)).await;
    for _ in 0..3 {
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), 200);
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "one address that works is enough"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_old_answer_is_asked_for_again_and_is_better_than_none() {
    let (backend, _) = numbered(true).await;
    let (upstream, asked) = by_name(backend.port(), vec![Ok(vec![HERE])]);
    // Older than this it is at the next request.
    let upstream = upstream.resolve_every(Duration::from_nanos(1));
    let gateway = serve(one_route(Route::new("/a"), upstream)).await;
    for times in 1..=3 {
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), 200);
        assert_eq!(asked.load(Ordering::SeqCst), times);
    }
}

/// Serves a gateway on a thread and a runtime of its own, until the sender is dropped.
fn core(
    gateway: Gateway,
) -> (
    SocketAddr,
    tokio::sync::oneshot::Sender<()>,
    std::thread::JoinHandle<()>,
) {
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            tell.send(serve(gateway).await).unwrap();
            let _ = stopped.await;
        });
    });
    (told.recv().unwrap(), stop, thread)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_has_connections_of_its_own_in_each_runtime() {
    let (backend, connections) = numbered(false).await;
    let gateway = one_route(Route::new("/a"), upstream(backend));
    let (one, stop_one, thread_one) = core(gateway.clone());
    let (two, stop_two, thread_two) = core(gateway.clone());
    let ask = async |at: SocketAddr, times: usize| {
        let mut numbers = std::collections::HashSet::new();
        for _ in 0..times {
            let answer = send(at, request("GET", "/a")).await;
            assert_eq!(answer.status(), 200);
            numbers.insert(text(answer).await);
        }
        numbers
    };
    let (by_one, by_two) = tokio::join!(ask(one, 30), ask(two, 30));
    assert!(by_one.is_disjoint(&by_two), "{by_one:?} {by_two:?}");
    assert_eq!((by_one.len(), by_two.len()), (1, 1), "each keeps its own");
    assert_eq!(connections.load(Ordering::SeqCst), 2);

    // A runtime that ends takes its connections with it, and nobody else's.
    drop(stop_one);
    tokio::task::spawn_blocking(|| thread_one.join().unwrap())
        .await
        .unwrap();
    assert_eq!(ask(two, 5).await, by_two);
    let (three, stop_three, thread_three) = core(gateway);
    let by_three = ask(three, 5).await;
    assert!(by_three.len() == 1 && by_three.is_disjoint(&by_one) && by_three.is_disjoint(&by_two));
    drop((stop_two, stop_three));
    for thread in [thread_two, thread_three] {
        tokio::task::spawn_blocking(|| thread.join().unwrap())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_on_connections_counts_for_each_runtime() {
    let holds = raw_backend(|_, mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            .await;
        std::future::pending::<()>().await;
    })
    .await;
    let capped = upstream(holds)
        .max_connections(1)
        .waiting(0, Duration::from_secs(1));
    let gateway = one_route(Route::new("/a"), capped);
    let cores = [core(gateway.clone()), core(gateway)];
    let mut held = Vec::new();
    for (at, ..) in &cores {
        let answer = send(*at, request("GET", "/a")).await;
        assert_eq!(answer.status(), 200);
        held.push(answer);
        assert_eq!(send(*at, request("GET", "/a")).await.status(), 503);
    }
}
