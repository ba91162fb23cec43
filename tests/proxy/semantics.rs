//! What RFC 9110 and RFC 9112 ask of a gateway besides passing messages on.

use tower_gateway::{Route, Upstream};

use crate::support::{
    Recorder, axum_backend, in_front_of, one_route, raw_backend, read_head, request, request_with,
    say, send, serve, text,
};

#[tokio::test]
async fn an_options_request_ends_where_max_forwards_says() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = in_front_of(backend).await;
    let mut asked = request_with("/a", &[("max-forwards", "2")]);
    *asked.method_mut() = http::Method::OPTIONS;
    assert_eq!(send(gateway, asked.clone()).await.status(), 200);
    assert_eq!(recorder.take().header("max-forwards"), ["1"]);

    *asked.headers_mut().get_mut("max-forwards").unwrap() = "0".parse().unwrap();
    let answer = send(gateway, asked.clone()).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(text(answer).await, "");
    assert!(recorder.requests().is_empty());

    *asked.headers_mut().get_mut("max-forwards").unwrap() = "x".parse().unwrap();
    assert_eq!(send(gateway, asked).await.status(), 400);

    // A service in this process is not a next hop: it answers by itself.
    let app = axum::Router::new().fallback(|| async { "the last" });
    let gateway = serve(one_route(Route::new("/a"), Upstream::service(app))).await;
    let mut asked = request_with("/a", &[("max-forwards", "0")]);
    *asked.method_mut() = http::Method::OPTIONS;
    assert_eq!(text(send(gateway, asked).await).await, "the last");
}

#[tokio::test]
async fn each_answer_has_one_date() {
    const DATE: &str = "Tue, 15 Nov 1994 08:12:31 GMT";
    let dated = axum::Router::new().fallback(|| async { ([("date", DATE)], "") });
    let undated = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
    })
    .await;
    for (backend, kept) in [(axum_backend(dated).await, true), (undated, false)] {
        let gateway = in_front_of(backend).await;
        for path in ["/a", "/%zz"] {
            let answer = send(gateway, request("GET", path)).await;
            let dates: Vec<_> = answer.headers().get_all("date").iter().collect();
            assert_eq!(dates.len(), 1, "{path} {dates:?}");
            assert_eq!(dates[0] == DATE, kept && path == "/a", "{path} {dates:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_says_close_is_closed_after_its_answer() {
    let (recorder, backend) = Recorder::start().await;
    let gateway = in_front_of(backend).await;
    let asked = "GET /a HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n";
    let heard = say(gateway, format!("{asked}{asked}").as_bytes()).await;
    assert!(heard.closed && heard.status() == Some(200));
    // What comes after it is nothing (RFC 9112, section 9.6); and the backend's connection is kept.
    let seen = recorder.take();
    assert!(seen.header("connection").is_empty(), "{}", seen.head);
}
