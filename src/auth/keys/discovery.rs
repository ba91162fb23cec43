//! What an issuer publishes about itself (OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3).

use http::{Uri, uri::PathAndQuery};

use crate::auth::jose::Claims;

/// Where to look: as OpenID Connect has it, and as RFC 8414 has it, for where the first is not found.
///
/// # Errors
///
/// What is wrong with the issuer, and what is allowed.
pub(super) fn places(issuer: &str) -> Result<[PathAndQuery; 2], String> {
    let bad = |reason| format!("the issuer `{issuer}` {reason}");
    let uri: Uri = issuer
        .parse()
        .map_err(|_| bad("is not a URL; write `https://host/path`"))?;
    // RFC 8414, section 2: an issuer has no query and no fragment.
    if uri.query().is_some() || issuer.contains('#') {
        return Err(bad("has a query or a fragment; leave it out"));
    }
    let base = uri.path().trim_end_matches('/');
    let place = |path: String| path.parse().map_err(|_| bad("has a path that is none"));
    Ok([
        place(format!("{base}/.well-known/openid-configuration"))?,
        place(format!("/.well-known/oauth-authorization-server{base}"))?,
    ])
}

/// The `jwks_uri` in what was found there.
///
/// # Errors
///
/// It is not what an issuer publishes, or another issuer's: one that could speak for others would have their tokens believed.
pub(super) fn jwks_uri(document: &[u8], issuer: &str) -> Result<String, String> {
    // It is not claims; it has to be as strict: an object, in which nothing is there twice.
    let document =
        Claims::parse(document).map_err(|error| format!("what it publishes: {error}"))?;
    let text = |member: &str| {
        let value = document.get(member);
        let text = value.and_then(|value| value.as_str().map(str::to_owned));
        text.ok_or_else(|| format!("what it publishes has no `{member}` that is a string"))
    };
    let found = text("issuer")?;
    if found != issuer {
        return Err(format!(
            "what it publishes is for the issuer {found:?}, and has to be for {issuer:?}"
        ));
    }
    text("jwks_uri")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_publishes_in_two_places() {
        let (openid, oauth) = (
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
        );
        for (issuer, expected) in [
            ("https://id.test", [openid.to_owned(), oauth.to_owned()]),
            ("https://id.test/", [openid.to_owned(), oauth.to_owned()]),
            (
                "https://id.test/a/b",
                [format!("/a/b{openid}"), format!("{oauth}/a/b")],
            ),
            (
                "https://id.test/a/",
                [format!("/a{openid}"), format!("{oauth}/a")],
            ),
        ] {
            assert_eq!(
                places(issuer).unwrap().map(|place| place.to_string()),
                expected
            );
        }
        for wrong in ["", "https://id.test?a=b", "https://id.test/#a", "id test"] {
            let mistake = places(wrong).unwrap_err();
            assert!(mistake.contains(&format!("`{wrong}`")), "{mistake}");
        }
    }

    #[test]
    fn only_the_issuers_own_document_is_believed() {
        let ours =
            r#"{"issuer": "https://id.test", "jwks_uri": "https://keys.test/jwks", "more": [1]}"#;
        let found = jwks_uri(ours.as_bytes(), "https://id.test");
        assert_eq!(found.as_deref(), Ok("https://keys.test/jwks"));
        for (document, issuer, wrong) in [
            (ours, "https://id.test/", "for the issuer"),
            (ours, "https://ID.test", "for the issuer"),
            (r#"{"jwks_uri": "https://keys.test"}"#, "", "no `issuer`"),
            (r#"{"issuer": ["a"], "jwks_uri": "b"}"#, "a", "no `issuer`"),
            (r#"{"issuer": "a"}"#, "a", "no `jwks_uri`"),
            (r#"{"issuer": "a", "jwks_uri": 1}"#, "a", "no `jwks_uri`"),
            (
                r#"{"issuer": "b", "issuer": "a", "jwks_uri": "c"}"#,
                "a",
                "twice",
            ),
            ("[]", "a", "not an object"),
            ("<html>", "a", "not JSON"),
            ("", "a", "not JSON"),
        ] {
            let mistake = jwks_uri(document.as_bytes(), issuer).unwrap_err();
            assert!(mistake.contains(wrong), "{document}: {mistake}");
        }
    }
}
