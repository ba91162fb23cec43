//! What is not fresh any more.

use std::time::Duration;

use crate::world::{World, answer, layer};

const STALE: &str = "cache-control: max-age=10";

#[tokio::test]
async fn a_stale_answer_is_validated() {
    let world = World::new(layer(), |number, request| {
        let age = "age: 20";
        match request.headers().get("if-none-match") {
            Some(tag) if tag == "\"a\"" => answer(
                304,
                &["etag: \"a\"", "cache-control: max-age=10", "x-new: 1"],
                "",
            ),
            _ => answer(
                200,
                &[STALE, age, "etag: \"a\"", "x-old: 1"],
                number.to_string(),
            ),
        }
    })
    .await;
    assert_eq!(world.get("/").await.body, "0");
    let second = world.get("/").await;
    assert_eq!((second.status, &*second.body), (200, "0"));
    assert_eq!(second.did(), "fwd=stale; fwd-status=304; stored; ttl=10");
    assert_eq!((second.header("x-new"), second.header("x-old")), ("1", "1"));
    assert_eq!(world.get("/").await.did(), "hit; ttl=10");
    assert_eq!(world.asked(), 2);
    // What the client knows is its own affair.
    let known = world
        .get_with(
            "/",
            &[("if-none-match", "\"a\""), ("cache-control", "no-cache")],
        )
        .await;
    assert_eq!(
        (known.status, known.did()),
        (304, "fwd=request; fwd-status=304; stored; ttl=10")
    );
}

#[tokio::test]
async fn an_answer_that_has_changed_takes_its_place() {
    let world = World::new(layer(), |number, _| {
        let tag = format!("etag: \"{number}\"");
        answer(200, &[STALE, "age: 10", &tag], number.to_string())
    })
    .await;
    for number in 0..3 {
        assert_eq!(world.get("/").await.body, number.to_string());
    }
    assert_eq!(world.last("if-none-match").unwrap(), "\"1\"");
}

#[tokio::test]
async fn a_stale_answer_is_used_while_it_is_validated() {
    let world = World::new(layer(), |number, _| {
        let line = "cache-control: max-age=10, stale-while-revalidate=30";
        let age = if number == 0 { "age: 20" } else { "age: 0" };
        answer(200, &[line, age], number.to_string())
    })
    .await;
    world.get("/").await;
    let stale = world.get("/").await;
    assert_eq!((&*stale.body, stale.did()), ("0", "hit; ttl=-10"));
    let is_new = async {
        while world.get("/").await.body != "1" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), is_new)
        .await
        .unwrap();
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_stale_answer_is_used_while_the_backend_fails() {
    let world = World::new(layer(), |number, _| match number {
        0 => {
            let line = "cache-control: max-age=10, stale-if-error=30";
            answer(200, &[line, "age: 20"], "stale")
        }
        _ => answer(503, &[], "it fails"),
    })
    .await;
    world.get("/").await;
    let stale = world.get("/").await;
    assert_eq!((stale.status, &*stale.body), (200, "stale"));
    assert_eq!(
        stale.did(),
        "fwd=stale; fwd-status=503; ttl=-10; detail=stale-if-error"
    );
    assert_eq!(world.get("/other").await.status, 503);
}

#[tokio::test]
async fn the_last_good_answer_is_there_while_nobody_listens() {
    use tower_gateway::{Gateway, Route, Upstream};

    use crate::support::{axum_backend, refusing, serve};

    let (_held, gone) = refusing();
    let backend = axum_backend(axum::Router::new().fallback(|| async {
        answer(
            200,
            &["cache-control: max-age=10, stale-if-error=30", "age: 20"],
            "good",
        )
    }))
    .await;
    let cache = layer();
    let gateway = async |backend| {
        let gateway = Gateway::builder()
            .upstream("backend", Upstream::http([format!("http://{backend}")]))
            .route(Route::new("/{*rest}").to("backend").cache(cache.clone()))
            .build();
        serve(gateway.unwrap()).await
    };
    let (good, bad) = (gateway(backend).await, gateway(gone).await);
    for (gateway, expected) in [(bad, 502), (good, 200), (bad, 200)] {
        let response = crate::support::send(gateway, crate::support::request("GET", "/")).await;
        assert_eq!(response.status(), expected);
    }
}
