//! The vectors of C2SP Wycheproof, at the level of JWS.

use serde_json::Value;
use tower_gateway::auth::jose::{KeyError, KeySet};

use super::support::verify;

const SIGNATURES: &str = include_str!("../../data/json_web_signature_test.json");
const KEYS: &str = include_str!("../../data/json_web_key_test.json");

/// Labelled valid, and refused here: PS384 with a key that says PS256, an `alg` of `ES521`, which is none, and `?` in
/// base64url.
const REFUSED: [u64; 6] = [346, 347, 350, 351, 372, 373];

/// Labelled invalid for a padding that they do not have: they are, to the byte, 357, which is valid.
const THE_SAME_AS_357: [u64; 2] = [367, 370];

/// A set of what the group verifies with: its public key, or its secret.
fn keys(group: &Value, of_one: impl Fn(&Value) -> String) -> Result<KeySet, KeyError> {
    match group.get("public") {
        Some(public) => KeySet::from_jwks(of_one(public)),
        None => KeySet::from_secret_jwks(of_one(&group["private"])),
    }
}

/// The number of each vector, whether it is to be accepted, and whether it is.
fn outcomes(vectors: &str, of_one: impl Fn(&Value) -> String) -> Vec<(u64, bool, bool)> {
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let mut outcomes = Vec::new();
    for group in vectors["testGroups"].as_array().unwrap() {
        let keys = keys(group, &of_one);
        for test in group["tests"].as_array().unwrap() {
            let is_accepted = keys
                .as_ref()
                .is_ok_and(|keys| verify(test["jws"].as_str().unwrap(), keys).is_ok());
            let id = test["tcId"].as_u64().unwrap();
            outcomes.push((id, test["result"] == "valid", is_accepted));
        }
    }
    assert_eq!(vectors["numberOfTests"], outcomes.len());
    outcomes
}

#[test]
fn signatures_are_judged_as_they_should_be() {
    let outcomes = outcomes(SIGNATURES, |key| format!(r#"{{"keys":[{key}]}}"#));
    let wrong = outcomes.iter().filter(|(_, wanted, is)| wanted != is);
    let wrong: Vec<_> = wrong.map(|(id, ..)| *id).collect();
    assert_eq!(
        wrong,
        [&REFUSED[..4], &THE_SAME_AS_357, &REFUSED[4..]].concat()
    );
    let accepted = outcomes.iter().filter(|(_, _, is)| *is).count();
    assert_eq!((outcomes.len(), accepted), (401, 40 + 2));
}

#[test]
fn two_vectors_are_mislabelled() {
    let vectors: Value = serde_json::from_str(SIGNATURES).unwrap();
    let groups = vectors["testGroups"].as_array().unwrap().iter();
    let tests: Vec<_> = groups
        .flat_map(|group| group["tests"].as_array().unwrap())
        .collect();
    let token = |id: u64| &tests.iter().find(|test| test["tcId"] == id).unwrap()["jws"];
    for id in THE_SAME_AS_357 {
        assert_eq!(token(id), token(357));
    }
}

#[test]
fn key_sets_are_judged_as_they_should_be() {
    let outcomes = outcomes(KEYS, Value::to_string);
    let wrong = outcomes.iter().filter(|(_, wanted, is)| wanted != is);
    let wrong: Vec<_> = wrong.map(|(id, ..)| *id).collect();
    assert_eq!(wrong, [0_u64; 0]);
    let accepted = outcomes.iter().filter(|(_, _, is)| *is).count();
    assert_eq!((outcomes.len(), accepted), (26, 5));
}

/// Each is refused for what is wrong with it, and not for something else.
#[test]
fn weak_keys_are_refused_by_name() {
    let vectors: Value = serde_json::from_str(KEYS).unwrap();
    let refusal = |id: u64| {
        let groups = vectors["testGroups"].as_array().unwrap();
        let mut groups = groups.iter();
        let group = groups
            .find(|group| group["tests"][0]["tcId"] == id)
            .unwrap();
        keys(group, Value::to_string).unwrap_err().to_string()
    };
    for (id, words) in [
        (1, "either secrets or public keys"),
        (4, "`k` is not base64url"),
        (6, "`use` has to be \"sig\""),
        (7, "CVE-2017-15361"),
        (8, "1024 bits; 2048 to 8192 are allowed"),
        (9, "`e` has to be odd, at least 65537"),
        (10, "31 bytes; HS256 needs at least 32"),
        (11, "47 bytes; HS384 needs at least 48"),
        (12, "63 bytes; HS512 needs at least 64"),
        (16, "0 bytes"),
        (19, "\"ES521\" is not supported"),
        (20, "\"ES224\" is not supported"),
        (22, "`x` and `y` are no point on the curve"),
        (23, "`x` has not as many bytes"),
        (24, "`n` is missing"),
        (25, "\"A256GCM\" is not supported"),
    ] {
        let refusal = refusal(id);
        assert!(refusal.contains(words), "{id}: {refusal}");
    }
}
