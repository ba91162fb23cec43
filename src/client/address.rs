//! Where an endpoint listens.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use crate::path::{PathError, join_path};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

/// A parsed endpoint URL: `http://host:port/base`, `https://…`, or `unix:/path/to/socket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    /// What goes into `Host` when it is rewritten.
    pub(crate) authority: Authority,
    /// In front of each request's path; never ends in a slash.
    pub(crate) base: Arc<str>,
    pub(crate) place: Place,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Name(Arc<str>, u16),
    Ip(IpAddr, u16),
    Unix(PathBuf),
}

/// Why a text is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an endpoint: {reason}; write `http://host:port`, `https://host`, or `unix:/path/to/socket`"
)]
pub(crate) struct BadAddress {
    text: String,
    reason: &'static str,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, BadAddress> {
        let bad = |reason| BadAddress {
            text: text.to_owned(),
            reason,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(bad("the path of a socket is absolute"));
            }
            return Ok(Self {
                scheme: Scheme::HTTP,
                authority: Authority::from_static("localhost"),
                base: "".into(),
                place: Place::Unix(path.into()),
            });
        }
        if text.contains('#') {
            return Err(bad("it has a fragment"));
        }
        let uri: Uri = text.parse().map_err(|_| bad("it is not a URL"))?;
        let scheme = uri.scheme().cloned().ok_or(bad("it has no scheme"))?;
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(bad("its scheme is neither `http` nor `https`")),
        };
        let authority = uri.authority().cloned().ok_or(bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it has user information"));
        }
        if uri.query().is_some() {
            return Err(bad("it has a query"));
        }
        let host = authority.host();
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, digits)) if !digits.ends_with(']') && !host.ends_with(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(bad("its port is not from 1 to 65535"))?,
            _ => authority.port_u16().unwrap_or(default_port),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let place = match bare.parse::<IpAddr>() {
            Ok(ip) => Place::Ip(ip, port),
            Err(_) if host.starts_with('[') => return Err(bad("its IPv6 address is malformed")),
            Err(_) if bare.is_empty() => return Err(bad("it has no host")),
            Err(_) => Place::Name(bare.into(), port),
        };
        let base = crate::path::canonicalize(uri.path(), crate::path::PathPolicy::default())
            .map_err(|_| bad("its path is not canonical"))?;
        Ok(Self {
            scheme,
            authority,
            base: base.trim_end_matches('/').into(),
            place,
        })
    }

    /// The port to connect to, unless it is a socket in the file system.
    #[cfg(feature = "dns")]
    pub(crate) fn port(&self) -> Option<u16> {
        match self.place {
            Place::Name(_, port) | Place::Ip(_, port) => Some(port),
            Place::Unix(_) => None,
        }
    }

    /// The same, connected to elsewhere.
    pub(crate) fn at(self, at: SocketAddr) -> Self {
        let place = Place::Ip(at.ip(), at.port());
        Self { place, ..self }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The request's path and query below the endpoint's base path.
    pub(crate) fn join(&self, path: PathAndQuery) -> Result<PathAndQuery, PathError> {
        if self.base.is_empty() {
            return Ok(path);
        }
        join_path(&self.base, path.path(), path.query())
    }

    /// What was joined to another endpoint's address, joined to this one's.
    pub(crate) fn join_instead(
        &self,
        other: &Self,
        joined: PathAndQuery,
    ) -> Result<PathAndQuery, PathError> {
        if self.base == other.base {
            return Ok(joined);
        }
        let path = joined.path();
        let path = path.strip_prefix(&*other.base).unwrap_or(path);
        join_path(&self.base, path, joined.query())
    }
}

impl Address {
    fn is_at_its_name(&self, ip: IpAddr, port: u16) -> bool {
        let default = if self.is_tls() { 443 } else { 80 };
        let host = self.authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.parse() == Ok(ip) && self.authority.port_u16().unwrap_or(default) == port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            place => {
                write!(f, "{}://{}{}", self.scheme, self.authority, self.base)?;
                match place {
                    Place::Ip(ip, port) if !self.is_at_its_name(*ip, *port) => {
                        write!(f, " at {}", SocketAddr::new(*ip, *port))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let cases = [
            (
                "http://10.0.0.1:8080",
                "http://10.0.0.1:8080",
                Place::Ip([10, 0, 0, 1].into(), 8080),
            ),
            (
                "http://users",
                "http://users",
                Place::Name("users".into(), 80),
            ),
            (
                "https://users/",
                "https://users",
                Place::Name("users".into(), 443),
            ),
            (
                "https://users:1/v1/",
                "https://users:1/v1",
                Place::Name("users".into(), 1),
            ),
            (
                "http://[::1]:9",
                "http://[::1]:9",
                Place::Ip("::1".parse().unwrap(), 9),
            ),
            (
                "http://[::1]",
                "http://[::1]",
                Place::Ip("::1".parse().unwrap(), 80),
            ),
            (
                "unix:/run/app.sock",
                "unix:/run/app.sock",
                Place::Unix("/run/app.sock".into()),
            ),
            (
                "unix:///run/app.sock",
                "unix:/run/app.sock",
                Place::Unix("/run/app.sock".into()),
            ),
        ];
        for (text, shown, place) in cases {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.place, place, "{text}");
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_its_text() {
        for text in [
            "",
            "users",
            "users:80",
            "ftp://users",
            "http://",
            "http://u@users",
            "http://users?x=1",
            "http://users/#x",
            "http://users:0",
            "http://users:65536",
            "http://users:x",
            "http://[::1",
            "unix:relative",
            "http://a/../..",
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn it_may_be_elsewhere() {
        let at = |url: &str, at: &str| Address::parse(url).unwrap().at(at.parse().unwrap());
        let shown = [
            (
                "http://users/v1",
                "10.0.0.1:80",
                "http://users/v1 at 10.0.0.1:80",
            ),
            ("http://10.0.0.1", "10.0.0.1:80", "http://10.0.0.1"),
            ("https://[::1]", "[::1]:443", "https://[::1]"),
            ("https://[::1]", "[::1]:80", "https://[::1] at [::1]:80"),
        ];
        for (url, place, expected) in shown {
            assert_eq!(at(url, place).to_string(), expected);
        }
    }

    #[test]
    fn a_base_path_goes_in_front() {
        let address = Address::parse("http://users/v1/").unwrap();
        let joined = address.join(PathAndQuery::from_static("/a?x=1")).unwrap();
        assert_eq!(joined, "/v1/a?x=1");
        for (other, path) in [
            ("http://other/v1", "/v1/a?x=1"),
            ("http://other/v2/b", "/v2/b/a?x=1"),
            ("http://other", "/a?x=1"),
        ] {
            let other = Address::parse(other).unwrap();
            let instead = other.join_instead(&address, joined.clone()).unwrap();
            assert_eq!(instead, path);
            assert_eq!(address.join_instead(&other, instead).unwrap(), joined);
        }
    }
}
