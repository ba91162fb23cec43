//! A gateway on a bare hyper server, over HTTP/1.1 and HTTP/2 with prior knowledge, with a shutdown that lets requests
//! finish.
//!
//! ```sh
//! cargo run --example mount_in_hyper
//! curl -i http://127.0.0.1:8080/hello
//! curl -i --http2-prior-knowledge http://127.0.0.1:8080/hello
//! curl -i http://127.0.0.1:8080/slow        # press Ctrl-C in the meantime: the answer still comes
//! ```
//!
//! With `-- --check` it sends itself these requests and ends.

mod support;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use support::Try;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tower_gateway::{BoxError, Gateway, Route, Upstream};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let backend = Router::new()
        .route("/hello", get(|| async { "hello\n" }))
        .route("/slow", get(slow));
    let backend = support::backend(backend).await?;
    let gateway = Gateway::builder()
        .upstream("backend", Upstream::http([format!("http://{backend}")]))
        .route(Route::get("/{*rest}").to("backend"))
        .build()?;

    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, gateway, stopped));

    let hello = Try::get("/hello").gives(200, "hello");
    if !support::is_check() {
        println!("{}", hello.curl(address));
        println!("curl -i --http2-prior-knowledge http://{address}/hello");
        println!("curl -i http://{address}/slow");
        println!("(Ctrl-C ends it)");
        support::ctrl_c().await;
        let _ = stop.send(());
        server.await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut checks = support::Checks::default();
    checks.send(address, &[hello]).await?;
    let (status, body) = get_http2(address, "/hello").await?;
    checks.expect(
        "GET /hello, HTTP/2",
        status == 200 && body == "hello\n",
        format_args!("{status} {}", body.trim_end()),
    );

    checks.outlives(address, stop).await?;
    server.await?;
    let refused = TcpStream::connect(address).await.is_err();
    checks.expect(
        "a connection after the shutdown",
        refused,
        if refused { "refused" } else { "taken" },
    );
    Ok(checks.exit())
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(1)).await;
    "at last\n"
}

async fn serve(listener: TcpListener, gateway: Gateway, mut stopped: oneshot::Receiver<()>) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30));
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256);
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = support::accept(&listener) => accepted,
            _ = &mut stopped => break,
        };
        // The gateway is a hyper service by itself; the closure is there to tell it who the client is.
        let gateway = gateway.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            gateway.call(request)
        });
        // With upgrades, or WebSocket does not get through.
        let connection = server
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What a client did wrong on its connection is its own affair.
            let _ = connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(support::GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        eprintln!("what took longer than {:?} is cut off", support::GRACE);
    }
}

async fn get_http2(addr: SocketAddr, path: &str) -> Result<(u16, String), BoxError> {
    let stream = TokioIo::new(TcpStream::connect(addr).await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let request = Request::get(format!("http://{addr}{path}"))
        .version(Version::HTTP_2)
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
