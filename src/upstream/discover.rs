//! Where endpoints come from that are not written down.

use std::{future::Future, pin::Pin, sync::Weak, time::Duration};

use super::{Endpoint, endpoints::Endpoints};
use crate::{error::BoxError, random};

/// How long it takes to ask again when that failed, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Finds the endpoints of an upstream, again and again; see [`Upstream::discover`](crate::Upstream::discover).
///
/// A closure that returns a future is one. For a registry that tells of changes, wait in it for the next change, and say
/// that the answer is good for no time:
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tokio::sync::{Mutex, watch};
/// use tower_gateway::{BoxError, Discovered, Endpoint, Upstream};
///
/// let (registry, changes) = watch::channel(vec![Endpoint::new("http://10.0.0.1:8080")]);
/// let changes = Arc::new(Mutex::new((true, changes)));
/// let upstream = Upstream::discover(move || {
///     let changes = changes.clone();
///     async move {
///         let (is_first, changes) = &mut *changes.lock().await;
///         if !std::mem::take(is_first) {
///             changes.changed().await?;
///         }
///         let endpoints = changes.borrow_and_update().clone();
///         Ok::<_, BoxError>(Discovered::new(endpoints).valid_for(Duration::ZERO))
///     }
/// });
/// # let _ = (registry, upstream);
/// ```
pub trait Discover: Send + Sync + 'static {
    /// The endpoints there are now. When this fails, those that were found last are used on, and it is called again after a
    /// second, then two, up to 30.
    fn discover(&self) -> impl Future<Output = Result<Discovered, BoxError>> + Send;
}

impl<F, Fut> Discover for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Discovered, BoxError>> + Send,
{
    fn discover(&self) -> impl Future<Output = Result<Discovered, BoxError>> + Send {
        self()
    }
}

/// The endpoints that were found, and how long that is true.
#[derive(Clone, Debug)]
pub struct Discovered {
    endpoints: Vec<Endpoint>,
    valid_for: Duration,
}

impl Discovered {
    /// These endpoints, for 30 s. With none of them requests get 503.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<Endpoint>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            valid_for: Duration::from_secs(30),
        }
    }

    /// After how long to ask again, such as the time to live of a DNS answer. 0: at once, for what waits by itself until there is a
    /// change. Default: 30 s.
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = time;
        self
    }

    #[cfg(all(test, feature = "dns"))]
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    #[cfg(all(test, feature = "dns"))]
    pub(super) fn time(&self) -> Duration {
        self.valid_for
    }
}

type Found<'a> = Pin<Box<dyn Future<Output = Result<Discovered, BoxError>> + Send + 'a>>;

/// The same, whatever its type.
pub(crate) trait AnyDiscover: Send + Sync {
    fn find(&self) -> Found<'_>;
    /// What is wrong with its settings, as far as it is one of ours.
    fn mistakes(&self) -> Vec<String>;
}

impl<D: Discover> AnyDiscover for D {
    fn find(&self) -> Found<'_> {
        Box::pin(self.discover())
    }

    fn mistakes(&self) -> Vec<String> {
        #[cfg(feature = "dns")]
        if let Some(dns) = (self as &dyn std::any::Any).downcast_ref::<super::Dns>() {
            return dns.mistakes();
        }
        Vec::new()
    }
}

/// Asks again and again, as long as there is somebody who wants to know.
pub(super) async fn run(source: std::sync::Arc<dyn AnyDiscover>, endpoints: Weak<Endpoints>) {
    let mut failures = 0_u32;
    loop {
        let found = source.find().await;
        let Some(all) = endpoints.upgrade() else {
            return;
        };
        let result = found.and_then(|found| match all.set(&found.endpoints) {
            Ok(()) => Ok(found.valid_for),
            Err(mistakes) => Err(mistakes.join("; ").into()),
        });
        all.found(result.as_ref().err().map(ToString::to_string));
        drop(all);
        let pause = match result {
            Ok(valid_for) => {
                failures = 0;
                valid_for
            }
            Err(_) => {
                failures = failures.saturating_add(1);
                back_off(failures, random::next_u64())
            }
        };
        // Also with no pause at all: what always answers at once must not keep the thread.
        tokio::task::yield_now().await;
        tokio::time::sleep(pause).await;
    }
}

/// Twice as long each time, and up to a quarter less.
fn back_off(failures: u32, random: u64) -> Duration {
    let (first, most) = AGAIN;
    let whole = first
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(most);
    whole.mul_f64(1.0 - (random >> 11) as f64 / (1_u64 << 53) as f64 / 4.0)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::advance;

    use super::*;
    use crate::{
        client::{ClientConfig, Resolver},
        upstream::{Choice, Factory},
    };

    fn endpoints() -> Arc<Endpoints> {
        let factory = Factory {
            config: ClientConfig::default(),
            resolver: Resolver::default(),
            #[cfg(feature = "tls")]
            tls: None,
            needs_tls: false,
        };
        Arc::new(Endpoints::new(factory, Choice::default(), None, None))
    }

    fn names(endpoints: &Endpoints) -> Vec<String> {
        let all = endpoints.all();
        all.iter().map(|live| live.label.to_string()).collect()
    }

    /// Lets the task run that waits for nothing.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_found_is_used_until_something_else_is_found() {
        type Answer = Result<&'static [&'static str], &'static str>;
        let answers: [Answer; 6] = [
            Ok(&["http://d"]),
            Ok(&[]),
            Err("down"),
            Ok(&["ftp://c", "http://c"]),
            Err("down"),
            Ok(&["http://a", "http://b"]),
        ];
        let answers = Arc::new(Mutex::new(Vec::from(answers)));
        let source = move || {
            let next = answers.lock().unwrap().pop();
            async move {
                match next {
                    Some(Ok(urls)) => {
                        Ok(Discovered::new(urls.iter().copied()).valid_for(Duration::from_secs(5)))
                    }
                    Some(Err(error)) => Err(error.into()),
                    None => std::future::pending().await,
                }
            }
        };
        let all = endpoints();
        let task = tokio::spawn(run(Arc::new(source), Arc::downgrade(&all)));
        settle().await;
        let steps: [(f64, &[&str]); 8] = [
            (0.0, &["http://a", "http://b"]),
            (4.9, &["http://a", "http://b"]),
            // It fails, then it is wrong, then it fails again.
            (0.1, &["http://a", "http://b"]),
            (1.0, &["http://a", "http://b"]),
            (2.0, &["http://a", "http://b"]),
            (4.0, &[]),
            (4.9, &[]),
            (0.2, &["http://d"]),
        ];
        for (at, (seconds, expected)) in steps.into_iter().enumerate() {
            advance(Duration::from_secs_f64(seconds)).await;
            settle().await;
            assert_eq!(names(&all), expected, "step {at}");
        }
        drop(all);
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_endpoints() {
        let all = endpoints();
        let source = || async { Ok(Discovered::new(["http://a"])) };
        let task = tokio::spawn(run(Arc::new(source), Arc::downgrade(&all)));
        settle().await;
        assert_eq!(names(&all), ["http://a"]);
        drop(all);
        advance(Duration::from_secs(31)).await;
        task.await.unwrap();
    }

    #[test]
    fn failures_are_further_and_further_apart() {
        for (failures, most) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (u32::MAX, 30)] {
            let most = Duration::from_secs(most);
            assert_eq!(back_off(failures, 0), most);
            let least = back_off(failures, u64::MAX);
            assert!(
                least < most && least >= most.mul_f64(0.75),
                "{failures}: {least:?}"
            );
        }
    }
}
