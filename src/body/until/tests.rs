use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::Poll,
};

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};

use super::*;
use crate::body::{End, Witness};

const SECOND: Duration = Duration::from_secs(1);

/// Counts the bodies that ended: whole, broken, dropped.
#[derive(Clone, Default)]
struct Ends(Arc<[AtomicUsize; 3]>);

impl Witness for Ends {
    fn end(self, end: End<'_>) {
        let which = match end {
            End::Complete => 0,
            End::Broken(_) => 1,
            End::Dropped => 2,
        };
        self.0[which].fetch_add(1, SeqCst);
    }
}

impl Ends {
    fn all(&self) -> [usize; 3] {
        [0, 1, 2].map(|which| self.0[which].load(SeqCst))
    }
}

fn frame() -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(Bytes::from_static(b"x")))
}

/// A frame after each of these waits, and then what comes at the end.
fn frames(waits: Vec<Duration>, last: Option<Error>) -> Body {
    let steps = waits.into_iter().map(Ok).chain(last.map(Err));
    let frames = stream::unfold(steps.collect::<Vec<_>>().into_iter(), |mut left| async {
        match left.next()? {
            Ok(wait) if wait.is_zero() => Some((frame(), left)),
            Ok(wait) => {
                tokio::time::sleep(wait).await;
                Some((frame(), left))
            }
            Err(error) => Some((Err(error), left)),
        }
    });
    Body::new(StreamBody::new(Box::pin(frames)))
}

fn held(body: Body, seconds: u32) -> (Body, Ends) {
    let ends = Ends::default();
    let body = body.watched(ends.clone());
    let end = clock::now() + SECOND * seconds;
    (body.until(end, Timer::new()), ends)
}

/// As a server that can not write does.
async fn leave_alone(seconds: u32) {
    tokio::time::sleep(SECOND * seconds).await;
    // Whoever is woken by then has run.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_let_go_in_time() {
    for reads in 0..3 {
        let (mut body, ends) = held(frames(vec![Duration::ZERO; 9], None), 5);
        for _ in 0..reads {
            assert!(body.frame().await.unwrap().is_ok());
        }
        leave_alone(4).await;
        assert_eq!(ends.all(), [0, 0, 0], "{reads}");
        leave_alone(2).await;
        assert_eq!(ends.all(), [0, 0, 1], "{reads}");
        assert!(!body.is_end_stream());
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline);
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_told_in_time() {
    let start = clock::now();
    let (mut body, ends) = held(frames(vec![SECOND * 2, SECOND * 9], None), 5);
    assert!(body.frame().await.unwrap().is_ok());
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(clock::now() - start, SECOND * 5);
    assert_eq!(ends.all(), [0, 0, 1]);
    assert!(body.frame().await.is_none());
}

/// What waits itself for the same moment knows better why.
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_at_the_same_moment_says_why() {
    let inner = stream::once(async {
        tokio::time::sleep(SECOND * 5).await;
        Err::<Frame<Bytes>, _>(Error::new(ErrorKind::Timeout))
    });
    let (mut body, ends) = held(Body::new(StreamBody::new(Box::pin(inner))), 5);
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(ends.all(), [0, 1, 0]);
}

/// It has asked, and is gone without having been dropped.
#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_come_back_is_not_waited_for() {
    let (mut body, ends) = held(frames(vec![SECOND * 60], None), 5);
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx).is_pending())).await;
    assert!(first);
    leave_alone(7).await;
    assert_eq!(ends.all(), [0, 0, 1]);
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_time_stays_as_it_is() {
    let (whole, ends) = held(frames(vec![SECOND; 3], None), 5);
    assert_eq!(whole.collect().await.unwrap().to_bytes(), "xxx");
    assert_eq!(ends.all(), [1, 0, 0]);

    let (mut broken, ends) = held(frames(vec![], Some(ErrorKind::Incomplete.into())), 5);
    let error = broken.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    leave_alone(6).await;
    assert!(broken.frame().await.is_none() && broken.is_end_stream());
    assert_eq!(ends.all(), [0, 1, 0]);

    // A server that has it all may not ask for the end.
    let sized = http_body_util::Full::new(Bytes::from("abc"));
    let (mut asked, ends) = held(Body::new(sized), 5);
    assert_eq!(asked.size_hint().exact(), Some(3));
    assert!(asked.frame().await.unwrap().is_ok());
    leave_alone(6).await;
    assert!(asked.is_end_stream());
    assert_eq!(ends.all(), [1, 0, 0]);

    let (dropped, ends) = held(frames(vec![SECOND], None), 5);
    drop(dropped);
    assert_eq!(ends.all(), [0, 0, 1]);

    let full = Body::from("abc").until(clock::now(), Timer::new());
    assert_eq!(format!("{full:?}"), "Body(\"full\")");
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_let_go_at_once() {
    let (mut body, ends) = held(frames(vec![Duration::ZERO], None), 0);
    assert_eq!(ends.all(), [0, 0, 1]);
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}

/// A task that has done a lot is put off; its timers are not.
#[tokio::test(start_paused = true)]
async fn a_task_at_the_end_of_its_turn_arms_the_timer() {
    poll_fn(|cx| {
        while tokio::task::coop::has_budget_remaining() {
            match tokio::task::coop::poll_proceed(cx) {
                Poll::Ready(spent) => spent.made_progress(),
                Poll::Pending => break,
            }
        }
        Poll::Ready(())
    })
    .await;
    let (_body, ends) = held(frames(vec![SECOND], None), 5);
    leave_alone(4).await;
    assert_eq!(ends.all(), [0, 0, 0]);
    leave_alone(2).await;
    assert_eq!(ends.all(), [0, 0, 1]);
}
