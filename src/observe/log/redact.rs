//! Paths and queries for the log: without their secrets.
//!
//! Where a text can be read in more than one way, it is masked: a value too many is a lesser evil than a secret.

use std::{borrow::Cow, sync::Arc};

use super::text::{Line, MASK};

/// A parameter without a name and longer than this is taken for a key in itself.
const MAX_BARE: usize = 32;

/// Names of secrets, in the form that [`normal`] gives them.
const NAMES: [&str; 13] = [
    "auth", "code", "cookie", "hmac", "key", "otp", "pass", "pin", "pwd", "session", "sid", "sig",
    "ticket",
];

/// What makes a name that of a secret wherever it stands in it: `X-Amz-Security-Token`, `id_token_hint`.
const PARTS: [&str; 15] = [
    "accesskey",
    "apikey",
    "assertion",
    "authorization",
    "codeverifier",
    "credential",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "saml",
    "secret",
    "sessionid",
    "signature",
    "token",
];

/// The names of the parameters whose values are masked. Clones share the list.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    more: Arc<[String]>,
}

impl Secrets {
    /// Adds names of one's own; case and punctuation do not count.
    pub(super) fn with(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let new = names.into_iter().map(|name| normal(name.as_ref()));
        Self {
            more: self.more.iter().cloned().chain(new).collect(),
        }
    }

    /// The path for the log; `;jsessionid=` and its like are parameters too.
    pub(super) fn path(&self, path: &str) -> String {
        self.mask(path, &['/', ';', '&'], usize::MAX)
    }

    /// The query for the log. Some servers split it at `;`, so that both are separators here.
    pub(super) fn query(&self, query: &str) -> String {
        self.mask(query, &['&', ';'], MAX_BARE)
    }

    fn mask(&self, text: &str, separators: &[char], max_bare: usize) -> String {
        let mut out = Line::default();
        for part in text.split_inclusive(separators) {
            let item = part.trim_end_matches(separators);
            let masked = match item.split_once('=') {
                Some((name, value)) => {
                    out.push_uri(name);
                    out.push("=");
                    let secret =
                        !value.is_empty() && (self.is_secret(name) || may_hold_more(value));
                    if secret { None } else { Some(value) }
                }
                None if item.len() > max_bare || may_hold_more(item) => None,
                None => Some(item),
            };
            match masked {
                Some(value) => out.push_uri(value),
                None => out.push(MASK),
            }
            out.push(&part[item.len()..]);
        }
        out.into_string()
    }

    fn is_secret(&self, name: &str) -> bool {
        let name = decode(name);
        // An escape within an escape, or a letter that somebody's case folding makes an ASCII one.
        if name.contains('%') || !name.is_ascii() {
            return true;
        }
        // `user[password]`, `login.pin`; and separators that were escaped.
        name.split(['[', ']', '.', ';', '&', '?', '/']).any(|name| {
            let name = normal(name);
            NAMES.contains(&&*name)
                || PARTS.iter().any(|part| name.contains(part))
                || self.more.contains(&name)
        })
    }
}

/// How every JSON Web Token begins: `{"` in base64.
const JWT: &str = "eyJ";

/// Whether a value is a token by its look, or holds parameters of its own, such as the URL that a login returns to:
/// it then has an `=`, plain or escaped once or more.
fn may_hold_more(value: &str) -> bool {
    let value = decode(value);
    value.starts_with(JWT) || value.contains(['=', '%'])
}

/// A name without what is no matter: case and punctuation.
fn normal(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// Undoes percent-encoding once; what is no escape stays.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| {
            behind
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        let escape = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::text::{CUT, MAX_LEN};
    use proptest::prelude::*;

    #[test]
    fn queries() {
        let secrets = Secrets::default().with(["Tenant-Pin", "magic"]);
        let cases = [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("a=1&token=abc&b=2", "a=1&token=***&b=2"),
            ("TOKEN=abc", "TOKEN=***"),
            ("token=", "token="),
            ("%74oken=abc", "%74oken=***"),
            ("t%6fk%45n=abc", "t%6fk%45n=***"),
            ("%2574oken=abc", "%2574oken=***"),
            ("user%5Bname%5D=abc", "user%5Bname%5D=abc"),
            ("tok%en=abc", "tok%en=***"),
            ("to%00ken=abc", "to%00ken=***"),
            ("to+ken=abc", "to+ken=***"),
            ("a=1;sig=abc;c=3", "a=1;sig=***;c=3"),
            (
                "user[password]=abc&login.pin=1",
                "user[password]=***&login.pin=***",
            ),
            ("user%5Bpassword%5D=abc", "user%5Bpassword%5D=***"),
            (
                "code=abc&barcode=4006381333931&postcode=10115",
                "code=***&barcode=4006381333931&postcode=10115",
            ),
            ("monkey=1&key=abc", "monkey=1&key=***"),
            (
                "magic=abc&MAGIC=def&tenantpin=1&tenant_pin=2",
                "magic=***&MAGIC=***&tenantpin=***&tenant_pin=***",
            ),
            ("q=eyJhbGciOiJIUzI1NiJ9.e30.abc", "q=***"),
            ("eyJhbGciOiJIUzI1NiJ9.e30.abc", "***"),
            ("flag&other", "flag&other"),
            ("0123456789abcdef0123456789abcdef0", "***"),
            ("next=https://x/?token=abc", "next=***"),
            ("next=https%3A%2F%2Fx%2F%3Ftoken%3Dabc&a=1", "next=***&a=1"),
            ("next=x%253Ftoken%253Dabc", "next=***"),
            ("a?token%3Dabc", "***"),
            ("a%3Bsid=abc&b", "a%3Bsid=***&b"),
            ("next=https%3A%2F%2Fx%2Fy", "next=https%3A%2F%2Fx%2Fy"),
            ("a=1&&=2&", "a=1&&=2&"),
            ("ſecret=abc", "%C5%BFecret=***"),
            ("a=\u{1}\r\n\"\\é", "a=%01%0D%0A%22%5C%C3%A9"),
        ];
        for (query, logged) in cases {
            assert_eq!(secrets.query(query), logged, "{query}");
        }
    }

    #[test]
    fn names_of_secrets() {
        for name in [
            "token",
            "access_token",
            "id_token",
            "refresh_token",
            "code",
            "key",
            "api_key",
            "apikey",
            "api-key",
            "sig",
            "signature",
            "secret",
            "client_secret",
            "password",
            "passwd",
            "pwd",
            "auth",
            "session",
            "jwt",
            "assertion",
            "client_assertion",
            "SAMLResponse",
            "SAMLRequest",
            "X-Amz-Signature",
            "X-Amz-Security-Token",
            "X-Amz-Credential",
            "X-Goog-Signature",
            "AWSAccessKeyId",
            "csrfToken",
            "JSESSIONID",
            "authorization",
            "code_verifier",
            "id_token_hint",
            "x-api-key",
            "ticket",
        ] {
            assert_eq!(
                Secrets::default().query(&format!("{name}=abc")),
                format!("{name}=***")
            );
        }
        for name in [
            "page",
            "q",
            "id",
            "sort",
            "author",
            "design",
            "encode",
            "keyword",
            "passenger",
            "state",
        ] {
            assert_eq!(
                Secrets::default().query(&format!("{name}=abc")),
                format!("{name}=abc")
            );
        }
    }

    #[test]
    fn paths() {
        let cases = [
            ("/login%3Ftoken%3Dabc/x", "/***/x"),
            ("/a;jsessionid%3Dabc", "/a;***"),
            ("/a%3Bsid=abc", "/a%3Bsid=***"),
            ("/", "/"),
            ("/users/42/files/a.b", "/users/42/files/a.b"),
            (
                "/cart;jsessionid=abc/items;v=2",
                "/cart;jsessionid=***/items;v=2",
            ),
            ("/token/is/a/word", "/token/is/a/word"),
            ("/reset/eyJhbGciOiJIUzI1NiJ9.e30.abc", "/reset/***"),
            (
                "/0123456789abcdef0123456789abcdef0",
                "/0123456789abcdef0123456789abcdef0",
            ),
            ("/a//b/", "/a//b/"),
            ("*", "*"),
        ];
        for (path, logged) in cases {
            assert_eq!(Secrets::default().path(path), logged, "{path}");
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        let path = Secrets::default().path(&"/a".repeat(5_000));
        assert_eq!(path.len(), MAX_LEN + CUT.len());
        assert!(path.ends_with("/a..."), "{path}");
    }

    proptest! {
        #[test]
        fn one_line_of_bounded_visible_ascii(text: String, repeat in 1_usize..200) {
            let text = text.repeat(repeat);
            let secrets = Secrets::default();
            for logged in [secrets.query(&text), secrets.path(&text)] {
                prop_assert!(logged.len() <= MAX_LEN + CUT.len());
                prop_assert!(logged.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'), "{logged:?}");
            }
        }

        /// Whatever stands around it, and however its name is written.
        #[test]
        fn a_secret_does_not_show(
            before in "[a-z=&;%?+]{0,20}",
            escaped in proptest::collection::vec(any::<bool>(), 12),
            upper: bool,
            after in "[a-z=&;%?+]{0,20}",
        ) {
            let name: String = "access_token"
                .chars()
                .map(|c| if upper { c.to_ascii_uppercase() } else { c })
                .zip(escaped)
                .map(|(c, escaped)| if escaped { format!("%{:02x}", u32::from(c)) } else { c.into() })
                .collect();
            let query = format!("{before}&{name}=S3CR3T&{after}");
            let logged = Secrets::default().query(&query);
            prop_assert!(!logged.contains("S3CR3T"), "{query} {logged}");
        }

        #[test]
        fn what_holds_no_secret_is_kept(query in "[abx]{1,8}=[a-z0-9.-]{0,8}(&[abx]{1,8}=[a-z0-9.-]{0,8}){0,5}") {
            prop_assert_eq!(Secrets::default().query(&query), query);
        }
    }
}
