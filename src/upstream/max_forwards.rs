//! `Max-Forwards` (RFC 9110, section 7.6.2): how many more gateways an `OPTIONS` may pass. `TRACE`, the other method that
//! heeds it, is refused at the door.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// Counts one gateway down. The answer, if the request ends here.
///
/// # Errors
/// [`ErrorKind::BadRequest`] for what is not one number: another gateway might find the other one.
pub(crate) fn count_down(request: &mut Request<Body>) -> Result<Option<Response<Body>>, Error> {
    // No other method is looked at further.
    if request.method() != Method::OPTIONS {
        return Ok(None);
    }
    match left(request.headers())? {
        None => Ok(None),
        Some(0) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(Some(response))
        }
        Some(left) => {
            let headers = request.headers_mut();
            headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
            Ok(None)
        }
    }
}

fn left(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    const NAME: HeaderName = header::MAX_FORWARDS;
    let mut lines = headers.get_all(NAME).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let digits = line.as_bytes();
    if lines.next().is_some() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Error::new(ErrorKind::BadRequest)
            .with_detail("Max-Forwards may be given once, as a decimal number"));
    }
    let number = digits.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_is_counted() {
        // What was sent, what goes on, and the status of an answer.
        type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Option<u16>);
        let cases: [Case<'_>; 11] = [
            ("OPTIONS", &[], &[], None),
            ("OPTIONS", &["2"], &["1"], None),
            ("OPTIONS", &["1"], &["0"], None),
            ("OPTIONS", &["007"], &["6"], None),
            ("OPTIONS", &["0"], &["0"], Some(204)),
            (
                "OPTIONS",
                &["99999999999999999999999"],
                &["18446744073709551614"],
                None,
            ),
            ("OPTIONS", &[""], &[""], Some(400)),
            ("OPTIONS", &["+1"], &["+1"], Some(400)),
            ("OPTIONS", &["-1"], &["-1"], Some(400)),
            ("OPTIONS", &["1", "0"], &["1", "0"], Some(400)),
            ("GET", &["0"], &["0"], None),
        ];
        for (method, sent, on, status) in cases {
            let request = Request::builder().method(method);
            let request = sent.iter().fold(request, |request, line| {
                request.header(header::MAX_FORWARDS, *line)
            });
            let mut request = request.body(Body::empty()).unwrap();
            let answer = match count_down(&mut request) {
                Ok(answer) => answer.map(|answer| answer.status().as_u16()),
                Err(error) => Some(error.status().as_u16()),
            };
            assert_eq!(answer, status, "{method} {sent:?}");
            let lines = request.headers().get_all(header::MAX_FORWARDS);
            assert!(lines.iter().eq(on.iter()), "{method} {sent:?}");
        }
    }
}
