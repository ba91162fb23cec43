//! A served gateway, backends to put behind it, and clients that say exactly what they are told to.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_gateway::{Gateway, Route, Upstream};

/// Serves a gateway on a free port.
pub async fn serve(gateway: Gateway) -> SocketAddr {
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), gateway)
}

/// Serves a gateway on this socket.
pub fn serve_on(listener: TcpListener, gateway: Gateway) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let gateway = gateway.clone();
            let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                hyper::service::Service::call(&gateway, request)
            });
            tokio::spawn(async move {
                // A client that misbehaves on purpose ends its connection with an error.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// Serves a gateway that sends everything to one backend.
pub async fn in_front_of(backend: SocketAddr) -> SocketAddr {
    let gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .route(Route::new("/{*rest}").to("backend"))
        .build()
        .unwrap();
    serve(gateway).await
}

/// An upstream with one endpoint.
pub fn upstream(backend: SocketAddr) -> Upstream {
    Upstream::http([format!("http://{backend}")])
}

/// Serves an axum router on a free port.
pub async fn axum_backend(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Accepts connections on a free port and hands each to `serve`, with its number from 0 on.
pub async fn raw_backend<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    raw_backend_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
}

/// Accepts connections on this socket and hands each to `serve`, with its number from 0 on.
pub fn raw_backend_on<F, Fut>(listener: TcpListener, serve: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(number, stream));
        }
    });
    address
}

/// An address that refuses connections, for as long as the returned socket, which does not listen, is kept.
pub fn refusing() -> (socket2::Socket, SocketAddr) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Reads up to and with the empty line that ends a head.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Sends one request on a connection of its own.
pub async fn send<B>(gateway: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower_gateway::BoxError>,
{
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// A connection to a gateway that sends one request after another.
pub async fn connect(gateway: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// A connection to a gateway that speaks HTTP/2.
pub async fn connect_http2(gateway: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A gateway with one route and one upstream.
pub fn one_route(route: Route, upstream: Upstream) -> Gateway {
    Gateway::builder()
        .upstream("backend", upstream)
        .route(route.to("backend"))
        .build()
        .unwrap()
}

/// A request without a body, with `Host: t.example` and these header lines.
pub fn request_with(path: &str, lines: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = request("GET", path);
    for (name, value) in lines {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// A request without a body, with `Host: t.example`.
pub fn request(method: &str, path: &str) -> Request<Full<Bytes>> {
    request_to("t.example", method, path)
}

/// A request without a body, for a host.
pub fn request_to(host: &str, method: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .body(Full::default())
        .unwrap()
}

/// The whole body, as text.
pub async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .into(),
    )
    .unwrap()
}

/// What a client got for its bytes.
#[derive(Debug)]
pub struct Heard {
    pub bytes: Vec<u8>,
    pub closed: bool,
}

impl Heard {
    /// The status of the first final answer.
    pub fn status(&self) -> Option<u16> {
        let text = String::from_utf8_lossy(&self.bytes);
        text.split("\r\n")
            .filter_map(|line| {
                line.strip_prefix("HTTP/1.1 ")
                    .or_else(|| line.strip_prefix("HTTP/1.0 "))
            })
            .filter_map(|rest| rest.get(..3)?.parse().ok())
            .find(|status| *status >= 200)
    }
}

/// Sends bytes on a connection of their own, and listens until it is closed or silent for two seconds.
pub async fn say(gateway: SocketAddr, bytes: &[u8]) -> Heard {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    // A gateway that refuses may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut heard = Heard {
        bytes: Vec::new(),
        closed: false,
    };
    let mut chunk = [0; 4096];
    while let Ok(read) = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut chunk)).await
    {
        match read {
            Ok(0) | Err(_) => {
                heard.closed = true;
                break;
            }
            Ok(length) => heard.bytes.extend_from_slice(&chunk[..length]),
        }
    }
    heard
}

/// A request as it arrived at a [`Recorder`], its body without chunk framing.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub head: String,
    pub body: Vec<u8>,
}

impl Recorded {
    /// The path and query that were asked for.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The values of a header, by its exact name in any case.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// A backend that keeps every complete request, answers it, and notes everything that is not a request.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<(Vec<Recorded>, Vec<String>)>>);

impl Recorder {
    pub async fn start() -> (Self, SocketAddr) {
        let this = Self::default();
        let recorder = this.clone();
        let address = raw_backend(move |_, stream| recorder.clone().record(stream)).await;
        (this, address)
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.0.lock().unwrap().0.clone()
    }

    /// The only request since the last call.
    #[track_caller]
    pub fn take(&self) -> Recorded {
        let mut requests = std::mem::take(&mut self.0.lock().unwrap().0);
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    pub fn malformed(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }

    async fn record(self, mut stream: TcpStream) {
        let (mut buffer, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            match parse(&buffer) {
                Ok(Some((request, used))) => {
                    buffer.drain(..used);
                    let head_only = request.head.starts_with("HEAD ");
                    self.0.lock().unwrap().0.push(request);
                    let answer = if head_only {
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                    } else {
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                    };
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Ok(None) => match stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => buffer.extend_from_slice(&chunk[..length]),
                },
                Err(what) => {
                    let seen = format!("{what} in {}", buffer.escape_ascii());
                    self.0.lock().unwrap().1.push(seen);
                    return;
                }
            }
        }
    }
}

/// The first request of some bytes and its length, nothing if it is not whole yet; an error for what a strict server
/// refuses.
pub fn parse(bytes: &[u8]) -> Result<Option<(Recorded, usize)>, &'static str> {
    let Some(length) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let head: String = bytes[..length].iter().copied().map(char::from).collect();
    let mut lines = head.split("\r\n");
    let first: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
    match first[..] {
        [method, target, "HTTP/1.1" | "HTTP/1.0"] if !method.is_empty() && !target.is_empty() => {}
        _ => return Err("request line"),
    }
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err("a field name");
        }
        if value.contains(['\r', '\n', '\0']) {
            return Err("a field value");
        }
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_ascii_lowercase()),
            "host" => hosts += 1,
            _ => {}
        }
    }
    if hosts != 1 {
        return Err("not one Host");
    }
    let (body, used) = match (&lengths[..], &codings[..]) {
        ([], []) => (Vec::new(), 0),
        ([count], []) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
            let count: usize = count.parse().map_err(|_| "Content-Length")?;
            match bytes[length..].get(..count) {
                Some(body) => (body.to_vec(), count),
                None => return Ok(None),
            }
        }
        ([], [coding]) if coding == "chunked" => match dechunk(&bytes[length..])? {
            Some(whole) => whole,
            None => return Ok(None),
        },
        _ => return Err("framing"),
    };
    Ok(Some((Recorded { head, body }, length + used)))
}

fn dechunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + end]).map_err(|_| "chunk size")?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("chunk size");
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "chunk size")?;
        at += end + 2;
        if size == 0 {
            // Trailers, up to an empty line.
            loop {
                let Some(end) = find(&bytes[at..], b"\r\n") else {
                    return Ok(None);
                };
                at += end + 2;
                if end == 0 {
                    return Ok(Some((body, at)));
                }
            }
        }
        // The sum can not overflow for a buffer that holds as much.
        let Some(rest) = bytes[at..].get(..size.saturating_add(2)) else {
            return Ok(None);
        };
        let (data, end) = rest.split_at(size);
        if end != b"\r\n" {
            return Err("chunk end");
        }
        body.extend_from_slice(data);
        at += size + 2;
    }
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
