//! What attackers send. Each token is properly signed, or would be if its trick worked.

use tower_gateway::auth::jose::{
    Algorithm, ClaimError, JsonError, Key, KeySet, Policy, SigningKey, VerifyError, verify as with,
};

use super::support::{
    SECRET, base64, forged, hs256, pem, sealed, secret_keys, signing_keys, verify,
};

const PAYLOAD: &str = r#"{"sub":"ada"}"#;

fn error(token: &str) -> VerifyError {
    verify(token, &secret_keys()).unwrap_err()
}

#[test]
fn headers_that_are_not_what_they_should_be() {
    use VerifyError::{Header, Json, UnsupportedAlgorithm};
    let critical = |member| {
        let wrong = "is not understood, so that the token has to be refused";
        Header { member, wrong }
    };
    let key = |member| {
        let wrong = "brings a key, which a token may not";
        Header { member, wrong }
    };
    let not_a_string = |member| {
        let wrong = "has to be a string";
        Header { member, wrong }
    };
    let unknown = |name: &str| UnsupportedAlgorithm(name.into());
    assert!(verify(&forged(r#"{"alg":"HS256"}"#, PAYLOAD), &secret_keys()).is_ok());
    for (header, wanted) in [
        // No algorithm at all, or one in disguise.
        (r#"{"alg":"none"}"#, unknown("none")),
        (r#"{"alg":"None"}"#, unknown("None")),
        (r#"{"alg":"nOnE"}"#, unknown("nOnE")),
        (r#"{"alg":""}"#, unknown("")),
        (r#"{"alg":"hs256"}"#, unknown("hs256")),
        (r#"{"alg":"HS256 "}"#, unknown("HS256 ")),
        (r#"{"alg":"HS256\u0000"}"#, unknown("HS256\0")),
        (r#"{"alg":"ES256K"}"#, unknown("ES256K")),
        (r#"{"alg":"dir"}"#, unknown("dir")),
        (r#"{"alg":["HS256"]}"#, not_a_string("alg")),
        (r#"{"alg":null}"#, not_a_string("alg")),
        (
            r#"{"ALG":"HS256"}"#,
            Header {
                member: "alg",
                wrong: "is missing",
            },
        ),
        // What has to be understood, and is not.
        (r#"{"alg":"HS256","crit":["exp"]}"#, critical("crit")),
        (r#"{"alg":"HS256","crit":[]}"#, critical("crit")),
        (r#"{"alg":"HS256","crit":null}"#, critical("crit")),
        (
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            critical("crit"),
        ),
        (r#"{"alg":"HS256","b64":false}"#, critical("b64")),
        (r#"{"alg":"HS256","b64":true}"#, critical("b64")),
        // A key of the attacker's.
        (
            r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#,
            key("jwk"),
        ),
        (
            r#"{"alg":"HS256","jku":"https://evil.example/jwks"}"#,
            key("jku"),
        ),
        (
            r#"{"alg":"HS256","x5u":"https://evil.example/pem"}"#,
            key("x5u"),
        ),
        (r#"{"alg":"HS256","x5c":["MIIB"]}"#, key("x5c")),
        // Names that are no strings.
        (r#"{"alg":"HS256","kid":1}"#, not_a_string("kid")),
        (r#"{"alg":"HS256","kid":null}"#, not_a_string("kid")),
        (r#"{"alg":"HS256","typ":["JWT"]}"#, not_a_string("typ")),
        // Two readings.
        (
            r#"{"alg":"none","alg":"HS256"}"#,
            Json(JsonError::Duplicate("alg".into())),
        ),
        (
            r#"{"alg":"HS256","\u0061lg":"none"}"#,
            Json(JsonError::Duplicate("alg".into())),
        ),
        (
            r#"{"alg":"HS256","x":{"a":1,"a":2}}"#,
            Json(JsonError::Duplicate("a".into())),
        ),
        // No JSON object, or more than one.
        ("\u{feff}{\"alg\":\"HS256\"}", Json(JsonError::Syntax(0))),
        (r#"{"alg":"HS256"}{}"#, Json(JsonError::Syntax(15))),
        (r#"{"alg":"HS256",}"#, Json(JsonError::Syntax(15))),
        (r#"["HS256"]"#, Json(JsonError::NotAnObject)),
        (r#""HS256""#, Json(JsonError::NotAnObject)),
        ("null", Json(JsonError::NotAnObject)),
    ] {
        assert_eq!(error(&forged(header, PAYLOAD)), wanted, "{header}");
    }
    let deep = format!(
        r#"{{"alg":"HS256","x":{}{}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(error(&forged(&deep, PAYLOAD)), Json(JsonError::Depth(32)));
    let not_utf8 = base64(b"{\"alg\":\"HS256\",\"kid\":\"\xff\"}");
    let token = sealed(&not_utf8, &base64(PAYLOAD));
    assert_eq!(error(&token), Json(JsonError::Utf8));
}

#[test]
fn what_is_not_known_and_not_critical_is_ignored() {
    for header in [
        r#"{"alg":"HS256","x5t":"AA","x5t#S256":"AA","cty":"x","nonce":{"a":[1]}}"#,
        " { \"alg\" : \"HS256\" }\r\n",
        r#"{"\u0061lg":"HS\u003256"}"#,
    ] {
        assert!(verify(&forged(header, PAYLOAD), &secret_keys()).is_ok());
    }
}

#[test]
fn segments_that_are_not_canonical() {
    let header = base64(r#"{"alg":"HS256"}"#);
    let token = sealed(&header, "YQ");
    assert!(verify(&token, &secret_keys()).is_ok());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let base64_of = |part| VerifyError::Base64(part);
    for (token, wanted) in [
        // Signed as they stand, so that nothing but the encoding is wrong.
        (sealed(&header, "YR"), base64_of("payload")),
        (sealed(&header, "YQ=="), base64_of("payload")),
        (sealed(&header, "YQ\n"), base64_of("payload")),
        (sealed(&header, " YQ"), base64_of("payload")),
        (sealed(&header, "Y"), base64_of("payload")),
        (sealed(&header, "+/+/"), base64_of("payload")),
        (sealed(&header, "Y\u{e9}"), base64_of("payload")),
        (sealed(&header, "Y\0Q"), base64_of("payload")),
        (sealed(&format!("{header}="), "YQ"), base64_of("header")),
        (sealed(&format!(" {header}"), "YQ"), base64_of("header")),
        (sealed("", "YQ"), base64_of("header")),
        (format!("{token}="), base64_of("signature")),
        (format!("{token} "), base64_of("signature")),
        (format!("{token}\n"), base64_of("signature")),
        (format!("{signed}. {signature}"), base64_of("signature")),
        (format!("{signed}."), base64_of("signature")),
        (format!("{token}."), VerifyError::Segments),
        (format!("{token}.{signature}"), VerifyError::Segments),
        (format!(".{token}"), VerifyError::Segments),
        (signed.to_owned(), VerifyError::Segments),
        (header.clone(), VerifyError::Segments),
        (String::new(), VerifyError::Segments),
        ("..".into(), base64_of("header")),
        (format!("Bearer {token}"), base64_of("header")),
        (
            // RFC 7515 section 7.2.2.
            format!(r#"{{"payload":"YQ","protected":"{header}","signature":"{signature}"}}"#),
            VerifyError::Segments,
        ),
        // RFC 7516: five segments.
        (format!("{token}.YQ.YQ"), VerifyError::Segments),
    ] {
        assert_eq!(error(&token), wanted, "{token}");
    }
}

/// The last bits of a signature that do not fill a byte count too.
#[test]
fn the_last_character_has_one_form() {
    let token = forged(r#"{"alg":"HS256"}"#, PAYLOAD);
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for other in alphabet.chars().filter(|other| *other.to_string() != *last) {
        assert!(verify(&format!("{rest}{other}"), &secret_keys()).is_err());
    }
}

#[test]
fn tokens_that_are_too_long() {
    let token = forged(r#"{"alg":"HS256"}"#, &"x".repeat(6000));
    let (keys, length) = (secret_keys(), token.len());
    let limit = |max| with(&token, &keys, &Policy::new().max_length(max)).err();
    let max = length - 1;
    assert_eq!(limit(length), None);
    assert_eq!(limit(max), Some(VerifyError::TooLong { length, max }));
    let long = "a".repeat(8193);
    let (length, max) = (8193, 8192);
    assert_eq!(error(&long), VerifyError::TooLong { length, max });
}

/// The public key, which everybody has, taken for a secret (CVE-2015-9235, CVE-2026-39999).
#[test]
fn a_public_key_is_no_secret() {
    let signed = format!("{}.{}", base64(r#"{"alg":"HS256"}"#), base64(PAYLOAD));
    for pem in [
        pem!("rsa.spki"),
        pem!("rsa.public"),
        pem!("p256.spki"),
        pem!("ed25519.spki"),
    ] {
        let keys = KeySet::new([Key::from_pem(pem).unwrap()]).unwrap();
        let body: String = pem.lines().filter(|line| !line.contains("--")).collect();
        for secret in [pem, pem.trim_end(), &body] {
            let token = format!("{signed}.{}", hs256(secret.as_bytes(), &signed));
            let wanted = VerifyError::AlgorithmNotAllowed(Algorithm::HS256);
            assert_eq!(verify(&token, &keys).unwrap_err(), wanted);
        }
    }
}

/// Every signature with every other `alg`, and every key with every other key's signature.
#[test]
fn a_token_does_not_choose_its_algorithm() {
    let keys = signing_keys();
    for key in &keys {
        let own = KeySet::new([key.key()]).unwrap();
        for other in &keys {
            let token = other.sign(PAYLOAD).unwrap();
            let is_own = other.algorithm() == key.algorithm();
            assert_eq!(verify(&token, &own).is_ok(), is_own);
            // The key's own signature under another name.
            let (_, rest) = token.split_once('.').unwrap();
            let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, key.algorithm());
            let renamed = format!("{}.{rest}", base64(header));
            assert_eq!(verify(&renamed, &own).is_ok(), is_own);
        }
    }
}

#[test]
fn signatures_that_are_no_signatures() {
    for key in signing_keys() {
        let keys = KeySet::new([key.key()]).unwrap();
        let token = key.sign(PAYLOAD).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let size = super::support::unbase64(signature).len();
        let mut der = vec![0x30, 0x06, 2, 1, 0, 2, 1, 0];
        for bytes in [
            vec![0],
            vec![0; size],
            vec![0; size + 1],
            vec![1; size],
            vec![0xFF; size],
            vec![0; 1024],
            std::mem::take(&mut der),
        ] {
            let token = format!("{signed}.{}", base64(bytes));
            assert_eq!(verify(&token, &keys).unwrap_err(), VerifyError::Signature);
        }
    }
}

#[test]
fn what_the_policy_does_not_want() {
    let keys = secret_keys();
    let token = |header: &str| forged(header, PAYLOAD);
    let hs256 = token(r#"{"alg":"HS256"}"#);
    let policy = Policy::new().algorithms([Algorithm::ES256]);
    let wanted = VerifyError::AlgorithmNotAllowed(Algorithm::HS256);
    assert_eq!(with(&hs256, &keys, &policy).unwrap_err(), wanted);
    assert!(with(&hs256, &keys, &policy.algorithms([Algorithm::HS256])).is_ok());

    let policy = Policy::new().types(["at+jwt", "application/x+jwt"]);
    for (typ, is_accepted) in [
        ("at+jwt", true),
        ("AT+JWT", true),
        ("application/at+jwt", true),
        ("APPLICATION/at+jwt", true),
        ("x+jwt", true),
        ("JWT", false),
        ("", false),
        ("at+jwt ", false),
        ("text/at+jwt", false),
        ("application/at+jwt/x", false),
        ("application/application/at+jwt", false),
    ] {
        let token = token(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#));
        let outcome = with(&token, &keys, &policy);
        assert_eq!(outcome.is_ok(), is_accepted, "{typ}");
    }
    // The prefix is left out only where no other slash is (RFC 7515 section 4.1.9).
    let prefixed = token(r#"{"alg":"HS256","typ":"application/a/b"}"#);
    assert!(with(&prefixed, &keys, &Policy::new().types(["a/b"])).is_err());
    assert!(with(&prefixed, &keys, &Policy::new().types(["application/a/b"])).is_ok());
    assert_eq!(
        with(&hs256, &keys, &policy).unwrap_err(),
        VerifyError::Type(None)
    );
}

#[test]
fn payloads_that_are_no_claims() {
    let keys = secret_keys();
    let json = |error| ClaimError::Json(error);
    for (payload, wanted) in [
        ("", json(JsonError::Syntax(0))),
        ("[]", json(JsonError::NotAnObject)),
        ("\u{feff}{}", json(JsonError::Syntax(0))),
        (
            r#"{"sub":"a","sub":"b"}"#,
            json(JsonError::Duplicate("sub".into())),
        ),
        (
            r#"{"realm":{"roles":[],"roles":["admin"]}}"#,
            json(JsonError::Duplicate("roles".into())),
        ),
    ] {
        let token = forged(r#"{"alg":"HS256"}"#, payload);
        let verified = verify(&token, &keys).unwrap();
        assert_eq!(verified.claims().unwrap_err(), wanted, "{payload}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let key = SigningKey::from_secret(SECRET, Algorithm::HS256).unwrap();
    let keys = KeySet::new([key.key()]).unwrap();
    let token = key.sign(r#"{"sub":"hidden"}"#).unwrap();
    let verified = verify(&token, &keys).unwrap();
    let claims = verified.claims().unwrap();
    let shown = format!("{key:?} {keys:?} {verified:?} {claims:?}");
    for hidden in ["sixty", "hidden", &base64(SECRET), "73, 105, 120"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}
