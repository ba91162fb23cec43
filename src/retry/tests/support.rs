//! A backend that answers as it is told to, and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::Service;

use crate::{
    body::Body,
    clock,
    context::RequestContext,
    error::{Error, ErrorKind},
};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// What becomes of a try.
#[derive(Clone, Debug)]
pub enum Act {
    Status(u16),
    /// 503, and when to come back.
    RetryAfter(u16, &'static str),
    Fail(ErrorKind),
    /// Reads the body first.
    Read(Box<Act>),
    After(Duration, Box<Act>),
    Never,
    Panic,
}

pub use Act::*;

pub fn after(delay: Duration, act: Act) -> Act {
    After(delay, act.into())
}

pub fn read(act: Act) -> Act {
    Read(act.into())
}

/// Clones share what they know, but not their readiness: the one that is called has to be the one that was asked.
pub struct Backend {
    shared: Arc<Mutex<Shared>>,
    is_ready: bool,
}

#[derive(Default)]
struct Shared {
    acts: VecDeque<Act>,
    usual: Option<Act>,
    seen: Vec<(Duration, Request<()>)>,
    bodies: Vec<Result<String, ErrorKind>>,
    start: Option<std::time::Instant>,
    dropped: usize,
}

impl Backend {
    /// Acts so with the tries, in their order; then answers 200.
    pub fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let shared = Shared {
            acts: acts.into_iter().collect(),
            start: Some(clock::now()),
            ..Shared::default()
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            is_ready: false,
        }
    }

    /// Acts so with each try.
    pub fn always(act: Act) -> Self {
        let backend = Self::new([]);
        backend.shared.lock().unwrap().usual = Some(act);
        backend
    }

    /// Acts so with the next try.
    pub fn push(&self, act: Act) {
        self.shared.lock().unwrap().acts.push_back(act);
    }

    /// How many tries there were.
    pub fn count(&self) -> usize {
        self.shared.lock().unwrap().seen.len()
    }

    /// When the tries came, in milliseconds.
    pub fn times(&self) -> Vec<u128> {
        let shared = self.shared.lock().unwrap();
        shared.seen.iter().map(|(at, _)| at.as_millis()).collect()
    }

    pub fn heads(&self) -> Vec<Request<()>> {
        let shared = self.shared.lock().unwrap();
        shared.seen.iter().map(|(_, head)| head.clone()).collect()
    }

    /// The bodies that were read.
    pub fn bodies(&self) -> Vec<Result<String, ErrorKind>> {
        self.shared.lock().unwrap().bodies.clone()
    }

    /// How many tries were dropped before they had ended.
    pub fn dropped(&self) -> usize {
        self.shared.lock().unwrap().dropped
    }
}

impl Clone for Backend {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            is_ready: false,
        }
    }
}

struct Running(Option<Arc<Mutex<Shared>>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared
                .lock()
                .unwrap_or_else(|poison| poison.into_inner())
                .dropped += 1;
        }
    }
}

impl Service<Request<Body>> for Backend {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it was not asked");
        let shared = self.shared.clone();
        let (parts, body) = request.into_parts();
        let act = {
            let mut state = shared.lock().unwrap();
            let since = clock::now() - state.start.unwrap();
            state.seen.push((since, Request::from_parts(parts, ())));
            let usual = state.usual.clone().unwrap_or(Status(200));
            state.acts.pop_front().unwrap_or(usual)
        };
        Box::pin(async move {
            let mut running = Running(Some(shared.clone()));
            let answer = perform(act, body, &shared).await;
            running.0 = None;
            answer
        })
    }
}

async fn perform(
    mut act: Act,
    body: Body,
    shared: &Mutex<Shared>,
) -> Result<Response<Body>, Error> {
    let mut body = Some(body);
    let answer = |status: u16| {
        let mut response = Response::new(Body::from("an answer"));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    };
    loop {
        act = match act {
            Status(status) => return Ok(answer(status)),
            RetryAfter(status, delay) => {
                let mut response = answer(status);
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, delay.parse().unwrap());
                return Ok(response);
            }
            Fail(kind) => return Err(kind.into()),
            Read(act) => {
                let read = body.take().unwrap().collect().await;
                let told = match read {
                    Ok(read) => {
                        let trailers = match read.trailers() {
                            Some(_) => "|t",
                            None => "",
                        };
                        let data = read.to_bytes();
                        Ok(String::from_utf8_lossy(&data).into_owned() + trailers)
                    }
                    Err(error) => Err(error),
                };
                let mut shared = shared.lock().unwrap();
                shared
                    .bodies
                    .push(told.as_ref().map_err(Error::kind).cloned());
                drop(shared);
                told?;
                *act
            }
            After(delay, act) => {
                tokio::time::sleep(delay).await;
                *act
            }
            Never => std::future::pending().await,
            // Without a word on the terminal.
            Panic => std::panic::resume_unwind(Box::new("on purpose")),
        };
    }
}

pub fn request(method: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .body(Body::empty())
        .unwrap()
}

/// A request whose answer has to be there in this time.
pub fn within(limit: Duration, mut request: Request<Body>) -> Request<Body> {
    let context = request
        .extensions_mut()
        .get_or_insert_default::<RequestContext>();
    context.limit_deadline(clock::now() + limit);
    request
}

/// An upload that goes on until the sender is dropped.
pub fn upload() -> (tokio::sync::mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        let data: Bytes = receiver.recv().await?;
        Some((Ok::<_, Error>(Frame::data(data)), receiver))
    });
    (sender, Body::new(StreamBody::new(Box::pin(frames))))
}
