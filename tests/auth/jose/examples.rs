//! The examples of RFC 7515 appendix A, RFC 7520 section 4 and RFC 8037 appendix A.

use serde_json::Value;
use tower_gateway::auth::jose::{Algorithm, Key, KeySet, SigningKey};

use super::support::{base64, unbase64, verify};

/// `{"iss":"joe", ...}` with line breaks, as the RFC has it.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const RFC7515_SECRET: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const RFC7515_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

#[test]
fn rfc_7515() {
    let rsa = format!(r#"{{"kty":"RSA","n":"{RFC7515_N}","e":"AQAB"}}"#);
    let p256 = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let p521 = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
    let secret = Key::from_secret(unbase64(RFC7515_SECRET), Algorithm::HS256);
    for (key, header, payload, signature) in [
        (
            secret.unwrap(),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            JOE,
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            Key::from_jwk(rsa).unwrap(),
            "eyJhbGciOiJSUzI1NiJ9",
            JOE,
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            Key::from_jwk(p256).unwrap(),
            "eyJhbGciOiJFUzI1NiJ9",
            JOE,
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            Key::from_jwk(p521).unwrap(),
            "eyJhbGciOiJFUzUxMiJ9",
            "UGF5bG9hZA",
            "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
        ),
    ] {
        let token = format!("{header}.{payload}.{signature}");
        let verified = verify(&token, &KeySet::new([key]).unwrap()).unwrap();
        assert_eq!(base64(verified.payload()), payload);
    }
    // A.5: the unsecured one.
    let keys = KeySet::new([Key::from_jwk(p256).unwrap()]).unwrap();
    let unsecured = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    assert!(verify(&unsecured, &keys).is_err());
}

#[test]
fn rfc_7515_claims() {
    let key = SigningKey::from_secret(unbase64(RFC7515_SECRET), Algorithm::HS256).unwrap();
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let verified = verify(&token, &KeySet::new([key.key()]).unwrap()).unwrap();
    assert_eq!(verified.typ(), Some("JWT"));
    let claims = verified.claims().unwrap();
    assert_eq!(claims.issuer(), Some("joe"));
    let is_root = claims.get("http://example.com/is_root");
    assert_eq!(is_root.and_then(|value| value.as_bool()), Some(true));
}

/// Its vectors are in Wycheproof's, where two of the keys say another `alg`; here they say none.
#[test]
fn rfc_7520() {
    let vectors = include_str!("../../data/json_web_signature_test.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let groups = vectors["testGroups"].as_array().unwrap().iter();
    let mut seen = Vec::new();
    for group in groups.filter(|group| group["comment"] == "rfc7520") {
        let token = group["tests"][0]["jws"].as_str().unwrap();
        let key = match group.get("public") {
            Some(public) => {
                let mut public = public.clone();
                public.as_object_mut().unwrap().remove("alg");
                Key::from_jwk(public.to_string()).unwrap()
            }
            None => {
                let secret = unbase64(group["private"]["k"].as_str().unwrap());
                Key::from_secret(secret, Algorithm::HS256).unwrap()
            }
        };
        let verified = verify(token, &KeySet::new([key]).unwrap()).unwrap();
        assert!(
            verified
                .payload()
                .starts_with("It\u{2019}s a danger".as_bytes())
        );
        seen.push(verified.algorithm().name());
    }
    assert_eq!(seen, ["RS256", "PS384", "ES512", "HS256", "HS256"]);
}

#[test]
fn rfc_8037() {
    let (d, x) = (
        "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    );
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let public = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
    let key = Key::from_jwk(&public).unwrap();
    let verified = verify(token, &KeySet::new([key.clone()]).unwrap()).unwrap();
    assert_eq!(verified.payload(), b"Example of Ed25519 signing");

    // RFC 9864 calls the algorithm by its curve.
    let named = format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","x":"{x}"}}"#);
    let named = Key::from_jwk(named).unwrap();
    assert_eq!(
        named.algorithms().collect::<Vec<_>>(),
        ["Ed25519".parse().unwrap()]
    );

    let private = format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{d}","x":"{x}"}}"#);
    let signing = SigningKey::from_jwk(private).unwrap();
    assert_eq!(signing.key().id(), key.id());
    let token = signing.sign("{}").unwrap();
    assert!(verify(&token, &KeySet::new([key]).unwrap()).is_ok());
}
