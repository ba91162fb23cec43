//! What the service is asked, and what its answer says.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header, request::Parts};
use serde_json::{Map, Value};

use crate::{claims::Claims, context::RequestContext, field};

/// What is known of a request that is let in.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) claims: Claims,
    /// What goes on with it.
    pub(super) headers: HeaderMap,
}

/// The fields of the question about a request: those that were chosen, and what it is.
///
/// # Errors
/// The target or the host can not be written into a field.
pub(super) fn question(head: &Parts, chosen: &[HeaderName]) -> Result<HeaderMap, ()> {
    let mut headers = HeaderMap::new();
    for name in chosen {
        for value in head.headers.get_all(name) {
            headers.try_append(name, value.clone()).map_err(drop)?;
        }
    }
    join_cookies(&mut headers)?;
    let context = head.extensions.get::<RequestContext>();
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let host = context
        .and_then(RequestContext::authority)
        .or(head.uri.authority().map(|authority| authority.as_str()))
        .map(HeaderValue::from_str)
        .transpose()
        .map_err(drop)?
        .or_else(|| head.headers.get(header::HOST).cloned());
    let scheme = context
        .and_then(RequestContext::scheme)
        .or(head.uri.scheme());
    let scheme = scheme.map_or("http", |scheme| scheme.as_str());
    let client = context.and_then(RequestContext::client_ip);
    let ours = [
        (
            "x-forwarded-method",
            HeaderValue::from_str(head.method.as_str()).map(Some),
        ),
        ("x-forwarded-uri", HeaderValue::from_str(target).map(Some)),
        ("x-forwarded-host", Ok(host)),
        ("x-forwarded-proto", HeaderValue::from_str(scheme).map(Some)),
        (
            "x-forwarded-for",
            client
                .map(|ip| HeaderValue::from_str(&ip.to_string()))
                .transpose(),
        ),
    ];
    for (name, value) in ours {
        let name = HeaderName::from_static(name);
        // Whatever the client has sent, if somebody has chosen it.
        field::remove(&mut headers, &name);
        if let Some(value) = value.map_err(drop)? {
            headers.try_insert(name, value).map_err(drop)?;
        }
    }
    Ok(headers)
}

/// HTTP/2 may send a field for each cookie, HTTP/1 has one for all (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), ()> {
    let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
    if cookies.len() > 1 {
        let cookies: Vec<_> = cookies.iter().map(|value| value.as_bytes()).collect();
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..])).map_err(drop)?;
        headers.insert(header::COOKIE, joined);
    }
    Ok(())
}

/// What an answer of 2xx says.
///
/// # Errors
/// It says who it is in several ways, or in bytes that are no text.
pub(super) fn told(
    answer: &HeaderMap,
    claims: &[(String, HeaderName)],
    passed: &[HeaderName],
) -> Result<Told, &'static str> {
    let mut all = Map::new();
    for (claim, name) in claims {
        let values = answer.get_all(name).iter().map(|value| {
            let text = std::str::from_utf8(value.as_bytes());
            text.map(Value::from)
        });
        let values: Result<Vec<_>, _> = values.collect();
        let mut values = values.map_err(|_| "a claim is no text")?;
        let value = match values.len() {
            0 => continue,
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        all.insert(claim.clone(), value);
    }
    if all
        .get("sub")
        .is_some_and(|sub| sub.as_str().is_none_or(str::is_empty))
    {
        return Err("the subject is empty, or there are several");
    }
    let mut headers = HeaderMap::new();
    for name in passed {
        for value in answer.get_all(name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers
                .try_append(name, value)
                .map_err(|_| "the answer has too many fields")?;
        }
    }
    let claims = Claims::parse(Value::Object(all).to_string());
    let claims = claims.map_err(|_| "the answer has no claims that can be used")?;
    Ok(Told { claims, headers })
}

/// The answer as the client gets it: without what is between the service and the gateway.
pub(super) fn answer(mut answer: Response<Bytes>) -> Response<Bytes> {
    let headers = answer.headers_mut();
    let named: Vec<_> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    let doomed = |name: &&HeaderName| {
        // The length is that of the body, which whoever sends it knows.
        field::is_reserved(name)
            || name.as_str().starts_with("proxy-")
            || name.as_str() == "alt-svc"
    };
    while let Some(name) = headers.keys().find(doomed).cloned() {
        headers.remove(name);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn fields(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn sorted(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<_> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_question_says_what_the_request_is_and_no_client_can() {
        let mut request = Request::builder()
            .method("DELETE")
            .uri("/a/b?c=%20d")
            .body(())
            .unwrap();
        *request.headers_mut() = fields(&[
            ("host", "shop.example"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("authorization", "Bearer x"),
            ("x-secret", "1"),
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/public"),
            ("x_forwarded_uri", "/public"),
            ("x-forwarded-for", "10.0.0.1"),
        ]);
        let chosen = [
            "authorization",
            "cookie",
            "x-forwarded-uri",
            "x_forwarded_uri",
            "x-forwarded-for",
        ];
        let chosen = chosen.map(HeaderName::from_static);
        let (mut head, ()) = request.into_parts();
        let common = ["authorization: Bearer x", "cookie: a=1; b=2"];
        let without = [
            "x-forwarded-host: shop.example",
            "x-forwarded-method: DELETE",
            "x-forwarded-proto: http",
            "x-forwarded-uri: /a/b?c=%20d",
        ];
        assert_eq!(
            sorted(&question(&head, &chosen).unwrap()),
            [&common[..], &without].concat()
        );

        let mut context = RequestContext::new();
        context.client_ip = Some("2001:db8::1".parse().unwrap());
        context.scheme = Some(http::uri::Scheme::HTTPS);
        context.authority = Some(HeaderValue::from_static("other.example:8443"));
        head.extensions.insert(context);
        let with = [
            "x-forwarded-for: 2001:db8::1",
            "x-forwarded-host: other.example:8443",
            "x-forwarded-method: DELETE",
            "x-forwarded-proto: https",
            "x-forwarded-uri: /a/b?c=%20d",
        ];
        assert_eq!(
            sorted(&question(&head, &chosen).unwrap()),
            [&common[..], &with].concat()
        );
    }

    #[test]
    fn an_answer_says_who_it_is_in_one_way() {
        let claims = [("sub", "x-user"), ("groups", "x-group")];
        let claims = claims.map(|(claim, name)| (claim.to_owned(), HeaderName::from_static(name)));
        let passed = ["x-user", "x-token"].map(HeaderName::from_static);
        let told = |all: &[(&'static str, &str)]| {
            let told = told(&fields(all), &claims, &passed).ok()?;
            Some((told.claims.as_json().to_owned(), sorted(&told.headers)))
        };
        for (answer, expected) in [
            (&[][..], Some(("{}", vec![]))),
            (
                &[("x-user", "ada"), ("x-other", "1")],
                Some((r#"{"sub":"ada"}"#, vec!["x-user: ada"])),
            ),
            (
                &[
                    ("x-group", "a"),
                    ("x-group", "b"),
                    ("x-token", "t"),
                    ("x-token", "u"),
                ],
                Some((r#"{"groups":["a","b"]}"#, vec!["x-token: t", "x-token: u"])),
            ),
            (
                &[("x-group", "a\"b")],
                Some((r#"{"groups":"a\"b"}"#, vec![])),
            ),
            (&[("x-user", "ada"), ("x-user", "root")], None),
            (&[("x-user", "")], None),
        ] {
            let expected = expected.map(|(json, fields)| {
                (
                    json.to_owned(),
                    fields.into_iter().map(str::to_owned).collect::<Vec<_>>(),
                )
            });
            assert_eq!(told(answer), expected, "{answer:?}");
        }
        let mut latin = HeaderMap::new();
        latin.insert("x-user", HeaderValue::from_bytes(b"zo\xeb").unwrap());
        assert!(super::told(&latin, &claims, &passed).is_err());
    }

    #[test]
    fn what_belongs_to_a_connection_stays_there() {
        let mut response = Response::builder()
            .status(302)
            .body(Bytes::from("go"))
            .unwrap();
        *response.headers_mut() = fields(&[
            ("location", "/login"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("trailer", "x"),
            ("alt-svc", "h3=\":1\""),
            ("www-authenticate", "Bearer"),
        ]);
        let response = answer(response);
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (302, &b"go"[..])
        );
        let left = [
            "location: /login",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "www-authenticate: Bearer",
        ];
        assert_eq!(sorted(response.headers()), left);
    }
}
