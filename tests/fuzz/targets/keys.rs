//! Keys, alone and in sets, in each of their forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_gateway::auth::jose::{Key, KeySet, SigningKey};

fuzz_target!(|data: &[u8]| {
    for set in [KeySet::from_jwks(data), KeySet::from_secret_jwks(data)] {
        if let Ok(set) = set {
            assert!(set.keys().len() + set.skipped().len() <= KeySet::MAX_KEYS);
            for key in set.keys() {
                assert!(key.algorithms().count() > 0);
                assert!(set.contains(&key.id()));
            }
        }
    }
    for key in [SigningKey::from_jwk(data), SigningKey::from_pem(data)] {
        if let Ok(key) = key {
            let jwk = key.public_jwk();
            let again = jwk.map(|jwk| Key::from_jwk(jwk).expect("its own public key"));
            assert!(again.is_none_or(|again| again.id() == key.key().id()));
        }
    }
    let _ = Key::from_jwk(data);
    let _ = Key::from_pem(data);
});
