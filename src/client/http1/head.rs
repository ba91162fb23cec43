//! The heads of HTTP/1.1 messages (RFC 9112): requests as they are written, answers as they are read.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, uri::PathAndQuery,
};
use hyper::ext::ReasonPhrase;

use super::decoder::{Decoder, Malformed};

/// The longest head of an answer, and the most fields in one. What is longer is no HTTP of a sane backend.
pub(super) const LONGEST: usize = 128 * 1024;
const MOST_FIELDS: usize = 256;

/// The most names that are kept for the next answer.
const MOST_NAMES: usize = 32;

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// This many bytes are still to come.
    Length(u64),
    Chunked,
}

/// An answer's head, and what it says about the rest.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) decoder: Decoder,
    /// The connection can serve another request afterwards.
    pub(super) keep: bool,
}

/// The field names of a connection's last answer, each as it was written and what it means. A backend's answers have much
/// the same fields in much the same order, and comparing a name is cheaper than finding out which one it is.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(Box<[u8]>, HeaderName)>);

impl Names {
    /// The name of the field at `at`.
    fn name(&mut self, at: usize, text: &[u8]) -> Result<HeaderName, Malformed> {
        if let Some((written, name)) = self.0.get(at)
            && **written == *text
        {
            return Ok(name.clone());
        }
        let name = HeaderName::from_bytes(text)
            .map_err(|_| Malformed("an answer's field has a name that is none"))?;
        self.0.truncate(at);
        if at < MOST_NAMES {
            self.0.push((text.into(), name.clone()));
        }
        Ok(name)
    }

    /// Lets go of the memory.
    pub(super) fn forget(&mut self) {
        self.0 = Vec::new();
    }
}

/// Writes a request's head. The fields that delimit the body are those of `framing`, whatever is in the map.
pub(super) fn write(
    out: &mut Vec<u8>,
    method: &Method,
    path: &PathAndQuery,
    headers: &HeaderMap,
    framing: Framing,
) {
    out.reserve(path.as_str().len() + 64 * (headers.len() + 2));
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let (mut had_length, mut has_te) = (false, false);
    for (name, value) in headers {
        match *name {
            header::CONTENT_LENGTH => {
                had_length = true;
                continue;
            }
            header::TRANSFER_ENCODING => continue,
            header::TE => has_te = true,
            _ => {}
        }
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if has_te {
        // RFC 9110, section 10.1.4: TE is for the next hop only, and has to say so.
        field(out, b"connection", b"te");
    }
    let expects_length = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    match framing {
        Framing::Empty if had_length || expects_length => field(out, b"content-length", b"0"),
        Framing::Empty => {}
        Framing::Length(length) => {
            let mut digits = [0; 20];
            field(out, b"content-length", decimal(length, &mut digits));
        }
        Framing::Chunked => field(out, b"transfer-encoding", b"chunked"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes one field.
pub(super) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The length of the head at the front of `input`, up to and with its empty line, if that is there. The bytes in front
/// of `from` have been looked at before.
pub(super) fn end(input: &[u8], from: usize) -> Option<usize> {
    // The line's end that the empty line follows may be among the bytes that were looked at.
    let mut at = from.saturating_sub(2);
    loop {
        at += memchr::memchr(b'\n', input.get(at..)?)? + 1;
        match &input[at..] {
            [b'\r', b'\n', ..] => return Some(at + 2),
            [b'\n', ..] => return Some(at + 1),
            _ => {}
        }
    }
}

/// Reads the head of an answer to `method`, with the memory of a map that is no longer needed. A head that leaves room for
/// two readings of where its body ends is refused. An answer of HTTP/1.0 is passed on in the gateway's own version (RFC
/// 9110, section 6.2).
pub(super) fn read(
    head: &Bytes,
    method: &Method,
    mut headers: HeaderMap,
    names: &mut Names,
) -> Result<Head, Malformed> {
    headers.clear();
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let read = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut fields)
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => Malformed("the answer has more than 256 fields"),
            _ => Malformed("the answer's head is not HTTP/1"),
        })?;
    if read != httparse::Status::Complete(head.len()) {
        return Err(Malformed("the answer's head is not HTTP/1"));
    }
    let is_old = parsed.version != Some(1);
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .ok()
        .filter(|status| status.as_u16() < 600)
        .ok_or(Malformed("the answer's status is not between 100 and 599"))?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    headers.reserve(parsed.headers.len());
    let mut seen = Seen::default();
    for (at, field) in parsed.headers.iter().enumerate() {
        let name = names.name(at, field.name.as_bytes())?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| Malformed("an answer's field has a control character"))?;
        seen.note(&name, &value)?;
        headers
            .try_append(name, value)
            .map_err(|_| Malformed("the answer has too many fields"))?;
    }
    if let Some(reason) = parsed.reason
        && Some(reason) != status.canonical_reason()
    {
        keep_reason(&mut response, head.slice_ref(reason.as_bytes()));
    }
    *response.headers_mut() = headers;
    let decoder = seen.decoder(method, status, is_old)?;
    // A 204 has no body: one that is announced may follow when the next answer is waited for.
    let is_lie = status == StatusCode::NO_CONTENT && (seen.chunked || seen.length > Some(0));
    let keep =
        !seen.close && !is_lie && (!is_old || seen.keep_alive) && decoder != Decoder::UntilClose;
    Ok(Head {
        response,
        decoder,
        keep,
    })
}

/// A server writes the usual phrase by itself.
fn keep_reason(response: &mut Response<()>, reason: Bytes) {
    if !reason.is_empty()
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
}

/// What the fields say about the connection and the body's length.
#[derive(Default)]
struct Seen {
    close: bool,
    keep_alive: bool,
    chunked: bool,
    length: Option<u64>,
}

impl Seen {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Malformed> {
        match *name {
            header::CONNECTION => {
                for option in value.as_bytes().split(|byte| *byte == b',') {
                    let option = option.trim_ascii();
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            header::TRANSFER_ENCODING => {
                let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
                if std::mem::replace(&mut self.chunked, true) || !is_chunked {
                    return Err(Malformed(
                        "the answer's Transfer-Encoding is not one `chunked`",
                    ));
                }
            }
            header::CONTENT_LENGTH => {
                let length = digits(value.as_bytes())
                    .ok_or(Malformed("the answer's Content-Length is not a number"))?;
                if self.length.replace(length).is_some() {
                    return Err(Malformed("the answer has several Content-Length fields"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112, section 6.3. Where it allows a recipient to choose, an intermediary must not: whoever reads the answer
    /// next might choose otherwise.
    fn decoder(
        &self,
        method: &Method,
        status: StatusCode,
        is_old: bool,
    ) -> Result<Decoder, Malformed> {
        if self.chunked && is_old {
            return Err(Malformed("Transfer-Encoding in an answer of HTTP/1.0"));
        }
        if self.chunked && self.length.is_some() {
            return Err(Malformed(
                "the answer has both Transfer-Encoding and Content-Length",
            ));
        }
        let is_bare = *method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match self.length {
            _ if is_bare => Decoder::Length(0),
            Some(length) => Decoder::Length(length),
            None if self.chunked => Decoder::chunked(),
            None => Decoder::UntilClose,
        })
    }
}

/// `1*DIGIT`, up to what 63 bits hold.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let number = text.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    (number <= i64::MAX as u64).then_some(number)
}
