//! A plain front door for one backend, with the defaults that we recommend.
//!
//! ```sh
//! cargo run --release --example reverse_proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --threads 1
//! curl -i http://127.0.0.1:8080/any/path
//! ```
//!
//! Each thread has a runtime of its own and its own listening socket (SO_REUSEPORT), so that a connection, and the
//! connections to the backend that serve it, never leave their core. On Ctrl-C they stop accepting, and finish what is
//! in flight.
//!
//! With `-- --check` it puts itself in front of a backend of its own, sends requests through, and ends.

use std::{
    future::poll_fn,
    net::SocketAddr,
    num::NonZeroUsize,
    pin::{Pin, pin},
    process::ExitCode,
    task::Poll,
    time::Duration,
};

use axum::{Router, routing::get};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use support::{GRACE, Try, timer::ConnectionTimer};
use tokio::{
    net::TcpStream,
    sync::{oneshot, watch},
};
use tower_gateway::{BoxError, Gateway, Route, Upstream};

mod support;

/// How long a client may take for the head of a request, the first byte of a connection included.
const PATIENCE: Duration = Duration::from_secs(30);

const USAGE: &str = "\
usage: reverse_proxy --listen ADDR --upstream URL [--threads N]

  --listen ADDR    the IP address and port to listen at, as 127.0.0.1:8080 or [::]:8080
  --upstream URL   the backend, as http://127.0.0.1:9000 or https://example.com
  --threads N      how many threads serve, 1 if not said
  --check          nothing of this: sends requests through itself to a backend of its own
  --help           prints this";

struct Options {
    listen: SocketAddr,
    gateway: Gateway,
    threads: NonZeroUsize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if support::is_check() {
        return check().unwrap_or_else(failed);
    }
    match options(args) {
        Ok(options) => run(options).map_or_else(failed, |()| ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("reverse_proxy: {error}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn failed(error: BoxError) -> ExitCode {
    eprintln!("reverse_proxy: {error}");
    ExitCode::FAILURE
}

fn options(args: Vec<String>) -> Result<Options, BoxError> {
    let (mut listen, mut upstream, mut threads) = (None, None, NonZeroUsize::MIN);
    let mut args = args.into_iter();
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => listen = Some(parsed(&name, &value()?, "an IP address with a port")?),
            "--upstream" => upstream = Some(value()?),
            "--threads" => threads = parsed(&name, &value()?, "a number of 1 or more")?,
            _ => return Err(format!("`{name}` is not an option").into()),
        }
    }
    Ok(Options {
        listen: listen.ok_or("--listen is missing")?,
        gateway: gateway(&upstream.ok_or("--upstream is missing")?)?,
        threads,
    })
}

fn parsed<T: std::str::FromStr>(name: &str, value: &str, wanted: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name} takes {wanted}, not `{value}`"))
}

fn gateway(upstream: &str) -> Result<Gateway, BoxError> {
    let gateway = Gateway::builder()
        .upstream("backend", Upstream::http([upstream]))
        .route(Route::new("/{*rest}").to("backend"))
        .build()?;
    Ok(gateway)
}

fn run(options: Options) -> Result<(), BoxError> {
    let share = options.threads.get() > 1;
    let listen = |address| {
        listen(address, share).map_err(|error| format!("can not listen at {address}: {error}"))
    };
    let first = listen(options.listen)?;
    // If any port would do, all take the one that the first was given.
    let address = first.local_addr()?;
    let others = (1..options.threads.get())
        .map(|_| listen(address))
        .collect::<Result<Vec<_>, _>>()?;
    println!("reverse_proxy: http://{address} (Ctrl-C ends it)");
    let others = others
        .into_iter()
        .map(|listener| {
            let gateway = options.gateway.clone();
            std::thread::Builder::new().spawn(move || serve(listener, gateway))
        })
        .collect::<Result<Vec<_>, _>>()?;
    // The main thread is one of them: a process of one thread needs no locks in the system and the allocator.
    serve(first, options.gateway)?;
    for thread in others {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

/// Alone, a listener does not share its port: another process that wants it too is told so.
fn listen(address: SocketAddr, share: bool) -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(share)?;
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
        .block_on(accept(listener, gateway, support::ctrl_c()))
}

/// Serves until `stop`, and then those who are in the middle of a request.
async fn accept(
    listener: std::net::TcpListener,
    gateway: Gateway,
    stop: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (stop_all, stopping) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = support::accept(&listener) => accepted,
            () = &mut stop => break,
        };
        // It fails for a client that is gone already.
        let _ = stream.set_nodelay(true);
        tokio::spawn(greet(stream, peer, gateway.clone(), stopping.clone()));
    }
    drop((listener, stopping));
    stop_all.send_replace(());
    tokio::select! {
        () = stop_all.closed() => {}
        () = tokio::time::sleep(GRACE) => eprintln!("what took longer than {GRACE:?} is cut off"),
        // Who presses it again does not want to wait.
        () = support::ctrl_c() => {}
    }
    Ok(())
}

/// Looks at the first bytes for what the client speaks. hyper-util's `auto` server would do: it keeps what it looked at,
/// and reads on through that for as long as the connection lives.
async fn greet(
    stream: TcpStream,
    peer: SocketAddr,
    gateway: Gateway,
    mut stopping: watch::Receiver<()>,
) {
    let mut start = [0; 3];
    let length = tokio::select! {
        peeked = tokio::time::timeout(PATIENCE, stream.peek(&mut start)) => match peeked {
            Ok(Ok(length)) if length > 0 => length,
            _ => return,
        },
        _ = stopping.changed() => return,
    };
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        hyper::service::Service::call(&gateway, request)
    });
    let stream = TokioIo::new(stream);
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
        let connection = server
            .serve_connection_with_upgrades(stream, service)
            .into_owned();
        let close =
            |connection: Pin<&mut _>| auto::UpgradeableConnection::graceful_shutdown(connection);
        tokio::spawn(drive(Box::pin(connection), close, stopping));
    } else {
        let connection = http1::Builder::new()
            .timer(ConnectionTimer::default())
            .header_read_timeout(PATIENCE)
            .serve_connection(stream, service)
            .with_upgrades();
        let close =
            |connection: Pin<&mut _>| http1::UpgradeableConnection::graceful_shutdown(connection);
        tokio::spawn(drive(Box::pin(connection), close, stopping));
    }
}

/// Sees a connection through to its end, which it is asked for when all are to stop.
async fn drive<C: Future>(
    mut connection: Pin<Box<C>>,
    close: fn(Pin<&mut C>),
    mut stopping: watch::Receiver<()>,
) {
    let stop = stopping.clone();
    let mut stopping = pin!(stopping.changed());
    let mut will_be_woken = false;
    let is_over = poll_fn(|cx| {
        // What a client did wrong on its connection is its own affair, so nobody looks at what comes of it.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // Asked once, it wakes this task. Asking again for each request costs more than a look.
        if will_be_woken && !stop.has_changed().unwrap_or(true) {
            return Poll::Pending;
        }
        will_be_woken = true;
        stopping.as_mut().poll(cx).map(|_| false)
    });
    if !is_over.await {
        close(connection.as_mut());
        connection.await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn check() -> Result<ExitCode, BoxError> {
    let backend = Router::new().route("/slow", get(slow)).fallback(
        |method: http::Method, uri: http::Uri, body: String| async move {
            format!("{method} {uri} {body}\n")
        },
    );
    let backend = support::backend(backend).await?;
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false)?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let server = tokio::spawn(accept(
        listener,
        gateway(&format!("http://{backend}"))?,
        stopped,
    ));

    let mut checks = support::Checks::default();
    let tries = [
        Try::get("/any/path?page=2").gives(200, "GET /any/path?page=2"),
        Try::get("/a/./b/../%63").gives(200, "GET /a/c"),
        Try::post("/form", "amount=3").gives(200, "POST /form amount=3"),
        Try::get("/../up").gives(400, "above the root"),
    ];
    checks.send(address, &tries).await?;

    checks.outlives(address, stop).await?;
    server.await??;
    Ok(checks.exit())
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(1)).await;
    "at last\n"
}
