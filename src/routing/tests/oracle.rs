//! The table beside matchit and wayfind, on patterns and paths where all three mean the same.
//!
//! Left out are patterns that one of them refuses. Their catch-alls need a byte, so wayfind gets the pattern without
//! the catch-all as well.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::{found, get, route, table};

fn pattern() -> impl Strategy<Value = Vec<&'static str>> {
    let segments = vec(
        select(vec![
            "users",
            "user",
            "u",
            "orders",
            "{}",
            "longer-than-eight",
        ]),
        1..5,
    );
    (segments, proptest::bool::weighted(0.1)).prop_map(|(mut segments, catch_all)| {
        segments.extend(catch_all.then_some("{*}"));
        segments
    })
}

fn written(segments: &[&str], open: &str, close: &str) -> String {
    let segments = segments
        .iter()
        .enumerate()
        .map(|(at, segment)| match *segment {
            "{}" => format!("/{open}p{at}{close}"),
            "{*}" => format!("/{open}*p{at}{close}"),
            literal => format!("/{literal}"),
        });
    segments.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn finds_what_matchit_and_wayfind_find(
        patterns in btree_set(pattern(), 1..30),
        paths in vec(vec(select(vec!["users", "user", "u", "orders", "7", "longer-than-eight"]), 1..7), 1..30),
    ) {
        let mut matchit = matchit::Router::new();
        let mut wayfind = wayfind::RouterBuilder::new();
        let mut routes = Vec::new();
        for pattern in &patterns {
            let id = routes.len();
            let braced = written(pattern, "{", "}");
            if matchit.insert(&braced, id).is_ok() {
                wayfind.insert(&written(pattern, "<", ">"), id).unwrap();
                if let [parents @ .., "{*}"] = &pattern[..] {
                    // Refused where a pattern of its own stands there.
                    let _ = wayfind.insert(&written(parents, "<", ">"), id);
                }
                routes.push(route(&braced));
            }
        }
        // matchit does not always go back from a literal to a catch-all, so it is asked only where there is none.
        let catch_alls = patterns.iter().flatten().any(|segment| *segment == "{*}");
        let (wayfind, table) = (wayfind.build(), table(routes));
        for path in paths {
            let path = format!("/{}", path.join("/"));
            let by_matchit = matchit.at(&path).map_or("404".to_owned(), |found| {
                let params = found.params.iter().map(|(name, value)| format!(" {name}={value}"));
                format!("{}{}", found.value, params.collect::<String>())
            });
            let by_wayfind = wayfind.search(&path).map_or("404".to_owned(), |found| {
                let params = found.parameters().iter().map(|(name, value)| format!(" {name}={value}"));
                format!("{}{}", found.data(), params.collect::<String>())
            });
            let ours = found(&table, &get(&path));
            prop_assert_eq!(&ours, &by_wayfind, "wayfind on {}", path);
            if !catch_alls {
                prop_assert_eq!(ours, by_matchit, "matchit on {}", path);
            }
        }
    }
}
