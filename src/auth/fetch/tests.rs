use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;

/// Answers with these bytes, one answer for each request, and tells what it was asked.
async fn server(answers: &'static [&'static str]) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in answers {
            let _ = tell.send(read(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // It says no more, and does not hang up.
        std::future::pending::<()>().await;
    });
    (address, told)
}

/// A request as it came, with a body of up to one byte.
async fn read(stream: &mut TcpStream) -> String {
    let mut request = String::new();
    let length = |head: &str| usize::from(head.contains("content-length: 1"));
    loop {
        if let Some((head, body)) = request.split_once("\r\n\r\n")
            && body.len() >= length(head)
        {
            return request;
        }
        request.push(stream.read_u8().await.unwrap().into());
    }
}

fn in_clear() -> CallSettings {
    CallSettings {
        allow_http: true,
        ..CallSettings::default()
    }
}

async fn ask(at: SocketAddr, settings: &CallSettings) -> Result<Response<Bytes>, CallError> {
    let caller = Caller::new(&format!("http://{at}/keys?p=1"), settings).unwrap();
    let headers = HeaderMap::new();
    caller.send(Method::GET, headers, Bytes::new()).await
}

#[test]
fn a_url_has_to_be_https_unless_told_otherwise() {
    let strict = CallSettings::default();
    let lax = in_clear();
    for (url, settings, wrong) in [
        ("", &lax, "is not a URL"),
        ("https://", &lax, "is not a URL"),
        ("/keys", &lax, "not a whole URL"),
        ("keys.test", &lax, "not a whole URL"),
        ("ftp://keys.test", &lax, "scheme"),
        ("http://keys.test/a", &strict, "`http` is not allowed"),
        ("http://127.0.0.1/a", &strict, "`http` is not allowed"),
        ("http://localhost/a", &strict, "`http` is not allowed"),
        ("http://keys.test/a#b", &lax, "fragment"),
        ("http://me:secret@keys.test/a", &lax, "user information"),
        ("http://keys.test:0/a", &lax, "port"),
        #[cfg(not(feature = "tls"))]
        ("https://keys.test", &strict, "the feature `tls`"),
    ] {
        let mistake = Caller::new(url, settings).err().unwrap_or_default();
        assert!(
            mistake.contains(wrong) && !mistake.contains("secret"),
            "{url}: {mistake}"
        );
    }
    assert!(Caller::new("http://keys.test?p=1", &lax).is_ok());
    #[cfg(feature = "tls")]
    {
        assert!(Caller::new("https://keys.test/a?p=1", &strict).is_ok());
        let roots = crate::tls::Roots::Own(b"none".to_vec());
        let mut settings = lax.clone();
        settings.tls.roots = roots;
        for (url, wrong) in [("https://a", "no PEM"), ("http://a", "settings for TLS")] {
            let mistake = Caller::new(url, &settings).err().unwrap_or_default();
            assert!(mistake.contains(wrong), "{mistake}");
        }
    }
}

#[tokio::test]
async fn a_request_says_what_is_needed_and_connections_are_kept() {
    const ANSWER: &str = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 2\r\n\r\nhi";
    let (at, mut told) = server(&[ANSWER, ANSWER]).await;
    let caller = Caller::new(&format!("http://{at}/keys?p=1"), &in_clear()).unwrap();
    let forged = [
        (header::HOST, "evil.test"),
        (header::CONTENT_LENGTH, "99"),
        (header::TRANSFER_ENCODING, "chunked"),
        (header::CONNECTION, "close"),
        (header::ACCEPT_ENCODING, "gzip"),
        (header::EXPECT, "100-continue"),
        (header::ACCEPT, "application/json"),
    ];
    let headers: HeaderMap = forged
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .into_iter()
        .collect();
    let answer = caller.send(Method::POST, headers, Bytes::from("x")).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 302, "it is not followed");
    assert_eq!(answer.headers()["location"], "/x");
    assert_eq!(answer.body(), "hi");
    let request = told.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "x");
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("POST /keys?p=1 HTTP/1.1"));
    let mut fields: Vec<_> = lines.collect();
    fields.sort_unstable();
    let host = format!("host: {at}");
    let expected = [
        "accept-encoding: identity",
        "accept: application/json",
        "content-length: 1",
        &host,
        "user-agent: tower-gateway",
    ];
    assert_eq!(fields, expected);

    let elsewhere = caller.with_path(PathAndQuery::from_static("/other"));
    let none = HeaderMap::new();
    elsewhere
        .send(Method::GET, none, Bytes::new())
        .await
        .unwrap();
    let request = told.recv().await.unwrap();
    assert!(request.starts_with("GET /other HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn an_answer_has_as_many_bytes_as_are_allowed() {
    let settings = CallSettings {
        max_bytes: 4,
        ..in_clear()
    };
    let cases: [(&[&str], bool); 4] = [
        (&["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd"], true),
        // Refused by what it says of itself.
        (&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"], false),
        (
            &[
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            ],
            true,
        ),
        // And by what it has, whatever comes then.
        (
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"],
            false,
        ),
    ];
    for (answers, fits) in cases {
        let (at, _told) = server(answers).await;
        match ask(at, &settings).await {
            Ok(answer) => assert!(fits && answer.body() == "abcd", "{answers:?}"),
            Err(error) => {
                assert!(!fits, "{error}");
                let expected = format!("`http://{at}/keys`: the answer has more than 4 bytes");
                assert_eq!(error.to_string(), expected);
            }
        }
    }
}

#[tokio::test]
async fn the_time_is_that_of_the_whole_exchange() {
    let settings = CallSettings {
        timeout: Duration::from_millis(50),
        ..in_clear()
    };
    let cases: [&[&str]; 3] = [
        &[""],
        &["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"],
        &["HTTP/1.1 100 Continue\r\n\r\n"],
    ];
    for answers in cases {
        let (at, _told) = server(answers).await;
        let error = ask(at, &settings).await.unwrap_err().to_string();
        assert!(error.ends_with("no answer within 50ms"), "{error}");
    }
}

#[tokio::test]
async fn a_failure_says_what_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let error = ask(at, &in_clear()).await.unwrap_err().to_string();
    assert!(error.contains("could not be reached: "), "{error}");
    let (at, _told) = server(&["nonsense\r\n\r\n"]).await;
    let error = ask(at, &in_clear()).await.unwrap_err().to_string();
    assert!(error.contains("answered badly"), "{error}");
}

#[test]
fn no_mistake_shows_a_secret() {
    let settings = CallSettings::default();
    for url in [
        "http://id.example/a?key=hush",
        "http://id.example/a#hush",
        "http://user:hush@id.example/a",
        "http://us@er:hush@id.example/a?b",
        "ftp://:hush@id.example",
        "https://id.example/a b?key=hush",
        "user:hush@id.example",
        "https://user:hush@id.example/",
        "https://id.example:x/?hush",
    ] {
        let mistake = Caller::new(url, &settings).err().unwrap();
        assert!(!mistake.contains("hush"), "{mistake}");
    }
}
