//! One address in front of three backends: orders, users and billing, each an axum server on loopback.
//!
//! ```sh
//! cargo run --example front_desk
//! curl -i http://127.0.0.1:8080/orders/7
//! curl -i --path-as-is http://127.0.0.1:8080/x/..//orders/%37
//! curl -i 'http://127.0.0.1:8080/users/42/orders?page=2'
//! curl -i -d 'amount=3' http://127.0.0.1:8080/billing/invoices
//! curl -i -X DELETE http://127.0.0.1:8080/billing/invoices
//! curl -i http://127.0.0.1:8080/nowhere
//! curl -i http://127.0.0.1:8080/orders/%2e%2e%2fbilling
//! ```
//!
//! Ctrl-C lets requests finish that are under way. With `-- --check` it sends itself these requests, prints each with
//! its outcome, and fails when one is not as it should be.

mod support;

use std::process::ExitCode;

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::HeaderMap,
    routing::{get, post},
};
use support::Try;
use tower_gateway::{BoxError, Gateway, Route, Upstream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, BoxError> {
    let gateway = gateway().await?;
    println!("{}", gateway.pipeline());

    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, gateway));

    println!("the front desk is open; try:");
    let tries = [
        Try::get("/orders/7").gives(200, "order 7"),
        // The same path, spelled otherwise.
        Try::get("/x/..//orders/%37").gives(200, "order 7"),
        Try::get("/users/42/orders?page=2").gives(200, "orders of user 42, query page=2"),
        Try::post("/billing/invoices", "amount=3").gives(200, "invoice with 8 bytes"),
        Try::new("DELETE", "/billing/invoices").gives(405, "not allowed here"),
        Try::get("/nowhere").gives(404, "There is nothing here"),
        Try::get("/orders/%2e%2e%2fbilling").gives(400, "encoded slash"),
    ];
    support::try_out(address, &tries, server).await
}

async fn gateway() -> Result<Gateway, BoxError> {
    let orders = Router::new().route("/{id}", get(order));
    let users = Router::new().route("/v2/users/{id}/orders", get(orders_of_user));
    let billing = Router::new().route("/billing/invoices", post(invoice));
    let orders = support::backend(orders).await?;
    let users = support::backend(users).await?;
    let billing = support::backend(billing).await?;

    let gateway = Gateway::builder()
        .name("front-desk")
        .upstream("orders", Upstream::http([format!("http://{orders}")]))
        .upstream("users", Upstream::http([format!("http://{users}")]))
        .upstream("billing", Upstream::http([format!("http://{billing}")]))
        .route(
            Route::get("/orders/{*rest}")
                .to("orders")
                .strip_prefix("/orders"),
        )
        .route(
            Route::get("/users/{id}/orders")
                .to("users")
                .rewrite_path("/v2/users/{id}/orders"),
        )
        .route(Route::post("/billing/{*rest}").to("billing"))
        .build()?;
    Ok(gateway)
}

async fn order(Path(id): Path<String>) -> String {
    format!("order {id}\n")
}

async fn orders_of_user(Path(id): Path<String>, RawQuery(query): RawQuery) -> String {
    format!("orders of user {id}, query {}\n", query.unwrap_or_default())
}

async fn invoice(headers: HeaderMap, body: String) -> String {
    let host = headers
        .get("x-forwarded-host")
        .and_then(|host| host.to_str().ok());
    format!(
        "invoice with {} bytes, asked at {}\n",
        body.len(),
        host.unwrap_or("?")
    )
}
