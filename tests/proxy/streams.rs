//! Bodies that take their time: each frame passes when it comes, and each end learns when the other is gone.

use http::{HeaderMap, Request, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};

use crate::wire::{Client, PAIRS, Wire, chain, data, frames, next, soon, whole};

fn get() -> Request<crate::wire::Stream> {
    Request::get("/a").body(whole("")).unwrap()
}

fn post(body: crate::wire::Stream) -> Request<crate::wire::Stream> {
    Request::post("/a").body(body).unwrap()
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_sent() {
    for pair in PAIRS {
        let (mut client, mut backend) = chain(pair).await;
        let answer = client.send(get());
        let (events, body) = frames();
        let exchange = backend.next().await;
        let far = if pair.1 == Wire::Http2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        assert_eq!(exchange.request.version(), far);
        let _asked = exchange.answer(body);
        // The head alone arrives too.
        let mut answer = answer.await.unwrap().into_body();
        for number in 0..20 {
            let event = format!("id: {number}\ndata: {number}\n\n");
            events.send(data(event.clone())).unwrap();
            assert_eq!(next(&mut answer).await, event, "{pair:?}");
        }
        drop(events);
        assert!(is_over(&mut answer).await, "{pair:?}");
    }
}

#[tokio::test]
async fn a_byte_arrives_before_the_next_is_sent() {
    for pair in PAIRS {
        let (mut client, mut backend) = chain(pair).await;
        let (sent, body) = frames();
        let answer = client.send(post(body));
        let (echoed, body) = frames();
        let mut arrived = backend.next().await.answer(body);
        let mut answer = answer.await.unwrap().into_body();
        for byte in 0..=255_u8 {
            sent.send(data(vec![byte])).unwrap();
            assert_eq!(next(&mut arrived).await, [byte][..], "{pair:?}");
            echoed.send(data(vec![byte])).unwrap();
            assert_eq!(next(&mut answer).await, [byte][..], "{pair:?}");
        }
        // An answer that is complete would stop the upload.
        drop(sent);
        assert!(is_over(&mut arrived).await, "{pair:?}");
        drop(echoed);
        assert!(is_over(&mut answer).await, "{pair:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_complete_stops_the_upload() {
    for pair in PAIRS {
        let (mut client, mut backend) = chain(pair).await;
        let (sent, body) = frames();
        let answer = client.send(post(body));
        let mut exchange = backend.next().await;
        sent.send(data("begun")).unwrap();
        assert_eq!(next(exchange.request.body_mut()).await, "begun");
        let mut rest = exchange.answer(whole("enough"));
        let answer = answer.await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "enough", "{pair:?}");
        // Neither side is kept waiting by the other.
        soon(pair, sent.closed()).await;
        assert!(soon(pair, is_broken(&mut rest)).await, "{pair:?}");
    }
}

/// Whether a body ends without another byte.
async fn is_over(body: &mut Incoming) -> bool {
    let rest = soon("the end", body.collect()).await;
    rest.is_ok_and(|rest| rest.to_bytes().is_empty())
}

/// Whether a body ends as one that is not complete.
async fn is_broken(body: &mut Incoming) -> bool {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return true;
        }
    }
    false
}

/// How a client goes away.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// It gives the request up.
    Request,
    /// It closes the connection.
    Connection,
}

impl Leave {
    fn go(self, client: &Client, request: impl Sized) {
        match self {
            Self::Request => {
                drop(request);
            }
            Self::Connection => {
                client.leave();
                // The request is not what tells the gateway.
                std::mem::forget(request);
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_download_frees_the_backend() {
    for leave in [Leave::Request, Leave::Connection] {
        for pair in PAIRS {
            let (mut client, mut backend) = chain(pair).await;
            let answer = client.send(get());
            let (sent, body) = frames();
            let _asked = backend.next().await.answer(body);
            let mut answer = answer.await.unwrap().into_body();
            sent.send(data("begun")).unwrap();
            assert_eq!(next(&mut answer).await, "begun", "{pair:?}");
            leave.go(&client, answer);
            soon((pair, leave), sent.closed()).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_upload_breaks_the_backends_body() {
    for leave in [Leave::Request, Leave::Connection] {
        for pair in PAIRS {
            let (mut client, mut backend) = chain(pair).await;
            let (sent, body) = frames();
            let answer = client.send(post(body));
            let mut exchange = backend.next().await;
            sent.send(data("begun")).unwrap();
            let body = exchange.request.body_mut();
            assert_eq!(next(body).await, "begun", "{pair:?}");
            leave.go(&client, answer);
            assert!(
                soon((pair, leave), is_broken(body)).await,
                "{pair:?} {leave:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_backend() {
    for leave in [Leave::Request, Leave::Connection] {
        for pair in PAIRS {
            let (mut client, mut backend) = chain(pair).await;
            let answer = client.send(get());
            let mut exchange = backend.next().await;
            leave.go(&client, answer);
            soon((pair, leave), exchange.answer.closed()).await;
        }
    }
}

#[tokio::test]
async fn an_upload_that_fails_breaks_the_backends_body() {
    for pair in PAIRS {
        let (mut client, mut backend) = chain(pair).await;
        let (sent, body) = frames();
        let _answer = client.send(post(body));
        let mut exchange = backend.next().await;
        sent.send(data("begun")).unwrap();
        assert_eq!(next(exchange.request.body_mut()).await, "begun");
        sent.send(Err("no more".into())).unwrap();
        let body = exchange.request.body_mut();
        assert!(soon(pair, is_broken(body)).await, "{pair:?}");
    }
}

#[tokio::test]
async fn a_download_that_fails_breaks_the_clients_body_and_no_other() {
    for pair in PAIRS {
        let (mut client, mut backend) = chain(pair).await;
        let answer = client.send(get());
        let (sent, body) = frames();
        let _asked = backend.next().await.answer(body);
        let mut answer = answer.await.unwrap().into_body();
        sent.send(data("begun")).unwrap();
        assert_eq!(next(&mut answer).await, "begun", "{pair:?}");
        let mut other = None;
        if pair == (Wire::Http2, Wire::Http2) {
            let answer = client.send(get());
            let (sent, body) = frames();
            let _asked = backend.next().await.answer(body);
            other = Some((sent, answer.await.unwrap().into_body()));
        }
        sent.send(Err("no more".into())).unwrap();
        assert!(soon(pair, is_broken(&mut answer)).await, "{pair:?}");
        if let Some((sent, mut answer)) = other {
            sent.send(data("still there")).unwrap();
            assert_eq!(next(&mut answer).await, "still there");
        }
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let trailers = |value: &str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", value.parse().unwrap());
        Ok(Frame::trailers(trailers))
    };
    for pair in PAIRS {
        let (mut client, mut backend) = chain(pair).await;
        let (sent, body) = frames();
        let mut request = post(body);
        // hyper sends trailers over HTTP/1 when they are announced and asked for.
        let headers = request.headers_mut();
        headers.insert("trailer", "x-trailer".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        let answer = client.send(request);
        sent.send(data("asked")).unwrap();
        sent.send(trailers("of the request")).unwrap();
        drop(sent);
        let mut exchange = backend.next().await;
        let asked = exchange.request.body_mut().collect().await.unwrap();
        let seen = asked.trailers().map(|trailers| &trailers["x-trailer"]);
        assert_eq!(seen.unwrap(), "of the request", "{pair:?}");
        assert_eq!(asked.to_bytes(), "asked", "{pair:?}");

        let (sent, body) = frames();
        sent.send(data("answered")).unwrap();
        sent.send(trailers("of the answer")).unwrap();
        drop(sent);
        let mut response = http::Response::new(body);
        let announced = "x-trailer".parse().unwrap();
        response.headers_mut().insert("trailer", announced);
        exchange.answer.send(response).unwrap();
        let answer = answer.await.unwrap().into_body().collect().await.unwrap();
        let seen = answer.trailers().map(|trailers| &trailers["x-trailer"]);
        assert_eq!(seen.unwrap(), "of the answer", "{pair:?}");
        assert_eq!(answer.to_bytes(), "answered", "{pair:?}");
    }
}
