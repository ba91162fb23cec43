//! HTTP/1.1 connections to a backend: which one is used, how many there are, who waits, and how long each is kept.

use std::{future::pending, net::SocketAddr, time::Duration};

use http::StatusCode;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, advance, pause, resume},
};
use tower::ServiceExt;
use tower_gateway::{Route, Upstream};

use crate::{
    support::{self, raw_backend, read_head, request, send, text},
    wire::soon,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Over before anything can happen.
const AT_ONCE: Duration = Duration::from_nanos(1);

/// Lets time pass without waiting for it.
pub async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// Status and body.
type Answer = (StatusCode, String);

/// What a connection to the backend tells the test.
#[derive(Debug)]
enum Told {
    /// A request has come on the connection of this number; `go` lets the answer be sent.
    Asked(usize, mpsc::UnboundedSender<()>),
    /// The gateway has closed the connection of this number.
    Closed(usize),
}

struct Backend {
    told: mpsc::UnboundedReceiver<Told>,
    gateway: SocketAddr,
}

impl Backend {
    /// A backend whose answers are its connections' numbers, and a gateway in front of it.
    async fn start(set: impl FnOnce(Upstream) -> Upstream) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let backend = raw_backend(move |number, stream| serve(number, stream, tell.clone())).await;
        let upstream = set(Upstream::http([format!("http://{backend}")]));
        let gateway = support::one_route(Route::new("/{*rest}"), upstream);
        let gateway = support::serve(gateway).await;
        Self { told, gateway }
    }

    /// A request that is on its way.
    fn ask(&self) -> JoinHandle<Answer> {
        let gateway = self.gateway;
        tokio::spawn(async move {
            let answer = send(gateway, request("GET", "/a")).await;
            (answer.status(), text(answer).await)
        })
    }

    /// Asks until so many wait for a connection. One more than may is refused, and shows that the others do wait.
    async fn queue(&self, length: usize) -> mpsc::UnboundedReceiver<Answer> {
        let (tell, mut answers) = mpsc::unbounded_channel();
        for _ in 0..=length {
            let (answer, tell) = (self.ask(), tell.clone());
            tokio::spawn(async move { tell.send(answer.await.unwrap()) });
        }
        let (status, _) = soon("a refusal", answers.recv()).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        answers
    }

    /// The next request at the backend: its connection, and what lets it be answered.
    async fn asked(&mut self) -> (usize, mpsc::UnboundedSender<()>) {
        loop {
            match soon("a request", self.told.recv()).await.unwrap() {
                Told::Asked(number, go) => return (number, go),
                // Of one that was not to be used again.
                Told::Closed(_) => {}
            }
        }
    }

    async fn closed(&mut self) -> usize {
        match soon("a closed connection", self.told.recv()).await.unwrap() {
            Told::Closed(number) => number,
            other => panic!("{other:?}"),
        }
    }

    /// The connection that one more request is answered on.
    async fn used(&mut self) -> usize {
        let answer = self.ask();
        let (number, go) = self.asked().await;
        go.send(()).unwrap();
        let expected = (StatusCode::OK, number.to_string());
        assert_eq!(soon("an answer", answer).await.unwrap(), expected);
        number
    }
}

async fn serve(number: usize, mut stream: TcpStream, tell: mpsc::UnboundedSender<Told>) {
    // What ends here ends between two requests.
    while stream.peek(&mut [0]).await.is_ok_and(|length| length > 0) {
        read_head(&mut stream).await;
        let (go, mut gone) = mpsc::unbounded_channel();
        let _ = tell.send(Told::Asked(number, go));
        if gone.recv().await.is_none() {
            return;
        }
        let text = number.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        stream.write_all((head + &text).as_bytes()).await.unwrap();
    }
    let _ = tell.send(Told::Closed(number));
}

#[tokio::test]
async fn the_connection_that_was_used_last_is_used_first() {
    for last in 0..3 {
        let mut backend = Backend::start(|upstream| upstream).await;
        let mut held = Vec::new();
        for expected in 0..3 {
            let answer = backend.ask();
            let (number, go) = backend.asked().await;
            assert_eq!(number, expected, "one that is in use is not free");
            held.push(Some((answer, go)));
        }
        for step in 1..=3 {
            let (answer, go) = held[(last + step) % 3].take().unwrap();
            go.send(()).unwrap();
            assert_eq!(soon("an answer", answer).await.unwrap().0, StatusCode::OK);
        }
        for _ in 0..3 {
            assert_eq!(backend.used().await, last);
        }
    }
}

#[tokio::test]
async fn at_the_cap_requests_wait_for_their_turn_and_no_more_than_may() {
    let mut backend = Backend::start(|to| to.max_connections(1).waiting(2, HOUR)).await;
    let first = backend.ask();
    let (number, go) = backend.asked().await;
    let mut answers = backend.queue(2).await;
    go.send(()).unwrap();
    assert_eq!(soon("an answer", first).await.unwrap().0, StatusCode::OK);
    for _ in 0..2 {
        let (again, go) = backend.asked().await;
        assert_eq!(again, number);
        go.send(()).unwrap();
        let answer = soon("an answer", answers.recv()).await.unwrap();
        assert_eq!(answer, (StatusCode::OK, number.to_string()));
    }
}

#[tokio::test]
async fn a_request_that_waits_too_long_gets_503() {
    let mut backend = Backend::start(|to| {
        to.max_connections(1)
            .waiting(1, HOUR)
            .activity_timeout(2 * HOUR)
    })
    .await;
    let first = backend.ask();
    let (number, go) = backend.asked().await;
    let mut answers = backend.queue(1).await;
    pass(HOUR - MINUTE).await;
    // Its place is not free yet.
    let (status, _) = soon("a refusal", backend.ask()).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answers.try_recv().is_err(), "it was to wait longer");
    pass(MINUTE).await;
    let (status, _) = soon("a refusal", answers.recv()).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    // Nobody has taken the connection from whom it serves, or keeps it for who has gone.
    go.send(()).unwrap();
    assert_eq!(soon("an answer", first).await.unwrap().0, StatusCode::OK);
    assert_eq!(backend.used().await, number);
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_idle_time() {
    let mut backend = Backend::start(|to| to.idle_timeout(HOUR)).await;
    for _ in 0..3 {
        assert_eq!(backend.used().await, 0);
        pass(HOUR - MINUTE).await;
    }
    pass(MINUTE).await;
    // Though nobody asks.
    assert_eq!(backend.closed().await, 0);
    assert_eq!(backend.used().await, 1);
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_not_used_even_if_it_is_still_there() {
    let mut backend = Backend::start(|to| to.idle_timeout(AT_ONCE)).await;
    for number in 0..5 {
        assert_eq!(backend.used().await, number);
    }
}

#[tokio::test]
async fn a_connection_that_is_too_old_serves_no_other_request() {
    let mut backend = Backend::start(|to| to.max_age(HOUR).idle_timeout(2 * HOUR)).await;
    assert_eq!(backend.used().await, 0);
    pass(HOUR - MINUTE).await;
    assert_eq!(backend.used().await, 0);
    pass(MINUTE).await;
    assert_eq!(backend.used().await, 1);
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_not_handed_on_to_who_waits() {
    let set = |to: Upstream| to.max_age(AT_ONCE).max_connections(1).waiting(1, HOUR);
    let mut backend = Backend::start(set).await;
    let first = backend.ask();
    let (number, go) = backend.asked().await;
    assert_eq!(number, 0);
    let mut answers = backend.queue(1).await;
    go.send(()).unwrap();
    assert_eq!(soon("an answer", first).await.unwrap().0, StatusCode::OK);
    let (number, go) = backend.asked().await;
    assert_eq!(number, 1);
    go.send(()).unwrap();
    let answer = soon("an answer", answers.recv()).await.unwrap();
    assert_eq!(answer.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_too_long_to_open_is_504() {
    let upstream = Upstream::http(["http://never.test"])
        .resolver(|_| pending())
        .connect_timeout(HOUR)
        .activity_timeout(2 * HOUR);
    let gateway = support::one_route(Route::new("/{*rest}"), upstream);
    let begun = Instant::now();
    let answer = gateway.oneshot(request("GET", "/a")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(begun.elapsed().as_secs(), HOUR.as_secs());
}
