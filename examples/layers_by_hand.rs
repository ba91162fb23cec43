//! Without a gateway: an `Upstream` is a tower service and a `RouterLayer` a tower layer, so they go together with tower's
//! own layers, and hyper serves the whole.
//!
//! ```sh
//! cargo run --example layers_by_hand
//! curl -i http://127.0.0.1:8080/hello
//! curl -i http://127.0.0.1:8080/status/disk  # the router's, everything else goes to the backend
//! curl -i http://127.0.0.1:8080/sleep/3000  # too slow: 504
//! # two are in, so there is no room for a third: 503
//! curl -s http://127.0.0.1:8080/sleep/900 & curl -s http://127.0.0.1:8080/sleep/900 &
//! sleep 0.3; curl -i http://127.0.0.1:8080/hello
//! ```
//!
//! With `-- --check` it sends itself these requests and ends.
//!
//! What is missing here and a `Gateway` does: it refuses requests that can be read in two ways, tells the backend who the client is, and logs.

mod support;

use std::{process::ExitCode, time::Duration};

use axum::{Router, extract::Path, routing::get};
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::{body::Incoming, service::service_fn};
use support::Try;
use tower::{ServiceBuilder, ServiceExt};
use tower_gateway::{Body, BoxError, Error, Route, RouterLayer, Upstream};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let backend = Router::new()
        .route("/hello", get(hello))
        .route("/sleep/{millis}", get(sleep));
    let backend = support::backend(backend).await?;
    let upstream = Upstream::http([format!("http://{backend}")]);
    upstream.check()?;
    let status = Router::new().route("/{part}", get(status));
    let router = RouterLayer::builder()
        .upstream("status", Upstream::service(status))
        .route(
            Route::get("/status/{part}")
                .to("status")
                .strip_prefix("/status"),
        )
        .build()?;

    // From the outside in.
    let service = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(2)
        .timeout(Duration::from_secs(1))
        .map_request(|mut request: Request<Incoming>| {
            request
                .headers_mut()
                .insert("x-entrance", HeaderValue::from_static("side door"));
            request
        })
        .layer(router)
        .service(upstream);

    let listener = support::front().await?;
    let address = listener.local_addr()?;
    // Clones of the stack share the limit of 2. An error would make hyper close the connection, so it becomes an answer.
    let service = service_fn(move |request| {
        let answer = service.clone().oneshot(request);
        async { Ok(answer.await.unwrap_or_else(refuse)) }
    });
    let server = tokio::spawn(support::serve(listener, service));

    let tries = [
        Try::get("/hello").gives(200, "hello through the side door"),
        Try::get("/status/disk").gives(200, "the disk is fine"),
        Try::get("/sleep/3000").gives(504, "too long"),
    ];
    let hello = Try::get("/hello").curl(address);
    let sleep = Try::get("/sleep/900").curl(address);
    if !support::is_check() {
        println!("{sleep} & {sleep} & sleep 0.3; {hello}");
        return support::try_out(address, &tries, server).await;
    }
    let mut checks = support::Checks::default();
    checks.send(address, &tries).await?;

    let busy = [(); 2].map(|()| {
        tokio::spawn(async move { support::send(address, "GET", "/sleep/900", &[]).await })
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = [Try::get("/hello").gives(503, "busy")];
    checks.send(address, &refused).await?;
    for answer in busy {
        let (status, _, body) = answer.await??;
        checks.expect(
            "GET /sleep/900",
            status == 200,
            format_args!("{status} {}", body.trim_end()),
        );
    }
    checks.send(address, &tries[..1]).await?;
    Ok(checks.exit())
}

/// The answer for what a layer or the upstream reports: a timeout is a 504, load that was shed a 503.
fn refuse(error: BoxError) -> Response<Body> {
    Error::from_boxed(error).into_response()
}

async fn status(Path(part): Path<String>) -> String {
    format!("the {part} is fine\n")
}

async fn hello(headers: HeaderMap) -> String {
    let entrance = headers
        .get("x-entrance")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("front door");
    format!("hello through the {entrance}\n")
}

async fn sleep(Path(millis): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    format!("slept {millis} ms\n")
}
