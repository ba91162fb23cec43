//! What gRPC says of a failure, and what its client is told when the gateway answers by itself.
//!
//! A client looks for a status in the head or in the trailers, and makes up one from the HTTP status where there is none: then
//! a route's timeout looks like a backend that is gone, and the text is lost. So a rejection is told in gRPC's own terms,
//! as a head with no body ("Trailers-Only" in its description of HTTP/2).

use std::fmt::Write;

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::{
    body::Body,
    error::{ErrorKind, Rejection},
};

/// Whether whoever sent the request expects a gRPC status. For all but `POST` no header is looked at.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    const NAME: &[u8] = b"application/grpc";
    request.method() == Method::POST
        && request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.as_bytes().split_at_checked(NAME.len()))
            .is_some_and(|(name, rest)| {
                // `application/grpc-web` is another protocol.
                name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';'))
            })
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

const UNKNOWN: u16 = 2;
/// What a server says that can not serve calls at the moment.
pub(crate) const UNAVAILABLE: u16 = 14;

/// The status of a call that has failed before its answer began: gRPC then says it in the head, with a 200. One that can not be
/// read is unknown, as gRPC has it. `None`: there is none, or it is still to come in the trailers.
pub(crate) fn status_of<B>(response: &Response<B>) -> Option<u16> {
    if response.status() != StatusCode::OK {
        return None;
    }
    let digits = response.headers().get(STATUS)?.as_bytes();
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return Some(UNKNOWN);
    }
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    Some(code)
}

/// The HTTP status that means the same, for whoever judges by that.
pub(crate) fn stands_for(code: u16) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        // Cancelled, an argument, the state or the range that it needs: what the client asks for.
        1 | 3 | 9 | 11 => StatusCode::BAD_REQUEST,
        4 => StatusCode::GATEWAY_TIMEOUT,
        5 => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        12 => StatusCode::NOT_IMPLEMENTED,
        UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        // Unknown, internal, data that is lost, and what nobody has defined.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Makes a gRPC status of a rejection; every other answer stays what it is.
pub(crate) fn translate(response: &mut Response<Body>) {
    let Some(Rejection(error)) = response.extensions().get() else {
        return;
    };
    if response.status().is_success() {
        // Somebody has made something else of it.
        return;
    }
    let status = HeaderValue::from(code(error.kind()));
    let message = HeaderValue::try_from(encode(error.detail()));
    *response.status_mut() = StatusCode::OK;
    *response.body_mut() = Body::empty();
    let headers = response.headers_mut();
    for of_the_body in [header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        headers.remove(of_the_body);
    }
    let kind = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(STATUS, status);
    if let Ok(message) = message {
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
}

/// gRPC's status codes, as its table of HTTP status codes has them; but a deadline is called by its name, and so are a
/// message that is too large and a method that is not there.
fn code(kind: ErrorKind) -> u16 {
    const CANCELLED: u16 = 1;
    const DEADLINE_EXCEEDED: u16 = 4;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const PERMISSION_DENIED: u16 = 7;
    const UNAUTHENTICATED: u16 = 16;
    use ErrorKind::*;
    match kind {
        ClientGone => CANCELLED,
        Deadline | Timeout => DEADLINE_EXCEEDED,
        Unauthenticated => UNAUTHENTICATED,
        Forbidden => PERMISSION_DENIED,
        BodyTooLarge | QuotaExceeded => RESOURCE_EXHAUSTED,
        RouteNotFound | MethodNotAllowed | NotImplemented => UNIMPLEMENTED,
        BadRequest | ExpectationFailed | Internal | Loop => INTERNAL,
        // A connect timeout too: nothing was sent, and a client may try again.
        ConnectTimeout | Resolve | Connect | Tls | Protocol | Incomplete | Upgrade | NoEndpoint
        | CircuitOpen | Saturated | AuthUnavailable | CapacityReduced | ThrottleUnavailable => {
            UNAVAILABLE
        }
    }
}

/// Percent-encodes all but visible ASCII and spaces, as `grpc-message` asks for.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use proptest::prelude::*;

    #[test]
    fn a_failure_before_the_answer_is_read_in_the_head() {
        for (status, said, expected) in [
            (200, Some("0"), Some(0)),
            (200, Some("14"), Some(14)),
            (200, Some("999"), Some(999)),
            (200, Some(""), Some(2)),
            (200, Some("+1"), Some(2)),
            (200, Some("65536"), Some(2)),
            (200, Some("x"), Some(2)),
            (200, None, None),
            (503, Some("14"), None),
        ] {
            let mut response = Response::builder().status(status);
            if let Some(said) = said {
                response = response.header("grpc-status", said);
            }
            let response = response.body(()).unwrap();
            assert_eq!(status_of(&response), expected, "{status} {said:?}");
        }
        let failures: Vec<_> = (0..20)
            .filter(|code| stands_for(*code).is_server_error())
            .collect();
        assert_eq!(failures, [2, 4, 12, 13, 14, 15, 17, 18, 19]);
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (method, kind, expected) in [
            ("POST", "application/grpc", true),
            ("POST", "application/grpc+proto", true),
            ("POST", "application/grpc;charset=x", true),
            ("POST", "Application/GRPC", true),
            ("POST", "application/grpc-web", false),
            ("POST", "application/grpc-web+proto", false),
            ("POST", "application/grp", false),
            ("POST", "application/json", false),
            ("POST", "", false),
            ("GET", "application/grpc", false),
        ] {
            let request = Request::builder().method(method);
            let request = request.header("content-type", kind).body(()).unwrap();
            assert_eq!(is_grpc(&request), expected, "{method} {kind}");
        }
        assert!(!is_grpc(&Request::post("/").body(()).unwrap()));
    }

    #[test]
    fn only_a_rejection_is_translated() {
        let mut told: Response<Body> = Error::new(ErrorKind::Connect)
            .with_source("10.0.0.7 refused")
            .into_response();
        told.headers_mut()
            .insert("x-kept", HeaderValue::from_static("1"));
        translate(&mut told);
        assert_eq!(told.status(), 200);
        let header = |name: &str| told.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/grpc");
        assert_eq!(header("grpc-status"), "14");
        assert_eq!(header("grpc-message"), "The backend could not be reached");
        assert_eq!(header("x-kept"), "1");
        assert!(http_body::Body::is_end_stream(told.body()));
        assert!(told.extensions().get::<Rejection>().is_some());

        let mut own = Response::new(Body::from("no"));
        *own.status_mut() = StatusCode::BAD_GATEWAY;
        translate(&mut own);
        assert_eq!(own.status(), 502);
        let mut page: Response<Body> = Error::new(ErrorKind::Connect).into_response();
        *page.status_mut() = StatusCode::OK;
        translate(&mut page);
        assert!(!page.headers().contains_key("grpc-status"));
    }

    #[test]
    fn a_limit_has_the_code_that_grpc_has_for_it() {
        for (kind, code, stands_for) in [
            (ErrorKind::QuotaExceeded, "8", 429),
            (ErrorKind::CapacityReduced, "14", 503),
            (ErrorKind::ThrottleUnavailable, "14", 503),
        ] {
            let mut told: Response<Body> = Error::new(kind).into_response();
            translate(&mut told);
            assert_eq!(told.headers()[STATUS], code, "{kind:?}");
            let told = status_of(&told).map(super::stands_for);
            assert_eq!(told, Some(kind.status()), "{kind:?}");
            assert_eq!(kind.status(), stands_for);
        }
    }

    proptest! {
        #[test]
        fn a_message_is_a_header_value_and_can_be_read_back(text: String) {
            let encoded = encode(&text);
            prop_assert!(HeaderValue::from_str(&encoded).is_ok());
            let bytes = encoded.as_bytes();
            let (mut decoded, mut at) = (Vec::new(), 0);
            while at < bytes.len() {
                if bytes[at] == b'%' {
                    decoded.push(u8::from_str_radix(&encoded[at + 1..at + 3], 16).unwrap());
                    at += 3;
                } else {
                    decoded.push(bytes[at]);
                    at += 1;
                }
            }
            prop_assert_eq!(decoded, text.into_bytes());
        }
    }
}
