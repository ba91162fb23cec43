//! The request's id and its place in a trace, as backends and clients get them.

use http::HeaderName;
use tower_gateway::{Gateway, ObserveLayer, Route};

use crate::support::{Recorder, request, send, serve, upstream};

/// Sends a request that names itself `mine`; what the backend and the client get under that name, and the whole head.
async fn ids(
    header: &'static str,
    observe: Option<ObserveLayer>,
    trusted: bool,
) -> (Vec<String>, Option<String>, String) {
    let (recorder, backend) = Recorder::start().await;
    let mut gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .route(Route::new("/").to("backend"));
    if let Some(observe) = observe {
        gateway = gateway.observe(observe);
    }
    if trusted {
        gateway = gateway.trust_proxies(["127.0.0.1"]);
    }
    let mut asked = request("GET", "/");
    let alias = HeaderName::try_from(header.replace('-', "_")).unwrap();
    let headers = asked.headers_mut();
    headers.insert(alias, "alias".parse().unwrap());
    headers.insert(header, "mine".parse().unwrap());
    let named = format!("{header}, traceparent, tracestate");
    headers.insert("connection", named.parse().unwrap());
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("tracestate", "a=1".parse().unwrap());
    let answer = send(serve(gateway.build().unwrap()).await, asked).await;
    assert_eq!(answer.status(), 200);
    let got = answer.headers().get(header);
    let seen = &recorder.requests()[0];
    (
        seen.header(header).into_iter().map(str::to_owned).collect(),
        got.map(|id| id.to_str().unwrap().to_owned()),
        seen.head.clone(),
    )
}

#[tokio::test]
async fn a_backend_gets_the_gateways_id_and_no_other() {
    let other = || ObserveLayer::new().request_id(HeaderName::from_static("x-correlation-id"));
    for (header, observe) in [("x-request-id", None), ("x-correlation-id", Some(other()))] {
        let (seen, got, head) = ids(header, observe.clone(), false).await;
        assert_eq!(seen, [got.unwrap()], "{header} in {head}");
        assert_ne!(seen, ["mine"], "{header}");
        assert!(!head.contains("alias"), "{head}");

        let (seen, got, head) = ids(header, observe, true).await;
        assert_eq!(
            (&*seen, got.as_deref()),
            (&["mine".to_owned()][..], Some("mine")),
            "{head}"
        );
        assert!(!head.contains("alias"), "{head}");
    }
}

#[tokio::test]
async fn a_trace_goes_on_whatever_the_client_calls_hop_by_hop() {
    let (_, _, head) = ids("x-request-id", None, false).await;
    let mine = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-";
    assert!(
        head.contains(mine) && head.contains("tracestate: a=1"),
        "{head}"
    );
    assert!(!head.contains("b7ad6b7169203331"), "{head}");
}

#[tokio::test]
async fn without_an_id_the_header_is_like_any_other() {
    let observe = || ObserveLayer::new().request_id(None);
    let (seen, got, head) = ids("x-correlation-id", Some(observe()), false).await;
    assert!(
        seen.is_empty() && got.is_none(),
        "the client called it hop-by-hop: {head}"
    );
    assert!(head.contains("alias"), "{head}");
}
