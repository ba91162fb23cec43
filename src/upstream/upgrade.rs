//! Switching protocols (RFC 9110, section 7.8): how it is asked for, and what a 101 must say before a byte is passed on.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::upgrade::OnUpgrade;
use sha1::{Digest, Sha1};

use super::{restore_upgrade, strip_response, tunnel};
use crate::{
    body::Body,
    client::Switched,
    error::{Error, ErrorKind},
};

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client that wants to change the protocol.
pub(super) struct Switch {
    client: OnUpgrade,
    asked: HeaderValue,
    key: Option<HeaderValue>,
    idle: Option<Duration>,
}

impl Switch {
    /// Asks the backend for the protocol that the client asks for.
    pub(super) fn ask(
        client: OnUpgrade,
        asked: &str,
        idle: Option<Duration>,
        headers: &mut HeaderMap,
    ) -> Result<Box<Self>, Error> {
        let asked = HeaderValue::from_str(asked).map_err(|_| ErrorKind::BadRequest)?;
        restore_upgrade(headers, asked.clone());
        let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        Ok(Box::new(Self {
            client,
            asked,
            key,
            idle,
        }))
    }

    /// Checks the 101 and joins the connections behind it.
    pub(super) fn join(
        self,
        mut response: Response<()>,
        backend: Switched,
    ) -> Result<Response<Body>, Error> {
        let key = self.key.as_ref().map(HeaderValue::as_bytes);
        let asked = self.asked.to_str().unwrap_or_default();
        if let Some(mistake) = mistake(asked, key, response.headers()) {
            return Err(Error::new(ErrorKind::Upgrade).with_source(mistake));
        }
        let protocol = response.headers().get(header::UPGRADE).cloned();
        strip_response(response.headers_mut());
        if let Some(protocol) = protocol {
            restore_upgrade(response.headers_mut(), protocol);
        }
        tokio::spawn(tunnel::join(self.client, backend, self.idle));
        Ok(response.map(|()| Body::empty()))
    }
}

/// Why a 101 is not what was asked for; `None`: it is.
fn mistake(asked: &str, key: Option<&[u8]>, answer: &HeaderMap) -> Option<&'static str> {
    let mut offered = answer.get_all(header::UPGRADE).iter();
    let switched = match (offered.next(), offered.next()) {
        (Some(one), None) => one.to_str().unwrap_or_default(),
        _ => return Some("a 101 without one `Upgrade`"),
    };
    if !switched.eq_ignore_ascii_case(asked) {
        return Some("a 101 to another protocol");
    }
    if asked.eq_ignore_ascii_case("websocket") {
        let Some(key) = key else {
            return Some("a WebSocket request without `Sec-WebSocket-Key`");
        };
        let accept = answer
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .map(|value| value.as_bytes());
        if accept != Some(accept_for(key).as_bytes()) {
            return Some("a `Sec-WebSocket-Accept` that does not fit the key");
        }
    }
    None
}

fn accept_for(key: &[u8]) -> String {
    let mut sha = Sha1::new();
    sha.update(key);
    sha.update(GUID);
    BASE64_STANDARD.encode(sha.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(upgrade: &'static str, accept: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, upgrade.parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().unwrap());
        headers
    }

    #[test]
    fn the_example_of_the_rfc_fits_and_nothing_else_does() {
        let key = Some(&b"dGhlIHNhbXBsZSBub25jZQ=="[..]);
        let good = answer("WebSocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(mistake("websocket", key, &good), None);
        assert!(mistake("websocket", key, &answer("websocket", "x")).is_some());
        assert!(
            mistake(
                "websocket",
                key,
                &answer("h2c", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            )
            .is_some()
        );
        assert!(mistake("websocket", None, &good).is_some());
        assert!(mistake("websocket", key, &HeaderMap::new()).is_some());
    }
}
