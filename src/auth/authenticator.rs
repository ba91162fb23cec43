//! The trait that people implement, and how several of them are one.

use std::{fmt, pin::Pin, sync::Arc};

use http::{HeaderName, request::Parts};

use super::denied::{Cause, Denied};
use crate::identity::Identity;

/// Finds out who sends a request, from its head.
///
/// An [`AuthenticateLayer`](super::AuthenticateLayer) is made of one. Whoever implements it decides what is let in: what is not certain is
/// [unavailable](Denied::unavailable), never an identity. All values of a header have to be looked at, not the first.
///
/// ```
/// use http::request::Parts;
/// use tower_gateway::{Claims, Identity, auth::{Authenticator, Denied}};
///
/// struct Badge;
///
/// impl Authenticator for Badge {
///     async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
///         let mut badges = head.headers.get_all("x-badge").iter();
///         match (badges.next(), badges.next()) {
///             (None, _) => Err(Denied::missing()),
///             (Some(badge), None) if badge == "7" => Ok(Identity::new("badge", Claims::new().with("sub", "seven"))),
///             _ => Err(Denied::invalid("nobody has this badge")),
///         }
///     }
/// }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Who sends a request with this head.
    ///
    /// Dropped before it is done, it leaves nothing behind: the client has gone.
    fn authenticate(&self, head: &Parts) -> impl Future<Output = Result<Identity, Denied>> + Send;

    /// Takes from a request that is let in what only the gateway was meant to see, such as an API key. Default: nothing.
    fn strip(&self, head: &mut Parts) {
        let _ = head;
    }

    /// The fields that it puts into a request, and that nobody else may: a gateway removes them at its door, on all routes, so they can not
    /// be those that an authenticator reads. Default: none.
    fn owned(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// What is wrong with the settings, each with what is allowed: reported when a gateway is built. Used without a gateway, an authenticator
    /// that has a mistake lets nobody in. Default: nothing.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a check costs is one allocation: the future, which has the head with it.
pub(super) type Check = Pin<Box<dyn Future<Output = (Parts, Result<Sender, Denied>)> + Send>>;

/// Who is let in.
#[derive(Debug)]
pub(super) enum Sender {
    Known(Identity),
    /// Has not said who they are, and need not. What they would have been told if they had to is kept.
    Nobody(Denied),
}

/// One authenticator, or several, as a tree.
#[derive(Clone)]
pub(super) struct Way {
    node: Arc<dyn Node>,
    is_optional: bool,
}

trait Node: Send + Sync {
    fn check(self: Arc<Self>, head: Parts) -> Check;

    fn strip(&self, head: &mut Parts);

    fn owned(&self) -> Vec<HeaderName>;

    fn mistakes(&self) -> Vec<String>;
}

impl Way {
    pub(super) fn one(authenticator: impl Authenticator) -> Self {
        Self::new(One(authenticator))
    }

    pub(super) fn any(ways: Vec<Self>) -> Self {
        Self::new(Any(ways))
    }

    pub(super) fn all(ways: Vec<Self>) -> Self {
        Self::new(All(ways))
    }

    fn new(node: impl Node + 'static) -> Self {
        Self {
            node: Arc::new(node),
            is_optional: false,
        }
    }

    pub(super) fn optional(self) -> Self {
        Self {
            is_optional: true,
            ..self
        }
    }

    pub(super) fn check(&self, head: Parts) -> Check {
        let check = self.node.clone().check(head);
        if !self.is_optional {
            return check;
        }
        Box::pin(async move {
            match check.await {
                (head, Err(denied)) if denied.cause() == Cause::Missing => {
                    (head, Ok(Sender::Nobody(denied)))
                }
                checked => checked,
            }
        })
    }

    pub(super) fn strip(&self, head: &mut Parts) {
        self.node.strip(head);
    }

    pub(super) fn owned(&self) -> Vec<HeaderName> {
        self.node.owned()
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        self.node.mistakes()
    }
}

struct One<A>(A);

impl<A: Authenticator> Node for One<A> {
    fn check(self: Arc<Self>, head: Parts) -> Check {
        Box::pin(async move {
            let checked = self.0.authenticate(&head).await.map(Sender::Known);
            (head, checked)
        })
    }

    fn strip(&self, head: &mut Parts) {
        self.0.strip(head);
    }

    fn owned(&self) -> Vec<HeaderName> {
        self.0.owned()
    }

    fn mistakes(&self) -> Vec<String> {
        self.0.mistakes()
    }
}

struct Any(Vec<Way>);

impl Node for Any {
    fn check(self: Arc<Self>, mut head: Parts) -> Check {
        Box::pin(async move {
            let mut untold: Option<Denied> = None;
            let mut may_be_nobody = false;
            for way in &self.0 {
                let checked;
                (head, checked) = way.check(head).await;
                let denied = match checked {
                    Ok(Sender::Known(identity)) => return (head, Ok(Sender::Known(identity))),
                    Ok(Sender::Nobody(denied)) => {
                        may_be_nobody = true;
                        denied
                    }
                    Err(denied) => denied,
                };
                untold = Some(match untold {
                    Some(before) => before.or(denied),
                    None => denied,
                });
            }
            let denied = untold.unwrap_or_else(Denied::missing);
            match may_be_nobody && denied.cause() == Cause::Missing {
                true => (head, Ok(Sender::Nobody(denied))),
                false => (head, Err(denied)),
            }
        })
    }

    fn strip(&self, head: &mut Parts) {
        self.0.iter().for_each(|way| way.strip(head));
    }

    fn owned(&self) -> Vec<HeaderName> {
        self.0.iter().flat_map(Way::owned).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        several("any_of", &self.0)
    }
}

impl Sender {
    fn and(self, other: Self) -> Result<Self, Denied> {
        Ok(match (self, other) {
            (Self::Known(first), Self::Known(second)) => {
                Self::Known(first.and(&second).map_err(Denied::forbidden)?)
            }
            (Self::Known(one), Self::Nobody(_)) | (Self::Nobody(_), Self::Known(one)) => {
                Self::Known(one)
            }
            (Self::Nobody(one), Self::Nobody(other)) => Self::Nobody(one.or(other)),
        })
    }
}

struct All(Vec<Way>);

impl Node for All {
    fn check(self: Arc<Self>, mut head: Parts) -> Check {
        Box::pin(async move {
            let mut all: Option<Sender> = None;
            for way in &self.0 {
                let checked;
                (head, checked) = way.check(head).await;
                let one = match checked {
                    Ok(one) => one,
                    Err(denied) => return (head, Err(denied)),
                };
                let both = match all {
                    Some(others) => others.and(one),
                    None => Ok(one),
                };
                match both {
                    Ok(both) => all = Some(both),
                    Err(denied) => return (head, Err(denied)),
                }
            }
            // There is at least one; and if there were none, nobody would have been checked.
            (head, all.ok_or_else(Denied::missing))
        })
    }

    fn strip(&self, head: &mut Parts) {
        self.0.iter().for_each(|way| way.strip(head));
    }

    fn owned(&self) -> Vec<HeaderName> {
        self.0.iter().flat_map(Way::owned).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        several("all_of", &self.0)
    }
}

fn several(name: &str, ways: &[Way]) -> Vec<String> {
    let none = ways
        .is_empty()
        .then(|| format!("{name} has no authenticator; name at least one"));
    none.into_iter()
        .chain(ways.iter().flat_map(Way::mistakes))
        .collect()
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}
