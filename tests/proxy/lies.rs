//! Backends that lie about their answers: what the client gets for each lie, and that nobody else gets anything of it.

use http::Version;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use crate::{
    support::{self, raw_backend, read_head, request},
    wire::soon,
};

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    /// All of it, with this body.
    Whole(u16, String),
    /// A connection that breaks off before its end.
    Broken,
}

/// What a client gets of a backend that says this and closes, after which the next client is served.
async fn got(said: &str) -> Got {
    let said = said.to_owned();
    let backend = raw_backend(move |number, mut stream| {
        let said = said.clone();
        async move {
            read_head(&mut stream).await;
            let fine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
            let said = if number == 0 { &said } else { fine };
            // A gateway that has heard enough may hang up.
            let _ = stream.write_all(said.as_bytes()).await;
            let _ = stream.shutdown().await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    })
    .await;
    let gateway = support::in_front_of(backend).await;
    let mut client = support::connect(gateway).await;
    let got = match client.send_request(request("GET", "/a")).await {
        // The server holds a head back until it has seen something of the body.
        Err(_) => Got::Broken,
        Ok(answer) => {
            assert_eq!(answer.version(), Version::HTTP_11);
            let status = answer.status().as_u16();
            match soon("the end", answer.into_body().collect()).await {
                Ok(body) => {
                    let body = body.to_bytes().to_vec();
                    Got::Whole(status, String::from_utf8(body).unwrap())
                }
                Err(_) => Got::Broken,
            }
        }
    };
    let next = support::send(gateway, request("GET", "/b")).await;
    assert_eq!(support::text(next).await, "fine");
    got
}

#[tokio::test]
async fn what_is_no_answer_is_a_502() {
    let filler = |count: usize, text: &str| text.repeat(count);
    for said in [
        "",
        "\r\n",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        "<html>busy</html>\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &filler(33, "HTTP/1.1 103 Early Hints\r\n\r\n"),
        &format!("HTTP/1.1 200 OK\r\n{}\r\n", filler(257, "X: y\r\n")),
        &format!("HTTP/1.1 200 OK\r\nX: {}", filler(300_000, "y")),
    ] {
        let shown: String = said.chars().take(80).collect();
        match got(said).await {
            Got::Whole(502, _) => {}
            other => panic!("{other:?} for {shown:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_the_head_says_breaks_off() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
    let trailers = format!("0\r\nX: {}\r\n\r\n", "y".repeat(40_000));
    let chunks = [
        "2\r\nok\r\n",
        "2\r\nok\r\n0\r\n",
        "5\r\nok\r\n0\r\n\r\n",
        "1\r\nok\r\n0\r\n\r\n",
        "2\nok\n0\n\n",
        "0x2\r\nok\r\n0\r\n\r\n",
        "-2\r\nok\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nok\r\n0\r\n\r\n",
        "fffffffffffffff\r\nok\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        &long,
        &trailers,
    ];
    let chunks = chunks.map(|body| format!("Transfer-Encoding: chunked\r\n\r\n{body}"));
    let lengths = ["3\r\n\r\nok", "9223372036854775807\r\n\r\nok"];
    let lengths = lengths.map(|rest| format!("Content-Length: {rest}"));
    for rest in chunks.iter().chain(&lengths) {
        let got = got(&format!("HTTP/1.1 200 OK\r\n{rest}")).await;
        let shown: String = rest.chars().take(80).collect();
        assert_eq!(got, Got::Broken, "{shown:?}");
    }
}

#[tokio::test]
async fn what_can_be_understood_in_one_way_is_passed_on() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(32);
    let hinted = format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for (said, status, body) in [
        ("HTTP/1.1 200 OK\r\n\r\nok", 200, "ok"),
        ("HTTP/1.0 200 OK\r\n\r\nok", 200, "ok"),
        ("HTTP/1.0 404 No\r\nContent-Length: 2\r\n\r\nok", 404, "ok"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and HTTP/1.1 200 OK\r\n\r\n",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nok\r\n0;c\r\nX-T: y\r\n\r\n0\r\n\r\n",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            204,
            "",
        ),
        (&hinted, 200, "ok"),
    ] {
        assert_eq!(got(said).await, Got::Whole(status, body.into()), "{said:?}");
    }
}
