//! Not a bit of a token may change.

use proptest::prelude::*;
use tower_gateway::auth::jose::{KeySet, SigningKey};

use super::support::{signing_keys, verify};

fn token(key: &SigningKey) -> (String, KeySet) {
    let token = key.sign(r#"{"sub":"ada","exp":1767225600}"#).unwrap();
    let keys = KeySet::new([key.key()]).unwrap();
    assert!(verify(&token, &keys).is_ok());
    (token, keys)
}

#[test]
fn every_changed_bit_is_seen() {
    for key in signing_keys() {
        let (token, keys) = token(&key);
        for index in 0..token.len() {
            for bit in 0..7 {
                let mut changed = token.clone().into_bytes();
                changed[index] ^= 1 << bit;
                let changed = String::from_utf8(changed).unwrap();
                let outcome = verify(&changed, &keys);
                assert!(outcome.is_err(), "{}: {changed}", key.algorithm());
            }
        }
    }
}

#[test]
fn every_cut_is_seen() {
    for key in signing_keys() {
        let (token, keys) = token(&key);
        for length in 0..token.len() {
            assert!(verify(&token[..length], &keys).is_err());
            assert!(verify(&token[token.len() - length..], &keys).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Payload and names of any kind come back as they went.
    #[test]
    fn what_is_signed_comes_back(
        which in 0..13_usize,
        payload in prop::collection::vec(any::<u8>(), 0..200),
        kid in prop::option::of("\\PC{0,20}"),
        typ in "\\PC{0,10}",
    ) {
        thread_local!(static KEYS: Vec<SigningKey> = signing_keys());
        let mut key = KEYS.with(|keys| keys[which].clone()).with_typ(&*typ);
        if let Some(kid) = &kid {
            key = key.with_kid(&**kid);
        }
        let token = key.sign(&payload).unwrap();
        let verified = verify(&token, &KeySet::new([key.key()]).unwrap()).unwrap();
        prop_assert_eq!(verified.payload(), &*payload);
        prop_assert_eq!(verified.kid(), kid.as_deref());
        prop_assert_eq!(verified.typ(), Some(&*typ));
        prop_assert_eq!(verified.algorithm(), key.algorithm());
        prop_assert_eq!(verified.key().id(), key.key().id());
    }

    /// Any text is refused, and quickly.
    #[test]
    fn no_text_is_a_token(text in "\\PC{0,100}", parts in "[A-Za-z0-9_.-]{0,100}") {
        thread_local!(static SET: KeySet = KeySet::new([signing_keys()[9].key()]).unwrap());
        SET.with(|keys| {
            prop_assert!(verify(&text, keys).is_err());
            prop_assert!(verify(&parts, keys).is_err());
            Ok(())
        })?;
    }
}
