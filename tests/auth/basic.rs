//! HTTP Basic.

use base64::{Engine, prelude::BASE64_STANDARD};
use tower_gateway::{
    Claims,
    auth::{ApiKey, ApiKeyLayer, AuthenticateLayer, BasicLayer, BasicUser},
};

use crate::echo::{behind, get};

/// A hash of `correct horse`, at the lowest cost there is.
const HASH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$M7jw0GQI4Kfcxf+xPldfNRYttP89scc9XVAYAcaZ0U0";

fn layer() -> BasicLayer {
    let known = Claims::new()
        .with("scope", "read")
        .with("tenant", 7)
        .with("sub", "zoë");
    let ada = BasicUser::new("ada", HASH).unwrap().with_claims(known);
    let zoe = BasicUser::new("zoë", HASH).unwrap();
    BasicLayer::new([ada, zoe])
}

fn basic(credentials: impl AsRef<[u8]>) -> String {
    format!(
        "authorization: Basic {}",
        BASE64_STANDARD.encode(credentials)
    )
}

#[tokio::test]
async fn whoever_knows_the_password_is_let_in_and_it_stays_behind() {
    let address = behind(layer()).await;
    let answer = get(address, "/", &[&basic("ada:correct horse"), "x: 1"]).await;
    assert_eq!(answer.seen()["method"], "basic");
    assert_eq!(
        answer.seen()["claims"],
        serde_json::json!({"sub": "ada", "scope": "read", "tenant": 7})
    );
    assert!(answer.field("authorization").is_empty());
    assert_eq!(answer.field("x"), ["1"]);
    assert_eq!(
        get(address, "/", &[&basic("zoë:correct horse")])
            .await
            .subject(),
        "zoë"
    );
    let lower = basic("ada:correct horse").replace("Basic ", "bASIC  ");
    assert_eq!(get(address, "/", &[&lower]).await.subject(), "ada");

    let forwarded = get(
        behind(layer().forward_credentials(true)).await,
        "/",
        &[&lower],
    )
    .await;
    assert_eq!(forwarded.field("authorization").len(), 1);
}

#[tokio::test]
async fn nobody_else_is() {
    let address = behind(layer().realm("the shop").max_password_length(20)).await;
    let good = basic("ada:correct horse");
    let unpadded = good.trim_end_matches('=').to_owned();
    assert_ne!(unpadded, good);
    let cases: &[(&[&str], u16)] = &[
        (&[], 401),
        (&[&basic("ada:correct hors")], 401),
        (&[&basic("ada:correct horse ")], 401),
        (&[&basic("ada:")], 401),
        (&[&basic(":")], 401),
        (&[&basic(":correct horse")], 401),
        (&[&basic("Ada:correct horse")], 401),
        // The right password, of somebody else.
        (&[&basic("nobody:correct horse")], 401),
        (&[&basic(format!("ada:{}", "a".repeat(6_000)))], 401),
        (&[&basic(b"zo\xeb:correct horse")], 401),
        (&["authorization: Bearer YWRhOmNvcnJlY3QgaG9yc2U="], 401),
        (&["authorization:"], 401),
        (&["authorization: Basic"], 400),
        (&["authorization: Basic YWRhOmNvcnJlY3QgaG9yc2U"], 400),
        (&["authorization: Basic YWRhOmNvcnJlY3QgaG9yc2V="], 400),
        (&["authorization: Basic ada:correct horse"], 400),
        (
            &["authorization: Basic YWRhOmNvcnJlY3QgaG9yc2U=, Basic YWRhOmNvcnJlY3QgaG9yc2U="],
            400,
        ),
        (&[&basic("ada")], 400),
        (&[&basic("ada:correct\0horse")], 400),
        (&[&basic("ada:correct horse\r\n")], 400),
        (&[&basic("ada\u{85}:correct horse")], 400),
        (&[&good, &good], 400),
        (&["authorization: Bearer a", &good], 400),
    ];
    for (lines, status) in cases {
        let answer = get(address, "/", lines).await;
        assert_eq!(answer.status, *status, "{lines:.60?}");
        assert_eq!(
            answer.header("www-authenticate"),
            [r#"Basic realm="the shop", charset="UTF-8""#]
        );
        assert!(!answer.body.contains("wrong") && !answer.body.contains("long"));
    }
}

#[tokio::test]
async fn the_credentials_of_another_kind_are_left_alone() {
    let key = ApiKey::new("billing", "shop_6f9a.0123456789").unwrap();
    let either = AuthenticateLayer::any_of([layer().into(), ApiKeyLayer::new([key]).into()]);
    let address = behind(either).await;
    let key = "x-api-key: shop_6f9a.0123456789";
    let answer = get(address, "/", &[key, "authorization: Bearer abc"]).await;
    assert_eq!(answer.subject(), "billing");
    assert_eq!(answer.field("authorization"), ["Bearer abc"]);
    // What was wrong does not go on either.
    let answer = get(address, "/", &[key, &basic("ada:x")]).await;
    assert_eq!(answer.subject(), "billing");
    assert!(answer.field("authorization").is_empty());
    let none = get(address, "/", &[]).await;
    assert_eq!(none.header("www-authenticate").len(), 2);
}
