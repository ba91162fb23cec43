//! Answers of the gateway itself: RFC 9457 `application/problem+json`.
//!
//! ```
//! use http::StatusCode;
//! use tower_gateway::{Body, Problem};
//!
//! let response: http::Response<Body> =
//!     Problem::new(StatusCode::FORBIDDEN).with_detail("This door is for staff").into_response();
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! ```

pub(crate) mod grpc;

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

use crate::error::{Error, Rejection};

/// What a client is told when the gateway answers by itself: status, title, detail, type, and members of its own.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    /// Names, and values as JSON.
    members: Vec<(Cow<'static, str>, String)>,
}

/// What RFC 9457 has for all problems (section 3.1).
const RESERVED: [&str; 5] = ["type", "title", "status", "detail", "instance"];

impl Problem {
    /// A problem with this status, the status's reason phrase as its title, and the type `about:blank`.
    pub fn new(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            status,
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(title),
            detail: None,
            members: Vec::new(),
        }
    }

    /// The type: a URI that identifies the kind of problem (RFC 9457, section 3.1.1). Default: `about:blank`.
    pub fn with_type(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.kind = uri.into();
        self
    }

    /// The title: the same for every occurrence of a type. Default: the status's reason phrase.
    pub fn with_title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = title.into();
        self
    }

    /// The detail: what the client can do about this occurrence. Keep the gateway's inside out of it.
    /// Default: none.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A member of its own, for programs (RFC 9457, section 3.2), in place of one of this name. Left out are a name that is empty, or that of a
    /// member which all problems have (`type`, `title`, `status`, `detail`, `instance`), and a value that has no JSON. Default: none.
    pub(crate) fn with_member(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Serialize,
    ) -> Self {
        let name = name.into();
        let is_allowed = !name.is_empty() && !RESERVED.contains(&&*name);
        if let Some(json) = serde_json::to_string(&value).ok().filter(|_| is_allowed) {
            self.members.retain(|(other, _)| *other != name);
            self.members.push((name, json));
        }
        self
    }

    /// The response: `application/problem+json`, with `Cache-Control: no-store`, for what failed now may work in a
    /// moment.
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut json = String::with_capacity(96);
        json.push_str("{\"type\":");
        push_json(&mut json, &self.kind);
        json.push_str(",\"title\":");
        push_json(&mut json, &self.title);
        json.push_str(",\"status\":");
        json.push_str(self.status.as_str());
        if let Some(detail) = &self.detail {
            json.push_str(",\"detail\":");
            push_json(&mut json, detail);
        }
        for (name, value) in &self.members {
            json.push(',');
            push_json(&mut json, name);
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        let mut response = Response::new(B::from(Bytes::from(json)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let problem = Self::new(error.status());
        problem.with_detail(error.detail().to_owned())
    }
}

impl Error {
    /// What the gateway answers for this error: its [`Problem`], with `Allow` for a
    /// [405](crate::ErrorKind::MethodNotAllowed), `Retry-After` when it is [known](Self::retry_after), and the error as a [`Rejection`] in the extensions. For a layer of your
    /// own that has to answer instead of failing.
    ///
    /// ```
    /// use tower_gateway::{Body, Error, ErrorKind, Rejection};
    ///
    /// let response = Error::new(ErrorKind::NoEndpoint).into_response::<Body>();
    /// assert_eq!(response.status(), 503);
    /// assert!(response.extensions().get::<Rejection>().is_some());
    /// ```
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let problem = Problem::from(&self);
        self.answer(problem)
    }

    /// As [`into_response`](Self::into_response), and told in another way.
    pub(crate) fn answer<B: From<Bytes>>(self, problem: Problem) -> Response<B> {
        let mut response = problem.into_response();
        let source = std::error::Error::source(&self);
        if let Some(allow) = source.and_then(|source| source.downcast_ref::<Allow>())
            && let Ok(value) = HeaderValue::try_from(allow.to_string())
        {
            response.headers_mut().insert(header::ALLOW, value);
        }
        if let Some(delay) = self.retry_after() {
            let seconds = delay
                .as_secs()
                .saturating_add(u64::from(delay.subsec_nanos() > 0));
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in self.fields() {
            response.headers_mut().append(name, value.clone());
        }
        response.extensions_mut().insert(Rejection(self));
        response
    }
}

/// The methods that a path has, on their way to `Allow`.
#[derive(Debug)]
pub(crate) struct Allow(pub(crate) Vec<Method>);

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, method) in self.0.iter().enumerate() {
            write!(f, "{}{method}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Allow {}

/// Appends `text` as a JSON string (RFC 8259, section 7).
fn push_json(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn whatever_the_text_it_is_json() {
        let text = "a \"quote\", a \\, a\nline, a \u{1} and é";
        let problem = Problem::new(StatusCode::BAD_GATEWAY)
            .with_type(text)
            .with_title(text)
            .with_detail(text);
        let body: Bytes = problem.into_response::<Bytes>().into_body();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for field in ["type", "title", "detail"] {
            assert_eq!(json[field], text);
        }
        assert_eq!(json["status"], 502);
    }

    #[test]
    fn members_are_added_and_never_break_it() {
        struct NoJson;
        impl Serialize for NoJson {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("it has none"))
            }
        }
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS)
            .with_member("left", 1)
            .with_member("violated-policies", ["a \"b\"", "c\n"])
            .with_member("left", 2)
            .with_member("left", NoJson)
            .with_member("", 1)
            .with_member("broken", NoJson)
            .with_member("a \"quote\"\n", ());
        for name in RESERVED {
            problem = problem.with_member(name, "mine");
        }
        let body: Bytes = problem.with_detail("a").into_response().into_body();
        let expected = serde_json::json!({
            "type": "about:blank",
            "title": "Too Many Requests",
            "status": 429,
            "detail": "a",
            "violated-policies": ["a \"b\"", "c\n"],
            "left": 2,
            "a \"quote\"\n": null,
        });
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json, expected);
        let once = String::from_utf8_lossy(&body).matches("\"left\"").count();
        assert_eq!(once, 1, "a member is there once");
    }

    #[test]
    fn a_delay_is_told_in_whole_seconds() {
        for (millis, told) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2")] {
            let delay = std::time::Duration::from_millis(millis);
            let error = Error::new(ErrorKind::CircuitOpen).with_retry_after(delay);
            let response: Response<Bytes> = error.into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], told);
        }
    }

    #[test]
    fn a_source_is_never_shown() {
        let error = Error::new(ErrorKind::Connect).with_source("10.0.0.7:8080 refused");
        let response: Response<Bytes> = error.into_response();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert!(!String::from_utf8_lossy(response.body()).contains("10.0.0.7"));
        assert_eq!(
            response.extensions().get::<Rejection>().unwrap().0.kind(),
            ErrorKind::Connect
        );
    }
}
