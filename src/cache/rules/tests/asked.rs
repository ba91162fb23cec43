use super::*;

fn read(fields: &[(&str, &str)]) -> Asked {
    Asked::of(&headers(fields))
}

#[test]
fn directives_are_read() {
    let nothing = Asked::default();
    for (line, expected) in [
        ("", nothing),
        ("extension, max-age-x=1", nothing),
        (
            "No-Cache",
            Asked {
                no_cache: true,
                ..nothing
            },
        ),
        (
            "no-store",
            Asked {
                no_store: true,
                ..nothing
            },
        ),
        (
            "only-if-cached",
            Asked {
                only_if_cached: true,
                ..nothing
            },
        ),
        (
            "max-age=5",
            Asked {
                max_age: Some(5),
                ..nothing
            },
        ),
        (
            "max-age=5, max-age=3",
            Asked {
                max_age: Some(3),
                ..nothing
            },
        ),
        (
            "max-age=\"5\"",
            Asked {
                max_age: Some(5),
                ..nothing
            },
        ),
        (
            "max-age",
            Asked {
                max_age: Some(0),
                ..nothing
            },
        ),
        (
            "min-fresh=7, min-fresh=5",
            Asked {
                min_fresh: Some(7),
                ..nothing
            },
        ),
        (
            "min-fresh=x",
            Asked {
                min_fresh: Some(1 << 31),
                ..nothing
            },
        ),
        (
            "max-stale",
            Asked {
                max_stale: Some(1 << 31),
                ..nothing
            },
        ),
        (
            "max-stale=5",
            Asked {
                max_stale: Some(5),
                ..nothing
            },
        ),
        (
            "max-stale, max-stale=5",
            Asked {
                max_stale: Some(5),
                ..nothing
            },
        ),
        (
            "max-stale=x",
            Asked {
                max_stale: Some(0),
                ..nothing
            },
        ),
        (
            "max-stale=",
            Asked {
                max_stale: Some(0),
                ..nothing
            },
        ),
        (
            "stale-if-error=9",
            Asked {
                stale_if_error: Some(9),
                ..nothing
            },
        ),
        (
            "stale-if-error",
            Asked {
                stale_if_error: Some(0),
                ..nothing
            },
        ),
    ] {
        assert_eq!(read(&[("cache-control", line)]), expected, "{line}");
    }
    assert!(read(&[("cache-control", "only-if-cached")]).is_only_if_cached());
    let lines = read(&[
        ("cache-control", "max-age=5"),
        ("cache-control", "no-cache"),
    ]);
    assert_eq!(
        lines,
        Asked {
            no_cache: true,
            max_age: Some(5),
            ..nothing
        }
    );
}

#[test]
fn pragma_counts_alone() {
    for (fields, expected) in [
        (&[("pragma", "no-cache")][..], true),
        (&[("pragma", "x"), ("pragma", "y, No-Cache")], true),
        (&[("pragma", "x=\"no-cache\"")], false),
        (&[("pragma", "unrecognised")], false),
        (
            &[("pragma", "no-cache"), ("cache-control", "max-age=5")],
            false,
        ),
        (&[("pragma", "no-cache"), ("cache-control", "")], false),
    ] {
        assert_eq!(read(fields).no_cache, expected, "{fields:?}");
    }
}
