//! What is asked (RFC 7662, section 2.1), and what an answer says (section 2.2).

use std::time::SystemTime;

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{auth::jose::ClaimPolicy, claims::Claims};

/// What has to be true of an active token.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) policy: ClaimPolicy,
    /// One of these has got the token; of none, nobody is asked for.
    pub(super) client_ids: Vec<String>,
}

/// What an answer says of a token.
#[derive(Debug)]
pub(super) enum Verdict {
    Active(Claims),
    /// And why, for the log.
    Inactive(String),
}

/// Reads the answer.
///
/// # Errors
/// It says neither that the token is active nor that it is not, so that nobody knows.
pub(super) fn judge(body: &[u8], wanted: &Wanted, now: SystemTime) -> Result<Verdict, String> {
    let claims =
        Claims::parse(body).map_err(|error| format!("the answer is no set of claims: {error}"))?;
    match claims.get("active").and_then(|active| active.as_bool()) {
        Some(true) => {}
        Some(false) => return Ok(Verdict::Inactive("it is not active".to_owned())),
        None => return Err("the answer does not say whether the token is active".to_owned()),
    }
    if let Err(error) = wanted.policy.check(&claims, now) {
        return Ok(Verdict::Inactive(error.to_string()));
    }
    let is_client = |id: &String| claims.get("client_id").and_then(|one| one.as_str()) == Some(id);
    if !wanted.client_ids.is_empty() && !wanted.client_ids.iter().any(is_client) {
        return Ok(Verdict::Inactive("it is of another client".to_owned()));
    }
    Ok(Verdict::Active(claims))
}

/// The form that is sent.
pub(super) fn form(token: &str) -> String {
    format!("token={}&token_type_hint=access_token", encoded(token))
}

/// A client's password as RFC 6749, section 2.3.1 has it: each part is encoded as in a form before both are joined.
pub(super) fn basic(id: &str, secret: &str) -> String {
    let both = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", BASE64_STANDARD.encode(both))
}

/// Encoded as a form: a space is a `+`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(byte.into())
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn wanted() -> Wanted {
        Wanted {
            policy: ClaimPolicy::new().optional_expiry().any_audience(),
            client_ids: Vec::new(),
        }
    }

    /// The subject of an active token, why it is not active, or `None`.
    fn said(body: &str, wanted: &Wanted) -> Option<Result<String, String>> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        match judge(body.as_bytes(), wanted, now).ok()? {
            Verdict::Active(claims) => Some(Ok(claims.subject().unwrap_or_default().to_owned())),
            Verdict::Inactive(why) => Some(Err(why)),
        }
    }

    #[test]
    fn only_true_is_active() {
        for (body, expected) in [
            (r#"{"active":true,"sub":"ada"}"#, Some(true)),
            (r#"{"active":false,"sub":"ada"}"#, Some(false)),
            (r#"{"active":"true"}"#, None),
            (r#"{"active":1}"#, None),
            (r#"{"active":null}"#, None),
            (r#"{"active":[true]}"#, None),
            (r#"{"Active":true}"#, None),
            (r#"{}"#, None),
            (r#"{"active":false,"active":true}"#, None),
            (r#"{"active":true} {"#, None),
            (r#"[{"active":true}]"#, None),
            (r#"{"active":true,"sub":7}"#, None),
            (r#"{"active":true,"exp":"2000"}"#, None),
            ("active=true", None),
            ("", None),
        ] {
            let found = said(body, &wanted()).map(|said| said.is_ok());
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn an_active_token_may_still_be_for_others() {
        let mut strict = wanted();
        strict.policy = strict
            .policy
            .issuer("https://id.example")
            .audience(["shop"])
            .leeway(Duration::from_secs(10));
        strict.client_ids = vec!["app".to_owned(), "web".to_owned()];
        let base =
            r#""active":true,"iss":"https://id.example","aud":["x","shop"],"client_id":"web""#;
        for (body, is_active) in [
            (format!("{{{base}}}"), true),
            (format!("{{{base},\"exp\":991}}"), true),
            (format!("{{{base},\"exp\":990}}"), false),
            (format!("{{{base},\"nbf\":1010}}"), true),
            (format!("{{{base},\"nbf\":1011}}"), false),
            (
                format!("{{{base}}}").replace("id.example", "id.example/"),
                false,
            ),
            (
                format!("{{{base}}}").replace("\"shop\"", "\"shops\""),
                false,
            ),
            (format!("{{{base}}}").replace("\"web\"", "\"other\""), false),
            (format!("{{{base}}}").replace("\"web\"", "[\"web\"]"), false),
            (r#"{"active":true}"#.to_owned(), false),
        ] {
            assert_eq!(said(&body, &strict).unwrap().is_ok(), is_active, "{body}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(
            form("a-._~+/="),
            "token=a-._%7E%2B%2F%3D&token_type_hint=access_token"
        );
        // "my+app:p%3Aw%26%C3%A4"
        assert_eq!(
            basic("my app", "p:w&ä"),
            "Basic bXkrYXBwOnAlM0F3JTI2JUMzJUE0"
        );
    }

    proptest! {
        #[test]
        fn nothing_can_add_a_parameter(token in any::<String>()) {
            let form = form(&token);
            prop_assert_eq!(form.matches('&').count(), 1);
            let found: Vec<_> = crate::auth::query::values(&form, "token").collect();
            prop_assert_eq!(&*found[0], token.as_bytes());
        }

        #[test]
        fn no_answer_is_too_much(body in "(\\{|\"active\"|:|true|false|\"|\\}|,|[a-z0-9]){0,12}") {
            if let Some(Ok(_)) = said(&body, &wanted()) {
                prop_assert!(body.contains("true"));
            }
        }
    }
}
