//! The trait that people implement, what is asked of it, and what it says.

use std::{fmt, pin::Pin, sync::Arc};

use smallvec::SmallVec;

use super::{decision::Decision, key::KeyBytes, policy::Policy, store::LocalStore};
use crate::error::BoxError;

/// Decides what may be spent, and remembers it: in this process ([`LocalStore`](super::LocalStore)), or for several gateways together.
///
/// It is asked for all limits of a request in one call. If it fails, a [`ThrottleLayer`](super::ThrottleLayer) does what its
/// [`on_failure`](super::ThrottleLayer::on_failure) says; so it has to say in good time that it can not tell.
///
/// ```
/// use std::time::Duration;
/// use tower_gateway::{BoxError, throttle::{Ask, Decision, Decisions, RateLimiter}};
///
/// /// Nobody may do anything.
/// struct Closed;
///
/// impl RateLimiter for Closed {
///     async fn acquire(&self, asks: &[Ask<'_>]) -> Result<Decisions, BoxError> {
///         Ok(asks.iter().map(|_| Decision::refused(0, Duration::ZERO, None)).collect())
///     }
///
///     async fn charge(&self, _: &[Ask<'_>]) -> Result<(), BoxError> {
///         Ok(())
///     }
/// }
/// ```
pub trait RateLimiter: Send + Sync + 'static {
    /// What [`acquire`](Self::acquire) would do, if it can be done without waiting; then nothing is allocated for a request. `None`: nothing was
    /// done. Default: `None`.
    fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions> {
        let _ = asks;
        None
    }

    /// Spends all of it if there is enough for all, and nothing otherwise. There is a decision for each that was asked, in the same order.
    ///
    /// Dropped before it is done, it may have spent it.
    fn acquire(&self, asks: &[Ask<'_>])
    -> impl Future<Output = Result<Decisions, BoxError>> + Send;

    /// Spends whether or not there is enough: for a cost that is known when the answer is there. The debt is at most a whole [quota](Policy::quota). Nobody waits
    /// for it, and a layer has at most 1,024 of them on their way.
    fn charge(&self, asks: &[Ask<'_>]) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// What is wrong with the settings, or with these policies for this limiter: reported when a gateway is built. Used without a gateway,
    /// a layer with mistakes lets nobody pass. Default: nothing.
    fn mistakes(&self, policies: &[Policy]) -> Vec<String> {
        let _ = policies;
        Vec::new()
    }

    /// The store that decides for [`OnFailure::Local`](super::OnFailure::Local) while this limiter can not: of all its clones the same one, so that layers that share the limiter share
    /// what is spent meanwhile, too. Limiters with the same one count as one when a gateway looks for limits that would be spent from twice. It has room for 64 policies, of all these layers together. Default: `None`, each layer has one of its own.
    fn fallback(&self) -> Option<LocalStore> {
        None
    }
}

/// One for whoever has a share of it.
impl<L: RateLimiter> RateLimiter for Arc<L> {
    fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions> {
        L::acquire_now(self, asks)
    }

    fn acquire(
        &self,
        asks: &[Ask<'_>],
    ) -> impl Future<Output = Result<Decisions, BoxError>> + Send {
        L::acquire(self, asks)
    }

    fn charge(&self, asks: &[Ask<'_>]) -> impl Future<Output = Result<(), BoxError>> + Send {
        L::charge(self, asks)
    }

    fn mistakes(&self, policies: &[Policy]) -> Vec<String> {
        L::mistakes(self, policies)
    }

    fn fallback(&self) -> Option<LocalStore> {
        L::fallback(self)
    }
}

/// What is asked of a limit: may this key spend this much?
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The limit. Policies that are equal in name and settings share what a key has spent.
    pub policy: &'a Policy,
    /// Who spends.
    pub key: &'a [u8],
    /// How much: zero only looks whether there is no debt.
    pub cost: u64,
}

/// What several limits say, each in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions(pub(super) SmallVec<[Decision; INLINE]>);

/// At once, without an allocation.
pub(super) const INLINE: usize = 4;

impl Decisions {
    /// Whether all of them allow it.
    pub fn is_allowed(&self) -> bool {
        self.0.iter().all(Decision::is_allowed)
    }

    /// What each says, in the order in which they were asked.
    pub fn as_slice(&self) -> &[Decision] {
        &self.0
    }
}

impl FromIterator<Decision> for Decisions {
    fn from_iter<I: IntoIterator<Item = Decision>>(decisions: I) -> Self {
        Self(decisions.into_iter().collect())
    }
}

/// Any limiter.
#[derive(Clone)]
pub(super) struct AnyLimiter(Arc<dyn Erased>);

/// An ask that waits: with a copy of its key.
pub(super) struct Waiting {
    pub(super) policy: Policy,
    pub(super) key: KeyBytes,
    pub(super) cost: u64,
}

type Later<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

trait Erased: Send + Sync {
    fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions>;

    fn acquire(self: Arc<Self>, asks: Vec<Waiting>) -> Later<Decisions>;

    fn charge(self: Arc<Self>, asks: Arc<[Waiting]>) -> Later<()>;

    fn mistakes(&self, policies: &[Policy]) -> Vec<String>;

    fn fallback(&self) -> Option<LocalStore>;
}

impl<L: RateLimiter> Erased for L {
    fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions> {
        RateLimiter::acquire_now(self, asks)
    }

    fn acquire(self: Arc<Self>, asks: Vec<Waiting>) -> Later<Decisions> {
        Box::pin(async move {
            let asked: SmallVec<[_; INLINE]> = asks.iter().map(Waiting::ask).collect();
            RateLimiter::acquire(&*self, &asked).await
        })
    }

    fn charge(self: Arc<Self>, asks: Arc<[Waiting]>) -> Later<()> {
        Box::pin(async move {
            let asked: SmallVec<[_; INLINE]> = asks.iter().map(Waiting::ask).collect();
            RateLimiter::charge(&*self, &asked).await
        })
    }

    fn mistakes(&self, policies: &[Policy]) -> Vec<String> {
        RateLimiter::mistakes(self, policies)
    }

    fn fallback(&self) -> Option<LocalStore> {
        RateLimiter::fallback(self)
    }
}

impl AnyLimiter {
    pub(super) fn new(limiter: impl RateLimiter) -> Self {
        Self(Arc::new(limiter))
    }

    pub(super) fn acquire_now(&self, asks: &[Ask<'_>]) -> Option<Decisions> {
        self.0.acquire_now(asks)
    }

    pub(super) fn acquire(&self, asks: Vec<Waiting>) -> Later<Decisions> {
        self.0.clone().acquire(asks)
    }

    pub(super) fn charge(&self, asks: Arc<[Waiting]>) -> Later<()> {
        self.0.clone().charge(asks)
    }

    pub(super) fn mistakes(&self, policies: &[Policy]) -> Vec<String> {
        self.0.mistakes(policies)
    }

    pub(super) fn fallback(&self) -> Option<LocalStore> {
        self.0.fallback()
    }

    /// Whether what is spent of one is spent of the other, as far as that can be seen.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let has_same = || {
            let fallbacks = self.fallback().zip(other.fallback());
            fallbacks.is_some_and(|(one, other)| one.is_same(&other))
        };
        Arc::ptr_eq(&self.0, &other.0) || has_same()
    }
}

impl fmt::Debug for AnyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RateLimiter")
    }
}

impl Waiting {
    pub(super) fn new(ask: Ask<'_>) -> Self {
        Self {
            policy: ask.policy.clone(),
            key: KeyBytes::from_slice(ask.key),
            cost: ask.cost,
        }
    }

    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            policy: &self.policy,
            key: &self.key,
            cost: self.cost,
        }
    }
}
