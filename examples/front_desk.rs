//! One address in front of three backends: orders, users and billing, each an axum server on loopback.
//!
//! ```sh
//! cargo run --example front_desk
//! curl -i http://127.0.0.1:8080/orders/7
//! curl -i 'http://127.0.0.1:8080/users/42/orders?page=2'
//! curl -i -X POST -d 'amount=3' http://127.0.0.1:8080/billing/invoices
//! curl -i -X DELETE http://127.0.0.1:8080/billing/invoices
//! curl -i http://127.0.0.1:8080/nowhere
//! ```
//!
//! With `--check` it sends itself these requests, prints each with its outcome, and fails when one is not as it should
//! be.

mod support;

use std::process::ExitCode;

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::HeaderMap,
    routing::{get, post},
};
use tower_gateway::{BoxError, Gateway, Route, Upstream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, BoxError> {
    let gateway = gateway().await?;
    println!("{}", gateway.pipeline());

    let listener = support::front().await?;
    let address = listener.local_addr()?;
    tokio::spawn(support::serve(listener, gateway));

    println!("the front desk is open; try:");
    println!("  curl -i http://{address}/orders/7");
    println!("  curl -i 'http://{address}/users/42/orders?page=2'");
    println!("  curl -i -X POST -d 'amount=3' http://{address}/billing/invoices");
    println!("  curl -i -X DELETE http://{address}/billing/invoices");
    println!("  curl -i http://{address}/nowhere");
    if !support::is_check() {
        return support::until_ctrl_c().await;
    }
    let mut checks = support::Checks::default();
    for (method, path, status, text) in [
        ("GET", "/orders/7", 200, "order 7"),
        ("GET", "/x/..//orders/%37", 200, "order 7"),
        (
            "GET",
            "/users/42/orders?page=2",
            200,
            "orders of user 42, query page=2",
        ),
        ("POST", "/billing/invoices", 200, "invoice with 0 bytes"),
        ("DELETE", "/billing/invoices", 405, "not allowed here"),
        ("GET", "/nowhere", 404, "There is nothing here"),
        ("GET", "/orders/%2e%2e%2fbilling", 400, "encoded slash"),
    ] {
        let (came, _, body) = support::send(address, method, path, &[]).await?;
        checks.expect(
            &format!("{method} {path}"),
            came == status && body.contains(text),
            format_args!("{came} {}", body.trim_end()),
        );
    }
    Ok(checks.exit())
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
