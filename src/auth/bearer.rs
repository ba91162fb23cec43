//! Where a bearer token is, and what its sender is told (RFC 6750).
//!
//! A token that is there more than once has to be the same one. The [`Bearer`] of a layer knows nothing of what a token says.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header, request::Parts};

use super::{denied::Denied, query};
use crate::{
    cookie::{cookies, remove_cookie},
    error::BoxError,
};

/// Longer ones are refused. Header fields of more than 8 KiB are cut off by many servers as well.
const MAX_LENGTH: usize = 8 * 1024;

/// The places where a token may be, and the words in which it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    cookie: Option<String>,
    query: Option<String>,
    realm: String,
    max_length: usize,
    is_forwarded: bool,
}

impl Bearer {
    /// Tokens in `Authorization`, of 8 KiB at most, that are not passed on.
    pub(super) fn new() -> Self {
        Self {
            cookie: None,
            query: None,
            realm: "api".to_owned(),
            max_length: MAX_LENGTH,
            is_forwarded: false,
        }
    }

    /// Also in this cookie.
    pub(super) fn cookie(self, name: String) -> Self {
        let cookie = Some(name);
        Self { cookie, ..self }
    }

    /// Also in this parameter of the query.
    pub(super) fn query(self, name: String) -> Self {
        let query = Some(name);
        Self { query, ..self }
    }

    /// What is protected, for people.
    pub(super) fn realm(self, realm: String) -> Self {
        Self { realm, ..self }
    }

    /// How many bytes a token has at most.
    pub(super) fn max_length(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    /// Whether [`strip`](Self::strip) leaves it where it is.
    pub(super) fn forward(self, is_forwarded: bool) -> Self {
        Self {
            is_forwarded,
            ..self
        }
    }

    /// The token that was sent, of characters that one may have (`b64token`).
    pub(super) fn token<'a>(&self, head: &'a Parts) -> Result<Cow<'a, str>, Denied> {
        let mut token = in_authorization(&head.headers).map_err(|fault| self.malformed(fault))?;
        if self.cookie.is_some() || self.query.is_some() {
            for other in self.elsewhere(head) {
                match &token {
                    Some(token) if token.as_bytes() == &*other => {}
                    Some(_) => return Err(self.malformed("There are several tokens")),
                    None => {
                        let other = text(other).ok_or_else(|| self.malformed(NO_TOKEN))?;
                        token = Some(other);
                    }
                }
            }
        }
        match token {
            None => Err(Denied::missing().with_challenge(self.challenge(""))),
            Some(token) if token.len() > self.max_length => Err(self.invalid("it is too long")),
            Some(token) => Ok(token),
        }
    }

    /// Takes the token from a request that is let in.
    pub(super) fn strip(&self, head: &mut Parts) {
        if self.is_forwarded {
            return;
        }
        // Credentials of another kind are those of somebody else.
        if !matches!(in_authorization(&head.headers), Ok(None)) {
            head.headers.remove(header::AUTHORIZATION);
        }
        if let Some(name) = &self.cookie {
            remove_cookie(&mut head.headers, name);
        }
        if let Some(name) = &self.query {
            query::remove(&mut head.uri, name);
        }
    }

    /// 401: this token is not one that is let in. Nobody is told why.
    pub(super) fn invalid(&self, reason: impl Into<BoxError>) -> Denied {
        Denied::invalid(reason).with_challenge(
            self.challenge(
                r#", error="invalid_token", error_description="The token is not valid""#,
            ),
        )
    }

    /// 400: it can not be said which token it is.
    fn malformed(&self, detail: &'static str) -> Denied {
        Denied::malformed(detail).with_challenge(self.challenge(
            r#", error="invalid_request", error_description="One token is needed, in one place""#,
        ))
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !is_quotable(&self.realm) {
            mistakes.push(REALM.to_owned());
        }
        if self.max_length == 0 {
            mistakes.push("max_token_length is 0; it is at least 1 byte".to_owned());
        }
        let is_token = |name: &str| http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if let Some(name) = self.cookie.as_ref().filter(|name| !is_token(name)) {
            mistakes.push(format!(
                "no cookie is called {name:?}; a name has letters, digits and some signs"
            ));
        }
        if self.query.as_ref().is_some_and(String::is_empty) {
            mistakes.push("the name of the query parameter is empty".to_owned());
        }
        mistakes
    }

    fn challenge(&self, error: &str) -> HeaderValue {
        let text = format!(r#"Bearer realm="{}"{error}"#, self.realm);
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }

    /// What is in the cookies and in the query.
    fn elsewhere<'a>(&self, head: &'a Parts) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let in_cookies = self
            .cookie
            .as_deref()
            .into_iter()
            .flat_map(|name| cookies(&head.headers, name))
            // That is how a cookie is taken away.
            .filter(|value| !value.is_empty())
            .map(Cow::Borrowed);
        let in_query = self
            .query
            .as_deref()
            .zip(head.uri.query())
            .into_iter()
            .flat_map(|(name, query)| query::values(query, name));
        in_cookies.chain(in_query)
    }
}

const NO_TOKEN: &str = "The token has characters that no token has";
pub(super) const REALM: &str = "the realm has characters that can not be quoted; it is of visible ASCII and blanks, without \" and \\";

/// Whether it can stand between quotes as it is.
pub(super) fn is_quotable(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// The credentials in `Authorization` that have this scheme: `None` if there are none, or those of another one.
///
/// # Errors
/// What is told to a client that sends the field twice.
pub(super) fn credentials<'a>(
    headers: &'a HeaderMap,
    scheme: &str,
) -> Result<Option<&'a [u8]>, &'static str> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err("There is more than one Authorization field");
    }
    // HTTP/2 keeps blanks at the ends, and some backends take a tab for the blank behind the scheme: it stays, and is wrong.
    let field = field.as_bytes().trim_ascii();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (name, rest) = match field.iter().position(is_blank) {
        Some(blank) => field.split_at(blank),
        None => (field, &[][..]),
    };
    let is_meant = name.eq_ignore_ascii_case(scheme.as_bytes());
    let begin = rest.iter().position(|&byte| byte != b' ');
    let (_, rest) = rest.split_at(begin.unwrap_or(rest.len()));
    Ok(is_meant.then_some(rest))
}

fn in_authorization(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, &'static str> {
    match credentials(headers, "bearer")? {
        None => Ok(None),
        Some(token) => text(Cow::Borrowed(token)).map(Some).ok_or(NO_TOKEN),
    }
}

/// `b64token`: letters, digits and `-._~+/`, at least one of them, and `=` at the end.
fn text(token: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    let end = token.iter().rposition(|&byte| byte != b'=')? + 1;
    // Each byte is looked at, whatever the ones before it: that is done for many at a time.
    let is_one = token.iter().take(end).fold(true, |is_one, byte| {
        is_one
            & (byte.is_ascii_alphanumeric()
                | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'))
    });
    match token {
        _ if !is_one => None,
        Cow::Borrowed(token) => std::str::from_utf8(token).ok().map(Cow::Borrowed),
        Cow::Owned(token) => String::from_utf8(token).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests;
