//! Which key of a set a token means.

use tower_gateway::auth::jose::{Algorithm, Key, KeyError, KeySet, SigningKey, VerifyError};

use super::support::{SECRET, base64, pem, verify};

fn generate() -> SigningKey {
    SigningKey::generate(Algorithm::ES256).unwrap()
}

fn jwks(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn kid_error(kid: Option<&str>) -> VerifyError {
    let kid = kid.map(Into::into);
    VerifyError::UnknownKey { kid }
}

#[test]
fn by_its_name() {
    let (a, b, nameless) = (
        generate().with_kid("a"),
        generate().with_kid("b"),
        generate(),
    );
    let keys = KeySet::new([a.key(), b.key()]).unwrap();
    for (key, outcome) in [
        (a.clone(), Ok("a")),
        (b.clone(), Ok("b")),
        (a.clone().with_kid("b"), Err(VerifyError::Signature)),
        (a.clone().with_kid("c"), Err(kid_error(Some("c")))),
        (a.clone().with_kid(""), Err(kid_error(Some("")))),
        (a.clone().with_kid("A"), Err(kid_error(Some("A")))),
        (nameless.clone(), Err(VerifyError::Signature)),
    ] {
        let token = key.sign("{}").unwrap();
        let verified = verify(&token, &keys);
        let kid = verified.map(|verified| verified.key().kid().unwrap().to_owned());
        assert_eq!(kid.as_deref(), outcome.as_ref().map(|kid| *kid));
    }
    // A key without a name takes what no other has the name of.
    let keys = KeySet::new([a.key(), nameless.key()]).unwrap();
    assert!(verify(&nameless.clone().with_kid("x").sign("{}").unwrap(), &keys).is_ok());
    let claimed = nameless.with_kid("a").sign("{}").unwrap();
    assert_eq!(verify(&claimed, &keys).unwrap_err(), VerifyError::Signature);
}

#[test]
fn without_a_name_a_few_are_tried() {
    let all: Vec<_> = (0..=KeySet::MAX_TRIES).map(|_| generate()).collect();
    let named = |(index, key): (usize, &SigningKey)| key.key().with_kid(index.to_string());
    let few = all.iter().enumerate().take(KeySet::MAX_TRIES).map(named);
    let few = KeySet::new(few).unwrap();
    let many = KeySet::new(all.iter().enumerate().map(named)).unwrap();
    for (index, key) in all.iter().enumerate() {
        let token = key.sign("{}").unwrap();
        assert_eq!(verify(&token, &few).is_ok(), index < KeySet::MAX_TRIES);
        let ambiguous = VerifyError::Ambiguous(all.len());
        assert_eq!(verify(&token, &many).unwrap_err(), ambiguous);
    }
    // Those of another algorithm do not count.
    let ed25519 = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let keys = few.keys().iter().cloned().chain([ed25519.key()]);
    let keys = KeySet::new(keys).unwrap();
    assert!(verify(&ed25519.sign("{}").unwrap(), &keys).is_ok());
    let rsa = SigningKey::from_pem(pem!("rsa.pkcs8")).unwrap();
    let wanted = VerifyError::AlgorithmNotAllowed(Algorithm::RS256);
    assert_eq!(verify(&rsa.sign("{}").unwrap(), &few).unwrap_err(), wanted);
    let empty = KeySet::new([]).unwrap();
    let error = verify(&ed25519.sign("{}").unwrap(), &empty).unwrap_err();
    assert_eq!(error, kid_error(None));
}

#[test]
fn one_name_for_two_algorithms() {
    let (es, ed) = (
        generate().with_kid("a"),
        SigningKey::generate(Algorithm::EdDSA).unwrap(),
    );
    let ed = ed.with_kid("a");
    let keys = KeySet::new([es.key(), ed.key()]).unwrap();
    assert!(verify(&es.sign("{}").unwrap(), &keys).is_ok());
    assert!(verify(&ed.sign("{}").unwrap(), &keys).is_ok());
}

#[test]
fn what_is_in_a_set_together() {
    let (a, other) = (generate().with_kid("a"), generate().with_kid("a"));
    assert_eq!(
        KeySet::new([a.key(), other.key()]).unwrap_err(),
        KeyError::DuplicateKid("a".into())
    );
    assert_eq!(KeySet::new([a.key(), a.key()]).unwrap().keys().len(), 1);
    let secret = Key::from_secret(SECRET, Algorithm::HS256).unwrap();
    for keys in [[a.key(), secret.clone()], [secret, a.key()]] {
        assert_eq!(KeySet::new(keys).unwrap_err(), KeyError::Mixed);
    }
    let keys = KeySet::new([a.key()]).unwrap();
    assert!(keys.contains(&a.key().id()));
    assert!(!keys.contains(&a.key().with_kid("b").id()));
    let many = (0..=KeySet::MAX_KEYS).map(|index| a.key().with_kid(index.to_string()));
    let (count, max) = (KeySet::MAX_KEYS + 1, KeySet::MAX_KEYS);
    let unit = "keys";
    assert_eq!(
        KeySet::new(many).unwrap_err(),
        KeyError::TooMany { count, unit, max }
    );
}

#[test]
fn keys_that_can_not_be_used_are_left_out() {
    let good = generate().with_kid("a");
    let jwk = good.public_jwk().unwrap();
    let keys = jwks(&[
        r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.into(),
        jwk.replace("\"sig\"", "\"enc\""),
        format!(r#"{{"kty":"oct","alg":"HS256","k":"{}"}}"#, base64(SECRET)),
        jwk.clone(),
        jwk.replace("\"kty\"", "\"d\":\"AA\",\"kty\""),
        "7".into(),
    ]);
    let keys = KeySet::from_jwks(keys).unwrap();
    assert_eq!(keys.keys().len(), 1);
    let skipped: Vec<_> = keys.skipped().iter().map(|(index, _)| *index).collect();
    assert_eq!(skipped, [0, 1, 2, 4, 5]);
    assert_eq!(keys.skipped()[2].1, KeyError::Secret);
    assert_eq!(keys.skipped()[3].1, KeyError::Private);
    assert!(verify(&good.sign("{}").unwrap(), &keys).is_ok());
    // The secret that the set gave away signs nothing.
    let forger = SigningKey::from_secret(SECRET, Algorithm::HS256).unwrap();
    for forger in [forger.clone(), forger.with_kid("a")] {
        assert!(verify(&forger.sign("{}").unwrap(), &keys).is_err());
    }
}

#[test]
fn sets_that_are_refused() {
    let jwk = generate().with_kid("a").public_jwk().unwrap();
    let other = generate().with_kid("a").public_jwk().unwrap();
    for (set, words) in [
        (String::new(), "not JSON"),
        ("[]".into(), "not an object"),
        ("{}".into(), "`keys` has to be an array"),
        (jwk.clone(), "`keys` has to be an array"),
        (r#"{"keys":{}}"#.into(), "`keys` has to be an array"),
        (r#"{"keys":[],"keys":[]}"#.into(), "\"keys\" is there twice"),
        (jwks(&[jwk.clone(), other]), "the `kid` \"a\""),
        (jwks(&["{}".into()]), "the first: `kty` is missing"),
        (jwks(&vec!["{}".into(); 129]), "129 keys; at most 128"),
        (" ".repeat(KeySet::MAX_BYTES + 1), "bytes; at most 524288"),
    ] {
        let error = KeySet::from_jwks(&set).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(
        KeySet::from_jwks(r#"{"keys":[]}"#)
            .unwrap()
            .keys()
            .is_empty()
    );
    let with_secret = format!(r#"{{"kty":"oct","alg":"HS256","k":"{}"}}"#, base64(SECRET));
    let mixed = jwks(&[with_secret.clone(), jwk]);
    let error = KeySet::from_secret_jwks(mixed).unwrap_err();
    assert_eq!(error, KeyError::Mixed);
    let keys = KeySet::from_secret_jwks(jwks(&[with_secret])).unwrap();
    let token = SigningKey::from_secret(SECRET, Algorithm::HS256).unwrap();
    assert!(verify(&token.sign("{}").unwrap(), &keys).is_ok());
}
