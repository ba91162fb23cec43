use super::*;
use crate::template::tests::{canonical_path, hostile_value, is_canonical};
use proptest::prelude::*;

use crate::path::{PathPolicy, canonicalize};

fn empty_segments(path: &str) -> usize {
    path.matches("//").count()
}

/// What overlong spellings, dot segments and escapes are made of.
const BYTES: [u8; 12] = *b"\xC0\xE0\xAE\xAF\x80\xA9./%a;:";

proptest! {
    #[test]
    fn a_canonical_path_stays_canonical(
        path in canonical_path(),
        strip in proptest::option::of("(/(api|a|%C3%A9)){1,2}/?"),
        add in proptest::option::of("(/(v2|x%20|\\{id\\}|\\{header\\.x\\}|\\.\\{id\\})){1,2}"),
        id in canonical_path(),
        value in hostile_value(),
    ) {
        let mut rewrite = Rewrite::new();
        if let Some(strip) = strip {
            rewrite = rewrite.strip_prefix(strip);
        }
        if let Some(add) = add {
            rewrite = rewrite.add_prefix(add);
        }
        let id = id.replace('/', "");
        let request = Request::new(&path).param("id", &id).header("x", &value);
        if let Ok(plan) = plan(&rewrite, &request) {
            let (mut uri, mut headers) = (request.uri.clone(), HeaderMap::new());
            plan.apply_request(&mut uri, &mut headers).unwrap();
            prop_assert!(is_canonical(uri.path()), "{path} -> {uri}");
            prop_assert!(empty_segments(uri.path()) <= empty_segments(&path), "{path} -> {uri}");
            prop_assert!(uri.path() == path || !uri.path().starts_with("//"), "{path} -> {uri}");
            prop_assert_eq!(uri.query(), None);
        }
    }

    /// Whatever a client's value is made of, the door would let the path through as it is, or there is none.
    #[test]
    fn a_value_of_any_bytes_makes_no_path_that_the_door_refuses(
        value in proptest::collection::vec(proptest::sample::select(&BYTES[..]), 0..8),
    ) {
        let mut request = Request::new("/a");
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            request.headers.insert("x", value);
        }
        for rewrite in [Rewrite::new().path("/t/{header.x}/end"), Rewrite::new().add_prefix("/t{header.x}")] {
            if let Ok(plan) = plan(&rewrite, &request) {
                let (mut uri, mut headers) = (request.uri.clone(), HeaderMap::new());
                plan.apply_request(&mut uri, &mut headers).unwrap();
                let policy = PathPolicy::new().allow_encoded_slash(true);
                let canonical = canonicalize(uri.path(), policy);
                prop_assert!(canonical.as_deref() == Ok(uri.path()), "{value:x?} {uri} {canonical:?}");
            }
        }
    }

    #[test]
    fn stripping_alone_never_refuses(path in canonical_path()) {
        let request = Request::new(&format!("/api{path}"));
        let stripped = target(&Rewrite::new().strip_prefix("/api"), &request);
        prop_assert_eq!(stripped.trim_start_matches('/'), path.trim_start_matches('/'));
    }

    #[test]
    fn a_path_template_stays_canonical(
        template in "(/(v2|\\{id\\}|x\\{id\\}|\\.\\{header\\.x\\}|\\{header\\.x\\}\\.)){1,3}(/\\{\\*rest\\})?",
        rest in proptest::option::of(canonical_path()),
        id in "[a-z.]{1,2}|%2F|%C3%A9",
        value in hostile_value(),
    ) {
        let mut request = Request::new("/").param("id", &id).header("x", &value);
        if let Some(rest) = &rest {
            request = request.param("rest", rest.trim_start_matches('/'));
        }
        if let Ok(plan) = plan(&Rewrite::new().path(&template), &request) {
            let (mut uri, mut headers) = (request.uri.clone(), HeaderMap::new());
            plan.apply_request(&mut uri, &mut headers).unwrap();
            prop_assert!(is_canonical(uri.path()), "{uri}");
            let rest = rest.filter(|_| template.ends_with("{*rest}"));
            let before = rest.as_deref().map_or(0, |rest| empty_segments(rest.trim_start_matches('/')));
            prop_assert_eq!(empty_segments(uri.path()), before);
        }
    }

    #[test]
    fn the_rest_of_a_query_is_untouched(
        pairs in proptest::collection::vec("(a|b|%61|%2561|c%zz|)(=[a-z%&;+]{0,3})?", 0..6),
        value in hostile_value(),
    ) {
        let query = pairs.join("&");
        let request = Request::new(&format!("/p?{query}")).header("x", &value);
        let others = |query: &str| -> Vec<String> {
            let others = query.split('&').filter(|pair| {
                !matches!(pair.split('=').next(), Some("a" | "%61"))
            });
            others.map(str::to_owned).collect()
        };
        let mut kept = others(&query);
        let removed: Uri = target(&Rewrite::new().query_remove("a"), &request).parse().unwrap();
        prop_assert_eq!(removed.query().map_or(Vec::new(), others), kept.clone());
        let set: Uri = target(&Rewrite::new().query_set("a", "{header.x}"), &request).parse().unwrap();
        prop_assert_eq!(set.path(), "/p");
        let set = set.query().unwrap().to_owned();
        let pairs: Vec<_> = set.split('&').filter(|pair| pair.starts_with("a=")).collect();
        prop_assert_eq!(pairs.len(), 1);
        if query.is_empty() {
            kept.clear();
        }
        prop_assert_eq!(others(&set), kept);
    }
}
