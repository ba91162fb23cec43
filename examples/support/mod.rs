//! What the examples share: servers on loopback, requests to try, and a small client for `--check`.
#![allow(dead_code, reason = "each example uses a part of it")]

pub mod timer;
mod tries;
pub use tries::Try;

use std::{convert::Infallible, net::SocketAddr, pin::pin, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower_gateway::{Body, BoxError};

/// How long a server may go on with what is in flight, once it was told to stop.
pub const GRACE: Duration = Duration::from_secs(10);

/// Serves a backend on a free port of this machine, until the program ends.
pub async fn backend(app: axum::Router) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            eprintln!("backend: {error}");
        }
    });
    Ok(address)
}

/// Where an example listens: port 8080 of this machine if nobody else does, a free one for `--check`.
pub async fn front() -> Result<TcpListener, BoxError> {
    if !is_check()
        && let Ok(listener) = TcpListener::bind("127.0.0.1:8080").await
    {
        return Ok(listener);
    }
    Ok(TcpListener::bind("127.0.0.1:0").await?)
}

/// The next connection. Out of file descriptors, most likely, `accept` fails: those who leave make room.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves a gateway, or another hyper service, to all who connect, over HTTP/1.1 and HTTP/2, and tells it who they are.
/// On Ctrl-C it stops accepting, and returns when what is in flight is done.
pub async fn serve<S>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30));
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(ctrl_c());
    loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = &mut stop => break,
        };
        let service = service.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            service.call(request)
        });
        let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
        // What a client did wrong on its connection is its own affair, so nobody looks at what comes of the tasks.
        tokio::spawn(graceful.watch(connection.into_owned()));
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Sends one request over a connection of its own: the status, the headers and the body of the answer.
pub async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(u16, HeaderMap, String), BoxError> {
    send_body(addr, method, path, headers, "").await
}

/// Like [`send`], with a body.
pub async fn send_body(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Result<(u16, HeaderMap, String), BoxError> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request = request.header(header::HOST, addr.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender
        .send_request(request.body(Full::new(Bytes::from_static(body.as_bytes())))?)
        .await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((
        head.status.as_u16(),
        head.headers,
        String::from_utf8_lossy(&body).into_owned(),
    ))
}

/// Whether the program was started with `--check`.
pub fn is_check() -> bool {
    std::env::args_os().any(|arg| arg == "--check")
}

/// Compares what came with what should have come, and remembers whether all was well.
#[derive(Default)]
pub struct Checks {
    failed: usize,
}

impl Checks {
    /// Prints one outcome.
    pub fn expect(&mut self, what: &str, ok: bool, came: impl std::fmt::Display) {
        println!("{} {what} -> {came}", if ok { "ok    " } else { "FAILED" });
        self.failed += usize::from(!ok);
    }

    /// Begins a slow request, has the server stop in the meantime, and expects the answer all the same.
    pub async fn outlives(
        &mut self,
        address: SocketAddr,
        stop: tokio::sync::oneshot::Sender<()>,
    ) -> Result<(), BoxError> {
        let slow = tokio::spawn(async move { send(address, "GET", "/slow", &[]).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let _ = stop.send(());
        let (status, _, body) = slow.await??;
        self.expect(
            "GET /slow, with a shutdown in the meantime",
            status == 200 && body == "at last\n",
            format_args!("{status} {}", body.trim_end()),
        );
        Ok(())
    }

    /// The program's exit code: a failure if anything was not as expected.
    pub fn exit(self) -> ExitCode {
        match self.failed {
            0 => ExitCode::SUCCESS,
            failed => {
                eprintln!("{failed} of the checks failed");
                ExitCode::FAILURE
            }
        }
    }
}

/// Prints the requests as `curl` lines and serves until Ctrl-C, or sends them if this is a `--check`.
pub async fn try_out(
    addr: SocketAddr,
    tries: &[Try],
    server: JoinHandle<()>,
) -> Result<ExitCode, BoxError> {
    if !is_check() {
        for one in tries {
            println!("{}", one.shown(addr));
        }
        return until_ctrl_c(server).await;
    }
    let mut checks = Checks::default();
    checks.send(addr, tries).await?;
    Ok(checks.exit())
}

/// Waits for Ctrl-C, and then for the server, which stops on it too.
pub async fn until_ctrl_c(server: JoinHandle<()>) -> Result<ExitCode, BoxError> {
    println!("(Ctrl-C ends it)");
    ctrl_c().await;
    tokio::select! {
        ended = server => ended?,
        () = tokio::time::sleep(GRACE) => eprintln!("what took longer than {GRACE:?} is cut off"),
        // Who presses it again does not want to wait.
        () = ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C.
pub async fn ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("Ctrl-C: {error}");
        std::future::pending().await
    }
}
