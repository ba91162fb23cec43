use std::path::PathBuf;

use super::*;
use crate::auth::jose::SigningKey;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A file that goes with this value.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let name = format!("tower-gateway-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn jwk(kid: &str) -> String {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    key.with_kid(kid).public_jwk().unwrap()
}

fn kids(keys: &FixedKeys) -> Vec<Option<String>> {
    let set = keys.key_set().unwrap();
    let kids = set.keys().iter().map(|key| key.kid().map(str::to_owned));
    kids.collect()
}

#[test]
fn keys_are_read_wherever_they_are() {
    let (one, two) = (jwk("1"), jwk("2"));
    let for_else = jwk("3").replacen('{', "{\"use\":\"enc\",", 1);
    let for_else = for_else
        .replace("\"use\":\"sig\",", "")
        .replace(",\"use\":\"sig\"", "");
    let file = File::new("set.json", format!("{{\"keys\":[{two},{for_else}]}}"));
    let made = SigningKey::generate(Algorithm::EdDSA).unwrap().key();
    let keys = FixedKeys::new().jwk(&one).jwk_file(&file.0).key(made);
    assert_eq!(keys.mistakes(), [""; 0]);
    assert_eq!(kids(&keys), [Some("1".into()), Some("2".into()), None]);

    let certified = rcgen::generate_simple_self_signed(["id.test".to_owned()]).unwrap();
    let file = File::new("key.pem", certified.signing_key.public_key_pem());
    let keys = FixedKeys::new().pem(certified.cert.pem());
    assert_eq!(
        kids(&keys.clone().pem_file(&file.0)),
        [None],
        "the same key"
    );
    assert!(KeySource::contains(
        &keys,
        &Key::from_pem(certified.cert.pem()).unwrap().id()
    ));
}

#[test]
fn a_secret_in_a_file_ends_before_the_end_of_its_line() {
    let id = |secret: &[u8]| Key::from_secret(secret, Algorithm::HS256).unwrap().id();
    let binary = [&[0xff; 31][..], b"\n"].concat();
    for (content, secret) in [
        (SECRET.as_bytes(), SECRET.as_bytes()),
        (format!("{SECRET}\n").as_bytes(), SECRET.as_bytes()),
        (format!("{SECRET}\r\n").as_bytes(), SECRET.as_bytes()),
        (
            format!("{SECRET}\n\n").as_bytes(),
            format!("{SECRET}\n").as_bytes(),
        ),
        (&binary, &binary),
    ] {
        let file = File::new("secret", content);
        let keys = FixedKeys::new().secret_file(&file.0, Algorithm::HS256);
        assert!(KeySource::contains(&keys, &id(secret)), "{content:?}");
    }
    let keys = FixedKeys::new().secret(format!("{SECRET}\n"), Algorithm::HS256);
    assert!(
        !KeySource::contains(&keys, &id(SECRET.as_bytes())),
        "text is as it is"
    );
    let keys = FixedKeys::new().secret_env("CARGO_PKG_DESCRIPTION", Algorithm::HS512);
    assert_eq!(keys.mistakes(), [""; 0]);
}

#[test]
fn what_can_not_be_used_is_named() {
    let pair = SigningKey::generate(Algorithm::ES256)
        .unwrap()
        .public_jwk()
        .unwrap();
    let oct = r#"{"keys":[{"kty":"oct","alg":"HS256","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
    let mixed = format!("{{\"keys\":[{pair},{}", &oct[9..]);
    let file = File::new("empty.pem", "");
    let name = file.0.display().to_string();
    let new = FixedKeys::new;
    for (keys, wrong) in [
        (new(), vec!["no keys"]),
        (
            new().pem_file("/none/such.pem"),
            vec!["the file `/none/such.pem`: "],
        ),
        (new().pem_file(&file.0), vec![&*name]),
        (
            new().pem_env("TOWER_GATEWAY_NONE"),
            vec!["`TOWER_GATEWAY_NONE`: it is not set"],
        ),
        (
            new().jwk_env("CARGO_PKG_NAME"),
            vec!["`CARGO_PKG_NAME`: not JSON"],
        ),
        (new().pem("x").jwk("{}"), vec!["the PEM: ", "the JWK: "]),
        (new().jwk(&pair).jwk("{}"), vec!["the JWK: "]),
        (new().jwk(oct), vec!["the JWK: "]),
        (new().jwk(mixed), vec!["the JWK: a secret"]),
        (
            new().secret("short", Algorithm::HS256),
            vec!["the secret: the secret has 5 bytes"],
        ),
        (new().secret(SECRET, Algorithm::ES256), vec!["the secret: "]),
        (
            new().jwk(&pair).secret(SECRET, Algorithm::HS256),
            vec!["can not be together"],
        ),
        (
            new().jwk(jwk("a")).jwk(jwk("a")),
            vec!["can not be together"],
        ),
    ] {
        let mistakes = keys.mistakes();
        assert!(keys.current().is_none(), "{wrong:?}");
        assert_eq!(mistakes.len(), wrong.len(), "{mistakes:?}");
        for (mistake, wrong) in mistakes.iter().zip(wrong) {
            assert!(mistake.contains(wrong), "{mistake}: {wrong}");
            assert!(!mistake.contains(SECRET));
        }
        assert_eq!(keys.key_set().unwrap_err().to_string(), mistakes.join("; "));
    }
    let shown = format!("{:?}", new().secret(SECRET, Algorithm::HS256));
    assert!(!shown.contains(SECRET), "{shown}");
}
