//! A plain front door for one backend, with the defaults that we recommend.
//!
//! ```sh
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --threads 1
//! curl -i http://127.0.0.1:8080/any/path
//! ```
//!
//! Each thread has a runtime of its own and its own listening socket (SO_REUSEPORT), so that a connection, and the
//! connections to the backend that serve it, never leave their core.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpStream;
use tower_gateway::{BoxError, Gateway, Route, Upstream};

#[path = "support/timer.rs"]
mod timer;
use timer::ConnectionTimer;

/// How long a client may take for the head of a request, the first byte of a connection included.
const PATIENCE: Duration = Duration::from_secs(30);

struct Options {
    listen: SocketAddr,
    upstream: String,
    threads: usize,
}

const USAGE: &str = "usage: reverse_proxy --listen ADDR --upstream URL [--threads N]";

fn options() -> Result<Options, BoxError> {
    let (mut listen, mut upstream, mut threads) = (None, None, 1);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args
            .next()
            .ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        match name.as_str() {
            "--listen" => {
                listen = Some(
                    value
                        .parse()
                        .map_err(|_| format!("`{value}` is not an address\n{USAGE}"))?,
                )
            }
            "--upstream" => upstream = Some(value),
            "--threads" => {
                threads = value
                    .parse()
                    .map_err(|_| format!("`{value}` is not a number\n{USAGE}"))?
            }
            _ => return Err(format!("`{name}` is not known\n{USAGE}").into()),
        }
    }
    match (listen, upstream) {
        (Some(listen), Some(upstream)) => Ok(Options {
            listen,
            upstream,
            threads,
        }),
        _ => Err(USAGE.into()),
    }
}

fn main() -> ExitCode {
    match options().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: Options) -> Result<(), BoxError> {
    let gateway = Gateway::builder()
        .upstream("backend", Upstream::http([&options.upstream]))
        .route(Route::new("/{*rest}").to("backend"))
        .build()?;
    let others = (1..options.threads)
        .map(|_| {
            let (listener, gateway) = (listen(options.listen)?, gateway.clone());
            Ok(std::thread::spawn(move || serve(listener, gateway)))
        })
        .collect::<Result<Vec<_>, BoxError>>()?;
    // The main thread is one of them: a process of one thread needs no locks in the system and the allocator.
    serve(listen(options.listen)?, gateway)?;
    for thread in others {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, BoxError> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Serves all who connect, on a runtime of this thread.
fn serve(listener: std::net::TcpListener, gateway: Gateway) -> Result<(), BoxError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(accept(listener, gateway))
}

async fn accept(listener: std::net::TcpListener, gateway: Gateway) -> Result<(), BoxError> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                stream.set_nodelay(true)?;
                tokio::spawn(greet(stream, peer, gateway.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: those who leave make room.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Looks at the first bytes for what the client speaks. hyper-util's `auto` server would do: it keeps what it looked at,
/// and reads on through that for as long as the connection lives.
async fn greet(stream: TcpStream, peer: SocketAddr, gateway: Gateway) {
    let mut start = [0; 3];
    let length = match tokio::time::timeout(PATIENCE, stream.peek(&mut start)).await {
        Ok(Ok(length)) if length > 0 => length,
        _ => return,
    };
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        hyper::service::Service::call(&gateway, request)
    });
    let stream = TokioIo::new(stream);
    // What a client did wrong on its connection is its own affair, so nobody looks at what comes of the tasks.
    if b"PRI".starts_with(&start[..length]) {
        let mut server = auto::Builder::new(TokioExecutor::new());
        server
            .http1()
            .timer(ConnectionTimer::default())
            .header_read_timeout(PATIENCE);
        // Floods of resets are hyper's to refuse.
        server
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256);
        let connection = server.serve_connection_with_upgrades(stream, service);
        tokio::spawn(connection.into_owned());
    } else {
        let connection = http1::Builder::new()
            .timer(ConnectionTimer::default())
            .header_read_timeout(PATIENCE)
            .serve_connection(stream, service)
            .with_upgrades();
        tokio::spawn(connection);
    }
}
