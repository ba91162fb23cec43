//! Session affinity: a cookie that keeps a client with the endpoint that it met first.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

use crate::cookie::cookie;

/// The shortest secret: as long as what is made of it (RFC 2104, section 3).
const SECRET: usize = 32;

/// Keeps a client with its endpoint by a cookie; see [`Upstream::affinity`](crate::Upstream::affinity).
///
/// The cookie's value is an HMAC-SHA-256 of the endpoint's URL. So it says nothing about the inside, nobody can make up one for
/// another endpoint, and every gateway with the same secret understands it. It is `HttpOnly`, `SameSite=Lax`, for all paths, and
/// `Secure` when the client's connection is. A client whose endpoint is gone, unhealthy or can not be reached gets another one,
/// and another cookie.
///
/// ```
/// use tower_gateway::{Affinity, Upstream};
///
/// # let secret = [7; 32];
/// let upstream = Upstream::http(["http://10.0.0.1:8080", "http://10.0.0.2:8080"])
///     .affinity(Affinity::cookie("backend", secret));
/// # assert!(upstream.check().is_ok());
/// ```
#[derive(Clone)]
pub struct Affinity {
    name: String,
    secret: Vec<u8>,
    max_age: Option<Duration>,
}

impl Affinity {
    /// A cookie of this name (a token of RFC 9110, section 5.6.2), and a secret of at least 32 random bytes, the same for all
    /// gateways that stand side by side.
    pub fn cookie(name: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            secret: secret.into(),
            max_age: None,
        }
    }

    /// How long the client keeps the cookie, at least a second. Default: as long as its session.
    pub fn max_age(mut self, time: Duration) -> Self {
        self.max_age = Some(time);
        self
    }

    /// What is wrong with the settings.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(is_token) {
            mistakes.push(format!(
                "affinity: `{}` is no cookie name; it is a token (RFC 9110)",
                self.name
            ));
        }
        let length = self.secret.len();
        if length < SECRET {
            mistakes.push(format!(
                "affinity: the secret has {length} bytes; it has at least {SECRET}"
            ));
        }
        if self.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            mistakes.push("affinity: max_age is less than a second".to_owned());
        }
        mistakes
    }

    /// What the cookie says for an endpoint.
    pub(super) fn token(&self, label: &str) -> Box<str> {
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.secret) else {
            return Box::default();
        };
        mac.update(label.as_bytes());
        let mac = mac.finalize().into_bytes();
        // Half of it is as hard to guess as anything need be, and a client sends it with each request.
        BASE64_URL_SAFE_NO_PAD.encode(&mac[..16]).into()
    }

    /// What the client's cookie says.
    pub(super) fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        cookie(headers, &self.name)
    }

    /// The field that makes the client keep a token.
    pub(super) fn set_cookie(&self, token: &str, is_secure: bool) -> Option<HeaderValue> {
        let mut text = format!("{}={token}; Path=/; HttpOnly; SameSite=Lax", self.name);
        if let Some(age) = self.max_age {
            text.push_str(&format!("; Max-Age={}", age.as_secs()));
        }
        if is_secure {
            text.push_str("; Secure");
        }
        text.try_into().ok()
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity")
            .field("name", &self.name)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_depends_on_secret_and_endpoint() {
        let token = |secret: u8, label| Affinity::cookie("a", [secret; 32]).token(label);
        // HMAC-SHA-256 of `http://a` with 32 bytes of 7, by another implementation.
        assert_eq!(&*token(7, "http://a"), "aOZZ7xpDIpwQ14GNO9sCDw");
        assert_ne!(token(7, "http://a"), token(7, "http://b"));
        assert_ne!(token(7, "http://a"), token(8, "http://a"));
    }

    #[test]
    fn the_field_is_as_the_browser_wants_it() {
        let affinity = Affinity::cookie("backend", [7; 32]);
        let field = |affinity: &Affinity, is_secure| {
            let field = affinity.set_cookie("abc", is_secure).unwrap();
            field.to_str().unwrap().to_owned()
        };
        let always = "backend=abc; Path=/; HttpOnly; SameSite=Lax";
        assert_eq!(field(&affinity, false), always);
        let affinity = affinity.max_age(Duration::from_secs(60));
        assert_eq!(
            field(&affinity, true),
            format!("{always}; Max-Age=60; Secure")
        );
        assert!(
            !format!("{affinity:?}").contains('7'),
            "the secret is not shown"
        );
    }

    #[test]
    fn wrong_settings_are_named() {
        let cases = [
            (Affinity::cookie("", [0; 32]), "``"),
            (Affinity::cookie("a b", [0; 32]), "`a b`"),
            (Affinity::cookie("a;b", [0; 32]), "`a;b`"),
            (Affinity::cookie("a", [0; 31]), "31 bytes"),
            (
                Affinity::cookie("a", [0; 32]).max_age(Duration::ZERO),
                "max_age",
            ),
        ];
        for (affinity, what) in cases {
            let mistakes = affinity.mistakes();
            assert!(
                mistakes.len() == 1 && mistakes[0].contains(what),
                "{mistakes:?}"
            );
        }
        assert_eq!(Affinity::cookie("a", [0; 32]).mistakes(), [""; 0]);
    }
}
