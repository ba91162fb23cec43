//! Who sends a request, as the gateway has found out.

use std::sync::Arc;

#[cfg(feature = "auth")]
use crate::claims::ClaimError;
use crate::claims::Claims;

/// Who sends a request: put into [`RequestContext`](crate::RequestContext) by whoever has checked it, and read by authorisation, header
/// templates, throttling and layers of your own. Clones share it.
///
/// Whatever the way in which somebody has shown who they are, what is known of them is a set of [`Claims`]: `sub` is the subject,
/// `scope` what it may do.
///
/// ```
/// use tower_gateway::{Claims, Identity};
///
/// let identity = Identity::new("api-key", Claims::new().with("sub", "billing").with("scope", "read"));
/// assert_eq!(identity.subject(), Some("billing"));
/// assert!(identity.has_scope("read"));
/// ```
#[derive(Clone, Debug)]
pub struct Identity(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    method: &'static str,
    claims: Claims,
    /// What goes on with the request in header fields, in place of what the client sent under these names.
    #[cfg(feature = "auth")]
    headers: http::HeaderMap,
}

impl Identity {
    /// An identity that was shown in this way (`jwt`, `api-key`, …), and what is known of it.
    pub fn new(method: &'static str, claims: Claims) -> Self {
        Self(Arc::new(Inner {
            method,
            claims,
            #[cfg(feature = "auth")]
            headers: http::HeaderMap::new(),
        }))
    }

    /// The way in which it was shown. Built in are `jwt`, `api-key`, `basic`, `introspection`, `client-cert` and `forward-auth`.
    pub fn method(&self) -> &'static str {
        self.0.method
    }

    /// The claim `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.0.claims.subject()
    }

    /// Whether the [scopes](Claims::scopes) have this one.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.claims.scopes().any(|one| one == scope)
    }

    /// All that is known.
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// The same one, with these header fields for the request. Whoever does this removes the client's fields of these names.
    #[cfg(feature = "auth")]
    pub(crate) fn with_headers(mut self, headers: http::HeaderMap) -> Self {
        Arc::make_mut(&mut self.0).headers = headers;
        self
    }

    #[cfg(feature = "auth")]
    pub(crate) fn headers(&self) -> &http::HeaderMap {
        &self.0.headers
    }

    /// The same one, of whom something else is known too: the other's claims under the name of its method.
    ///
    /// # Errors
    /// They can not be there, as they are nested too deep.
    #[cfg(feature = "auth")]
    pub(crate) fn and(mut self, other: &Self) -> Result<Self, ClaimError> {
        let inner = Arc::make_mut(&mut self.0);
        inner.claims = (inner.claims).with_others(other.method(), other.claims())?;
        for (name, value) in other.headers() {
            inner.headers.append(name, value.clone());
        }
        Ok(self)
    }
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use super::*;

    #[test]
    fn a_second_identity_is_under_its_own_name() {
        let first = Identity::new(
            "jwt",
            Claims::new()
                .with("sub", "a")
                .with("client-cert", "forged")
                .with("client-cert.sub", "forged")
                .with("client-certs", "kept"),
        );
        let second = Identity::new("client-cert", Claims::new().with("sub", "b"));
        let both = first.and(&second).unwrap();
        assert_eq!((both.method(), both.subject()), ("jwt", Some("a")));
        assert!(both.claims().has("client-cert.sub", "b"));

        let forged: Claims = r#"{"sub": "a", "client-cert.sub": "forged", "client-cert.": 1}"#
            .parse()
            .unwrap();
        let both = Identity::new("jwt", forged).and(&second).unwrap();
        let seen = both.claims().get("client-cert.sub");
        assert_eq!(seen.and_then(|value| value.as_str()), Some("b"));

        let deep = format!(r#"{{"x": {}{}}}"#, "[".repeat(31), "]".repeat(31));
        let deep = deep.parse().unwrap();
        let first = Identity::new("jwt", Claims::new().with("client-cert", "forged"));
        assert!(first.and(&Identity::new("client-cert", deep)).is_err());
    }
}
