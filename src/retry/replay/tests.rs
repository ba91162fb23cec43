use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::task::noop_waker_ref;
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 10;

/// What a source gives with each poll.
#[derive(Clone, Debug)]
enum Give {
    Data(Vec<u8>),
    Pending,
    Trailers(usize),
    Failure,
}

fn source(gives: &[Give]) -> Body {
    let mut gives: VecDeque<_> = gives.iter().cloned().collect();
    Body::new(StreamBody::new(futures_util::stream::poll_fn(move |cx| {
        Poll::Ready(match gives.pop_front() {
            None => None,
            Some(Give::Data(data)) => Some(Ok::<_, Error>(Frame::data(Bytes::from(data)))),
            Some(Give::Trailers(size)) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("t", "x".repeat(size).parse().unwrap());
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Give::Failure) => Some(Err(ErrorKind::ClientGone.into())),
            Some(Give::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    })))
}

fn data(text: &str) -> Give {
    Give::Data(text.as_bytes().to_vec())
}

/// What a reader gives within so many polls: bytes, trailers as `|t`, the end as `.`, an error as `!`.
fn read(body: &mut Body, polls: usize) -> String {
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut seen = String::new();
    for _ in 0..polls {
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(None) => return seen + ".",
            Poll::Ready(Some(Err(_))) => return seen + "!",
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => seen.push_str(std::str::from_utf8(&data).unwrap()),
                Err(_) => seen.push_str("|t"),
            },
        }
    }
    seen
}

#[test]
fn a_second_reader_gets_what_the_first_one_got_and_then_the_rest() {
    use Give::{Failure, Pending, Trailers};
    // What the source gives, how often the first reader asks, what it gets; and what a second one gets, unless the first
    // was the only chance.
    let cases: [(&[Give], usize, &str, Option<&str>); 15] = [
        (&[data("ab"), data("cd")], 9, "abcd.", Some("abcd.")),
        (&[data("ab"), data("cd")], 2, "abcd", Some("abcd.")),
        (&[data("ab"), data("cd")], 1, "ab", Some("abcd.")),
        (&[data("ab"), data("cd")], 0, "", Some("abcd.")),
        (&[data("ab"), Pending, data("cd")], 2, "ab", Some("abcd.")),
        (&[data(""), data("ab")], 9, "ab.", Some("ab.")),
        (&[data("ab"), Trailers(1)], 9, "ab|t.", Some("ab|t.")),
        (&[data("ab"), Trailers(1)], 2, "ab|t", Some("ab|t.")),
        (&[data("ab"), Trailers(1)], 1, "ab", Some("ab|t.")),
        (&[data("ab"), Trailers(99)], 9, "ab|t.", None),
        (&[data("0123456789")], 9, "0123456789.", Some("0123456789.")),
        (&[data("0123456789"), data("a")], 9, "0123456789a.", None),
        (&[data("0123456789a")], 0, "", Some("0123456789a.")),
        (&[data("0123456789a")], 1, "0123456789a", None),
        (&[data("ab"), Failure], 9, "ab!", None),
    ];
    for (gives, polls, first, second) in cases {
        let recording = Recording::new(source(gives), LIMIT);
        let mut body = recording.first();
        assert_eq!(read(&mut body, polls), first, "{gives:?}");
        drop(body);
        assert_eq!(recording.is_replayable(), second.is_some(), "{gives:?}");
        if let Some(second) = second {
            assert_eq!(read(&mut recording.again(), 99), second, "{gives:?}");
        }
    }
}

#[test]
fn a_body_that_says_it_is_too_large_is_not_recorded_but_can_be_handed_on_unread() {
    let recording = Recording::new(Body::from("0123456789a"), LIMIT);
    assert_eq!(recording.lock().left, 0);
    drop(recording.first());
    let mut second = recording.again();
    assert_eq!(second.size_hint().exact(), Some(11));
    assert_eq!(read(&mut second, 9), "0123456789a.");
    assert!(!recording.is_replayable());
    assert_eq!(recording.lock().fresh.capacity(), 0);
}

#[test]
fn a_reader_whose_place_was_taken_reads_no_more() {
    struct Counting(Arc<AtomicUsize>);
    impl std::task::Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let gives = [data("ab"), Give::Pending, data("cd"), data("ef")];
    let recording = Recording::new(source(&gives), LIMIT);
    let mut old = recording.first();
    assert_eq!(read(&mut old, 1), "ab");
    let woken = Arc::new(AtomicUsize::new(0));
    let waker = Waker::from(Arc::new(Counting(woken.clone())));
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut old).poll_frame(&mut cx).is_pending());
    let before = woken.load(Ordering::SeqCst);
    let mut new = recording.again();
    assert_eq!(
        woken.load(Ordering::SeqCst),
        before + 1,
        "the old one is told"
    );
    assert_eq!(read(&mut new, 2), "abcd");
    assert_eq!(read(&mut old, 1), "!");
    assert!(!old.is_end_stream());
    assert_eq!(read(&mut new, 9), "ef.");
    assert_eq!(read(&mut old, 1), "!");
}

#[test]
fn two_can_read_what_is_complete() {
    let recording = Recording::new(source(&[data("ab"), Give::Trailers(1)]), LIMIT);
    let mut first = recording.first();
    assert_eq!(read(&mut first, 1), "ab");
    assert!(!recording.is_complete());
    assert_eq!(read(&mut first, 1), "|t");
    assert!(recording.is_complete());
    let mut second = recording.beside();
    drop(recording);
    assert_eq!(read(&mut first, 9), ".");
    assert_eq!(
        read(&mut second, 9),
        "ab|t.",
        "also when the answer is there"
    );
}

#[test]
fn what_nobody_will_send_again_is_not_kept() {
    let recording = Recording::new(source(&[data("ab"), data("cd"), data("ef")]), LIMIT);
    let mut body = recording.first();
    let tape = recording.0.clone();
    assert_eq!(read(&mut body, 1), "ab");
    assert_eq!(lock(&tape).fresh.len(), 2);
    drop(recording);
    assert_eq!(lock(&tape).fresh.capacity(), 0);
    assert_eq!(read(&mut body, 9), "cdef.");
    assert_eq!(lock(&tape).fresh.capacity(), 0);
}

#[test]
fn a_source_that_panics_is_not_replayed() {
    let panicking =
        futures_util::stream::poll_fn(|_| -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            panic!("on purpose")
        });
    let recording = Recording::new(Body::new(StreamBody::new(panicking)), LIMIT);
    let mut body = recording.first();
    let read_it = std::panic::AssertUnwindSafe(|| read(&mut body, 1));
    assert!(std::panic::catch_unwind(read_it).is_err());
    assert!(!recording.is_replayable());
}

#[tokio::test]
async fn hints_and_frames_are_those_of_the_source() {
    let whole = Body::new(http_body_util::Full::new(Bytes::from("abcd")));
    let recording = Recording::new(whole, LIMIT);
    let mut first = recording.first();
    assert_eq!(
        (first.size_hint().exact(), first.is_end_stream()),
        (Some(4), false)
    );
    assert_eq!(
        first.frame().await.unwrap().unwrap().into_data().unwrap(),
        "abcd"
    );
    assert_eq!(
        (first.size_hint().exact(), first.is_end_stream()),
        (Some(0), true)
    );
    let second = recording.again();
    assert_eq!(
        (second.size_hint().exact(), second.is_end_stream()),
        (Some(4), false)
    );
    assert_eq!(second.collect().await.unwrap().to_bytes(), "abcd");
}

fn give() -> impl Strategy<Value = Give> {
    prop_oneof![
        4 => prop::collection::vec(b'a'..=b'z', 0..6).prop_map(Give::Data),
        1 => Just(Give::Pending),
    ]
}

proptest! {
    /// However often it is begun again, and wherever, each reader gets a beginning of the source, and the one that is let
    /// read on gets all of it; the memory is within the limit.
    #[test]
    fn no_reader_ever_gets_anything_else_or_less(
        gives in prop::collection::vec(give(), 0..8),
        trailers: bool,
        polls in prop::collection::vec(0_usize..12, 1..5),
    ) {
        let mut gives = gives;
        if trailers {
            gives.push(Give::Trailers(2));
        }
        let whole = read(&mut source(&gives), 99);
        let recording = Recording::new(source(&gives), LIMIT);
        let mut body = recording.first();
        for polls in polls {
            let got = read(&mut body, polls);
            prop_assert!(whole.starts_with(&got), "{got} of {whole}");
            {
                let tape = recording.lock();
                prop_assert!(tape.recorded() + tape.fresh.capacity() <= LIMIT);
            }
            if !recording.is_replayable() {
                prop_assert!(got.len() + 2 > LIMIT);
                let rest = match got.ends_with('.') {
                    true => String::new(),
                    false => read(&mut body, 99),
                };
                prop_assert_eq!(got + &rest, whole);
                return Ok(());
            }
            body = recording.again();
        }
        prop_assert_eq!(read(&mut body, 99), whole);
    }
}
