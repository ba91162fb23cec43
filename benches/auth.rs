//! Time to verify a token, beside the bare signature check of the cryptographic library. Read ratios within one run.
//!
//! `verify` is JWS alone; `full` has the claims read and checked as well.

#![expect(clippy::expect_used, reason = "a bench that can not begin has to stop")]

use std::{
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use tower::{Layer, Service, util::service_fn};
use tower_gateway::{
    RequestContext,
    auth::{
        Authenticator, Issuer, JwtLayer,
        jose::{Algorithm, ClaimPolicy, KeySet, Policy, SigningKey, verify},
    },
};

/// What an identity provider puts into an access token.
const CLAIMS: &str = r#"{"iss":"https://id.example.com/realms/shop","sub":"f:8d1c2f6e-7a51-4d1e-9b62-0f3d6c1c2a9e:ada","aud":["orders","account"],"exp":1767225600,"iat":1767225300,"nbf":1767225300,"jti":"5b0e7a0c-22a5-4f39-9d38-5e2f8f0c0b5d","azp":"storefront","scope":"openid profile email orders:read orders:write","realm_access":{"roles":["offline_access","customer","uma_authorization"]},"email_verified":true,"name":"Ada Lovelace","preferred_username":"ada","given_name":"Ada","family_name":"Lovelace","email":"ada@example.com"}"#;

/// The library's key, of our JWK.
fn bare(jwk: &str, algorithm: Algorithm) -> ParsedPublicKey {
    let jwk: serde_json::Value = serde_json::from_str(jwk).expect("JSON");
    let bytes = |member: &str| {
        let text = jwk[member].as_str().expect("a member");
        BASE64.decode(text).expect("base64url")
    };
    let parsed = |algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]| {
        ParsedPublicKey::new(algorithm, bytes).expect("a key")
    };
    let rsa = |parameters| {
        let (n, e) = (bytes("n"), bytes("e"));
        let components = aws_lc_rs::rsa::PublicKeyComponents { n, e };
        components.to_parsed_public_key(parameters).expect("a key")
    };
    match algorithm {
        Algorithm::RS256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::PS256 => rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::ES256 => {
            let point = [&[4], &*bytes("x"), &bytes("y")].concat();
            parsed(&ECDSA_P256_SHA256_FIXED, &point)
        }
        _ => parsed(&ED25519, &bytes("x")),
    }
}

fn auth(criterion: &mut Criterion) {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::EdDSA,
    ] {
        let key = SigningKey::generate(algorithm).expect("a key");
        let key = key.with_kid("2026-01");
        let token = key.sign(CLAIMS).expect("a token");
        let keys = KeySet::new([key.key()]).expect("a set");
        let policy = Policy::new().types(["JWT"]);
        let claim_policy = ClaimPolicy::new()
            .issuer("https://id.example.com/realms/shop")
            .audience(["orders"]);
        let now = UNIX_EPOCH + Duration::from_secs(1_767_225_400);

        let bare = bare(&key.public_jwk().expect("a public key"), algorithm);
        let (signed, signature) = token.rsplit_once('.').expect("a token");
        let signature = BASE64.decode(signature).expect("base64url");

        let mut group = criterion.benchmark_group(format!("auth/{algorithm}"));
        group.bench_function("bare", |bencher| {
            bencher.iter(|| bare.verify_sig(black_box(signed.as_bytes()), black_box(&signature)));
        });
        group.bench_function("verify", |bencher| {
            bencher.iter(|| verify(black_box(&token), &keys, &policy).expect("a good token"));
        });
        group.bench_function("full", |bencher| {
            bencher.iter(|| {
                let verified = verify(black_box(&token), &keys, &policy).expect("a good token");
                let claims = verified.claims().expect("claims");
                claim_policy.check(&claims, now).expect("good claims");
                claims
            });
        });
        group.finish();
    }
    seen(criterion);
    criterion.bench_function("auth/claims", |bencher| {
        bencher
            .iter(|| tower_gateway::auth::jose::Claims::parse(black_box(CLAIMS)).expect("claims"));
    });
}

/// A token that was verified a moment ago: by itself, and with the layer around it.
fn seen(criterion: &mut Criterion) {
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let key = SigningKey::generate(algorithm)
            .expect("a key")
            .with_kid("2026-01");
        let exp = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time")
            .as_secs()
            + 3_600;
        let claims = CLAIMS.replace("1767225600", &exp.to_string());
        let bearer = format!("Bearer {}", key.sign(claims).expect("a token"));
        let keys = KeySet::new([key.key()]).expect("a set");
        let issuer = Issuer::new("https://id.example.com/realms/shop", keys).audience(["orders"]);
        let layer = JwtLayer::new(issuer);
        let request = || {
            let request = Request::get("/").header("authorization", &bearer);
            request
                .extension(RequestContext::new())
                .body(())
                .expect("a request")
        };
        let (head, ()) = request().into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let _guard = runtime.enter();
        let ready = |future: Pin<&mut dyn Future<Output = bool>>| match future
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(is_known) => assert!(is_known),
            Poll::Pending => unreachable!("nothing is waited for"),
        };
        let mut group = criterion.benchmark_group(format!("auth/{algorithm}"));
        group.bench_function("seen", |bencher| {
            bencher.iter(|| {
                ready(pin!(async {
                    layer.authenticate(black_box(&head)).await.is_ok()
                }));
            });
        });
        let service = layer.layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Bytes::new()))
        }));
        group.bench_function("seen, the layer", |bencher| {
            bencher.iter_batched(
                || (service.clone(), request()),
                |(mut service, request)| {
                    ready(pin!(async move {
                        service
                            .call(request)
                            .await
                            .is_ok_and(|answer| answer.status() == 200)
                    }));
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(Duration::from_secs(3));
    targets = auth
}
criterion_main!(benches);
