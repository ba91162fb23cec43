//! Limits that depend on who asks.

use std::{fmt, pin::Pin, sync::Arc};

use http::request::Parts;

use super::policy::Policy;
use crate::{context::RequestContext, error::BoxError};

/// Finds the plan of who sends a request, where that takes a while: a lookup in a database, for one.
///
/// ```
/// use http::request::Parts;
/// use tower_gateway::{BoxError, RequestContext, throttle::{PlanLookup, Plans, Policy}};
///
/// struct Accounts;
///
/// impl PlanLookup for Accounts {
///     async fn plan(&self, head: &Parts) -> Result<Option<String>, BoxError> {
///         let context = head.extensions.get::<RequestContext>();
///         let subject = context.and_then(RequestContext::identity).and_then(|identity| identity.subject());
///         // Somebody knows.
///         Ok(subject.map(|subject| if subject == "ada" { "paid" } else { "free" }.to_owned()))
///     }
/// }
///
/// let plans = Plans::lookup(Accounts).plan("free", Policy::per_minute(60)).plan("paid", Policy::per_minute(6_000));
/// # let _ = plans;
/// ```
pub trait PlanLookup: Send + Sync + 'static {
    /// The name of the plan; `None` if there is none, and an error if it can not be found out: the request is answered with 503.
    ///
    /// Dropped before it is done, it leaves nothing behind: the client has gone.
    fn plan(&self, head: &Parts) -> impl Future<Output = Result<Option<String>, BoxError>> + Send;

    /// What is wrong with the settings, each with what is allowed: reported when a gateway is built. Default: nothing.
    fn mistakes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Policies by the name of a plan, and how the plan of a request is found. Whoever has none, or one of another name, has the **first** of
/// them; without any it is a mistake.
///
/// A policy that was not [named](Policy::named) has the name of its plan.
///
/// ```
/// use tower_gateway::throttle::{Key, Plans, Policy, Rule};
///
/// let plans = Plans::claim("plan").plan("free", Policy::per_minute(60)).plan("paid", Policy::per_minute(6_000).burst(200));
/// let rule = Rule::plans(plans).by(Key::subject());
/// # let _ = rule;
/// ```
#[derive(Clone)]
pub struct Plans {
    source: Source,
    names: Vec<Box<str>>,
    policies: Vec<Policy>,
}

#[derive(Clone)]
enum Source {
    Claim(Box<str>),
    Closure(Arc<PlanOf>),
    Lookup(Arc<dyn Erased>),
}

type PlanOf = dyn Fn(&Parts) -> Option<String> + Send + Sync;
type Looked = Pin<Box<dyn Future<Output = (Parts, Result<Option<String>, BoxError>)> + Send>>;

trait Erased: Send + Sync {
    fn plan(self: Arc<Self>, head: Parts) -> Looked;

    fn mistakes(&self) -> Vec<String>;
}

impl<L: PlanLookup> Erased for L {
    fn plan(self: Arc<Self>, head: Parts) -> Looked {
        Box::pin(async move {
            let plan = PlanLookup::plan(&*self, &head).await;
            (head, plan)
        })
    }

    fn mistakes(&self) -> Vec<String> {
        PlanLookup::mistakes(self)
    }
}

impl Plans {
    /// The plan is a claim of the [identity](RequestContext::identity), by its [path](crate::Claims): a text.
    pub fn claim(path: impl Into<Box<str>>) -> Self {
        Self::with(Source::Claim(path.into()))
    }

    /// A closure says it. It may be asked twice for a request that waits for something.
    pub fn from_fn(plan: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::with(Source::Closure(Arc::new(plan)))
    }

    /// Somebody is asked, and waited for; for each request, before any limit of the layer is looked at, because they are looked at together. What keeps a flood
    /// away from the lookup stands in a layer in front, such as the one [at the door](crate::GatewayBuilder::throttle).
    pub fn lookup(lookup: impl PlanLookup) -> Self {
        Self::with(Source::Lookup(Arc::new(lookup)))
    }

    /// Adds a plan. Each name is there once.
    pub fn plan(mut self, name: impl Into<Box<str>>, policy: Policy) -> Self {
        let name = name.into();
        self.policies.push(policy.or_named(&name));
        self.names.push(name);
        self
    }

    fn with(source: Source) -> Self {
        Self {
            source,
            names: Vec::new(),
            policies: Vec::new(),
        }
    }

    pub(super) fn policies(&self) -> &[Policy] {
        &self.policies
    }

    pub(super) fn needs_identity(&self) -> bool {
        matches!(self.source, Source::Claim(_))
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let none = self.names.is_empty();
        let none = none.then(|| "throttle plans: there is no plan; name at least one".to_owned());
        let twice = self.names.iter().enumerate();
        let twice = twice.filter(|(at, name)| self.names[..*at].contains(name));
        let twice = twice.map(|(_, name)| format!("throttle plans: plan `{name}` is there twice"));
        let empty = matches!(&self.source, Source::Claim(path) if path.is_empty());
        let empty = empty.then(|| "throttle plans: the path of the claim is empty".to_owned());
        let lookup = match &self.source {
            Source::Lookup(lookup) => lookup.mistakes(),
            Source::Claim(_) | Source::Closure(_) => Vec::new(),
        };
        let lookup = lookup.iter();
        let lookup = lookup.map(|mistake| format!("throttle plans: {mistake}"));
        none.into_iter()
            .chain(empty)
            .chain(twice)
            .chain(lookup)
            .collect()
    }

    /// Which of the policies it is, if that can be said without waiting.
    pub(super) fn choose(&self, head: &Parts) -> Option<usize> {
        match &self.source {
            Source::Claim(path) => {
                let context = head.extensions.get::<RequestContext>();
                let identity = context.and_then(RequestContext::identity);
                let claim = identity.and_then(|identity| identity.claims().get(path));
                Some(self.place(claim.and_then(|claim| claim.as_str())))
            }
            Source::Closure(plan) => Some(self.place(plan(head).as_deref())),
            Source::Lookup(_) => None,
        }
    }

    /// The same with waiting.
    pub(super) async fn look_up(&self, head: Parts) -> (Parts, Result<usize, BoxError>) {
        match &self.source {
            Source::Lookup(lookup) => {
                let (head, plan) = lookup.clone().plan(head).await;
                (head, plan.map(|plan| self.place(plan.as_deref())))
            }
            _ => {
                let place = self.choose(&head).unwrap_or(0);
                (head, Ok(place))
            }
        }
    }

    fn place(&self, plan: Option<&str>) -> usize {
        let place = self.names.iter().position(|name| Some(&**name) == plan);
        place.unwrap_or(0)
    }
}

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plans = self.names.iter().zip(&self.policies);
        f.debug_map().entries(plans).finish()
    }
}
