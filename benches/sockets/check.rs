//! Before anything is measured: every peer gives the right answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backend;
use crate::options::Options;
use crate::peers::Peer;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Fails unless the peer answers 200 with exactly the backend's body and headers, in the version that is measured.
pub(crate) fn answers(peer: &Peer, options: &Options) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(async {
        let asked = timeout(TIMEOUT, ask(peer, options));
        asked
            .await
            .unwrap_or_else(|_| Err(format!("no whole answer in {TIMEOUT:?}").into()))
    });
    outcome.map_err(|error| format!("{} at {}: {error}", peer.name, options.path))
}

async fn ask(peer: &Peer, options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let stream = TokioIo::new(TcpStream::connect(peer.address).await?);
    let request = Request::get(format!("http://{}{}", peer.address, options.path));
    let response = if options.http2 {
        let (mut client, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(driver);
        client
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?
    } else {
        let (mut client, driver) = http1::handshake(stream).await?;
        tokio::spawn(driver);
        let mut request = request
            .header(HOST, peer.address.to_string())
            .body(Empty::<Bytes>::new())?;
        *request.uri_mut() = options.path.parse()?;
        client.send_request(request).await?
    };

    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("answered {}", head.status).into());
    }
    if backend::has_api_headers(&options.path) {
        for (name, value) in backend::API_HEADERS {
            if head.headers.get(name).is_none_or(|got| got != value) {
                return Err(format!("lost or changed the header {name}").into());
            }
        }
    }
    let body = body.collect().await?.to_bytes();
    if body != backend::body(options.size) {
        return Err(format!(
            "answered {} bytes that are not the backend's {}",
            body.len(),
            options.size
        )
        .into());
    }
    Ok(())
}
