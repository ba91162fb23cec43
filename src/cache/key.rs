//! What a stored answer is found by (RFC 9111, section 2): two requests with the same key are answered with the same, if `Vary` does not tell them apart.

mod query;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, Uri, header, request::Parts, uri::Scheme};
use smallvec::SmallVec;

use self::query::Query;
use crate::{authority::HostPort, context::RequestContext, cookie::cookies};

/// What keys are made of: scheme, authority, path and query of the request, and what is added here. `HEAD` is answered from what `GET` was answered with.
///
/// Scheme and authority are those that the client has asked for, the authority in lower case and without the scheme's own port. The path is as it comes to the layer: canonical in
/// a gateway, and before it is rewritten for a backend. The query is as it was sent.
///
/// What a backend looks at has to be in the key, or in its `Vary`: else one client could choose what another one gets.
///
/// ```
/// use tower_gateway::cache::CacheKey;
///
/// let key = CacheKey::new().without_query(["utm_source", "utm_medium"]).sort_query().header("x-tenant");
/// # let _ = key;
/// ```
#[derive(Clone, Default)]
pub struct CacheKey {
    query: Query,
    added: Vec<Part>,
    mistakes: Vec<String>,
}

/// The key of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(SmallVec<[u8; 256]>);

#[derive(Clone)]
enum Part {
    Header(HeaderName),
    Cookie(Arc<str>),
    Param(Arc<str>),
    Identity,
    Function(Arc<Function>),
}

type Function = dyn Fn(&Parts) -> Option<Vec<u8>> + Send + Sync;

impl CacheKey {
    /// Scheme, authority, path and query.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves these parameters of the query out: what a backend does not look at, such as those of campaigns.
    pub fn without_query<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.query.without(names.into_iter().map(Into::into));
        self
    }

    /// Leaves all parameters of the query out but these.
    pub fn only_query<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.query.only(names.into_iter().map(Into::into));
        self
    }

    /// Takes the parameters of the query in the order of their names. Those with the same name keep theirs.
    pub fn sort_query(mut self) -> Self {
        self.query.sort();
        self
    }

    /// Adds a header field, as it was sent: all of its lines.
    pub fn header(mut self, name: impl AsRef<str>) -> Self {
        match name.as_ref().parse() {
            Ok(name) => self.added.push(Part::Header(name)),
            Err(_) => self.mistakes.push(format!(
                "cache key: {:?} is no name of a header field",
                name.as_ref()
            )),
        }
        self
    }

    /// Adds a cookie.
    pub fn cookie(mut self, name: impl Into<Arc<str>>) -> Self {
        self.added.push(Part::Cookie(name.into()));
        self
    }

    /// Adds a path param of the route.
    pub fn param(mut self, name: impl Into<Arc<str>>) -> Self {
        self.added.push(Part::Param(name.into()));
        self
    }

    /// Adds who sends the request: by what they have shown it, issuer and subject. So nobody gets the answer to another person, and what is stored is stored for each. Requests of
    /// somebody without a subject are left alone.
    pub fn identity(mut self) -> Self {
        self.added.push(Part::Identity);
        self
    }

    /// Adds what a closure says; `None` is a value too.
    pub fn part(
        mut self,
        part: impl Fn(&Parts) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.added.push(Part::Function(Arc::new(part)));
        self
    }

    pub(super) fn has_identity(&self) -> bool {
        self.added.iter().any(|part| matches!(part, Part::Identity))
    }

    /// Whether nothing but the URL is in it.
    pub(super) fn is_url(&self) -> bool {
        self.added.is_empty()
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = self.mistakes.clone();
        mistakes.extend(self.query.mistake().map(|it| format!("cache key: {it}")));
        mistakes
    }

    /// The key of a request; `None`: it can not be told apart from others.
    pub(super) fn of(&self, head: &Parts) -> Option<Key> {
        let context = head.extensions.get::<RequestContext>();
        let mut key = self.of_url(
            scheme(context, &head.uri),
            authority(context, head),
            &head.uri,
        )?;
        for part in &self.added {
            part.write(head, context, &mut key.0)?;
        }
        Some(key)
    }

    /// The key of this URL, without what is added.
    pub(super) fn of_url(&self, scheme: &str, authority: &str, uri: &Uri) -> Option<Key> {
        let mut key = SmallVec::new();
        text(&mut key, scheme.as_bytes());
        let start = key.len();
        text(&mut key, normal_authority(scheme, authority).as_bytes());
        key[start..].make_ascii_lowercase();
        text(&mut key, uri.path().as_bytes());
        self.query.write(uri.query(), &mut key);
        Some(Key(key))
    }
}

impl Key {
    /// As a store has it. Two different keys are never the same bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn of_tests(path: &str) -> Self {
        let uri = format!("/{}", path.trim_start_matches('/'))
            .parse()
            .unwrap();
        CacheKey::new().of_url("http", "example.com", &uri).unwrap()
    }

    /// For people to read.
    pub(super) fn readable(&self) -> String {
        let mut rest = &self.0[..];
        let mut part = || String::from_utf8_lossy(next(&mut rest).unwrap_or_default()).into_owned();
        let (scheme, authority, path) = (part(), part(), part());
        let mut text = format!("{scheme}://{authority}{path}");
        if let [1, query @ ..] = rest {
            let mut query = query;
            let query = next(&mut query).unwrap_or_default();
            text.push('?');
            text.push_str(&String::from_utf8_lossy(query));
        }
        text
    }
}

impl Part {
    fn write(
        &self,
        head: &Parts,
        context: Option<&RequestContext>,
        key: &mut SmallVec<[u8; 256]>,
    ) -> Option<()> {
        match self {
            Self::Header(name) => all(
                key,
                head.headers
                    .get_all(name)
                    .iter()
                    .map(|line| line.as_bytes()),
            ),
            Self::Cookie(name) => all(key, cookies(&head.headers, name)),
            Self::Param(name) => {
                let value = context.and_then(|context| context.param(name));
                all(key, value.into_iter().map(str::as_bytes));
            }
            Self::Identity => {
                let identity = context.and_then(RequestContext::identity);
                let Some(identity) = identity else {
                    // Who has shown something that nobody has looked at is not nobody.
                    let is_nobody = !head.headers.contains_key(header::AUTHORIZATION);
                    return is_nobody.then(|| all(key, std::iter::empty()));
                };
                let subject = identity.subject().filter(|subject| !subject.is_empty())?;
                let issuer = identity.claims().issuer().unwrap_or_default();
                all(
                    key,
                    [identity.method(), issuer, subject]
                        .into_iter()
                        .map(str::as_bytes),
                );
            }
            Self::Function(function) => {
                let value = function(head);
                all(key, value.as_deref().into_iter());
            }
        }
        Some(())
    }
}

/// The path in a key.
pub(super) fn path_of(mut key: &[u8]) -> Option<&[u8]> {
    next(&mut key)?;
    next(&mut key)?;
    next(&mut key)
}

/// The authority in a key.
pub(super) fn authority_of(mut key: &[u8]) -> Option<&[u8]> {
    next(&mut key)?;
    next(&mut key)
}

/// The scheme that the client has used.
pub(super) fn scheme<'a>(context: Option<&'a RequestContext>, uri: &'a Uri) -> &'a str {
    let scheme = context.and_then(RequestContext::scheme).or(uri.scheme());
    scheme.map_or("http", Scheme::as_str)
}

/// Whom the client has asked.
pub(super) fn authority<'a>(context: Option<&'a RequestContext>, head: &'a Parts) -> &'a str {
    let known = context.and_then(RequestContext::authority);
    let known = known.or_else(|| head.uri.authority().map(|authority| authority.as_str()));
    known.or_else(|| host(&head.headers)).unwrap_or_default()
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Without the port that the scheme has anyway.
fn normal_authority<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return authority,
    };
    match authority.strip_suffix(port) {
        // Not the end of an IPv6 address.
        Some(host) if HostPort::parse(authority).is_some() => host,
        _ => authority,
    }
}

/// Whether both are the same server, by this scheme.
pub(super) fn is_same_authority(scheme: &str, one: &str, other: &str) -> bool {
    let (one, other) = (
        normal_authority(scheme, one),
        normal_authority(scheme, other),
    );
    one.eq_ignore_ascii_case(other)
}

/// So many values, each with its length.
fn all<'a>(key: &mut SmallVec<[u8; 256]>, values: impl Iterator<Item = &'a [u8]>) {
    for value in values {
        key.push(1);
        text(key, value);
    }
    key.push(0);
}

fn text(key: &mut SmallVec<[u8; 256]>, text: &[u8]) {
    // A head is shorter than that.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(text);
}

/// Takes the next text off.
fn next<'a>(key: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = key.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (text, rest) = rest.split_at_checked(length)?;
    *key = rest;
    Some(text)
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheKey")
            .field("query", &self.query)
            .field("added", &self.added)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Param(name) => write!(f, "param {name}"),
            Self::Identity => f.write_str("identity"),
            Self::Function(_) => f.write_str("function"),
        }
    }
}
