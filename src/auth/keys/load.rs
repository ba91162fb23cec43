//! Asks a source for its keys.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::{discovery, freshness::freshness};
use crate::{
    auth::{
        fetch::{CallSettings, Caller},
        jose::KeySet,
    },
    error::BoxError,
};

/// Where keys are.
#[derive(Clone)]
pub(super) enum Place {
    Url(Box<str>),
    Issuer(Box<str>),
    Function(Arc<dyn Function>),
}

type Found<'a> = Pin<Box<dyn Future<Output = Result<KeySet, BoxError>> + Send + 'a>>;

/// A closure that finds keys, whatever its type.
pub(super) trait Function: Send + Sync {
    fn find(&self) -> Found<'_>;
}

impl<F, Fut> Function for F
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<KeySet, BoxError>> + Send,
{
    fn find(&self) -> Found<'_> {
        Box::pin(async move { self().await })
    }
}

/// What was found, and for how long it is fresh.
pub(super) struct Loaded {
    pub(super) keys: KeySet,
    pub(super) fresh_for: Option<Duration>,
}

/// A place, and how to ask there.
pub(super) struct Loader {
    way: Way,
    timeout: Duration,
}

enum Way {
    Url(Caller),
    Issuer(Box<Issuer>),
    Function(Arc<dyn Function>),
}

struct Issuer {
    name: Box<str>,
    places: [Caller; 2],
    settings: CallSettings,
    /// Where its keys were last time, with the connections to there.
    keys: Mutex<Option<(String, Caller)>>,
}

impl Loader {
    /// # Errors
    ///
    /// What is wrong with the place or the settings, and what is allowed.
    pub(super) fn new(place: &Place, settings: &CallSettings) -> Result<Self, String> {
        let way = match place {
            Place::Url(url) => Way::Url(Caller::new(url, settings)?),
            Place::Issuer(name) => {
                let caller = Caller::new(name, settings)?;
                Way::Issuer(Box::new(Issuer {
                    name: name.clone(),
                    places: discovery::places(name)?.map(|place| caller.clone().with_path(place)),
                    settings: settings.clone(),
                    keys: Mutex::default(),
                }))
            }
            Place::Function(function) => Way::Function(function.clone()),
        };
        let timeout = settings.timeout;
        Ok(Self { way, timeout })
    }

    /// Asks, once. It takes as long as the timeout at most, and does not panic.
    ///
    /// # Errors
    ///
    /// Why there are no keys.
    pub(super) async fn load(&self) -> Result<Loaded, String> {
        let mut work = pin!(self.find());
        let guarded = std::future::poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
            polled.unwrap_or_else(|_| Poll::Ready(Err("it panicked".to_owned())))
        });
        let timeout = self.timeout;
        let loaded = tokio::time::timeout(timeout, guarded).await;
        let loaded = loaded.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))?;
        match loaded.keys.keys().is_empty() {
            true => Err("there is no key".to_owned()),
            false => Ok(loaded),
        }
    }

    async fn find(&self) -> Result<Loaded, String> {
        match &self.way {
            Way::Url(caller) => jwks(caller).await,
            Way::Issuer(issuer) => issuer.find().await,
            Way::Function(function) => {
                let found = function.find().await;
                let keys = found.map_err(|error| error.to_string())?;
                let fresh_for = None;
                Ok(Loaded { keys, fresh_for })
            }
        }
    }
}

impl Issuer {
    async fn find(&self) -> Result<Loaded, String> {
        let [openid, oauth] = &self.places;
        let mut answer = get(openid).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            answer = get(oauth).await?;
        }
        let url = discovery::jwks_uri(&good(answer)?.into_body(), &self.name)?;
        let caller = self.at(url)?;
        jwks(&caller).await
    }

    /// Looked up each time: an issuer that moves is followed.
    fn at(&self, url: String) -> Result<Caller, String> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, caller)) = &*keys
            && *known == url
        {
            return Ok(caller.clone());
        }
        let caller =
            Caller::new(&url, &self.settings).map_err(|error| format!("`jwks_uri`: {error}"))?;
        *keys = Some((url, caller.clone()));
        Ok(caller)
    }
}

async fn jwks(caller: &Caller) -> Result<Loaded, String> {
    let answer = good(get(caller).await?)?;
    let fresh_for = freshness(answer.headers());
    let keys = KeySet::from_jwks(answer.body()).map_err(|error| error.to_string())?;
    Ok(Loaded { keys, fresh_for })
}

async fn get(caller: &Caller) -> Result<Response<Bytes>, String> {
    let json = HeaderValue::from_static("application/jwk-set+json, application/json");
    let headers = HeaderMap::from_iter([(header::ACCEPT, json)]);
    let answer = caller.send(Method::GET, headers, Bytes::new()).await;
    answer.map_err(|error| error.to_string())
}

fn good(answer: Response<Bytes>) -> Result<Response<Bytes>, String> {
    match answer.status() {
        StatusCode::OK => Ok(answer),
        status => Err(format!("the answer has the status {status}")),
    }
}

/// For logs: without a query, which may have a secret.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url.split('?').next().unwrap_or_default()),
            Self::Issuer(issuer) => f.write_str(issuer),
            Self::Function(_) => f.write_str("a function"),
        }
    }
}
