//! A client, the gateway and a backend that speak HTTP/1.1 or HTTP/2, with the test as both ends.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
    rt::Executor as _,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpSocket,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower_gateway::{BoxError, Route, Upstream};

use crate::support;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Http1,
    Http2,
}

/// What the client speaks, and what the backend speaks.
pub const PAIRS: [(Wire, Wire); 4] = [
    (Wire::Http1, Wire::Http1),
    (Wire::Http1, Wire::Http2),
    (Wire::Http2, Wire::Http1),
    (Wire::Http2, Wire::Http2),
];

pub type Stream = UnsyncBoxBody<Bytes, BoxError>;

/// Sends the frames of a body one by one; `closed` tells when nobody wants them any more.
pub type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;

/// A body of frames that are yet to come.
pub fn frames() -> (Frames, Stream) {
    let (send, receive) = mpsc::unbounded_channel();
    let body = StreamBody::new(UnboundedReceiverStream::new(receive));
    (send, body.boxed_unsync())
}

/// A body that is there already.
pub fn whole(text: impl Into<Bytes>) -> Stream {
    http_body_util::Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub fn data(text: impl Into<Bytes>) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(text.into()))
}

/// Waits for what happens at once if it happens at all.
pub async fn soon<T>(what: impl std::fmt::Debug, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(10), wait).await {
        Ok(value) => value,
        Err(_) => panic!("nothing has happened: {what:?}"),
    }
}

/// The next frame's bytes.
pub async fn next(body: &mut Incoming) -> Bytes {
    let frame = soon("a frame", body.frame()).await;
    frame.unwrap().unwrap().into_data().unwrap()
}

/// The client's connection to a gateway.
pub struct Client {
    sender: Sender,
    tasks: Tasks,
}

enum Sender {
    Http1(http1::SendRequest<Stream>),
    Http2(http2::SendRequest<Stream>),
}

/// What runs the connection.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().unwrap().spawn(task.map(drop));
    }
}

impl Client {
    async fn connect(wire: Wire, socket: TcpSocket, gateway: std::net::SocketAddr) -> Self {
        let io = TokioIo::new(socket.connect(gateway).await.unwrap());
        let tasks = Tasks::default();
        let sender = match wire {
            Wire::Http1 => {
                let (sender, connection) = http1::handshake(io).await.unwrap();
                tasks.execute(connection);
                Sender::Http1(sender)
            }
            Wire::Http2 => {
                let (sender, connection) = http2::handshake(tasks.clone(), io).await.unwrap();
                tasks.execute(connection);
                Sender::Http2(sender)
            }
        };
        Self { sender, tasks }
    }

    /// Sends a request at once; the answer can be waited for later. Dropping it cancels the request.
    pub fn send(
        &mut self,
        mut request: Request<Stream>,
    ) -> BoxFuture<'static, hyper::Result<Response<Incoming>>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                let host = header::HeaderValue::from_static("t.example");
                request.headers_mut().insert(header::HOST, host);
                soon("an answer", sender.send_request(request)).boxed()
            }
            Sender::Http2(sender) => {
                let uri = format!("http://t.example{}", request.uri());
                *request.uri_mut() = uri.parse::<Uri>().unwrap();
                soon("an answer", sender.send_request(request)).boxed()
            }
        }
    }

    /// Closes the connection, whatever is under way.
    pub fn leave(&self) {
        self.tasks.0.lock().unwrap().abort_all();
    }
}

/// What arrives at the backend.
pub struct Backend(mpsc::UnboundedReceiver<Exchange>);

/// A request at the backend. `answer` is closed when nobody waits for it any more.
pub struct Exchange {
    pub request: Request<Incoming>,
    pub answer: oneshot::Sender<Response<Stream>>,
}

impl Backend {
    pub async fn next(&mut self) -> Exchange {
        soon("a request", self.0.recv()).await.unwrap()
    }
}

impl Exchange {
    /// Answers 200; what remains is the request's body.
    pub fn answer(self, body: Stream) -> Incoming {
        self.answer.send(Response::new(body)).unwrap();
        self.request.into_body()
    }
}

/// A client of a gateway in front of a backend.
pub async fn chain(pair: (Wire, Wire)) -> (Client, Backend) {
    chain_of(pair, || TcpSocket::new_v4().unwrap()).await
}

/// The same over these sockets. What a socket that listens is set to, those are that it accepts.
pub async fn chain_of(pair: (Wire, Wire), socket: fn() -> TcpSocket) -> (Client, Backend) {
    link(pair, socket, |route| route, |upstream| upstream).await
}

/// The same with a route and an upstream that are set so.
pub async fn chain_with(
    pair: (Wire, Wire),
    route: impl FnOnce(Route) -> Route,
    upstream: impl FnOnce(Upstream) -> Upstream,
) -> (Client, Backend) {
    link(pair, || TcpSocket::new_v4().unwrap(), route, upstream).await
}

async fn link(
    (near, far): (Wire, Wire),
    socket: fn() -> TcpSocket,
    route: impl FnOnce(Route) -> Route,
    set: impl FnOnce(Upstream) -> Upstream,
) -> (Client, Backend) {
    let listen = || {
        let socket = socket();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        socket.listen(16).unwrap()
    };
    let (exchanges, backend) = mpsc::unbounded_channel();
    let address = support::raw_backend_on(listen(), move |_, stream| {
        let exchanges = exchanges.clone();
        let service = service_fn(move |request| {
            let (answer, answered) = oneshot::channel();
            exchanges.send(Exchange { request, answer }).unwrap();
            // An exchange that the test drops breaks the connection.
            answered
        });
        async move {
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    });
    let upstream = match far {
        Wire::Http1 => support::upstream(address),
        Wire::Http2 => support::upstream(address).http2_only(),
    };
    let gateway = support::one_route(route(Route::new("/{*rest}")), set(upstream));
    let gateway = support::serve_on(listen(), gateway);
    let client = Client::connect(near, socket(), gateway).await;
    (client, Backend(backend))
}
