use http::HeaderName;
use proptest::prelude::*;

use super::*;

/// 2024-06-01 00:00.
const NOW: u64 = 1_717_200_000_000;
const MODIFIED: &str = "Sun, 26 May 2024 10:00:00 GMT";
const A_SECOND_LATER: &str = "Sun, 26 May 2024 10:00:01 GMT";

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn ask(request: &[(&str, &str)], stored: &[(&str, &str)], length: u64) -> Selection {
    let stored = map(stored);
    let held = Held {
        status: StatusCode::OK,
        headers: &stored,
        answered_at: 0,
    };
    select(&Method::GET, &map(request), held, length, NOW)
}

#[test]
fn one_range_is_a_part() {
    use Selection::{Part, Unsatisfiable, Whole};
    for (range, length, expected) in [
        ("bytes=0-499", 10_000, Part(0..500)),
        ("bytes=500-999", 10_000, Part(500..1000)),
        ("bytes=-500", 10_000, Part(9500..10_000)),
        ("bytes=9500-", 10_000, Part(9500..10_000)),
        ("bytes=0-0", 10, Part(0..1)),
        ("bytes=-1", 10, Part(9..10)),
        ("bytes=0-", 10, Part(0..10)),
        ("bytes=9-", 10, Part(9..10)),
        ("bytes=9-10", 10, Part(9..10)),
        ("bytes=-11", 10, Part(0..10)),
        ("bytes=5-99999999999999999999999", 10, Part(5..10)),
        ("bytes=-99999999999999999999999", 10, Part(0..10)),
        ("BYTES=1-2", 10, Part(1..3)),
        ("bytes= 1-2 ", 10, Part(1..3)),
        ("bytes=,1-2,,", 10, Part(1..3)),
        ("bytes=10-", 10, Unsatisfiable),
        ("bytes=10-12", 10, Unsatisfiable),
        ("bytes=99999999999999999999999-", 10, Unsatisfiable),
        ("bytes=-0", 10, Unsatisfiable),
        ("bytes=-0", 0, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=0-0", 0, Unsatisfiable),
        ("bytes=-1", 0, Whole),
        // Several, others, and none.
        ("bytes=0-1,5-6", 10, Whole),
        ("bytes=0-1,20-", 10, Whole),
        ("lines=0-1", 10, Whole),
        ("bytes", 10, Whole),
        ("bytes=", 10, Whole),
        ("bytes=,", 10, Whole),
        ("bytes=-", 10, Whole),
        ("bytes=2-1", 10, Whole),
        ("bytes=1", 10, Whole),
        ("bytes=a-b", 10, Whole),
        ("bytes=1-b", 10, Whole),
        ("bytes=+1-2", 10, Whole),
        ("bytes=--1", 10, Whole),
        ("bytes=1-2-3", 10, Whole),
        ("bytes=1 -2", 10, Whole),
        ("bytes =1-2", 10, Whole),
        ("0-1", 10, Whole),
        ("", 10, Whole),
    ] {
        assert_eq!(ask(&[("range", range)], &[], length), expected, "{range}");
    }
    assert_eq!(ask(&[], &[], 10), Whole);
    let twice = [("range", "bytes=0-1"), ("range", "bytes=2-3")];
    assert_eq!(ask(&twice, &[], 10), Whole);
}

#[test]
fn only_a_get_of_a_200_has_parts() {
    let request = map(&[("range", "bytes=1-2")]);
    for (method, status, expected) in [
        (Method::GET, 200, Selection::Part(1..3)),
        (Method::HEAD, 200, Selection::Whole),
        (Method::POST, 200, Selection::Whole),
        (Method::GET, 203, Selection::Whole),
        (Method::GET, 404, Selection::Whole),
    ] {
        let headers = HeaderMap::new();
        let held = Held {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            answered_at: 0,
        };
        let found = select(&method, &request, held, 10, NOW);
        assert_eq!(found, expected, "{method} {status}");
    }
}

#[test]
fn another_answer_comes_whole() {
    let strong = ("etag", r#""a""#);
    let modified = ("last-modified", MODIFIED);
    let later = ("date", A_SECOND_LATER);
    for (condition, stored, is_part) in [
        (r#""a""#, &[strong][..], true),
        (r#""b""#, &[strong], false),
        (r#"W/"a""#, &[strong], false),
        (r#""a""#, &[("etag", r#"W/"a""#)], false),
        (r#"W/"a""#, &[("etag", r#"W/"a""#)], false),
        (r#""a""#, &[], false),
        (r#""a", "b""#, &[strong], false),
        ("*", &[strong], false),
        ("", &[strong], false),
        (MODIFIED, &[modified, later], true),
        ("Sun May 26 10:00:00 2024", &[modified, later], true),
        // It may have changed twice in that second.
        (MODIFIED, &[modified, ("date", MODIFIED)], false),
        (MODIFIED, &[modified], false),
        (A_SECOND_LATER, &[modified, later], false),
        ("Sun, 26 May 2024 09:59:59 GMT", &[modified, later], false),
        (MODIFIED, &[later, strong], false),
    ] {
        let found = ask(
            &[("range", "bytes=1-2"), ("if-range", condition)],
            stored,
            10,
        );
        let expected = match is_part {
            true => Selection::Part(1..3),
            false => Selection::Whole,
        };
        assert_eq!(found, expected, "{condition} {stored:?}");
    }
    // It says nothing without a range, and nothing of one that there is not.
    assert_eq!(
        ask(&[("if-range", r#""a""#)], &[strong], 10),
        Selection::Whole
    );
    let twice = [
        ("range", "bytes=1-2"),
        ("if-range", r#""a""#),
        ("if-range", r#""a""#),
    ];
    assert_eq!(ask(&twice, &[strong], 10), Selection::Whole);
    let behind = [("range", "bytes=20-"), ("if-range", r#""b""#)];
    assert_eq!(ask(&behind, &[strong], 10), Selection::Whole);
}

#[test]
fn a_part_says_where_it_is() {
    let mut headers = map(&[("content-length", "10"), ("etag", r#""a""#)]);
    write_part(&mut headers, &(9..10), 10);
    let expected = map(&[
        ("content-length", "1"),
        ("content-range", "bytes 9-9/10"),
        ("etag", r#""a""#),
    ]);
    assert_eq!(headers, expected);
    assert_eq!(unsatisfied(10), "bytes */10");
}

proptest! {
    #[test]
    fn no_field_breaks_it(range in "(bytes=)?[0-9, -]{0,20}", condition in "[\"W/a-z0-9:, ]{0,32}", length: u64) {
        let selection = ask(&[("range", &*range)], &[], length);
        if let Selection::Part(part) = selection {
            prop_assert!(part.start < part.end && part.end <= length);
        }
        ask(&[("range", &*range), ("if-range", &*condition)], &[("etag", "\"a\"")], length);
    }

    #[test]
    fn a_slice_of_chunks_is_one_of_the_whole(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 0..6),
        start in 0_u64..40,
        length in 0_u64..40,
    ) {
        let whole = chunks.concat();
        let chunks: Vec<Bytes> = chunks.into_iter().map(Bytes::from).collect();
        let found: Vec<Bytes> = slice(&chunks, start..start + length).collect();
        let place = |at: u64| (at as usize).min(whole.len());
        prop_assert_eq!(found.concat(), &whole[place(start)..place(start + length)]);
        prop_assert!(found.iter().all(|part| !part.is_empty()));
        // They are the stored bytes and no copies.
        for part in &found {
            let is_within = |chunk: &Bytes| chunk.as_ptr_range().contains(&part.as_ptr());
            prop_assert!(chunks.iter().any(is_within));
        }
    }
}
