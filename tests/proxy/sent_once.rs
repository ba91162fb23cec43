//! Which requests are sent again when an HTTP/1.1 connection ends without an answer, and which are not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    support::{self, find, parse},
    wire::soon,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The status that a request gets, and how often its backend has seen it as a whole. The backend reads the first and
/// closes; before that, the connection has served another one if it is a kept one.
async fn ask(method: &str, body: &'static str, is_kept: bool) -> (u16, usize) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let backend = support::raw_backend(move |_, mut stream| {
        let seen = count.clone();
        async move {
            let mut buffer = Vec::new();
            loop {
                let Some((request, used)) = parse(&buffer).unwrap() else {
                    if stream.read_buf(&mut buffer).await.unwrap() == 0 {
                        return;
                    }
                    continue;
                };
                buffer.drain(..used);
                assert!(find(&buffer, b"HTTP").is_none(), "one after another");
                if request.target() == "/asked" && seen.fetch_add(1, Ordering::SeqCst) == 0 {
                    return;
                }
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let gateway = support::in_front_of(backend).await;
    if is_kept {
        let first = support::send(gateway, support::request("GET", "/before")).await;
        assert_eq!(first.status(), 200);
    }
    let mut request = support::request(method, "/asked");
    *request.body_mut() = body.into();
    let answer = soon(method, support::send(gateway, request)).await;
    (answer.status().as_u16(), seen.load(Ordering::SeqCst))
}

#[tokio::test]
async fn only_an_idempotent_request_without_a_body_on_a_kept_connection_is_sent_again() {
    for (method, body, is_kept, expected) in [
        ("GET", "", true, (200, 2)),
        ("DELETE", "", true, (200, 2)),
        ("GET", "", false, (502, 1)),
        ("POST", "", true, (502, 1)),
        ("PATCH", "", true, (502, 1)),
        ("PUT", "hello", true, (502, 1)),
        ("POST", "hello", true, (502, 1)),
        ("GET", "hello", true, (502, 1)),
    ] {
        let answer = ask(method, body, is_kept).await;
        assert_eq!(answer, expected, "{method} {body} {is_kept}");
    }
}
