//! The backend: fixed answers of three sizes over HTTP/1.1 and HTTP/2 with prior knowledge.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

const SIZES: [(&str, usize); 3] = [("/1k", 1 << 10), ("/64k", 64 << 10), ("/1m", 1 << 20)];

/// What `/headers/...` adds to an answer.
pub(crate) const API_HEADERS: [(&str, &str); 12] = [
    ("access-control-allow-origin", "https://app.example.com"),
    ("cache-control", "private, max-age=0, must-revalidate"),
    ("content-language", "en"),
    ("etag", "\"5f3a-61c0b7e2d9f40\""),
    ("last-modified", "Mon, 05 Jan 2026 08:30:00 GMT"),
    ("ratelimit-limit", "5000"),
    ("ratelimit-remaining", "4987"),
    ("ratelimit-reset", "1843"),
    (
        "strict-transport-security",
        "max-age=63072000; includeSubDomains",
    ),
    ("vary", "Accept, Accept-Encoding, Origin"),
    ("x-content-type-options", "nosniff"),
    ("x-correlation-id", "7d0f3c52-9e1b-4b62-8a55-2f6a4f1c9be0"),
];

/// The bytes of the answer at `path`, or `None` when there is no such path.
pub(crate) fn size(path: &str) -> Option<usize> {
    let path = path.strip_prefix("/headers").unwrap_or(path);
    SIZES
        .iter()
        .find(|(name, _)| *name == path)
        .map(|(_, size)| *size)
}

/// Whether the answer at `path` has `API_HEADERS`.
pub(crate) fn has_api_headers(path: &str) -> bool {
    path.starts_with("/headers/")
}

/// The body of `size` bytes: letters in an order that shows a lost, doubled or moved block.
pub(crate) fn body(size: usize) -> Bytes {
    (0..size)
        .map(|at| b'a' + ((at + at / 251 + at / 4099) % 26) as u8)
        .collect()
}

/// Serves until the process ends.
pub(crate) async fn serve(listen: SocketAddr) -> Result<(), String> {
    let bodies: &'static [(usize, Bytes)] =
        Vec::leak(SIZES.iter().map(|(_, size)| (*size, body(*size))).collect());
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("{listen}: {error}"))?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(|request| async move {
                Ok::<_, Infallible>(answer(request.uri().path(), bodies))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(path: &str, bodies: &[(usize, Bytes)]) -> Response<Full<Bytes>> {
    let found = size(path).and_then(|size| bodies.iter().find(|(len, _)| *len == size));
    let Some((_, body)) = found else {
        let mut missing = Response::new(Full::default());
        *missing.status_mut() = StatusCode::NOT_FOUND;
        return missing;
    };
    let mut response = Response::new(Full::new(body.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if has_api_headers(path) {
        for (name, value) in API_HEADERS {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
    }
    response
}
