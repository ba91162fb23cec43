//! WebSockets through the gateway.

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::tungstenite;

use crate::support::{axum_backend, in_front_of, raw_backend, read_head};

#[tokio::test]
async fn websockets_go_through() {
    let backend = Router::new().route(
        "/ws",
        any(|upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(|mut socket| async move {
                while let Some(Ok(message)) = socket.recv().await {
                    if matches!(message, Message::Text(_) | Message::Binary(_))
                        && socket.send(message).await.is_err()
                    {
                        break;
                    }
                }
            })
        }),
    );
    let gateway = in_front_of(axum_backend(backend).await).await;
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://t.example/ws", stream)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    for sent in [
        tungstenite::Message::text("hello"),
        tungstenite::Message::binary(vec![7; 200_000]),
    ] {
        socket.send(sent.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), sent);
    }
    socket.close(None).await.unwrap();
    while let Some(message) = socket.next().await {
        assert!(message.unwrap().is_close());
    }
}

#[tokio::test]
async fn a_websocket_that_the_backend_did_not_accept_is_a_502() {
    let backend = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Held open, so that the answer is judged by what it says.
        std::future::pending().await
    })
    .await;
    let stream = TcpStream::connect(in_front_of(backend).await)
        .await
        .unwrap();
    match tokio_tungstenite::client_async("ws://t.example/ws", stream).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 502),
        other => panic!("{other:?}"),
    }
}
