//! Names to addresses, remembered for a while.

use std::{
    fmt,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::clock;

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Turns a name into addresses; the default asks the operating system.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<dyn Fn(String) -> Lookup + Send + Sync>);

impl Resolver {
    pub(crate) fn new<F, Fut>(resolve: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |name| Box::pin(resolve(name))))
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(|name| async move {
            Ok(tokio::net::lookup_host((name, 0))
                .await?
                .map(|address| address.ip())
                .collect())
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// The addresses of one name, asked for again when they are older than `every`, or when none of them worked.
///
/// The operating system's resolver does not say how long an answer is good for, so the age is a setting. An old answer
/// is better than none: it is used on when a new one can not be had.
pub(crate) struct Addresses {
    resolver: Resolver,
    every: Duration,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    addresses: Arc<[IpAddr]>,
    since: Instant,
    /// None of them worked.
    failed: bool,
}

impl Addresses {
    pub(crate) fn new(resolver: Resolver, every: Duration) -> Self {
        Self {
            resolver,
            every,
            known: Mutex::new(None),
        }
    }

    pub(crate) async fn get(&self, name: &str) -> io::Result<Arc<[IpAddr]>> {
        let known = self.lock().clone();
        if let Some(known) = &known
            && !known.failed
            && clock::now().saturating_duration_since(known.since) < self.every
        {
            return Ok(known.addresses.clone());
        }
        match (self.resolver.0)(name.to_owned()).await {
            Ok(found) if !found.is_empty() => {
                let addresses: Arc<[IpAddr]> = found.into();
                *self.lock() = Some(Known {
                    addresses: addresses.clone(),
                    since: clock::now(),
                    failed: false,
                });
                Ok(addresses)
            }
            other => match (known, other) {
                (Some(known), _) => Ok(known.addresses),
                (None, Err(error)) => Err(error),
                (None, Ok(_)) => Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "the name has no address",
                )),
            },
        }
    }

    /// Makes the next [`get`](Self::get) ask again: these addresses did not work.
    pub(crate) fn distrust(&self) {
        if let Some(known) = self.lock().as_mut() {
            known.failed = true;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Each answer is one higher than the last; the third fails.
    fn counting(every: Duration) -> Addresses {
        let count = AtomicU8::new(0);
        let resolver = Resolver::new(move |_| {
            let n = count.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                if n == 3 {
                    Err(io::Error::other("no server"))
                } else {
                    Ok(vec![IpAddr::from([10, 0, 0, n])])
                }
            }
        });
        Addresses::new(resolver, every)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_for_again_when_it_is_old_or_failed() {
        let addresses = counting(Duration::from_secs(30));
        let last = async |addresses: &Addresses| match addresses.get("users").await.unwrap()[0] {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => 0,
        };
        assert_eq!(last(&addresses).await, 1);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(last(&addresses).await, 1, "still fresh");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(last(&addresses).await, 2, "too old");
        addresses.distrust();
        assert_eq!(
            last(&addresses).await,
            2,
            "the third answer fails, so the second is used on"
        );
        assert_eq!(
            last(&addresses).await,
            4,
            "and the name is asked for again at once"
        );
    }

    #[tokio::test]
    async fn a_name_that_failed_is_asked_for_again_whatever_the_age() {
        for every in [Duration::ZERO, Duration::from_secs(30), Duration::MAX] {
            let addresses = counting(every);
            let first = addresses.get("users").await.unwrap();
            addresses.distrust();
            let second = addresses.get("users").await.unwrap();
            assert_ne!(first, second, "{every:?}");
        }
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_an_error() {
        let addresses = Addresses::new(
            Resolver::new(|_| async { Ok(Vec::new()) }),
            Duration::from_secs(1),
        );
        assert_eq!(
            addresses.get("users").await.unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
