use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;
use crate::cache::vary::Selecting;

fn key(text: &str) -> Key {
    Key::of_tests(text)
}

fn head(at: u64, selecting: &[(&'static str, &'static str)], tags: &[&'static str]) -> StoredHead {
    let selecting = selecting.iter().map(|(name, value)| {
        let value = Some(value.as_bytes().to_vec());
        (HeaderName::from_static(name), value)
    });
    StoredHead {
        answered_at: at,
        selecting: selecting.collect::<Selecting>(),
        tags: tags.iter().map(|tag| Box::from(*tag)).collect(),
        ..StoredHead::of_tests()
    }
}

fn told(store: &MemoryStore, key: &Key) -> Vec<(u64, String)> {
    let variants = store.get_now(key).unwrap();
    let told = variants.iter().map(|stored| {
        let chunks = stored.body().chunks().unwrap().concat();
        (
            stored.head().answered_at,
            String::from_utf8(chunks).unwrap(),
        )
    });
    told.collect()
}

#[tokio::test]
async fn an_answer_is_found_with_its_variants() {
    let store = MemoryStore::new(1 << 20);
    let a = key("a");
    assert!(told(&store, &a).is_empty());
    let put = async |head, body: &'static str| store.put(&a, head, Body::from(body)).await.unwrap();
    put(head(1, &[("accept-encoding", "gzip")], &[]), "packed").await;
    put(head(2, &[("accept-encoding", "br")], &[]), "smaller").await;
    let both = [(2, "smaller".to_owned()), (1, "packed".to_owned())];
    assert_eq!(told(&store, &a), both);
    // The same request takes the place of the earlier answer.
    put(head(3, &[("accept-encoding", "gzip")], &[]), "new").await;
    assert_eq!(told(&store, &a)[0].1, "new");
    assert_eq!(told(&store, &a).len(), 2);
    put(head(4, &[], &[]), "one for all").await;
    assert_eq!(told(&store, &a).len(), 3);
    put(
        head(5, &[("accept-encoding", "gzip"), ("origin", "x")], &[]),
        "finer",
    )
    .await;
    assert_eq!(told(&store, &a).len(), 4);
    put(head(6, &[("origin", "x")], &[]), "coarser").await;
    let told_now: Vec<_> = told(&store, &a).into_iter().map(|(_, body)| body).collect();
    assert_eq!(told_now, ["coarser", "one for all", "new", "smaller"]);
    assert!(told(&store, &key("b")).is_empty());
}

#[tokio::test]
async fn there_are_not_too_many_variants() {
    let store = MemoryStore::new(1 << 20);
    let a = key("a");
    for at in 0..100 {
        let mut head = head(at, &[], &[]);
        let value = at.to_string().into_bytes();
        head.selecting.push((header::ACCEPT, Some(value)));
        store.put(&a, head, Body::from("x")).await.unwrap();
    }
    let kept: Vec<_> = told(&store, &a).into_iter().map(|(at, _)| at).collect();
    let last: Vec<_> = (100 - Variants::MOST as u64..100).rev().collect();
    assert_eq!(kept, last);
}

#[tokio::test]
async fn a_body_that_breaks_or_is_too_large_is_not_stored() {
    let store = MemoryStore::new(1 << 20);
    let a = key("a");
    let frames: [Result<_, BoxError>; 2] = [
        Ok(Frame::data(bytes::Bytes::from_static(b"half"))),
        Err("it broke".into()),
    ];
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    assert!(store.put(&a, head(1, &[], &[]), body).await.is_err());
    let large = vec![0; store.max_object() as usize + 1];
    assert!(
        store
            .put(&a, head(1, &[], &[]), Body::from(large))
            .await
            .is_err()
    );
    assert!(told(&store, &a).is_empty());
    // The head counts too.
    let just = vec![0; store.max_object() as usize - 100];
    let _ = store.put(&a, head(1, &[], &[]), Body::from(just)).await;
    assert!(told(&store, &a).is_empty());
    assert_eq!(store.figures().unwrap(), (0, 0));
}

#[tokio::test]
async fn it_never_weighs_more_than_was_said() {
    let most = 2 << 20;
    let store = MemoryStore::new(most);
    for at in 0..5_000_u32 {
        let body = vec![7; (at % 90) as usize * 100];
        let mut head = head(1, &[], &[]);
        head.headers
            .insert("x-large", HeaderValue::from_bytes(&[b'x'; 500]).unwrap());
        store
            .put(&key(&at.to_string()), head, Body::from(body))
            .await
            .unwrap();
        let (_, bytes) = store.figures().unwrap();
        assert!(bytes <= most, "{bytes}");
    }
    let (answers, bytes) = store.figures().unwrap();
    assert!(bytes > most / 2 && answers > 100, "{answers} in {bytes}");
}

#[tokio::test]
async fn what_many_want_stays_when_many_come_once() {
    let store = MemoryStore::new(1 << 20);
    let put = async |name: &str| {
        let body = vec![7; 10_000];
        store
            .put(&key(name), head(1, &[], &[]), Body::from(body))
            .await
            .unwrap();
    };
    put("wanted").await;
    for at in 0..2000 {
        put(&at.to_string()).await;
        assert!(!told(&store, &key("wanted")).is_empty(), "after {at}");
    }
}

#[tokio::test]
async fn a_head_is_refreshed_if_nothing_newer_is_there() {
    let store = MemoryStore::new(1 << 20);
    let a = key("a");
    let gzip = [("accept-encoding", "gzip")];
    store
        .put(&a, head(5, &gzip, &[]), Body::from("x"))
        .await
        .unwrap();
    let refreshed = |at, etag: &'static str| StoredHead {
        headers: HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static(etag))]),
        ..head(at, &gzip, &[])
    };
    for (at, etag, expected) in [(7, "new", Some("new")), (6, "late", Some("new"))] {
        store.update(&a, refreshed(at, etag)).await.unwrap();
        let variants = store.get_now(&a).unwrap();
        let found = variants.iter().next().unwrap();
        let found = found
            .head()
            .headers
            .get(header::ETAG)
            .map(|etag| etag.to_str().unwrap());
        assert_eq!(found, expected);
    }
    let gone = StoredHead {
        selecting: Selecting::new(),
        ..refreshed(9, "gone")
    };
    store.update(&a, gone.clone()).await.unwrap();
    store.update(&key("b"), gone).await.unwrap();
    assert_eq!(told(&store, &a), [(7, "x".to_owned())]);
    assert!(told(&store, &key("b")).is_empty());
}

#[tokio::test]
async fn what_is_meant_is_purged() {
    let all = [
        ("/shop/1", "news"),
        ("/shop/2", "old"),
        ("/shopping", "news"),
    ];
    let cases: [(Purge, &[&str]); 7] = [
        (Purge::all(), &["/shop/1", "/shop/2", "/shopping"]),
        (Purge::tag("news"), &["/shop/1", "/shopping"]),
        (Purge::tag("new"), &[]),
        (Purge::prefix("/shop/"), &["/shop/1", "/shop/2"]),
        (
            Purge::prefix("/shop").host("Example.com"),
            &["/shop/1", "/shop/2", "/shopping"],
        ),
        (Purge::prefix("/shop").host("other.example"), &[]),
        (Purge::key(key("/shop/2").as_bytes()), &["/shop/2"]),
    ];
    for (what, expected) in cases {
        for what in [what.clone(), what.softly()] {
            let store = MemoryStore::new(1 << 20);
            for (path, tag) in all {
                store
                    .put(&key(path), head(1, &[], &[tag, "all"]), Body::from("x"))
                    .await
                    .unwrap();
            }
            assert_eq!(
                store.purge(&what).await.unwrap(),
                expected.len() as u64,
                "{what:?}"
            );
            for (path, _) in all {
                let variants = store.get_now(&key(path)).unwrap();
                let is_left = variants.iter().any(|stored| !stored.head().is_invalid);
                assert_eq!(is_left, !expected.contains(&path), "{what:?} {path}");
                assert!(!what.is_soft() || variants.iter().count() == 1);
            }
        }
    }
}

#[tokio::test]
async fn one_of_several_variants_is_purged() {
    let store = MemoryStore::new(1 << 20);
    let a = key("a");
    for (at, language) in [(1, "en"), (2, "de")] {
        let head = head(at, &[("accept-language", language)], &[language]);
        store.put(&a, head, Body::from("x")).await.unwrap();
    }
    assert_eq!(store.purge(&Purge::tag("de")).await.unwrap(), 1);
    assert_eq!(told(&store, &a), [(1, "x".to_owned())]);
    assert_eq!(store.purge(&Purge::tag("en")).await.unwrap(), 1);
    assert_eq!(store.figures().unwrap(), (0, 0));
}
