//! What a front door has to refuse although the server underneath lets it through.
//!
//! Two servers that disagree about where a request ends, or for which host it is, are an attacker's tool (request
//! smuggling, cache poisoning, routing around a policy). So a request that leaves room for two readings is refused, even
//! where an RFC would allow one of them.
//!
//! What only shows in the bytes (white space, line ends, chunk framing) is the parser's part and not seen here.
//!
//! ```text
//! let (parts, ()) = Request::get("/orders").header("host", "Shop.example:8080").body(())?.into_parts();
//! let checked = check_request(&parts.method, &parts.uri, parts.version, &parts.headers)?;
//! assert_eq!(checked.host.map(|at| at.host()), Some("Shop.example"));
//! ```

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri, Version};
use thiserror::Error;

use crate::authority::HostPort;

/// About twice the longest registered method.
const LONGEST_METHOD: usize = 32;

/// Why a request is refused. [`RequestError::status`] is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// `CONNECT`, `TRACE`, or a method of more than 32 bytes. Answered `501`.
    #[error(
        "the method is not supported; CONNECT, TRACE and names of more than 32 bytes are refused"
    )]
    Method,
    /// `*` with another method than `OPTIONS`, an authority without a path, or no path.
    #[error("the request target is not a path or an absolute URL; `*` is for OPTIONS only")]
    Target,
    /// An absolute target of another scheme.
    #[error("the request target's scheme is not http or https")]
    Scheme,
    /// An HTTP/1.1 request without `Host`, or an HTTP/2 request with neither `:authority` nor `Host`.
    #[error("the request names no host; exactly one Host field is needed")]
    NoHost,
    /// Several `Host` lines, equal ones too.
    #[error("the request has several Host fields; exactly one is allowed")]
    RepeatedHost,
    /// A host or port that does not follow the grammar.
    #[error(
        "the host is malformed; allowed are a name, an IPv4 address or an [IPv6] address, then an optional port up to 65535"
    )]
    MalformedHost,
    /// `Host` differs from the target's host or port.
    #[error("the Host field and the request target name different hosts")]
    HostMismatch,
    /// `Transfer-Encoding` other than one `chunked`.
    #[error("Transfer-Encoding may be given once, and only as `chunked`")]
    TransferEncoding,
    /// `Transfer-Encoding` in a version that has no transfer codings.
    #[error("Transfer-Encoding is allowed in HTTP/1.1 only")]
    TransferEncodingVersion,
    /// Both framings at once.
    #[error("Transfer-Encoding and Content-Length exclude each other")]
    TwoLengths,
    /// `Content-Length` that is not one decimal number below 2^63.
    #[error("Content-Length may be given once, as a decimal number below 2^63")]
    ContentLength,
    /// A field in HTTP/2 or HTTP/3 that speaks of the connection.
    #[error(
        "connection-specific header fields are not allowed in HTTP/2 and HTTP/3; TE may only say `trailers`"
    )]
    ConnectionSpecific,
    /// `Expect` other than `100-continue`. Answered `417`.
    #[error("the only expectation that is supported is `100-continue`")]
    Expect,
}

impl RequestError {
    /// The status to answer with: `501` for a method, `417` for an expectation, otherwise `400`. A server should close
    /// the HTTP/1 connection after it.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// A short name for logs and metrics that does not change between releases.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Method => "request-method",
            Self::Target => "request-target",
            Self::Scheme => "request-scheme",
            Self::NoHost => "host-missing",
            Self::RepeatedHost => "host-repeated",
            Self::MalformedHost => "host-malformed",
            Self::HostMismatch => "host-mismatch",
            Self::TransferEncoding => "transfer-encoding",
            Self::TransferEncodingVersion => "transfer-encoding-version",
            Self::TwoLengths => "two-lengths",
            Self::ContentLength => "content-length",
            Self::ConnectionSpecific => "connection-specific",
            Self::Expect => "expect",
        }
    }
}

/// What came to light while a request was checked.
#[derive(Debug)]
pub struct Checked<'a> {
    /// The host that it is for: the target's, or else the `Host` field's. `None` is an HTTP/1.0 request that names none.
    pub host: Option<HostPort<'a>>,
    /// The `Host` field.
    pub host_field: Option<&'a HeaderValue>,
    /// There is a `Transfer-Encoding`.
    pub is_chunked: bool,
    /// There is a `Via`.
    pub has_via: bool,
}

/// Checks target, host and framing of a request head. One pass over the fields, no allocation.
///
/// # Errors
/// [`RequestError`], with the status to answer.
pub fn check_request<'a>(
    method: &Method,
    uri: &'a Uri,
    version: Version,
    headers: &'a HeaderMap,
) -> Result<Checked<'a>, RequestError> {
    let is_tunnel_or_echo = matches!(*method, Method::CONNECT | Method::TRACE);
    if is_tunnel_or_echo || method.as_str().len() > LONGEST_METHOD {
        return Err(RequestError::Method);
    }
    let target = check_target(method, uri)?;
    let fields = Fields::scan(headers)?;
    fields.check(version)?;
    let host = match fields.host {
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .and_then(HostPort::parse)
                .ok_or(RequestError::MalformedHost)?,
        ),
        None => None,
    };
    match (target, host) {
        (Some(target), Some(host)) if !target.is_same(&host, default_port(uri)) => {
            Err(RequestError::HostMismatch)
        }
        // RFC 9112 §3.2: HTTP/1.1 needs Host beside an absolute target too.
        (_, None) if version == Version::HTTP_11 => Err(RequestError::NoHost),
        (None, None) if is_multiplexed(version) => Err(RequestError::NoHost),
        _ => Ok(Checked {
            host: target.or(host),
            host_field: fields.host,
            is_chunked: fields.transfer_encoding,
            has_via: fields.via,
        }),
    }
}

fn check_target<'a>(method: &Method, uri: &'a Uri) -> Result<Option<HostPort<'a>>, RequestError> {
    let path = uri.path();
    let is_asterisk = path == "*" && *method == Method::OPTIONS;
    if !path.starts_with('/') && !is_asterisk {
        return Err(RequestError::Target);
    }
    if let Some(scheme) = uri.scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        return Err(RequestError::Scheme);
    }
    uri.authority()
        .map(|authority| HostPort::parse(authority.as_str()).ok_or(RequestError::MalformedHost))
        .transpose()
}

fn default_port(uri: &Uri) -> u16 {
    if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    }
}

fn is_multiplexed(version: Version) -> bool {
    version >= Version::HTTP_2
}

/// The fields that decide about host and framing.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a HeaderValue>,
    transfer_encoding: bool,
    content_length: bool,
    connection_specific: bool,
    via: bool,
}

impl<'a> Fields<'a> {
    fn scan(headers: &'a HeaderMap) -> Result<Self, RequestError> {
        let mut fields = Self::default();
        for (name, value) in headers {
            match *name {
                header::HOST => {
                    if fields.host.replace(value).is_some() {
                        return Err(RequestError::RepeatedHost);
                    }
                }
                header::TRANSFER_ENCODING => {
                    let repeated = std::mem::replace(&mut fields.transfer_encoding, true);
                    if repeated || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                        return Err(RequestError::TransferEncoding);
                    }
                }
                header::CONTENT_LENGTH => {
                    let repeated = std::mem::replace(&mut fields.content_length, true);
                    if repeated || !is_length(value.as_bytes()) {
                        return Err(RequestError::ContentLength);
                    }
                }
                header::EXPECT => {
                    if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                        return Err(RequestError::Expect);
                    }
                }
                header::VIA => fields.via = true,
                header::CONNECTION | header::UPGRADE => fields.connection_specific = true,
                header::TE => {
                    fields.connection_specific |=
                        !value.as_bytes().eq_ignore_ascii_case(b"trailers");
                }
                _ => {
                    fields.connection_specific |=
                        matches!(name.as_str(), "keep-alive" | "proxy-connection");
                }
            }
        }
        Ok(fields)
    }

    fn check(&self, version: Version) -> Result<(), RequestError> {
        if self.transfer_encoding {
            if version != Version::HTTP_11 {
                return Err(RequestError::TransferEncodingVersion);
            }
            if self.content_length {
                return Err(RequestError::TwoLengths);
            }
        }
        if self.connection_specific && is_multiplexed(version) {
            return Err(RequestError::ConnectionSpecific);
        }
        Ok(())
    }
}

/// `1*DIGIT` (RFC 9110 §8.6), and a size that signed 64-bit arithmetic can hold.
fn is_length(digits: &[u8]) -> bool {
    !digits.is_empty()
        && digits
            .iter()
            .try_fold(0_i64, |sum, digit| {
                let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
                sum.checked_mul(10)?.checked_add(digit)
            })
            .is_some()
}

#[cfg(test)]
mod tests;
