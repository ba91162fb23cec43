//! Which keys are taken, and why others are not.

use base64::{Engine, prelude::BASE64_STANDARD};
use tower_gateway::auth::jose::{Algorithm, Key, KeyError, KeySet, SigningKey};

use super::support::{SECRET, base64, pem, verify};

/// Those of a private key.
const PAIRS: [(&str, &str, Algorithm); 8] = [
    (pem!("rsa.pkcs8"), pem!("rsa.spki"), Algorithm::RS256),
    (pem!("rsa.pkcs1"), pem!("rsa.public"), Algorithm::RS256),
    (pem!("rsa.pkcs1"), pem!("rsa.certificate"), Algorithm::RS256),
    (pem!("p256.pkcs8"), pem!("p256.spki"), Algorithm::ES256),
    (
        pem!("p256.sec1"),
        pem!("p256.certificate"),
        Algorithm::ES256,
    ),
    (pem!("p384.sec1"), pem!("p384.spki"), Algorithm::ES384),
    (pem!("p521.sec1"), pem!("p521.spki"), Algorithm::ES512),
    (
        pem!("ed25519.pkcs8"),
        pem!("ed25519.spki"),
        Algorithm::EdDSA,
    ),
];

#[test]
fn pem_in_its_forms() {
    for (private, public, algorithm) in PAIRS {
        let signing = SigningKey::from_pem(private).unwrap();
        assert_eq!(signing.algorithm(), algorithm);
        let key = Key::from_pem(public).unwrap();
        let only = key.clone().with_algorithms([algorithm]).unwrap();
        assert_eq!(only.id(), signing.key().id());
        let token = signing.sign("{}").unwrap();
        assert!(verify(&token, &KeySet::new([key]).unwrap()).is_ok());

        assert_eq!(Key::from_pem(private).unwrap_err(), KeyError::Private);
        assert_eq!(SigningKey::from_pem(public).unwrap_err(), KeyError::Public);
        // Words around it and other line ends.
        let words = format!("a key\r\n{}\r\nof ours", public.replace('\n', "\r\n"));
        assert!(Key::from_pem(words).is_ok());
    }
    for name in [pem!("p384.pkcs8"), pem!("p521.pkcs8")] {
        assert!(SigningKey::from_pem(name).is_ok());
    }
}

#[test]
fn pem_that_is_refused() {
    let rsa = pem!("rsa.spki");
    let truncated = format!("{}{}", &rsa[..157], &rsa[rsa.len() - 25..]);
    let armour = |label: &str, der: &[u8]| {
        let body = BASE64_STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    for (pem, words) in [
        (String::new(), "no PEM"),
        ("-----BEGIN PUBLIC KEY-----".into(), "no end"),
        ("-----BEGIN PUBLIC KEY".into(), "does not end"),
        (rsa.replace("END PUBLIC", "END RSA PUBLIC"), "another label"),
        (format!("{rsa}{rsa}"), "more than one"),
        (truncated, "the DER that its label says"),
        (rsa.replacen("MII", "*II", 1), "not base64"),
        (armour("PUBLIC KEY", &[]), "the DER"),
        (
            armour("PUBLIC KEY", &[0x30, 0x84, 255, 255, 255, 255]),
            "the DER",
        ),
        (armour("RSA PUBLIC KEY", &[0x30, 0]), "the DER"),
        (armour("CERTIFICATE", &[0x30, 2, 0x30, 0]), "the DER"),
        (armour("X509 CRL", &[0x30, 0]), "neither PUBLIC KEY"),
        (armour("ENCRYPTED PRIVATE KEY", &[0x30, 0]), "private key"),
        (pem!("rsa1024.spki").into(), "1024 bits"),
        (pem!("x25519.spki").into(), "neither RSA, P-256"),
        (pem!("secp256k1.spki").into(), "neither RSA, P-256"),
        (pem!("p256.compressed").into(), "not uncompressed"),
    ] {
        let error = Key::from_pem(&pem).unwrap_err().to_string();
        assert!(error.contains(words), "{error}: {pem}");
    }
    assert!(matches!(Key::from_pem(b"\xff"), Err(KeyError::Pem(_))));
    for (pem, words) in [
        (armour("PRIVATE KEY", &[0x30, 0]), "the DER"),
        (armour("EC PRIVATE KEY", &[0x30, 0]), "names no curve"),
        (armour("RSA PRIVATE KEY", &[0x30, 0]), "library refuses"),
        (
            armour("ENCRYPTED PRIVATE KEY", &[0x30, 0]),
            "neither PRIVATE KEY",
        ),
    ] {
        let error = SigningKey::from_pem(&pem).unwrap_err().to_string();
        assert!(error.contains(words), "{error}: {pem}");
    }
}

const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";

fn p256(more: &str) -> String {
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"{more}}}"#)
}

#[test]
fn jwk_that_is_taken() {
    let rsa = SigningKey::from_pem(pem!("rsa.pkcs8")).unwrap();
    let rsa = rsa.public_jwk().unwrap();
    let all = rsa.replace(r#""alg":"RS256","#, "");
    for (jwk, names) in [
        (p256(""), "ES256"),
        (
            p256(r#","alg":"ES256","use":"sig","key_ops":["verify"]"#),
            "ES256",
        ),
        (
            p256(r#","key_ops":["sign","verify"],"ext":true,"x5t":"AA""#),
            "ES256",
        ),
        (rsa.clone(), "RS256"),
        (rsa.replace("RS256", "PS512"), "PS512"),
        // Some issuers put a zero ahead of the modulus, which RFC 7518 section 6.3.1.1 tells them not to.
        (all.clone(), "RS256 RS384 RS512 PS256 PS384 PS512"),
    ] {
        let key = Key::from_jwk(&jwk).unwrap();
        let algorithms: Vec<_> = key.algorithms().map(Algorithm::name).collect();
        assert_eq!(algorithms.join(" "), names, "{jwk}");
    }
    let n = all.split('"').nth(11).unwrap();
    let zero = base64([&[0], &*super::support::unbase64(n)].concat());
    let key = Key::from_jwk(all.replace(n, &zero)).unwrap();
    assert_eq!(key.id(), Key::from_jwk(&all).unwrap().id());
}

#[test]
fn jwk_that_is_refused() {
    let okp = |crv: &str, x: &str| format!(r#"{{"kty":"OKP","crv":"{crv}","x":"{x}"}}"#);
    let zero = base64([0; 32]);
    for (jwk, words) in [
        (String::new(), "not JSON"),
        ("[]".into(), "not an object"),
        ("{}".into(), "`kty` is missing"),
        (r#"{"kty":1}"#.into(), "`kty` has to be a string"),
        (
            r#"{"kty":"ec"}"#.into(),
            "`kty` has to be RSA, EC, OKP or oct",
        ),
        (p256(r#","x":"AA""#), "\"x\" is there twice"),
        (p256(r#","d":"AA""#), "private key"),
        (p256(r#","d":null"#), "private key"),
        (
            format!(r#"{{"kty":"oct","k":"{zero}","alg":"HS256"}}"#),
            "secret",
        ),
        (p256(r#","use":"enc""#), "`use` has to be \"sig\""),
        (p256(r#","use":"SIG""#), "`use` has to be \"sig\""),
        (p256(r#","use":["sig"]"#), "`use` has to be a string"),
        (p256(r#","key_ops":["encrypt"]"#), "`key_ops`"),
        (p256(r#","key_ops":["sign"]"#), "`key_ops`"),
        (p256(r#","key_ops":[]"#), "`key_ops`"),
        (
            p256(r#","key_ops":"verify""#),
            "`key_ops` has to be an array",
        ),
        (p256(r#","alg":"ES384""#), "can not be used with ES384"),
        (p256(r#","alg":"RS256""#), "can not be used with RS256"),
        (p256(r#","alg":"HS256""#), "can not be used with HS256"),
        (p256(r#","alg":"none""#), "\"none\" is not supported"),
        (p256(r#","alg":1"#), "`alg` has to be a string"),
        (p256(r#","kid":7"#), "`kid` has to be a string"),
        (
            p256("").replace("P-256", "secp256k1"),
            "`crv` has to be P-256",
        ),
        (
            p256("").replace("P-256", "P-384"),
            "`x` has not as many bytes",
        ),
        (p256("").replace(X, Y), "no point on the curve"),
        (p256("").replace(X, &zero), "no point on the curve"),
        (
            p256("").replace(X, &format!("{X}=")),
            "`x` is not base64url",
        ),
        (
            p256("").replace(X, &format!(" {X}")),
            "`x` is not base64url",
        ),
        (okp("X25519", &zero), "`crv` has to be Ed25519"),
        (okp("Ed448", &zero), "`crv` has to be Ed25519"),
        (okp("Ed25519", &zero), "small order"),
        (okp("Ed25519", "AA"), "32 bytes"),
        (r#"{"kty":"RSA","e":"AQAB"}"#.into(), "`n` is missing"),
        (r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.into(), "17 bits"),
        (r#"{"kty":"RSA","n":"","e":""}"#.into(), "0 bits"),
    ] {
        let error = Key::from_jwk(&jwk).unwrap_err().to_string();
        assert!(error.contains(words), "{error}: {jwk}");
    }
}

#[test]
fn private_jwk() {
    let d = format!(r#","d":"{D}""#);
    let key = SigningKey::from_jwk(p256(&format!(r#"{d},"kid":"a","use":"sig""#))).unwrap();
    let keys = KeySet::from_jwks(format!(r#"{{"keys":[{}]}}"#, key.public_jwk().unwrap()));
    let token = key.sign("{}").unwrap();
    assert_eq!(verify(&token, &keys.unwrap()).unwrap().kid(), Some("a"));
    for (jwk, words) in [
        (p256(""), "this is a public key"),
        (p256(&format!(r#"{d},"key_ops":["verify"]"#)), "`key_ops`"),
        (p256(&format!(r#"{d},"use":"enc""#)), "`use`"),
        (p256(&format!(r#"{d},"alg":"ES512""#)), "used with ES512"),
        (p256(r#","d":"AA""#), "`d` has not as many bytes"),
        (
            p256(&format!(r#","d":"{}""#, base64([7; 32]))),
            "refuses the key",
        ),
        (r#"{"kty":"oct","k":"AA"}"#.into(), "`alg` is missing"),
    ] {
        let error = SigningKey::from_jwk(&jwk).unwrap_err().to_string();
        assert!(error.contains(words), "{error}: {jwk}");
    }
    let secret = format!(r#"{{"kty":"oct","alg":"HS512","k":"{}"}}"#, base64(SECRET));
    let secret = SigningKey::from_jwk(secret).unwrap();
    assert_eq!(secret.algorithm(), Algorithm::HS512);
    assert_eq!(secret.public_jwk(), None);
}

#[test]
fn secrets_are_as_long_as_their_hash() {
    for (algorithm, min) in [
        (Algorithm::HS256, 32),
        (Algorithm::HS384, 48),
        (Algorithm::HS512, 64),
    ] {
        assert!(Key::from_secret(&SECRET[..min], algorithm).is_ok());
        let length = min - 1;
        let short = KeyError::ShortSecret {
            length,
            min,
            algorithm,
        };
        let key = Key::from_secret(&SECRET[..length], algorithm);
        assert_eq!(key.unwrap_err(), short);
        let key = SigningKey::from_secret(&SECRET[..length], algorithm);
        assert_eq!(key.unwrap_err(), short);
    }
    let wrong = Key::from_secret(SECRET, Algorithm::RS256).unwrap_err();
    assert_eq!(wrong, KeyError::Mismatch(Algorithm::RS256));
}

#[test]
fn algorithms_are_narrowed_and_never_widened() {
    let key = Key::from_pem(pem!("rsa.spki")).unwrap();
    let only = key.with_algorithms([Algorithm::PS256]).unwrap();
    let wider = only.clone().with_algorithms([Algorithm::RS256]);
    assert_eq!(wider.unwrap_err(), KeyError::Mismatch(Algorithm::RS256));
    assert!(matches!(
        only.clone().with_algorithms([]),
        Err(KeyError::Member { member: "alg", .. })
    ));
    let token = SigningKey::from_pem(pem!("rsa.pkcs8")).unwrap();
    let token = token.sign("{}").unwrap();
    assert!(verify(&token, &KeySet::new([only]).unwrap()).is_err());
}

#[test]
fn a_key_is_told_from_others() {
    let key = Key::from_pem(pem!("rsa.spki")).unwrap();
    let again = Key::from_pem(pem!("rsa.public")).unwrap();
    assert_eq!(key.id(), again.id());
    let narrow = key.clone().with_algorithms([Algorithm::RS256]).unwrap();
    let secret = |byte, algorithm| Key::from_secret([byte; 64], algorithm).unwrap();
    let ids = [
        key.id(),
        key.clone().with_kid("a").id(),
        key.with_kid("b").id(),
        narrow.id(),
        Key::from_pem(pem!("p256.spki")).unwrap().id(),
        secret(1, Algorithm::HS256).id(),
        secret(2, Algorithm::HS256).id(),
        secret(1, Algorithm::HS512).id(),
    ];
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id));
    }
}
