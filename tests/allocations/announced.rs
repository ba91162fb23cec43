//! A body that is announced takes no room before it is there.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use crate::{
    counting,
    support::{in_front_of, raw_backend, read_head},
};

/// How little is no difference: what the announcement itself takes.
const LITTLE: usize = 4096;

/// A gateway; and the bytes that this thread has asked for when the backend has got `hello`, which is not all of the body.
async fn gateway() -> (SocketAddr, mpsc::UnboundedReceiver<usize>) {
    let (tell, told) = mpsc::unbounded_channel();
    let backend = raw_backend(move |_, mut stream| {
        let tell = tell.clone();
        async move {
            let mut begun = read_head(&mut stream).await;
            while !begun.ends_with("hello") {
                begun.push(stream.read_u8().await.unwrap().into());
            }
            tell.send(counting::bytes()).unwrap();
        }
    })
    .await;
    (in_front_of(backend).await, told)
}

/// CVE-2022-3212 (axum-core): without a limit for bodies, whoever announces a large one gets room for it.
#[tokio::test]
async fn cve_2022_3212_an_announced_length_takes_no_room() {
    let (gateway, mut told) = gateway().await;
    for (small, large) in [
        (
            "Content-Length: 6\r\n",
            "Content-Length: 9223372036854775807\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n6",
            "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff",
        ),
    ] {
        let mut taken = Vec::new();
        // The first one pays for what is needed once.
        for announced in [small, small, large] {
            let mut client = TcpStream::connect(gateway).await.unwrap();
            let begun = format!("POST /a HTTP/1.1\r\nHost: t.example\r\n{announced}\r\nhello");
            let before = counting::bytes();
            client.write_all(begun.as_bytes()).await.unwrap();
            let soon = timeout(Duration::from_secs(10), told.recv());
            let after = soon.await.expect("a part of the body").unwrap();
            taken.push(after - before);
        }
        assert!(taken[2] < taken[1] + LITTLE, "{large}: {taken:?}");
    }
}
