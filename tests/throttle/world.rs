//! A gateway with a backend, behind a proxy that says who the client is.

use std::net::SocketAddr;

use axum::{Router, body::Body, response::Response, routing::any};
use http_body_util::BodyExt;
use serde_json::Value;
use tower_gateway::{Gateway, GatewayBuilder, throttle::Policy};

use crate::support::{axum_backend, request_with, send, upstream};

/// A gateway that believes this machine about the client's address, with an upstream `backend`. That tells in
/// `x-cost` what the request says in `x-costs`.
pub async fn gateway() -> GatewayBuilder {
    let backend = axum_backend(Router::new().fallback(any(backend))).await;
    Gateway::builder()
        .upstream("backend", upstream(backend))
        .trust_proxies(["127.0.0.1"])
}

async fn backend(request: http::Request<Body>) -> Response {
    let mut response = Response::new(Body::from("served"));
    if let Some(costs) = request.headers().get("x-costs") {
        response.headers_mut().insert("x-cost", costs.clone());
    }
    response
}

/// So many for each client, and next to nothing comes back while a test runs.
pub fn of(many: u64) -> Policy {
    Policy::per_hour(1).burst(many)
}

/// What a client got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    /// All values of a field.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    /// The body of a problem.
    pub fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), ["application/problem+json"]);
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A `GET` of a client at `ip`, with these fields.
pub async fn get(gateway: SocketAddr, path: &str, ip: &str, fields: &[(&str, &str)]) -> Answer {
    let mut fields = fields.to_vec();
    fields.push(("x-forwarded-for", ip));
    ask(gateway, path, &fields).await
}

/// A `GET` with just these fields.
pub async fn ask(server: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    let response = send(server, request_with(path, fields)).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// The statuses of so many requests for `/`.
pub async fn statuses(gateway: SocketAddr, ip: &str, many: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..many {
        statuses.push(get(gateway, "/", ip, &[]).await.status);
    }
    statuses
}
