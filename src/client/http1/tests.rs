use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, header, uri::PathAndQuery};
use proptest::prelude::*;

use super::{
    decoder::{Decoder, Malformed, Step},
    head::{self, Framing, Names},
};

fn read(head: &str) -> Result<head::Head, Malformed> {
    read_for(Method::GET, head)
}

fn read_for(method: Method, text: &str) -> Result<head::Head, Malformed> {
    assert_eq!(head::end(text.as_bytes(), 0), Some(text.len()), "{text:?}");
    head::read(
        &Bytes::copy_from_slice(text.as_bytes()),
        &method,
        HeaderMap::new(),
        &mut Names::default(),
    )
}

#[test]
fn where_a_body_ends() {
    let until_close = Decoder::UntilClose;
    for (method, text, decoder, keep) in [
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            Decoder::Length(5),
            true,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\ncontent-length:5\n\n",
            Decoder::Length(5),
            true,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n",
            Decoder::chunked(),
            true,
        ),
        ("GET", "HTTP/1.1 200 OK\r\n\r\n", until_close, false),
        (
            "GET",
            "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n",
            Decoder::Length(5),
            false,
        ),
        (
            "GET",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\n",
            Decoder::Length(5),
            true,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 5\r\n\r\n",
            Decoder::Length(5),
            false,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            Decoder::Length(0),
            true,
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", Decoder::Length(0), true),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\n\r\n",
            Decoder::Length(0),
            true,
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            Decoder::Length(0),
            true,
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
            Decoder::Length(0),
            false,
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
            Decoder::Length(0),
            false,
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            Decoder::Length(0),
            true,
        ),
        (
            "GET",
            "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
            Decoder::Length(0),
            true,
        ),
    ] {
        let head = read_for(method.parse().unwrap(), text).unwrap();
        assert_eq!(
            (head.decoder, head.keep),
            (decoder, keep),
            "{method} {text:?}"
        );
    }
}

#[test]
fn what_leaves_room_for_two_readings_is_refused() {
    for fields in [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: 0x5",
        "content-length: ",
        "content-length: 9223372036854775808",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: identity",
        "transfer-encoding: ",
        "transfer-encoding : chunked",
        "content-length\t: 5",
        "x: a\r\n continued: b",
        " x: a",
        "no colon",
        "x: a\0b",
        ": nameless",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        assert!(read(&text).is_err(), "{fields:?}");
    }
    for line in [
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 99 OK",
        "HTTP/1.1 600 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1  200 OK",
        "200 OK",
    ] {
        assert!(read(&format!("{line}\r\n\r\n")).is_err(), "{line:?}");
    }
}

#[test]
fn names_are_those_of_this_answer_whatever_the_last_one_had() {
    let mut names = Names::default();
    for fields in [
        &["server", "x-a", "etag"][..],
        &["Server", "X-A", "ETag"],
        &["server", "etag", "x-a", "x-b"],
        &["x-b"],
        &["x-a", "x-a", "server"],
        &[],
        &["x-bb", "x-"],
    ] {
        let lines: String = fields.iter().map(|name| format!("{name}: 1\r\n")).collect();
        let text = Bytes::from(format!("HTTP/1.1 204 No Content\r\n{lines}\r\n"));
        let head = head::read(&text, &Method::GET, HeaderMap::new(), &mut names).unwrap();
        let headers = head.response.headers();
        let found: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let lower: Vec<_> = fields.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(found, lower);
    }
}

#[test]
fn an_unusual_phrase_is_kept() {
    let phrase = |text: &str| {
        let head = read(text).unwrap();
        let reason = head.response.extensions().get::<hyper::ext::ReasonPhrase>();
        reason.map(|reason| String::from_utf8(reason.as_bytes().to_vec()).unwrap())
    };
    assert_eq!(phrase("HTTP/1.1 200 OK\r\n\r\n"), None);
    assert_eq!(phrase("HTTP/1.1 200\r\n\r\n"), None);
    assert_eq!(phrase("HTTP/1.1 200 Fine\r\n\r\n").as_deref(), Some("Fine"));
}

#[test]
fn a_head_ends_at_its_empty_line_wherever_it_was_torn() {
    for (text, length) in [
        ("a\r\nb\r\n\r\nrest", 8),
        ("a\nb\n\nrest", 5),
        ("a\r\n\nrest", 4),
    ] {
        for torn in 0..text.len() {
            let looked = &text.as_bytes()[..torn];
            match head::end(looked, 0) {
                Some(end) => assert_eq!(end, length, "{text:?} torn at {torn}"),
                None => assert_eq!(
                    head::end(text.as_bytes(), torn),
                    Some(length),
                    "{text:?} {torn}"
                ),
            }
        }
    }
}

fn written(method: Method, fields: &[(&str, &str)], framing: Framing) -> String {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = header::HeaderName::try_from(*name).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let mut out = Vec::new();
    let path = PathAndQuery::from_static("/a?b=c");
    head::write(&mut out, &method, &path, &headers, framing);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_requests_framing_is_what_is_sent_and_not_what_was_said() {
    let line = "GET /a?b=c HTTP/1.1\r\n";
    for (fields, framing, expected) in [
        (
            &[("host", "t.example")][..],
            Framing::Empty,
            "host: t.example\r\n\r\n",
        ),
        (
            &[("content-length", "7")],
            Framing::Empty,
            "content-length: 0\r\n\r\n",
        ),
        (
            &[("content-length", "7")],
            Framing::Length(12),
            "content-length: 12\r\n\r\n",
        ),
        (
            &[("content-length", "7")],
            Framing::Chunked,
            "transfer-encoding: chunked\r\n\r\n",
        ),
        (
            &[("transfer-encoding", "gzip")],
            Framing::Length(1),
            "content-length: 1\r\n\r\n",
        ),
        (
            &[("te", "trailers")],
            Framing::Empty,
            "te: trailers\r\nconnection: te\r\n\r\n",
        ),
        (
            &[("x", "1"), ("x", "2")],
            Framing::Empty,
            "x: 1\r\nx: 2\r\n\r\n",
        ),
    ] {
        let text = written(Method::GET, fields, framing);
        assert_eq!(
            text.strip_prefix(line),
            Some(expected),
            "{fields:?} {framing:?}"
        );
    }
    let post = written(Method::POST, &[], Framing::Empty);
    assert!(post.ends_with("\r\ncontent-length: 0\r\n\r\n"), "{post}");
    let most = written(Method::POST, &[], Framing::Length(u64::MAX));
    assert!(
        most.contains("content-length: 18446744073709551615\r\n"),
        "{most}"
    );
}

/// Decodes what arrives in the given pieces: the data, the trailers, and whether the end was reached.
fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, HeaderMap, bool), Malformed> {
    let mut decoder = Decoder::chunked();
    let (mut input, mut data, mut trailers) = (BytesMut::new(), Vec::new(), HeaderMap::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.step(&mut input)? {
                Step::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(&bytes);
                    decoder.look_ahead(&mut input);
                }
                Step::Trailers(fields) => trailers = fields,
                Step::End => break,
                Step::More => break,
            }
        }
    }
    Ok((data, trailers, decoder.is_done() && input.is_empty()))
}

#[test]
fn chunks() {
    for (text, data, trailer) in [
        ("0\r\n\r\n", "", None),
        ("3\r\nabc\r\n0\r\n\r\n", "abc", None),
        (
            "3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
            "abc0123456789",
            None,
        ),
        ("1 ;x\r\na\r\n0;y\r\n\r\n", "a", None),
        ("1\r\na\r\n0\r\netag: x\r\n\r\n", "a", Some("x")),
        (
            "1\r\na\r\n0\r\netag: x\r\ncontent-length: 7\r\n\r\n",
            "a",
            Some("x"),
        ),
    ] {
        let bytes = text.as_bytes();
        let single: Vec<_> = bytes.chunks(1).collect();
        for pieces in [vec![bytes], single] {
            let (found, trailers, ended) = decode(&pieces).unwrap();
            assert_eq!(found, data.as_bytes(), "{text:?}");
            let fields = usize::from(trailer.is_some());
            assert!(ended && trailers.len() == fields, "{text:?} {trailers:?}");
            assert_eq!(
                trailers.get("etag").map(|value| value.to_str().unwrap()),
                trailer
            );
        }
    }
}

#[test]
fn bad_chunks() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
    let longer = format!("0\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    for text in [
        "\r\n",
        "g\r\n",
        "-1\r\na\r\n",
        "0x1\r\na\r\n",
        "1\na\r\n0\r\n\r\n",
        "1 a\r\na\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r;\r\na\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "0\r\nno colon\r\n\r\n",
        &long,
        &longer,
    ] {
        assert!(decode(&[text.as_bytes()]).is_err(), "{text:?}");
    }
    // What never ends is refused before it fills the memory.
    for endless in ["1;", "0\r\nx: "] {
        let mut pieces = vec![endless.as_bytes()];
        let filler = [b'y'; 1000];
        pieces.extend(std::iter::repeat_n(&filler[..], 50));
        assert!(decode(&pieces).is_err(), "{endless:?}");
    }
}

proptest! {
    #[test]
    fn chunks_mean_the_same_however_they_are_torn(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut text = Vec::new();
        for chunk in &chunks {
            text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            text.extend_from_slice(chunk);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"0\r\n\r\n");
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let (data, _, ended) = decode(&pieces).unwrap();
        prop_assert!(ended);
        prop_assert_eq!(data, chunks.concat());
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = decode(&[&bytes]);
        if let Some(end) = head::end(&bytes, 0) {
            let _ = head::read(&Bytes::from(bytes).slice(..end), &Method::GET, HeaderMap::new(), &mut Names::default());
        }
    }

    #[test]
    fn no_head_panics(lines in prop::collection::vec("[ -~\t\r\u{e9}]{0,30}", 0..6)) {
        let text = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", lines.join("\r\n"));
        let end = head::end(text.as_bytes(), 0).unwrap();
        let _ = head::read(&Bytes::from(text).slice(..end), &Method::GET, HeaderMap::new(), &mut Names::default());
    }
}
