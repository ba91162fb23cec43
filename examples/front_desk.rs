//! One address in front of three backends: orders, users and billing, each an axum server on loopback.
//!
//! ```sh
//! cargo run --example front_desk
//! curl -i http://127.0.0.1:8080/orders/7
//! curl -i http://127.0.0.1:8080/users/42/orders?page=2
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
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("front_desk: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, BoxError> {
    let check = std::env::args().any(|arg| arg == "--check");
    let gateway = gateway().await?;
    println!("{}", gateway.pipeline());
    let listener = tokio::net::TcpListener::bind(if check {
        "127.0.0.1:0"
    } else {
        "127.0.0.1:8080"
    })
    .await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, gateway));
    if check {
        return self_check(address).await;
    }
    println!("the front desk is open; try:");
    println!("  curl -i http://{address}/orders/7");
    println!("  curl -i http://{address}/users/42/orders?page=2");
    println!("  curl -i -X POST -d 'amount=3' http://{address}/billing/invoices");
    println!("  curl -i http://{address}/nowhere");
    tokio::signal::ctrl_c().await?;
    server.abort();
    println!("closed");
    Ok(true)
}

async fn gateway() -> Result<Gateway, BoxError> {
    let orders = Router::new().route(
        "/{id}",
        get(|Path(id): Path<String>| async move { format!("order {id}\n") }),
    );
    let users = Router::new().route(
        "/v2/users/{id}/orders",
        get(
            |Path(id): Path<String>, RawQuery(query): RawQuery| async move {
                format!("orders of user {id}, query {}\n", query.unwrap_or_default())
            },
        ),
    );
    let billing = Router::new().route(
        "/billing/invoices",
        post(|headers: HeaderMap, body: String| async move {
            let host = headers
                .get("x-forwarded-host")
                .and_then(|host| host.to_str().ok());
            format!(
                "invoice with {} bytes, asked at {}\n",
                body.len(),
                host.unwrap_or("?")
            )
        }),
    );
    let gateway = Gateway::builder()
        .name("front-desk")
        .upstream(
            "orders",
            Upstream::http([format!("http://{}", support::backend(orders).await?)])?,
        )
        .upstream(
            "users",
            Upstream::http([format!("http://{}", support::backend(users).await?)])?,
        )
        .upstream(
            "billing",
            Upstream::http([format!("http://{}", support::backend(billing).await?)])?,
        )
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

async fn self_check(address: std::net::SocketAddr) -> Result<bool, BoxError> {
    let cases = [
        ("GET", "/orders/7", 200, "order 7"),
        ("GET", "/x/..//orders/%37", 200, "order 7"),
        (
            "GET",
            "/users/42/orders?page=2",
            200,
            "orders of user 42, query page=2",
        ),
        ("POST", "/billing/invoices", 200, "invoice with 0 bytes"),
        (
            "DELETE",
            "/billing/invoices",
            405,
            "The method is not allowed here",
        ),
        ("GET", "/nowhere", 404, "There is nothing here"),
        ("GET", "/orders/%2e%2e%2fbilling", 400, "encoded slash"),
    ];
    let mut good = true;
    for (method, path, status, part) in cases {
        let (got, _, body) = support::send(address, method, path, &[]).await?;
        let fits = got == status && body.contains(part);
        good &= fits;
        println!(
            "{} {method} {path} -> {got} {}",
            if fits { "ok  " } else { "FAIL" },
            body.trim_end()
        );
    }
    Ok(good)
}
