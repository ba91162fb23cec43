//! Sends one request: on a connection there is, or a new one, and once more where that is safe.

use std::{
    future::{Future, poll_fn},
    task::Poll,
};

use http::{HeaderMap, Method, header, uri::PathAndQuery};
use http_body::Body as _;

use super::{
    Answer, Client, InFlight, Limits,
    pool::{Lease, Plan},
    watch::Watch,
};
use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// How often a request is sent again because the connection that it was given turned out to be dead.
const RESENDS: u8 = 2;

/// A request for an endpoint; its headers have a `Host`.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// Told when the endpoint says `100 Continue`.
    pub(crate) on_continue: Option<std::sync::Arc<dyn Fn() + Send + Sync>>,
}

/// Why there is no answer; and the request, if the endpoint could not be reached, so that another one can have it.
pub(crate) struct Unanswered {
    pub(crate) error: Error,
    pub(crate) unsent: Option<Box<(Outgoing, Limits)>>,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        let unsent = None;
        Self { error, unsent }
    }
}

impl InFlight {
    /// Sends a request and waits for the head of its answer.
    ///
    /// It is sent again, on a fresh connection, when nothing of it was sent, or when a connection that had been used
    /// before ended without an answer and the request is idempotent and has no body (RFC 9110, section 9.2.2).
    pub(crate) fn send(
        self,
        mut outgoing: Outgoing,
        limits: Limits,
    ) -> impl Future<Output = Result<Answer, Unanswered>> + Send {
        #[cfg_attr(
            not(feature = "http2"),
            expect(unused_mut, reason = "only HTTP/2 takes it, and gives it back")
        )]
        let mut in_flight = self;
        let repeatable = outgoing.body.is_end_stream() && outgoing.method.is_idempotent();
        let mut watch = Watch::new(limits);
        let mut resends = 0;
        // A block and not a function: those keep their arguments twice.
        async move {
            loop {
                let (lease, has_waited) = match in_flight.client().pool().plan(resends > 0) {
                    Plan::Use(lease) => (lease, false),
                    // What is rare is boxed, so that it does not make every request's future large.
                    plan => match Box::pin(in_flight.client().wait(plan, limits)).await {
                        Ok(lease) => (lease, true),
                        Err(error) => {
                            let unsent = is_unreached(&error).then(|| Box::new((outgoing, limits)));
                            return Err(Unanswered { error, unsent });
                        }
                    },
                };
                #[cfg_attr(
                    not(feature = "http2"),
                    expect(
                        clippy::infallible_destructuring_match,
                        reason = "without HTTP/2 there is one kind of connection"
                    )
                )]
                let mut conn = match lease {
                    Lease::Http1(conn) => conn,
                    #[cfg(feature = "http2")]
                    Lease::Http2(stream) => {
                        use super::exchange::Failed;
                        let exchange = outgoing.exchange(stream, limits, in_flight);
                        match Box::pin(exchange).await {
                            Ok(response) => return Ok(Answer::Body(response)),
                            Err((Failed::Again(again, _), back)) if resends < RESENDS => {
                                (outgoing, in_flight) = (*again, back);
                                resends += 1;
                                continue;
                            }
                            Err((Failed::Again(_, error) | Failed::Error(error), _)) => {
                                return Err(error.into());
                            }
                        }
                    }
                };
                if has_waited && conn.is_closed() {
                    // The peer hung up together with the end of the handshake, or since another request was answered.
                    if resends == RESENDS {
                        let error = Error::new(ErrorKind::Connect)
                            .with_source("each connection ended before it could take the request");
                        let unsent = Some(Box::new((outgoing, limits)));
                        return Err(Unanswered { error, unsent });
                    }
                    resends += 1;
                    continue;
                }
                conn.begin(&mut outgoing);
                if conn.pool().is_some_and(|pool| pool.is_single) {
                    let_others_begin().await;
                }
                let sent = poll_fn(|cx| conn.poll_head(cx, &mut outgoing, &mut watch)).await;
                let failed = match sent {
                    Ok(response) => {
                        in_flight.client().set_reached();
                        return Ok(conn.answer(response, watch, in_flight));
                    }
                    Err(failed) => failed,
                };
                let unseen = match conn.take_back() {
                    Some(body) if failed.lost => {
                        outgoing.body = body;
                        true
                    }
                    _ => false,
                };
                let again = unseen || failed.lost && repeatable && conn.is_reused();
                if !again || resends == RESENDS {
                    return Err(failed.error.with_retryable(unseen).into());
                }
                watch.restart();
                resends += 1;
            }
        }
    }
}

impl Client {
    /// Waits for a connection, and remembers whether one could be opened.
    async fn wait(&self, plan: Plan, limits: Limits) -> Result<Lease, Error> {
        let is_opening = matches!(plan, Plan::Open(_));
        let lease = self.pool().follow(plan, self.connector());
        let leased = match limits.deadline {
            None => lease.await,
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), lease).await {
                Ok(leased) => leased,
                Err(_) => Err(Error::new(ErrorKind::Deadline).with_retryable(true)),
            },
        };
        match &leased {
            Ok(_) => self.set_reached(),
            Err(error) if is_opening || is_unreached(error) => self.set_unreached(),
            Err(_) => {}
        }
        leased
    }
}

/// No connection could be opened.
fn is_unreached(error: &Error) -> bool {
    use ErrorKind::{Connect, ConnectTimeout, Resolve, Tls};
    matches!(error.kind(), Resolve | Connect | ConnectTimeout | Tls)
}

/// Lets the tasks that are ready run first, once. Requests that arrived together then leave together: a backend on the
/// same machine is woken for all of them and not for each, and waking a process costs more than all that a gateway does
/// with a request. With nothing else to run it is a poll more. A runtime of several threads would wake another of them to
/// help, so there it is not done.
async fn let_others_begin() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Outgoing {
    /// What the request says about its length.
    pub(super) fn length(&self) -> Option<u64> {
        let length = self.headers.get(header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }
}
