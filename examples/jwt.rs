//! Tokens at the door: an issuer that signs them, a gateway that believes it, and a backend that is told who asks.
//!
//! ```sh
//! cargo run --example jwt
//! ```
//!
//! The issuer is an HTTP server on loopback, whose keys the gateway finds by OpenID Connect Discovery. The example makes some tokens, each
//! good for an hour, and prints `curl` lines with them: for what anybody may do
//! (200), for what takes a token (200, or 401), and for what takes more than that (200, or 403). With `-- --check` it sends itself these
//! requests, prints each with its outcome, and fails when one is not as it should be.

mod support;

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Json, Router, extract::Request, routing::get};
use serde_json::{Value, json};
use support::Try;
use tokio::net::TcpListener;
use tower_gateway::{
    BoxError, Gateway, Route, Upstream,
    auth::{
        AuthorizeLayer, IdentityHeadersLayer, Issuer, JwtLayer, RevocationList,
        jose::{Algorithm, SigningKey},
        keys::Jwks,
    },
};

const AUDIENCE: &str = "shop";

/// Whoever signs tokens, and publishes with which key.
struct Provider {
    url: String,
    key: SigningKey,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, BoxError> {
    let provider = Provider::start().await?;
    let gateway = gateway(&provider.url).await?;
    println!("{}", gateway.pipeline());
    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, gateway));

    println!("the shop is open; try:");
    support::try_out(address, &tries(&provider)?, server).await
}

async fn gateway(issuer: &str) -> Result<Gateway, BoxError> {
    let shop = support::backend(Router::new().fallback(who)).await?;
    // It is on this machine; anywhere else `https` alone will do.
    let keys = Jwks::discover(issuer).allow_http();
    // What was taken back, for as long as tokens last.
    let revoked = RevocationList::new(10_000);
    revoked.revoke("lost", SystemTime::now() + Duration::from_secs(3_600));

    let gateway = Gateway::builder()
        .name("shop")
        .upstream("shop", Upstream::http([format!("http://{shop}")]))
        // Holds on all routes that do not say otherwise.
        .authenticate(
            JwtLayer::new(Issuer::new(issuer, keys).audience([AUDIENCE]))
                .realm("shop")
                .revocation(revoked),
        )
        .identity_headers(
            IdentityHeadersLayer::new()
                .header("x-user-id", "{claims.sub}")
                .header("x-user-groups", "{claims.groups}"),
        )
        .route(Route::get("/catalog/{*rest}").to("shop").anonymous())
        .route(
            Route::get("/orders")
                .to("shop")
                .authorize(AuthorizeLayer::new().all_scopes(["orders:read"])),
        )
        .route(
            Route::post("/orders")
                .to("shop")
                .authorize(AuthorizeLayer::new().all_scopes(["orders:write"])),
        )
        .route(
            Route::get("/users/{id}")
                .to("shop")
                .authorize(AuthorizeLayer::new().claim_is_param("sub", "id")),
        )
        .build()?;
    Ok(gateway)
}

fn tries(provider: &Provider) -> Result<Vec<Try>, BoxError> {
    let bearer = |changes: Value| -> Result<_, BoxError> {
        let token = provider.token(changes)?;
        Ok(("Authorization", format!("Bearer {token}")))
    };
    let good = provider.token(json!({}))?;
    let alice = || ("Authorization", format!("Bearer {good}"));
    let forger = Provider {
        url: provider.url.clone(),
        key: SigningKey::generate(Algorithm::ES256)?.with_kid("2026-01"),
    };
    let forged = (
        "Authorization",
        format!("Bearer {}", forger.token(json!({}))?),
    );
    let unknown = |one: Try| {
        one.gives(401, "Valid credentials are needed")
            .tells("www-authenticate", r#"error="invalid_token""#)
    };
    Ok(vec![
        Try::get("/catalog/shoes")
            .because("for anybody")
            .gives(200, "for nobody"),
        Try::get("/catalog/shoes")
            .because("what a client says of itself is not believed")
            .header(("X-User-Id", "root"))
            .gives(200, "for nobody"),
        Try::get("/orders")
            .because("a token is missing")
            .gives(401, "Valid credentials are needed")
            .tells("www-authenticate", r#"Bearer realm="shop""#),
        Try::get("/orders")
            .because("alice's; the token stays at the door")
            .header(alice())
            .gives(200, "for alice, of staff,testers; token: none"),
        Try::get("/orders")
            .because("alice is not root, in whatever spelling")
            .header(alice())
            .header(("X-User-Id", "root"))
            .header(("X_User_Id", "root"))
            .gives(200, "for alice,"),
        unknown(Try::get("/orders"))
            .because("it has expired, and nobody is told so")
            .header(bearer(json!({"exp": now()? - 120}))?),
        unknown(Try::get("/orders"))
            .because("it is for somebody else")
            .header(bearer(json!({"aud": "bank"}))?),
        unknown(Try::get("/orders"))
            .because("another key has signed it, under the same name")
            .header(forged),
        unknown(Try::get("/orders"))
            .because("it was taken back")
            .header(bearer(json!({"jti": "lost"}))?),
        Try::post("/orders", "item=shoes")
            .because("it is not for writing")
            .header(alice())
            .gives(403, "This is not allowed")
            .tells("www-authenticate", r#"scope="orders:write""#),
        Try::post("/orders", "item=shoes")
            .because("and this one is")
            .header(bearer(json!({"scope": "orders:read orders:write"}))?)
            .gives(200, "for alice,"),
        Try::get("/users/alice")
            .because("alice may see what is hers")
            .header(alice())
            .gives(200, "for alice,"),
        Try::get("/users/bob")
            .because("and nothing else")
            .header(alice())
            .gives(403, "This is not allowed"),
        Try::get("/users/alice/../bob")
            .because("on whatever way")
            .header(alice())
            .gives(403, "This is not allowed"),
    ])
}

impl Provider {
    /// Serves the keys, and where they are.
    async fn start() -> Result<Self, BoxError> {
        let key = SigningKey::generate(Algorithm::ES256)?.with_kid("2026-01");
        let jwk = key.public_jwk().ok_or("a public key")?;
        let keys: Value = serde_json::from_str(&format!(r#"{{"keys":[{jwk}]}}"#))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let about = json!({"issuer": url, "jwks_uri": format!("{url}/jwks.json")});
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(Json(about)))
            .route("/jwks.json", get(Json(keys)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, key })
    }

    /// A token of alice's that is right, but for these claims.
    fn token(&self, changes: Value) -> Result<String, BoxError> {
        let mut claims = json!({
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "groups": ["staff", "testers"],
            "scope": "orders:read",
            "iat": now()?,
            "exp": now()? + 3_600,
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        Ok(self.key.sign_claims(&claims)?)
    }
}

fn now() -> Result<u64, BoxError> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// The backend says whom it has heard of.
async fn who(request: Request) -> String {
    let told = |name| {
        let value = request.headers().get(name)?;
        value.to_str().ok()
    };
    let groups = told("x-user-groups").map(|groups| format!(", of {groups}"));
    format!(
        "{} {} for {}{}; token: {}\n",
        request.method(),
        request.uri().path(),
        told("x-user-id").unwrap_or("nobody"),
        groups.unwrap_or_default(),
        told("authorization").unwrap_or("none"),
    )
}
