//! A server that tells what it was asked and by whom, and a client that sends just what it is told to.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, body::Body, extract::Request, response::Response};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service};
use tower_gateway::RequestContext;

/// Serves the echo behind this layer, in axum, on a free port.
pub async fn behind<L>(layer: L) -> SocketAddr
where
    L: Layer<axum::routing::Route> + Clone + Send + Sync + 'static,
    L::Service:
        Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Future: Send + 'static,
{
    serve(Router::new().fallback(echo).layer(layer)).await
}

/// Serves a router on a free port.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn echo(request: Request) -> Response {
    let context: Option<&RequestContext> = request.extensions().get();
    let identity = context.and_then(RequestContext::identity);
    let fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let seen = json!({
        "uri": request.uri().to_string(),
        "method": identity.map(|identity| identity.method()),
        "claims": identity.and_then(|identity| identity.claims().deserialize::<Value>().ok()),
        "fields": fields,
    });
    Response::new(Body::from(seen.to_string()))
}

/// What a client got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// What the echo has seen.
    pub fn seen(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The subject that the echo has seen.
    pub fn subject(&self) -> String {
        self.seen()["claims"]["sub"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The values of a field in the answer.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

impl Answer {
    /// The values of a field that the echo has seen.
    pub fn field(&self, name: &str) -> Vec<String> {
        let seen = self.seen();
        let fields = seen["fields"].as_array().unwrap();
        let values = fields.iter().filter(|field| field[0] == name);
        values
            .map(|field| field[1].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Sends `GET target` with these lines, byte for byte.
pub async fn get(address: SocketAddr, target: &str, lines: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let text =
        format!("GET {target} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
