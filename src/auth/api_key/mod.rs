//! API keys: random text that a program sends with each request.

mod key;
mod store;

use std::{borrow::Cow, fmt, pin::Pin, sync::Arc};

use http::{HeaderName, HeaderValue, request::Parts};

pub use key::{ApiKey, ApiKeyError};
pub use store::{ApiKeyStore, ApiKeys};

use super::{
    authenticator::Authenticator,
    bearer::{REALM, is_quotable},
    denied::Denied,
    query,
};
use crate::{clock, error::BoxError, field, identity::Identity};

/// Lets in whoever sends a known API key. Clones share the keys.
///
/// | setting | default |
/// |---|---|
/// | [`headers`](Self::headers) | `x-api-key` |
/// | [`query`](Self::query) | none |
/// | [`max_key_length`](Self::max_key_length) | 256 bytes |
/// | [`forward_key`](Self::forward_key) | no: the key stays behind |
/// | [`realm`](Self::realm) | `api` |
///
/// Several keys that differ, wherever they are, are 400; an unknown, expired or empty one is 401, and so is none. The
/// [identity](Identity) has the method `api-key` and the claims of the key; `key_id` is its identifier, if it has one.
///
/// ```
/// use tower::ServiceBuilder;
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use tower::{ServiceExt, service_fn};
/// use tower_gateway::{Body, auth::{ApiKey, ApiKeyLayer}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = ApiKey::new("billing", "gw_live_6f9a.bm90IGEgc2VjcmV0")?.with_scope("invoices:read");
/// # let backend = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::from("hello"))) });
/// let service = ServiceBuilder::new().layer(ApiKeyLayer::new([key])).service(backend);
///
/// let request = Request::builder().header("x-api-key", "gw_live_6f9a.bm90IGEgc2VjcmV0").body(())?;
/// assert_eq!(service.clone().oneshot(request).await?.status(), 200);
/// assert_eq!(service.oneshot(Request::new(())).await?.status(), 401);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ApiKeyLayer {
    keys: Keys,
    headers: Arc<[HeaderName]>,
    query: Option<Arc<str>>,
    max_length: usize,
    is_forwarded: bool,
    realm: Arc<str>,
}

#[derive(Clone)]
enum Keys {
    List(ApiKeys),
    Store(Arc<dyn Store>),
}

impl ApiKeyLayer {
    /// Knows these keys. [`ApiKeys`] is a list that can be changed later.
    pub fn new(keys: impl Into<ApiKeys>) -> Self {
        Self::with(Keys::List(keys.into()))
    }

    /// Asks this store for each key.
    pub fn with_store(store: impl ApiKeyStore) -> Self {
        Self::with(Keys::Store(Arc::new(store)))
    }

    /// The header fields in which a key may be, as the whole value. Default: `x-api-key`.
    pub fn headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers = names.into_iter().collect();
        self
    }

    /// Also takes a key from this parameter of the query. Queries are written into logs and histories, so it is for clients that can do
    /// nothing else. Default: none.
    pub fn query(mut self, name: impl Into<String>) -> Self {
        self.query = Some(name.into().into());
        self
    }

    /// How many bytes a key has at most; longer ones are not looked up. Default: 256.
    pub fn max_key_length(mut self, max_length: usize) -> Self {
        self.max_length = max_length;
        self
    }

    /// Whether the key goes on to what is inside. Default: no.
    pub fn forward_key(mut self, is_forwarded: bool) -> Self {
        self.is_forwarded = is_forwarded;
        self
    }

    /// What is protected, for people: visible ASCII and blanks, without `"` and `\`. Default: `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into().into();
        self
    }

    fn with(keys: Keys) -> Self {
        Self {
            keys,
            headers: [HeaderName::from_static("x-api-key")].into(),
            query: None,
            max_length: 256,
            is_forwarded: false,
            realm: "api".into(),
        }
    }

    /// The one key that was sent.
    fn key<'a>(&self, head: &'a Parts) -> Result<Cow<'a, [u8]>, Denied> {
        let in_fields = self
            .headers
            .iter()
            .flat_map(|name| head.headers.get_all(name))
            .map(|value| Cow::Borrowed(value.as_bytes()));
        let in_query = self
            .query
            .as_deref()
            .zip(head.uri.query())
            .into_iter()
            .flat_map(|(name, query)| query::values(query, name));
        let mut keys = in_fields.chain(in_query);
        let key = keys.next().ok_or_else(Denied::missing)?;
        match keys.all(|other| other == key) {
            true => Ok(key),
            false => Err(Denied::malformed("There are several API keys")),
        }
    }

    async fn owner(&self, head: &Parts) -> Result<Identity, Denied> {
        let key = self.key(head)?;
        let key = match std::str::from_utf8(&key) {
            Ok(text) if text.len() <= self.max_length && key::is_key(&key) => text,
            _ => {
                return Err(Denied::invalid(
                    "the API key is empty, too long, or no text",
                ));
            }
        };
        let hash = key::sha256(key.as_bytes());
        let found = match &self.keys {
            Keys::List(list) => list.find(&hash),
            Keys::Store(store) => {
                let text = key::hex(&hash);
                let found = store.find(key::id_of(key), &text).await;
                found.map_err(Denied::unavailable)?
            }
        };
        let found = found.ok_or_else(|| Denied::invalid("the API key is not known"))?;
        found
            .owner(&hash, clock::wall())
            .map_err(|why| Denied::invalid(format!("the API key is not valid: {why}")))
    }
}

impl Authenticator for ApiKeyLayer {
    async fn authenticate(&self, head: &Parts) -> Result<Identity, Denied> {
        self.owner(head).await.map_err(|denied| {
            let challenge = format!("ApiKey realm=\"{}\"", self.realm);
            let challenge = HeaderValue::try_from(challenge);
            denied.with_challenge(challenge.unwrap_or(HeaderValue::from_static("ApiKey")))
        })
    }

    fn strip(&self, head: &mut Parts) {
        if self.is_forwarded {
            return;
        }
        for name in &*self.headers {
            field::remove(&mut head.headers, name);
        }
        if let Some(name) = &self.query {
            query::remove(&mut head.uri, name);
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut wrong = |what: &str| mistakes.push(format!("API key: {what}"));
        if self.headers.is_empty() && self.query.is_none() {
            wrong("there is no place where a key may be; name a header or a query parameter");
        }
        if self.query.as_deref() == Some("") {
            wrong("the name of the query parameter is empty");
        }
        if self.max_length == 0 {
            wrong("max_key_length is 0; it is at least 1 byte");
        }
        if !is_quotable(&self.realm) {
            wrong(REALM);
        }
        mistakes
    }
}

impl_layer!(ApiKeyLayer);

type Finding<'a> = Pin<Box<dyn Future<Output = Result<Option<ApiKey>, BoxError>> + Send + 'a>>;

/// An [`ApiKeyStore`] of any type.
trait Store: Send + Sync {
    fn find<'a>(&'a self, id: Option<&'a str>, sha256: &'a str) -> Finding<'a>;
}

impl<T: ApiKeyStore> Store for T {
    fn find<'a>(&'a self, id: Option<&'a str>, sha256: &'a str) -> Finding<'a> {
        Box::pin(ApiKeyStore::find(self, id, sha256))
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer")
            .field("headers", &self.headers)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}
