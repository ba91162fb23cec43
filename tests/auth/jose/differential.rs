//! A second implementation says the same, within what both have.

use jsonwebtoken as other;
use proptest::prelude::*;
use tower_gateway::auth::jose::{Algorithm, Key, KeySet, SigningKey};

use super::support::{SECRET, base64, pem, verify};

/// The ones that both have, with what each signs and verifies with.
struct Pair {
    ours: SigningKey,
    keys: KeySet,
    theirs: other::Algorithm,
    encoding: other::EncodingKey,
    decoding: other::DecodingKey,
}

fn pairs() -> Vec<Pair> {
    use other::{Algorithm as Theirs, DecodingKey, EncodingKey};
    let rsa = |algorithm, theirs| {
        let ours = SigningKey::from_pem(pem!("rsa.pkcs8")).unwrap();
        let key = Key::from_pem(pem!("rsa.spki")).unwrap();
        Pair {
            ours: ours.with_algorithm(algorithm).unwrap(),
            keys: KeySet::new([key.with_algorithms([algorithm]).unwrap()]).unwrap(),
            theirs,
            encoding: EncodingKey::from_rsa_pem(pem!("rsa.pkcs8").as_bytes()).unwrap(),
            decoding: DecodingKey::from_rsa_pem(pem!("rsa.spki").as_bytes()).unwrap(),
        }
    };
    let ec = |private: &str, public: &str, theirs| Pair {
        ours: SigningKey::from_pem(private).unwrap(),
        keys: KeySet::new([Key::from_pem(public).unwrap()]).unwrap(),
        theirs,
        encoding: EncodingKey::from_ec_pem(private.as_bytes()).unwrap(),
        decoding: DecodingKey::from_ec_pem(public.as_bytes()).unwrap(),
    };
    let secret = |algorithm, theirs| Pair {
        ours: SigningKey::from_secret(SECRET, algorithm).unwrap(),
        keys: KeySet::new([Key::from_secret(SECRET, algorithm).unwrap()]).unwrap(),
        theirs,
        encoding: EncodingKey::from_secret(SECRET),
        decoding: DecodingKey::from_secret(SECRET),
    };
    vec![
        secret(Algorithm::HS256, Theirs::HS256),
        secret(Algorithm::HS384, Theirs::HS384),
        secret(Algorithm::HS512, Theirs::HS512),
        rsa(Algorithm::RS256, Theirs::RS256),
        rsa(Algorithm::RS384, Theirs::RS384),
        rsa(Algorithm::RS512, Theirs::RS512),
        rsa(Algorithm::PS256, Theirs::PS256),
        rsa(Algorithm::PS384, Theirs::PS384),
        rsa(Algorithm::PS512, Theirs::PS512),
        ec(pem!("p256.pkcs8"), pem!("p256.spki"), Theirs::ES256),
        ec(pem!("p384.pkcs8"), pem!("p384.spki"), Theirs::ES384),
        Pair {
            ours: SigningKey::from_pem(pem!("ed25519.pkcs8")).unwrap(),
            keys: KeySet::new([Key::from_pem(pem!("ed25519.spki")).unwrap()]).unwrap(),
            theirs: Theirs::EdDSA,
            encoding: EncodingKey::from_ed_pem(pem!("ed25519.pkcs8").as_bytes()).unwrap(),
            decoding: DecodingKey::from_ed_pem(pem!("ed25519.spki").as_bytes()).unwrap(),
        },
    ]
}

impl Pair {
    fn is_theirs(&self, token: &str) -> bool {
        let mut validation = other::Validation::new(self.theirs);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        other::decode::<serde_json::Value>(token, &self.decoding, &validation).is_ok()
    }

    fn is_ours(&self, token: &str) -> bool {
        verify(token, &self.keys).is_ok_and(|verified| verified.claims().is_ok())
    }
}

#[test]
fn each_takes_what_the_other_signed() {
    let pairs = pairs();
    let claims = serde_json::json!({"sub": "ada", "n": [1, null, {"a": "\u{e9}\n"}]});
    for pair in &pairs {
        let theirs = other::encode(&other::Header::new(pair.theirs), &claims, &pair.encoding);
        let (theirs, ours) = (theirs.unwrap(), pair.ours.sign_claims(&claims).unwrap());
        for other in &pairs {
            let is_same = other.theirs == pair.theirs;
            for token in [&theirs, &ours] {
                assert_eq!(other.is_ours(token), is_same, "{token}");
                assert_eq!(other.is_theirs(token), is_same, "{token}");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    None,
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, char),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    Header(&'static str),
    Double(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        Just(Change::None),
        (index(), 0..7_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (
            index(),
            prop::sample::select(vec!['=', '.', ' ', 'A', '_', '+', '\n'])
        )
            .prop_map(|(at, with)| Change::Insert(at, with)),
        index().prop_map(Change::Remove),
        index().prop_map(Change::Cut),
        prop::sample::select(vec![
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"ES256"}"#,
            r#"{}"#,
            r#"{"alg":1}"#,
        ])
        .prop_map(Change::Header),
        index().prop_map(Change::Double),
    ]
}

fn changed(token: &str, change: &Change) -> String {
    let mut bytes = token.as_bytes().to_vec();
    match change {
        Change::None => {}
        Change::Flip(at, bit) => bytes[at.index(token.len())] ^= 1 << bit,
        Change::Insert(at, with) => bytes.insert(at.index(token.len()), *with as u8),
        Change::Remove(at) => {
            bytes.remove(at.index(token.len()));
        }
        Change::Cut(at) => bytes.truncate(at.index(token.len())),
        Change::Double(at) => bytes.insert(at.index(token.len()), bytes[at.index(token.len())]),
        Change::Header(header) => {
            let (_, rest) = token.split_once('.').unwrap();
            return format!("{}.{rest}", base64(header));
        }
    }
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn both_judge_the_same(
        which in 0..12_usize,
        sub in "\\PC{0,12}",
        change in change(),
    ) {
        thread_local!(static PAIRS: Vec<Pair> = pairs());
        PAIRS.with(|pairs| {
            let pair = &pairs[which];
            let claims = serde_json::json!({"sub": sub});
            let token = pair.ours.sign_claims(&claims).unwrap();
            let token = changed(&token, &change);
            prop_assert_eq!(pair.is_ours(&token), pair.is_theirs(&token), "{}", token);
            Ok(())
        })?;
    }
}
