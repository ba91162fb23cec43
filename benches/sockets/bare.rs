//! The bare proxy: what the gateway's library costs with no feature at all. It moves requests and answers between a
//! hyper server and a pool of hyper's HTTP/1 client connections, changes no header, and has no limit and no timeout.

use std::cell::RefCell;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};

type BoxError = Box<dyn Error + Send + Sync>;

thread_local! {
    /// Idle connections, the most recently used one last. There are never more than there were requests in flight.
    static POOL: RefCell<Vec<SendRequest<Incoming>>> = const { RefCell::new(Vec::new()) };
}

/// Serves until the process ends.
pub(crate) async fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<(), String> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("{listen}: {error}"))?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let service = service_fn(|request| forward(request, upstream));
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(
    mut request: Request<Incoming>,
    upstream: SocketAddr,
) -> Result<Response<Pooled>, BoxError> {
    if request.version() == Version::HTTP_2 {
        to_http1(&mut request)?;
    }
    let mut connection = checkout(upstream).await?;
    let response = connection.send_request(request).await?;
    Ok(response.map(|body| Pooled {
        body,
        connection: Some(connection),
    }))
}

/// HTTP/2 has the authority in the URI, HTTP/1.1 in `Host`.
fn to_http1(request: &mut Request<Incoming>) -> Result<(), BoxError> {
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str())?;
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}

async fn checkout(upstream: SocketAddr) -> Result<SendRequest<Incoming>, BoxError> {
    while let Some(mut connection) = POOL.with_borrow_mut(Vec::pop) {
        if connection.ready().await.is_ok() {
            return Ok(connection);
        }
    }
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(connection)
}

/// An answer's body, which gives its connection back to the pool when it was read to the end.
struct Pooled {
    body: Incoming,
    connection: Option<SendRequest<Incoming>>,
}

impl Body for Pooled {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.body.is_end_stream()
        {
            POOL.with_borrow_mut(|pool| pool.push(connection));
        }
    }
}
