//! What is removed by hand.

use tower_gateway::cache::Purge;

use crate::world::{World, answer, layer};

#[tokio::test]
async fn what_is_meant_is_asked_for_again() {
    let world = World::new(layer(), |number, request| {
        let tag = format!("cache-tag: all, {}", request.uri().path().trim_matches('/'));
        answer(
            200,
            &["cache-control: max-age=60", "etag: \"a\"", &tag],
            number.to_string(),
        )
    })
    .await;
    let is_hit = async |path: &str| world.get(path).await.did().starts_with("hit");
    for path in ["/a", "/b", "/ab"] {
        world.get(path).await;
    }
    assert_eq!(world.cache.purge(Purge::tag("a")).await.unwrap(), 1);
    assert!(!is_hit("/a").await && is_hit("/b").await && is_hit("/ab").await);
    assert_eq!(
        world
            .cache
            .purge(Purge::prefix("/a").host("T.example"))
            .await
            .unwrap(),
        2
    );
    assert!(!is_hit("/a").await && is_hit("/b").await && !is_hit("/ab").await);
    assert_eq!(
        world
            .cache
            .purge(Purge::all().host("other.example"))
            .await
            .unwrap(),
        0
    );
    assert_eq!(world.cache.purge(Purge::all()).await.unwrap(), 3);
    assert_eq!(world.cache.figures().keys, 0);
    world.get("/a").await;
    assert_eq!(
        world.cache.purge(Purge::tag("all").softly()).await.unwrap(),
        1
    );
    world.get("/a").await;
    assert_eq!(
        world.last("if-none-match").unwrap(),
        "\"a\"",
        "it is validated"
    );
}
