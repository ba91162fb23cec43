//! Tokens, and what is in them.
#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use libfuzzer_sys::fuzz_target;
use tower_gateway::auth::jose::{
    Algorithm, ClaimPolicy, Claims, KeySet, Policy, SigningKey, Unverified, verify,
};

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_secret([7; 32], Algorithm::HS256).expect("a key"));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::new([KEY.key()]).expect("a set"));

fuzz_target!(|data: &[u8]| {
    let policy = Policy::new();
    if let Ok(text) = str::from_utf8(data) {
        let _ = verify(text, &KEYS, &policy);
        // As a header, so that its bytes get past the encoding.
        let header = KEY.sign(data).expect("a token");
        let encoded = header.split('.').nth(1).expect("a payload");
        if let Ok(token) = Unverified::parse(&format!("{encoded}.e30.AA"), &policy) {
            let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(json["alg"], token.algorithm().name());
            assert_eq!(json["kid"].as_str(), token.kid());
            assert!(token.verify(&KEYS).is_err());
        }
    }
    if data.len() < 4096 {
        let token = KEY.sign(data).expect("a token");
        let verified = verify(&token, &KEYS, &policy).expect("what was signed");
        assert_eq!(verified.payload(), data);
    }
    if let Ok(claims) = Claims::parse(data) {
        // A number may be too large for serde_json.
        if let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) {
            assert_eq!(json["sub"].as_str(), claims.subject());
            let members = json.as_object().expect("an object").iter();
            for (name, value) in members {
                let claim = claims.get(name).expect("each member");
                let theirs = serde_json::from_str::<serde_json::Value>(claim.json());
                assert_eq!(&theirs.expect("JSON"), value);
            }
        }
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let _ = ClaimPolicy::new().audience(["a"]).check(&claims, now);
        let _ = claims.scopes().count() + claims.audience().count();
    }
});
