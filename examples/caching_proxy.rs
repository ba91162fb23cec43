//! A cache in front of one backend, as the RFCs have it.
//!
//! ```sh
//! cargo run --release --example caching_proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000
//! curl -i http://127.0.0.1:8080/any/path
//! ```
//!
//! It keeps 256 MiB in memory; `Cache-Status` says of each answer what was done. `PURGE` is not offered here: see the handle of the layer.
//!
//! With `-- --check` it puts itself in front of a backend of its own, sends requests through, prints each with its outcome, and fails when one is not as it
//! should be.

mod support;

use std::process::ExitCode;

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::get,
};
use support::Try;
use tokio::net::TcpListener;
use tower_gateway::{
    BoxError, Gateway, Route, Upstream,
    cache::{CacheHandle, CacheLayer, MemoryStore},
};

const USAGE: &str = "\
usage: caching_proxy --listen ADDR --upstream URL

  --listen ADDR    the IP address and port to listen at, as 127.0.0.1:8080
  --upstream URL   the backend, as http://127.0.0.1:9000
  --set-cookie     stores answers with Set-Cookie too
  --check          nothing of this: sends requests through itself to a backend of its own
  --help           prints this";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let outcome = match support::is_check() {
        true => check().await,
        false => run(&args).await.map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("caching_proxy: {error}\n\n{USAGE}");
        ExitCode::FAILURE
    })
}

async fn run(args: &[String]) -> Result<(), BoxError> {
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1))
            .ok_or_else(|| format!("{name} is missing, or has no value"))
    };
    let (listen, upstream) = (value("--listen")?, value("--upstream")?);
    let keeps_cookies = args.iter().any(|arg| arg == "--set-cookie");
    let (gateway, _) = gateway(upstream, keeps_cookies)?;
    let listener = TcpListener::bind(listen).await?;
    println!(
        "caching_proxy: http://{} (Ctrl-C ends it)",
        listener.local_addr()?
    );
    support::serve(listener, gateway).await;
    Ok(())
}

fn gateway(upstream: &str, keeps_cookies: bool) -> Result<(Gateway, CacheHandle), BoxError> {
    let cache = CacheLayer::new(MemoryStore::new(256 << 20)).store_set_cookie(keeps_cookies);
    let handle = cache.handle();
    let gateway = Gateway::builder()
        .upstream("backend", Upstream::http([upstream]))
        .route(Route::new("/{*rest}").to("backend").cache(cache))
        .build()?;
    Ok((gateway, handle))
}

async fn check() -> Result<ExitCode, BoxError> {
    let backend = Router::new()
        .route(
            "/fresh",
            get(|| async { ([("cache-control", "max-age=60")], "fresh\n") }),
        )
        .route(
            "/private",
            get(|| async { ([("cache-control", "private, max-age=60")], "yours\n") }),
        )
        .route("/checked", get(checked));
    let backend = support::backend(backend).await?;
    let (gateway, handle) = gateway(&format!("http://{backend}"), false)?;
    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, gateway));
    let status = |text: &'static str| ("cache-status", text);
    let tells = |one: Try, (name, value)| one.gives(200, "").tells(name, value);
    let tries = [
        tells(
            Try::get("/fresh"),
            status("fwd=uri-miss; fwd-status=200; stored; ttl=60"),
        ),
        tells(
            Try::get("/fresh").because("it is there"),
            status("hit; ttl=60"),
        ),
        tells(
            Try::get("/private").because("it is for one"),
            status("detail=private"),
        ),
        tells(Try::get("/checked"), status("stored")),
        tells(
            Try::get("/checked").because("it has to be validated"),
            status("fwd=stale; fwd-status=304"),
        ),
        Try::get("/checked")
            .header(("if-none-match", "\"one\""))
            .because("the client has it")
            .gives(304, ""),
    ];
    let outcome = support::try_out(address, &tries, server).await?;
    println!("{handle:?}");
    Ok(outcome)
}

async fn checked(headers: HeaderMap) -> impl IntoResponse {
    let is_known = headers
        .get("if-none-match")
        .is_some_and(|tag| tag == "\"one\"");
    let status = if is_known {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    };
    (
        status,
        [("cache-control", "no-cache"), ("etag", "\"one\"")],
        "checked\n",
    )
}
