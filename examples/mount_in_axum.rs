//! A gateway inside an axum server: the server answers its own routes, the gateway gets the rest.
//!
//! ```sh
//! cargo run --example mount_in_axum
//! curl -i http://127.0.0.1:8080/health      # axum itself
//! curl -i http://127.0.0.1:8080/orders/7    # over a socket to a backend
//! curl -i http://127.0.0.1:8080/pages/home  # an axum router in this process, behind the gateway
//! curl -i http://127.0.0.1:8080/pages/none/such # and its 404
//! curl -i http://127.0.0.1:8080/nowhere     # the gateway's 404
//! ```
//!
//! With `-- --check` it sends itself these requests and ends.

mod support;

use std::{net::SocketAddr, process::ExitCode};

use axum::{
    Router,
    extract::{ConnectInfo, Path},
    http::HeaderMap,
    routing::get,
};
use support::Try;
use tower_gateway::{BoxError, Gateway, Route, Upstream};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let orders = support::backend(Router::new().route("/orders/{id}", get(order))).await?;
    let pages = Router::new().route(
        "/{page}",
        get(|Path(page): Path<String>| async move { format!("page {page}\n") }),
    );

    let gateway = Gateway::builder()
        // axum keeps the client's address in an extension of its own type.
        .peer_addr(|extensions| {
            extensions
                .get::<ConnectInfo<SocketAddr>>()
                .map(|info| info.0)
        })
        .upstream("orders", Upstream::http([format!("http://{orders}")]))
        .upstream("pages", Upstream::service(pages))
        .route(Route::new("/orders/{*rest}").to("orders"))
        .route(
            Route::get("/pages/{*rest}")
                .to("pages")
                .strip_prefix("/pages"),
        )
        .build()?;

    // As the fallback the gateway sees whole paths. Below `nest_service` it would see them without the prefix.
    let app = Router::new()
        .route("/health", get(|| async { "well\n" }))
        .fallback_service(gateway);

    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        // Lets requests finish that are under way.
        let server = axum::serve(listener, app).with_graceful_shutdown(support::ctrl_c());
        if let Err(error) = server.await {
            eprintln!("server: {error}");
        }
    });

    let tries = [
        Try::get("/health").gives(200, "well"),
        Try::get("/orders/7").gives(200, "order 7 for 127.0.0.1"),
        Try::get("/pages/home").gives(200, "page home"),
        Try::get("/pages/none/such").gives(404, ""),
        Try::get("/nowhere").gives(404, "There is nothing here"),
    ];
    support::try_out(address, &tries, server).await
}

async fn order(Path(id): Path<String>, headers: HeaderMap) -> String {
    let client = headers
        .get("x-forwarded-for")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("nobody");
    format!("order {id} for {client}\n")
}
