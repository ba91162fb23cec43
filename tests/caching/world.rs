//! A gateway with a cache, in front of a backend that answers as a test says and remembers what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, response::Response, routing::any};
use http::HeaderMap;
use http_body_util::BodyExt;
use tower_gateway::{
    Gateway, GatewayBuilder, Route,
    cache::{CacheHandle, CacheLayer, MemoryStore},
};

use crate::support::{axum_backend, request, send, serve, upstream};

pub struct World {
    pub gateway: SocketAddr,
    pub cache: CacheHandle,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

/// What a client got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// What the cache did.
    pub fn did(&self) -> &str {
        let whole = self.header("cache-status");
        whole.strip_prefix("tower-gateway; ").unwrap_or(whole)
    }
}

pub fn layer() -> CacheLayer {
    CacheLayer::new(MemoryStore::new(32 << 20))
}

/// An answer with these fields, `name: value`.
pub fn answer(status: u16, lines: &[&str], body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status.try_into().unwrap();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name: http::HeaderName = name.parse().unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

impl World {
    /// The backend's answer to the request with this number, from 0 on.
    pub async fn new<F>(layer: CacheLayer, backend: F) -> Self
    where
        F: Fn(usize, &http::Request<Body>) -> Response + Send + Sync + 'static,
    {
        Self::with(layer, |builder, route| builder.route(route), backend).await
    }

    pub async fn with<F>(
        layer: CacheLayer,
        build: impl FnOnce(GatewayBuilder, Route) -> GatewayBuilder,
        backend: F,
    ) -> Self
    where
        F: Fn(usize, &http::Request<Body>) -> Response + Send + Sync + 'static,
    {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let backend = Arc::new(backend);
        let service = {
            let (asked, backend) = (asked.clone(), backend.clone());
            any(move |request: http::Request<Body>| async move {
                let number = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(request.headers().clone());
                    asked.len() - 1
                };
                backend(number, &request)
            })
        };
        let backend = axum_backend(Router::new().fallback(service)).await;
        let cache = layer.handle();
        let route = Route::new("/{*rest}").to("backend").cache(layer);
        let builder = Gateway::builder().upstream("backend", upstream(backend));
        let gateway = build(builder, route).build().unwrap();
        Self {
            gateway: serve(gateway).await,
            cache,
            asked,
        }
    }

    /// How often the backend was asked.
    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// What it was asked last.
    pub fn last(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        let value = asked.last()?.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub async fn get_with(&self, path: &str, lines: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, lines).await
    }

    pub async fn ask(&self, method: &str, path: &str, lines: &[(&str, &str)]) -> Answer {
        let mut request = request(method, path);
        for (name, value) in lines {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let (parts, body) = send(self.gateway, request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}
