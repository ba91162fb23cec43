//! What the door refuses, nobody else answers first, and nothing behind it on the connection is answered at all.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_gateway::{Gateway, GatewayBuilder, Route};

use crate::support::{Heard, Recorder, find, raw_backend, request, say, send, serve, upstream};

type Settings = fn(GatewayBuilder) -> GatewayBuilder;

/// With nothing in front of the checks that does not have to be, and with all that can stand around them.
const SETTINGS: &[(&str, Settings)] = &[
    ("plain", |to| to),
    #[cfg(all(
        feature = "catch-panic",
        feature = "compression",
        feature = "cors",
        feature = "decompression",
        feature = "sensitive-headers"
    ))]
    ("layered", |to| {
        to.cors(tower_http::cors::CorsLayer::permissive())
            .catch_panic()
            .compression(tower_http::compression::CompressionLayer::new())
            .decompression(tower_http::decompression::RequestDecompressionLayer::new())
            .sensitive_headers([http::header::COOKIE])
    }),
];

const LAST: &str = "GET /last HTTP/1.1\r\nHost: t.example\r\n\r\n";

/// What comes back for a request with another one behind it, and what the backend got.
async fn ask(settings: Settings, raw: &[u8]) -> (Heard, Recorder) {
    let (recorder, backend) = Recorder::start().await;
    let gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .route(Route::new("/{*rest}").to("backend"));
    let gateway = serve(settings(gateway).build().unwrap()).await;
    let heard = say(gateway, &[raw, LAST.as_bytes()].concat()).await;
    (heard, recorder)
}

/// The statuses of the final answers.
fn statuses(heard: &Heard) -> Vec<u16> {
    let text = String::from_utf8_lossy(&heard.bytes);
    text.split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3)?.parse().ok())
        .filter(|status| *status >= 200)
        .collect()
}

fn raw(case: &Value) -> Vec<u8> {
    let text = case["raw"].as_str().unwrap();
    text.chars()
        .map(|char| u8::try_from(char).unwrap())
        .collect()
}

/// The same request with another method: `OPTIONS` is what a CORS layer answers by itself.
fn as_options(raw: &[u8]) -> Vec<u8> {
    let end = raw.iter().position(|byte| *byte == b' ').unwrap();
    [b"OPTIONS", &raw[end..]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_the_last_answer_of_its_connection() {
    let cases: Value = serde_json::from_str(include_str!("../data/http1-requests.json")).unwrap();
    let refused = cases["cases"].as_array().unwrap();
    let refused = refused.iter().filter(|case| case["expect"] == "reject");
    let mut asked = Vec::new();
    for case in refused {
        let name = case["name"].as_str().unwrap();
        for (setting, settings) in SETTINGS {
            asked.push((format!("{name}, {setting}"), *settings, raw(case)));
            // `OPTIONS *` is no mistake.
            let takes_options = name != "line-u-star"
                && (raw(case).starts_with(b"GET ") || raw(case).starts_with(b"POST "));
            if takes_options {
                let raw = as_options(&raw(case));
                asked.push((format!("{name}, OPTIONS, {setting}"), *settings, raw));
            }
        }
    }
    assert!(asked.len() > 120);
    let wrong = join_all(asked.iter().map(|(name, settings, raw)| async move {
        let (heard, recorder) = ask(*settings, raw).await;
        let statuses = statuses(&heard);
        let refused = match statuses[..] {
            [400] => true,
            [501] => name.starts_with("line-"),
            _ => false,
        };
        let told = recorder.requests();
        (!refused || !heard.closed || !told.is_empty()).then(|| {
            format!(
                "{name}: {statuses:?}, closed {}, backend {told:?}",
                heard.closed
            )
        })
    }))
    .await;
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A backend that keeps all that it is sent, and answers at an empty line.
async fn hears_all() -> (Arc<Mutex<Vec<u8>>>, SocketAddr) {
    let all = Arc::<Mutex<Vec<u8>>>::default();
    let heard = all.clone();
    let address = raw_backend(move |_, mut stream| {
        let heard = heard.clone();
        async move {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut chunk).await {
                heard.lock().unwrap().extend_from_slice(&chunk[..length]);
                if chunk[..length].ends_with(b"\r\n\r\n") {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                }
            }
        }
    })
    .await;
    (all, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_refused_head_not_a_byte_reaches_the_backend() {
    let cases: Value = serde_json::from_str(include_str!("../data/http1-requests.json")).unwrap();
    let cases = cases["cases"].as_array().unwrap().iter();
    // What is wrong with a chunk may come to light when the head is gone.
    let of_head = |case: &&Value| !case["name"].as_str().unwrap().starts_with("chunk-");
    let refused: Vec<_> = cases
        .filter(|case| case["expect"] == "reject")
        .filter(of_head)
        .collect();
    assert!(refused.len() > 90);
    let wrong = join_all(refused.iter().flat_map(|case| {
        SETTINGS.iter().map(move |(setting, settings)| async move {
            let (all, backend) = hears_all().await;
            let gateway = Gateway::builder()
                .upstream("backend", upstream(backend))
                .route(Route::new("/{*rest}").to("backend"));
            let gateway = serve(settings(gateway).build().unwrap()).await;
            let name = &case["name"];
            say(gateway, &raw(case)).await;
            // Whatever was on its way is there before this.
            let last = send(gateway, request("GET", "/last")).await;
            assert_eq!(last.status(), 200, "{name}");
            let all = all.lock().unwrap();
            let heads = find(&all, b"\r\n\r\n").map(|at| at + 4);
            let is_last_alone = all.starts_with(b"GET /last ") && heads == Some(all.len());
            (!is_last_alone).then(|| format!("{name}, {setting}: {}", all.escape_ascii()))
        })
    }))
    .await;
    let wrong: Vec<_> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_issue_of_framing_is_about_is_a_400() {
    let chunked = "POST /a HTTP/1.1\r\nHost: t.example\r\n";
    let end = "\r\n0\r\n\r\n";
    let heads = [
        "GET /a HTTP/1.1\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: t.example\r\nHost: t.example\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: t.example/b\r\n\r\n".to_owned(),
        "GET http://evil.example/ HTTP/1.1\r\nHost: t.example\r\n\r\n".to_owned(),
        format!("{chunked}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n{end}"),
        format!("{chunked}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n{end}"),
        format!("{chunked}Transfer-Encoding: chunked, chunked\r\n{end}"),
        format!("{chunked}Transfer-Encoding: gzip, chunked\r\n{end}"),
        format!("{chunked}Transfer-Encoding: chunked, gzip\r\n{end}"),
        format!("POST /a HTTP/1.0\r\nHost: t.example\r\nTransfer-Encoding: chunked\r\n{end}"),
        format!("{chunked}Transfer-Encoding: chunked\r\n\r\n0\r\n\n"),
    ];
    join_all(heads.iter().flat_map(|head| {
        SETTINGS.iter().map(move |(setting, settings)| async move {
            let (heard, recorder) = ask(*settings, head.as_bytes()).await;
            assert_eq!(statuses(&heard), [400], "{setting}: {head}");
            assert!(heard.closed, "{setting}: {head}");
            assert_eq!(recorder.requests().len(), 0, "{setting}: {head}");
        })
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_trailers_is_never_answered() {
    let ends = [
        "0\r\nX: 1\r\n\r\n",
        "0\r\nX: 1\r\n\n",
        "0\r\nX: 1\n\r\n",
        "0\r\nX: 1\n\n",
        "0\r\nX: 1\r\nY: 2\n\r\n",
        "0\r\nHost: x\r\n\n",
    ];
    join_all(ends.iter().flat_map(|end| {
        ["POST", "OPTIONS"].map(move |method| async move {
            let raw = format!(
                "{method} /a HTTP/1.1\r\nHost: t.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n{end}GET /smuggled HTTP/1.1\r\nHost: t.example\r\n\r\n"
            );
            for (setting, settings) in SETTINGS {
                let (heard, recorder) = ask(*settings, raw.as_bytes()).await;
                assert!(heard.closed, "{setting}: {raw}");
                assert_eq!(statuses(&heard).len(), 1, "{setting}: {raw}");
                let told = recorder.requests();
                assert!(
                    told.iter().all(|told| told.head.starts_with(method)),
                    "{setting}: {told:?}"
                );
            }
        })
    }))
    .await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_chunked_body_without_trailers() {
    let raw = "POST /a HTTP/1.1\r\nHost: t.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (setting, settings) in SETTINGS {
        let (heard, recorder) = ask(*settings, raw.as_bytes()).await;
        assert_eq!(statuses(&heard), [200, 200], "{setting}");
        assert!(!heard.closed, "{setting}");
        assert_eq!(recorder.requests().len(), 2, "{setting}");
    }
}
