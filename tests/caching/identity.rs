//! Nobody gets the answer to another person.

use tower_gateway::{
    Claims, Route,
    auth::{ApiKey, ApiKeyLayer},
    cache::CacheKey,
};

use crate::world::{World, answer, layer};

const ADA: &str = "demo_ada_0e5b7c1d93";
const BOB: &str = "demo_bob_a4c8e2f716";

async fn world(key: CacheKey, line: &'static str) -> World {
    let keys = [("ada", ADA), ("bob", BOB)].map(|(name, key)| {
        let claims = Claims::new().with("sub", name);
        ApiKey::new(name, key).unwrap().with_claims(claims)
    });
    let layer = layer().key(key);
    World::with(
        layer,
        |builder, route: Route| builder.authenticate(ApiKeyLayer::new(keys)).route(route),
        move |number, _| answer(200, &[line], number.to_string()),
    )
    .await
}

#[tokio::test]
async fn answers_are_shared_only_if_they_say_so_or_the_key_says_who() {
    let plain = CacheKey::new;
    for (key, line, expected) in [
        (plain(), "cache-control: max-age=60", ["0", "1", "2", "3"]),
        (
            plain(),
            "cache-control: max-age=60, private",
            ["0", "1", "2", "3"],
        ),
        (
            plain(),
            "cache-control: max-age=60, public",
            ["0", "0", "0", "0"],
        ),
        (plain(), "cache-control: s-maxage=60", ["0", "0", "0", "0"]),
        (
            plain().identity(),
            "cache-control: max-age=60",
            ["0", "1", "0", "1"],
        ),
        (
            plain().identity(),
            "cache-control: max-age=60, private",
            ["0", "1", "2", "3"],
        ),
    ] {
        let world = world(key, line).await;
        for (who, expected) in [ADA, BOB, ADA, BOB].iter().zip(expected) {
            let answer = world.get_with("/", &[("x-api-key", who)]).await;
            assert_eq!(answer.body, expected, "{line}");
        }
    }
}
