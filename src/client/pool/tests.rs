//! The pool over real sockets: who gets which connection, and what is counted.

mod races;
#[cfg(feature = "http2")]
mod random;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, header, uri::PathAndQuery};
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::{ClientConfig, Connector, Lease, Pool};
use crate::{
    body::Body,
    client::{Address, Answer, Client, ClientConnector, Limits, Outgoing, Resolver},
    error::{Error, ErrorKind},
};

impl Pool {
    async fn acquire(self: &Arc<Self>, connector: &Connector, fresh: bool) -> Result<Lease, Error> {
        self.follow(self.plan(fresh), connector).await
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn client(backend: SocketAddr, set: impl FnOnce(&mut ClientConfig)) -> Client {
    let address = Address::parse(&format!("http://{backend}")).unwrap();
    let mut config = ClientConfig::default();
    set(&mut config);
    Client::new(ClientConnector::new(address, config, Resolver::default()))
}

fn one_connection(config: &mut ClientConfig) {
    config.max_connections = std::num::NonZeroUsize::MIN;
}

/// Hands each connection to `serve` with its number, and counts them.
async fn backend<F, Fut>(serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(number, stream));
        }
    });
    (address, connections)
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn answer_all(mut stream: TcpStream) {
    while read_head(&mut stream).await.is_some() && stream.write_all(OK).await.is_ok() {}
}

fn get() -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("t.example"));
    Outgoing {
        method: Method::GET,
        path: PathAndQuery::from_static("/"),
        headers,
        body: Body::empty(),
        on_continue: None,
    }
}

/// Sends a request and reads the answer to its end.
async fn fetch(client: &Client, request: Outgoing) -> Result<u16, ErrorKind> {
    let sent = client
        .clone()
        .enter(usize::MAX)
        .unwrap()
        .send(request, Limits::default());
    let soon = tokio::time::timeout(Duration::from_secs(10), sent);
    let answer = soon
        .await
        .expect("an answer")
        .map_err(|unanswered| unanswered.error.kind())?;
    let answer = body(answer);
    let status = answer.status().as_u16();
    answer
        .into_body()
        .collect()
        .await
        .map_err(|error| error.kind())?;
    Ok(status)
}

fn body(answer: Answer) -> http::Response<Body> {
    match answer {
        Answer::Body(response) => response,
        Answer::Switched(_) => panic!("nobody asked for another protocol"),
    }
}

/// Lets the others run until so many wait for a connection.
async fn until_waiting(client: &Client, count: usize) {
    let wait = async {
        while client.pool().lock().waiting.len() != count {
            tokio::task::yield_now().await;
        }
    };
    let soon = tokio::time::timeout(Duration::from_secs(10), wait);
    soon.await.expect("they wait");
}

fn http1(lease: Result<Lease, crate::Error>) -> super::Http1 {
    match lease.unwrap() {
        Lease::Http1(conn) => conn,
        #[cfg(feature = "http2")]
        Lease::Http2(_) => panic!("the backend speaks HTTP/1"),
    }
}

#[tokio::test]
async fn who_waits_for_a_fresh_connection_gets_the_place_of_a_used_one() {
    let (address, connections) = backend(|_, stream| answer_all(stream)).await;
    let client = client(address, one_connection);
    let pool = client.pool().clone();
    let used = http1(pool.acquire(client.connector(), false).await);
    let wait = |fresh| {
        let client = client.clone();
        tokio::spawn(async move { client.pool().acquire(client.connector(), fresh).await })
    };
    let fresh = wait(true);
    until_waiting(&client, 1).await;
    let any = wait(false);
    until_waiting(&client, 2).await;
    pool.release(used);
    let fresh = http1(fresh.await.unwrap());
    assert!(!fresh.is_reused());
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    pool.release(fresh);
    assert!(http1(any.await.unwrap()).is_reused());
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    assert_eq!(pool.lock().open, 0);
}

#[tokio::test]
async fn one_connection_is_opened_until_it_is_known_what_it_speaks_and_then_many() {
    let (address, _) = backend(|_, stream| answer_all(stream)).await;
    let client = client(address, |_| {});
    let pool = client.pool();
    for (opening, waiting) in [(1, 1), (2, 0)] {
        let (one, two) = tokio::join!(
            pool.acquire(client.connector(), false),
            // Polled second, before the first has a connection.
            async {
                let mut two = std::pin::pin!(pool.acquire(client.connector(), false));
                let first = futures_util::poll!(two.as_mut());
                assert!(first.is_pending());
                let (opens, waits) = {
                    let state = pool.lock();
                    (state.opening, state.waiting.len())
                };
                assert_eq!((opens, waits), (opening, waiting));
                two.await
            }
        );
        drop((http1(one), http1(two)));
    }
}

#[tokio::test]
async fn a_connection_for_someone_who_has_just_gone_is_kept() {
    let (address, connections) = backend(|_, stream| answer_all(stream)).await;
    let client = client(address, one_connection);
    let pool = client.pool().clone();
    let used = http1(pool.acquire(client.connector(), false).await);
    let waiter = {
        let client = client.clone();
        tokio::spawn(async move { client.pool().acquire(client.connector(), false).await })
    };
    until_waiting(&client, 1).await;
    // Both before the waiter runs again.
    pool.release(used);
    waiter.abort();
    assert!(waiter.await.is_err());
    assert_eq!(pool.lock().idle.len(), 1);
    assert!(http1(pool.acquire(client.connector(), false).await).is_reused());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_dead_connection_that_was_handed_on_is_replaced() {
    let end = Arc::new(Notify::new());
    let told = end.clone();
    let (address, connections) = backend(move |number, mut stream| {
        let told = told.clone();
        async move {
            if number > 0 {
                return answer_all(stream).await;
            }
            read_head(&mut stream).await.unwrap();
            let (head, body) = OK.split_at(OK.len() - 2);
            stream.write_all(head).await.unwrap();
            told.notified().await;
            stream.write_all(body).await.unwrap();
            // As a backend does whose idle timeout passes at this moment: it takes the request and closes.
            read_head(&mut stream).await.unwrap();
        }
    })
    .await;
    let client = client(address, one_connection);
    let Ok(first) = client
        .clone()
        .enter(usize::MAX)
        .unwrap()
        .send(get(), Limits::default())
        .await
    else {
        panic!("no answer")
    };
    let second = {
        let client = client.clone();
        tokio::spawn(async move { fetch(&client, get()).await })
    };
    until_waiting(&client, 1).await;
    end.notify_one();
    body(first).into_body().collect().await.unwrap();
    assert_eq!(second.await.unwrap(), Ok(200));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn whoever_asks_for_a_body_is_heard_on_the_second_connection_too() {
    let (end, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (end.clone(), ended.clone());
    let (address, connections) = backend(move |number, mut stream| {
        let (end, ended) = told.clone();
        async move {
            read_head(&mut stream).await.unwrap();
            if number == 0 {
                stream.write_all(OK).await.unwrap();
                end.notified().await;
                drop(stream);
                return ended.notify_one();
            }
            stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .unwrap();
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let client = client(address, |_| {});
    assert_eq!(fetch(&client, get()).await, Ok(200));
    end.notify_one();
    // Nobody has told the connection's task yet that its peer is gone.
    ended.notified().await;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let frames = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
    let mut request = get();
    request.method = Method::POST;
    request
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
    request.body = Body::boxed(StreamBody::new(frames));
    request.on_continue = Some(Arc::new(move || {
        let _ = sender.send(Ok(http_body::Frame::data("hello".into())));
    }));
    assert_eq!(fetch(&client, request).await, Ok(200));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_request_given_up_after_a_long_silence_ends_its_connection() {
    for (patience, expected) in [(1, 1), (6, 2)] {
        let arrived = Arc::new(Notify::new());
        let tell = arrived.clone();
        let (address, connections) = backend(move |_, stream| {
            let tell = tell.clone();
            async move {
                let mut held = Vec::new();
                let mut server = h2::server::handshake(stream).await.unwrap();
                let mut number = 0;
                while let Some(Ok((_, mut answer))) = server.accept().await {
                    number += 1;
                    if number == 2 {
                        held.push(answer);
                        tell.notify_one();
                        continue;
                    }
                    answer.send_response(http::Response::new(()), true).unwrap();
                }
            }
        })
        .await;
        let client = client(address, |config| {
            config.protocol = crate::client::Protocol::Http2;
        });
        assert_eq!(fetch(&client, get()).await, Ok(200));
        let silent = {
            let client = client.clone();
            tokio::spawn(async move {
                client
                    .enter(usize::MAX)
                    .unwrap()
                    .send(get(), Limits::default())
                    .await
                    .is_ok()
            })
        };
        arrived.notified().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(patience)).await;
        silent.abort();
        assert!(silent.await.unwrap_err().is_cancelled());
        tokio::time::resume();
        assert_eq!(fetch(&client, get()).await, Ok(200));
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{patience} s");
    }
}
