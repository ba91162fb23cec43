//! gRPC: tonic on both sides of the gateway, in all four forms.

#[cfg(feature = "catch-panic")]
mod errors;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};
use tower_gateway::{Gateway, Route};

use crate::{support, wire::soon};

#[derive(Clone, PartialEq, prost::Message)]
struct Number {
    #[prost(uint64, tag = "1")]
    value: u64,
    #[prost(bytes = "vec", tag = "2")]
    weight: Vec<u8>,
}

fn number(value: u64) -> Number {
    Number {
        value,
        weight: Vec::new(),
    }
}

type Numbers = Pin<Box<dyn Stream<Item = Result<Number, Status>> + Send>>;
type Codec = ProstCodec<Number, Number>;

/// The server, and what it and a test tell each other.
#[derive(Clone, Default)]
struct Server {
    /// The test lets the next message of a stream go.
    next: Arc<Notify>,
    /// A message has arrived.
    arrived: Arc<Notify>,
    /// A call has ended without its answer being complete.
    cancelled: Arc<Notify>,
}

/// Notifies when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Server {
    async fn double(self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let mut answer = Response::new(number(asked.value * 2));
        for name in ["x-asked", "grpc-timeout"] {
            if let Some(value) = metadata.get(name) {
                answer.metadata_mut().insert("x-seen", value.clone());
            }
        }
        if let Some(value) = metadata.get_bin("x-asked-bin") {
            answer
                .metadata_mut()
                .insert_bin("x-seen-bin", value.clone());
        }
        Ok(answer)
    }

    /// Counts up to what was asked for, a number each time that the test allows one.
    async fn count(self, request: Request<Number>) -> Result<Response<Numbers>, Status> {
        let (last, guard) = (request.into_inner().value, Dropped(self.cancelled.clone()));
        let numbers = stream::unfold((1, guard), move |(value, guard)| {
            let next = self.next.clone();
            async move {
                if value > last {
                    return None;
                }
                next.notified().await;
                Some((Ok(number(value)), (value + 1, guard)))
            }
        });
        Ok(Response::new(Box::pin(numbers)))
    }

    async fn sum(self, request: Request<Streaming<Number>>) -> Result<Response<Number>, Status> {
        let mut numbers = request.into_inner();
        let mut sum = 0;
        while let Some(number) = numbers.message().await? {
            sum += number.value;
            self.arrived.notify_one();
        }
        Ok(Response::new(number(sum)))
    }

    async fn echo(self, request: Request<Streaming<Number>>) -> Result<Response<Numbers>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }

    async fn refuse(self, _: Request<Number>) -> Result<Response<Number>, Status> {
        Err(refusal())
    }

    /// Two numbers, and then an error.
    async fn break_off(self, _: Request<Number>) -> Result<Response<Numbers>, Status> {
        let messages = [Ok(number(1)), Ok(number(2)), Err(refusal())];
        Ok(Response::new(Box::pin(stream::iter(messages))))
    }

    async fn never(self, _: Request<Number>) -> Result<Response<Number>, Status> {
        let _guard = Dropped(self.cancelled.clone());
        self.arrived.notify_one();
        std::future::pending().await
    }
}

fn refusal() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("x-why", MetadataValue::from_static("because"));
    let message = "nö: 100% \"no\"\n";
    Status::with_details_and_metadata(
        Code::FailedPrecondition,
        message,
        vec![0, 1, 255].into(),
        metadata,
    )
}

impl tonic::server::NamedService for Server {
    const NAME: &'static str = "t.Numbers";
}

impl Service<http::Request<tonic::body::Body>> for Server {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Codec::default());
            let method = request.uri().path().rsplit('/').next().map(str::to_owned);
            Ok(match method.as_deref() {
                Some("Double") => {
                    grpc.unary(service_fn(move |r| this.clone().double(r)), request)
                        .await
                }
                Some("Refuse") => {
                    grpc.unary(service_fn(move |r| this.clone().refuse(r)), request)
                        .await
                }
                Some("Never") => {
                    grpc.unary(service_fn(move |r| this.clone().never(r)), request)
                        .await
                }
                Some("Count") => {
                    let count = service_fn(move |r| this.clone().count(r));
                    grpc.server_streaming(count, request).await
                }
                Some("BreakOff") => {
                    let break_off = service_fn(move |r| this.clone().break_off(r));
                    grpc.server_streaming(break_off, request).await
                }
                Some("Sum") => {
                    let sum = service_fn(move |r| this.clone().sum(r));
                    grpc.client_streaming(sum, request).await
                }
                Some("Echo") => {
                    grpc.streaming(service_fn(move |r| this.clone().echo(r)), request)
                        .await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

type Client = tonic::client::Grpc<Channel>;

/// A server, and a client of the gateway in front of it.
async fn start() -> (Server, Client) {
    let server = Server::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = listener.local_addr().unwrap();
    let serve = tonic::transport::Server::builder().add_service(server.clone());
    tokio::spawn(serve.serve_with_incoming(TcpListenerStream::new(listener)));
    let gateway = Gateway::builder()
        .upstream("backend", support::upstream(backend).http2_only())
        .route(Route::post("/t.Numbers/{method}").to("backend"))
        .build()
        .unwrap();
    let url = format!("http://{}", support::serve(gateway).await);
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    (server, client)
}

fn method(name: &str) -> PathAndQuery {
    format!("/t.Numbers/{name}").parse().unwrap()
}

async fn message(numbers: &mut Streaming<Number>) -> Result<Option<Number>, Status> {
    soon("a message", numbers.message()).await
}

/// Messages that a test sends one by one.
fn messages() -> (
    mpsc::UnboundedSender<Number>,
    Request<UnboundedReceiverStream<Number>>,
) {
    let (send, receive) = mpsc::unbounded_channel();
    (send, Request::new(UnboundedReceiverStream::new(receive)))
}

#[tokio::test]
async fn unary_with_metadata_both_ways() {
    let (_, mut client) = start().await;
    let mut request = Request::new(number(21));
    request
        .metadata_mut()
        .insert("x-asked", MetadataValue::from_static("text"));
    let bytes = MetadataValue::from_bytes(&[0, 200, 255]);
    request.metadata_mut().insert_bin("x-asked-bin", bytes);
    let answer = client
        .unary(request, method("Double"), Codec::default())
        .await
        .unwrap();
    assert_eq!(answer.metadata().get("x-seen").unwrap(), "text");
    let seen = answer.metadata().get_bin("x-seen-bin").unwrap();
    assert_eq!(seen.to_bytes().unwrap().as_ref(), [0, 200, 255]);
    assert_eq!(answer.into_inner(), number(42));
}

#[tokio::test]
async fn server_streaming_message_by_message() {
    let (server, mut client) = start().await;
    let answer = client
        .server_streaming(Request::new(number(3)), method("Count"), Codec::default())
        .await
        .unwrap();
    let mut numbers = answer.into_inner();
    for value in 1..=3 {
        server.next.notify_one();
        assert_eq!(message(&mut numbers).await.unwrap(), Some(number(value)));
    }
    assert_eq!(message(&mut numbers).await.unwrap(), None);
}

#[tokio::test]
async fn client_streaming_message_by_message() {
    let (server, mut client) = start().await;
    let (send, request) = messages();
    let sending = async {
        for value in [20, 1, 21] {
            send.send(number(value)).unwrap();
            soon("a message", server.arrived.notified()).await;
        }
        drop(send);
    };
    let answer = client.client_streaming(request, method("Sum"), Codec::default());
    let (answer, ()) = futures_util::join!(answer, sending);
    assert_eq!(answer.unwrap().into_inner(), number(42));
}

#[tokio::test]
async fn bidirectional_streaming_answers_each_message_before_the_next() {
    let (_, mut client) = start().await;
    let (send, request) = messages();
    let answer = client.streaming(request, method("Echo"), Codec::default());
    let mut numbers = soon("an answer", answer).await.unwrap().into_inner();
    for value in 1..=10 {
        send.send(number(value)).unwrap();
        assert_eq!(message(&mut numbers).await.unwrap(), Some(number(value)));
    }
    drop(send);
    assert_eq!(message(&mut numbers).await.unwrap(), None);
}

#[tokio::test]
async fn many_large_messages() {
    let (_, mut client) = start().await;
    let large = |value: u64| Number {
        value,
        weight: vec![value as u8; 1 << 20],
    };
    let request = Request::new(stream::iter((0..32).map(large)));
    let answer = client.streaming(request, method("Echo"), Codec::default());
    let mut numbers = soon("an answer", answer).await.unwrap().into_inner();
    for value in 0..32 {
        let got = message(&mut numbers).await.unwrap().unwrap();
        assert!(got == large(value), "{value}");
    }
    assert_eq!(message(&mut numbers).await.unwrap(), None);
}

#[tokio::test]
async fn a_status_comes_through_whole() {
    fn check(status: &Status) {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.message(), "nö: 100% \"no\"\n");
        assert_eq!(status.details(), [0, 1, 255]);
        assert_eq!(status.metadata().get("x-why").unwrap(), "because");
    }
    let (_, mut client) = start().await;
    // In the head of an answer without a body.
    let refused = client.unary(Request::new(number(0)), method("Refuse"), Codec::default());
    check(&refused.await.unwrap_err());

    // In the trailers.
    client.ready().await.unwrap();
    let request = Request::new(number(0));
    let answer = client.server_streaming(request, method("BreakOff"), Codec::default());
    let messages: Vec<Result<Number, Status>> = soon("an answer", answer)
        .await
        .unwrap()
        .into_inner()
        .collect()
        .await;
    let [Ok(one), Ok(two), Err(status)] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!((one.value, two.value), (1, 2));
    check(status);

    client.ready().await.unwrap();
    let unknown = client.unary(Request::new(number(0)), method("Nothing"), Codec::default());
    assert_eq!(unknown.await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_client_that_cancels_ends_the_servers_call_and_no_other() {
    let (server, mut client) = start().await;
    let (send, request) = messages();
    let mut other = client.clone();
    other.ready().await.unwrap();
    let echo = other.streaming(request, method("Echo"), Codec::default());
    let mut echoed = soon("an answer", echo).await.unwrap().into_inner();

    // Before the head of the answer.
    let never = client.unary(Request::new(number(0)), method("Never"), Codec::default());
    let never: Result<Response<Number>, Status> = tokio::select! {
        answer = never => answer,
        () = server.arrived.notified() => Err(Status::cancelled("by the client")),
    };
    never.unwrap_err();
    soon("the call ends", server.cancelled.notified()).await;

    // Between two messages.
    client.ready().await.unwrap();
    let request = Request::new(number(u64::MAX));
    let count = client.server_streaming(request, method("Count"), Codec::default());
    let mut numbers: Streaming<Number> = soon("an answer", count).await.unwrap().into_inner();
    server.next.notify_one();
    assert_eq!(message(&mut numbers).await.unwrap(), Some(number(1)));
    drop(numbers);
    soon("the call ends", server.cancelled.notified()).await;

    send.send(number(7)).unwrap();
    assert_eq!(message(&mut echoed).await.unwrap(), Some(number(7)));
}

#[tokio::test]
async fn a_deadline_reaches_the_server() {
    let (server, mut client) = start().await;
    let mut request = Request::new(number(1));
    request.set_timeout(std::time::Duration::from_secs(100));
    let answer: Response<Number> = client
        .unary(request, method("Double"), Codec::default())
        .await
        .unwrap();
    assert_eq!(answer.metadata().get("x-seen").unwrap(), "100000m");

    client.ready().await.unwrap();
    let mut request = Request::new(number(1));
    request.set_timeout(std::time::Duration::from_millis(50));
    let late = client.unary(request, method("Never"), Codec::default());
    let late: Result<Response<Number>, Status> = late.await;
    let code = late.unwrap_err().code();
    assert!(
        matches!(code, Code::Cancelled | Code::DeadlineExceeded),
        "{code}"
    );
    soon("the call ends", server.cancelled.notified()).await;
}
