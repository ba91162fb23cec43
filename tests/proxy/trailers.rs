//! Trailers on the way to a backend: those that may come, and those that come too late.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::StreamBody;
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_gateway::{Gateway, Route};

use crate::support::{raw_backend, read_head, say, serve, upstream};

#[tokio::test]
async fn trailers_do_not_say_what_only_the_head_may() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let backend = raw_backend(move |_, mut stream| {
        let tell = tell.clone();
        async move {
            let head = read_head(&mut stream).await;
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            let mut body = Vec::new();
            while !(body.ends_with(b"\r\n\r\n") && body.windows(3).any(|end| end == b"0\r\n")) {
                body.push(stream.read_u8().await.unwrap());
            }
            tell.send(String::from_utf8(body).unwrap()).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let gateway = Gateway::builder()
        .own_header(HeaderName::from_static("x-user-id"))
        .upstream("backend", upstream(backend))
        .route(Route::new("/{*rest}").to("backend"));
    let gateway = serve(gateway.build().unwrap()).await;
    let trailers = [
        ("x-checksum", "1"),
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("via", "1.1 x"),
        ("x-user-id", "root"),
        ("x_user_id", "root"),
        ("host", "evil.example"),
    ];
    let names: Vec<_> = trailers.iter().map(|(name, _)| *name).collect();
    let lines: String = trailers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!(
        "POST /a HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\nTrailer: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\n{lines}\r\n",
        names.join(", ")
    );
    assert_eq!(say(gateway, request.as_bytes()).await.status(), Some(200));
    let body = told.recv().await.unwrap();
    assert_eq!(body, "2\r\nhi\r\n0\r\nx-checksum: 1\r\n\r\n");

    let mut client = connect_http2(gateway).await;
    let fields = trailers.map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    let fields = fields.into_iter().filter(|(name, _)| name != "host");
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from("hi"))),
        Ok(Frame::trailers(fields.collect())),
    ];
    let request = http::Request::post("http://t.example/a");
    let request = request
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
    let body = told.recv().await.unwrap();
    assert_eq!(body, "2\r\nhi\r\n0\r\nx-checksum: 1\r\n\r\n");
}

async fn connect_http2<B>(gateway: SocketAddr) -> http2::SendRequest<B>
where
    B: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}
