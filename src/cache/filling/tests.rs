use std::{pin::pin, task::Poll, time::Duration};

use futures_util::FutureExt;
use http::HeaderValue;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;

type Sent = UnboundedSender<Result<Frame<Bytes>, Error>>;

fn channel() -> (Sent, Body) {
    let (sender, mut receiver) = unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (sender, Body::new(StreamBody::new(stream)))
}

fn data(text: impl Into<Bytes>) -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(text.into()))
}

fn filling(body: Body) -> Filling {
    Filling::new(body, Budget::new(1 << 20), 1 << 20)
}

async fn next(reader: &mut Reader) -> Option<Bytes> {
    Some(reader.frame().await?.unwrap().into_data().unwrap())
}

fn is_waiting(reader: &mut Reader) -> bool {
    reader.frame().now_or_never().is_none()
}

#[tokio::test]
async fn each_reads_all_at_its_own_pace() {
    let (sender, body) = channel();
    let filling = filling(body);
    let mut quick = filling.join().unwrap();
    sender.send(data("ab")).unwrap();
    assert_eq!(next(&mut quick).await.unwrap(), "ab");
    assert!(is_waiting(&mut quick));
    // Who comes later has the beginning too, and asks the body as well.
    let mut slow = filling.join().unwrap();
    sender.send(data("")).unwrap();
    sender.send(data("cd")).unwrap();
    assert_eq!(next(&mut slow).await.unwrap(), "ab");
    assert_eq!(next(&mut slow).await.unwrap(), "cd");
    assert_eq!(next(&mut quick).await.unwrap(), "cd");
    drop(sender);
    assert_eq!(next(&mut quick).await, None);
    assert!(quick.is_end_stream() && slow.is_end_stream());
    let late = filling.join().unwrap();
    assert_eq!(late.collect().await.unwrap().to_bytes(), "abcd");
}

#[tokio::test]
async fn whoever_waits_is_woken_whoever_else_has_asked_last() {
    let (sender, body) = channel();
    let filling = filling(body);
    let waits = filling.join().unwrap();
    let waits = tokio::spawn(waits.collect());
    tokio::task::yield_now().await;
    let mut leaves = filling.join().unwrap();
    assert!(is_waiting(&mut leaves));
    drop(leaves);
    sender.send(data("ab")).unwrap();
    drop(sender);
    let read = waits.await.unwrap().unwrap();
    assert_eq!(read.to_bytes(), "ab");
}

#[tokio::test]
async fn a_body_that_breaks_breaks_for_all() {
    let (sender, body) = channel();
    let filling = filling(body);
    let (client, keeper) = (filling.join().unwrap(), filling.keeper().unwrap());
    sender.send(data("ab")).unwrap();
    let broken = Error::new(ErrorKind::Incomplete);
    sender.send(Err(broken)).unwrap();
    for reader in [client, keeper] {
        let error = reader.collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete);
    }
    assert!(filling.join().is_none());
}

#[tokio::test]
async fn trailers_and_length_are_each_readers() {
    let (sender, body) = channel();
    let filling = filling(body);
    let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))]);
    let (a, b) = (filling.join().unwrap(), filling.join().unwrap());
    sender.send(data("ab")).unwrap();
    sender.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    for reader in [a, b] {
        let read = reader.collect().await.unwrap();
        assert_eq!(read.trailers(), Some(&trailers));
        assert_eq!(read.to_bytes(), "ab");
    }
    let whole = Filling::new(Body::from("abc"), Budget::new(1 << 20), 1 << 20);
    let mut reader = whole.join().unwrap();
    assert_eq!(reader.size_hint().exact(), Some(3));
    next(&mut reader).await.unwrap();
    assert_eq!(reader.size_hint().exact(), Some(0));
}

#[tokio::test]
async fn what_is_too_large_passes_and_is_not_kept() {
    let (sender, body) = channel();
    let budget = Budget::new(1 << 30);
    let filling = Filling::new(body, budget.clone(), 100_000);
    let (mut quick, mut slow) = (filling.join().unwrap(), filling.join().unwrap());
    let mut keeper = filling.keeper().unwrap();
    let chunk = || data(vec![7; 50_000]);
    for _ in 0..2 {
        sender.send(chunk()).unwrap();
        next(&mut quick).await.unwrap();
        next(&mut keeper).await.unwrap();
    }
    assert!(filling.join().is_some());
    assert_eq!(budget.left(), (1 << 30) - 100_000);
    for _ in 0..3 {
        sender.send(chunk()).unwrap();
        next(&mut quick).await.unwrap();
    }
    assert!(keeper.frame().await.unwrap().is_err());
    assert!(filling.join().is_none());
    drop(keeper);
    // Up to 256 KiB behind is near enough.
    next(&mut slow).await.unwrap();
    for _ in 0..3 {
        sender.send(chunk()).unwrap();
        next(&mut quick).await.unwrap();
    }
    assert!(slow.frame().await.unwrap().is_err());
    drop((quick, slow, filling));
    assert_eq!(budget.left(), 1 << 30);
}

#[tokio::test]
async fn one_reader_alone_keeps_nothing_of_what_is_too_large() {
    let (sender, body) = channel();
    let filling = Filling::new(body, Budget::new(0), 1 << 20);
    let mut reader = filling.join().unwrap();
    for _ in 0..10 {
        sender.send(data(vec![7; 50_000])).unwrap();
        next(&mut reader).await.unwrap();
        assert!(filling.0.lock().kept <= 50_000);
    }
}

#[tokio::test]
async fn the_store_goes_on_alone_if_most_of_it_is_there() {
    for (come, goes_on) in [(49, false), (50, true)] {
        let text = [7; 100];
        let (sender, body) = channel();
        let body = Body::boxed(WithLength(body, 100));
        let filling = filling(body);
        let mut client = filling.join().unwrap();
        let mut keeper = pin!(filling.keeper().unwrap().collect());
        sender.send(data(text[..come].to_vec())).unwrap();
        next(&mut client).await.unwrap();
        assert!(keeper.as_mut().now_or_never().is_none());
        assert!(filling.is_alone().now_or_never().is_none());
        drop(client);
        filling.is_alone().await;
        sender.send(data(text[come..].to_vec())).unwrap();
        drop(sender);
        assert_eq!(keeper.await.is_ok(), goes_on, "{come}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_breaks_for_those_who_wait() {
    let body = StreamBody::new(futures_util::stream::poll_fn(
        |_| -> Poll<Option<Result<Frame<Bytes>, Error>>> { panic!("it does that") },
    ));
    let filling = filling(Body::new(body));
    let (mut one, other) = (filling.join().unwrap(), filling.join().unwrap());
    let waits = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.collect().await.is_err()
    });
    let panics = tokio::spawn(async move { one.frame().await.is_some() });
    assert!(panics.await.is_err());
    assert!(waits.await.unwrap());
}

struct WithLength(Body, u64);

impl http_body::Body for WithLength {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.1)
    }
}
