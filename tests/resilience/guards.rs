//! Retries, deadlines and mirroring at their places in a gateway.

use std::time::Duration;

use http::HeaderName;
use tower_gateway::{
    Balance, Gateway, RetryLayer, Route, Upstream,
    deadline::{DeadlineHeader, DeadlineLayer},
    mirror::MirrorLayer,
};

use crate::{
    backend::{Backend, Mode, until},
    support::{Recorder, one_route, request, request_with, send, serve, text},
};

#[tokio::test]
async fn a_failed_request_succeeds_elsewhere() {
    for mode in [Mode::Status(503), Mode::Resets, Mode::Hangs] {
        let backends = Backend::three().await;
        backends[1].set(mode);
        let upstream = || Upstream::http(&backends).balance(Balance::round_robin());
        let retry = || {
            RetryLayer::new()
                .try_timeout(Duration::from_millis(300))
                .budget(1.0)
        };
        let any = || Route::new("/{*rest}");
        for gateway in [
            one_route(any(), upstream().retry(retry())),
            one_route(any().retry(retry()), upstream()),
        ] {
            let gateway = serve(gateway).await;
            for _ in 0..9 {
                assert_eq!(
                    send(gateway, request("GET", "/")).await.status(),
                    200,
                    "{mode:?}"
                );
            }
        }
        let before = backends[1].taken();
        assert!(before >= 3, "it was asked: {before}");
    }
}

#[tokio::test]
async fn an_outage_costs_a_backend_little_more_than_the_requests() {
    let backends = Backend::three().await;
    for backend in &backends {
        backend.set(Mode::Status(503));
    }
    let retry = RetryLayer::new();
    let handle = retry.handle();
    let upstream = Upstream::http(&backends).retry(retry);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let count = 300;
    for _ in 0..count {
        assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
    }
    let tries: usize = backends.iter().map(Backend::taken).sum();
    let most = count + count / 5 + 3;
    assert!(tries > count && tries <= most, "{tries} of at most {most}");
    assert_eq!(handle.counts().requests as usize, count);
}

#[tokio::test]
async fn what_is_left_of_the_time_is_told_and_honoured() {
    let millis = || DeadlineHeader::millis(HeaderName::from_static("x-time-left"));
    let (recorder, address) = Recorder::start().await;
    let gateway = |trusted: &'static str| {
        let upstream = Upstream::http([format!("http://{address}")])
            .deadline(DeadlineLayer::new().propagate(millis()));
        Gateway::builder()
            .trust_proxies([trusted])
            .deadline(
                DeadlineLayer::new()
                    .timeout(Duration::from_secs(60))
                    .honour(millis()),
            )
            .upstream("a", upstream)
            .route(Route::new("/slow").to("a").timeout(Duration::from_secs(5)))
            .route(Route::new("/{*rest}").to("a"))
            .build()
            .unwrap()
    };
    let told = async |trusted, path, sent: &str| {
        let lines = [("x-time-left", sent)];
        let lines = if sent.is_empty() { &[] } else { &lines[..] };
        let response = send(serve(gateway(trusted)).await, request_with(path, lines)).await;
        assert_eq!(response.status(), 200);
        let left: u64 = recorder.take().header("x-time-left")[0].parse().unwrap();
        left
    };
    let (us, others) = ("127.0.0.1", "192.0.2.1");
    for (trusted, path, sent, most) in [
        (others, "/", "", 60_000),
        (others, "/slow", "", 5000),
        (us, "/", "2000", 2000),
        (us, "/", "90000", 60_000),
        (us, "/slow", "9000", 5000),
    ] {
        let left = told(trusted, path, sent).await;
        assert!(left <= most && left > most - 2000, "{path} {sent}: {left}");
    }
    let lines = [("x-time-left", "0")];
    let response = send(serve(gateway(us)).await, request_with("/", &lines)).await;
    assert_eq!(response.status(), 504, "nothing is left");
    assert!(recorder.requests().is_empty());
}

#[tokio::test]
async fn copies_go_to_another_backend_rewritten_and_unseen() {
    let (recorder, address) = Recorder::start().await;
    let [main, ..] = Backend::three().await;
    let mirror = MirrorLayer::new(Upstream::http([format!("http://{address}/shadow")]));
    let handle = mirror.handle();
    let upstream = Upstream::http([&main]).mirror(mirror);
    let route = Route::new("/api/{*rest}").strip_prefix("/api");
    let gateway = serve(one_route(route, upstream)).await;
    let mut asked = request_with("/api/a?x=1", &[("x-user", "7")]);
    *asked.body_mut() = "".into();
    assert_eq!(text(send(gateway, asked).await).await, "a");
    until("it is answered", async || handle.counts().answered == 1).await;
    let seen = recorder.take();
    assert_eq!(seen.target(), "/shadow/a?x=1");
    assert_eq!(seen.header("x-user"), ["7"]);
    assert_eq!(seen.header("host"), [address.to_string()]);
    assert_eq!(handle.counts().in_flight, 0);
}

#[test]
fn the_order_is_printed() {
    let upstream = Upstream::http(["http://a"])
        .deadline(DeadlineLayer::new().propagate(DeadlineHeader::grpc()))
        .retry(RetryLayer::new())
        .mirror(MirrorLayer::new(Upstream::http(["http://b"])));
    let gateway = Gateway::builder()
        .deadline(DeadlineLayer::new().honour(DeadlineHeader::grpc()))
        .upstream("a", upstream)
        .route(Route::new("/").to("a").retry(RetryLayer::new()))
        .build()
        .unwrap();
    let plan = gateway.pipeline().to_string();
    for part in [
        "own headers > DeadlineLayer > match",
        "route /: RetryLayer > upstream a",
        "upstream a: MirrorLayer > RetryLayer > DeadlineLayer > Max-Forwards",
    ] {
        assert!(plan.contains(part), "{part}\n{plan}");
    }
}

#[test]
fn wrong_settings_are_mistakes_of_the_build() {
    let upstream = Upstream::http(["http://a"])
        .retry(RetryLayer::new().budget(f64::NAN))
        .deadline(DeadlineLayer::new().timeout(Duration::ZERO))
        .mirror(MirrorLayer::new(Upstream::http(["ftp://b"])).share(2.0))
        .max_requests(0)
        .slow_start(Duration::ZERO)
        .balance(Balance::peak_ewma().decay(Duration::ZERO));
    let error = Gateway::builder()
        .deadline(DeadlineLayer::new().timeout(Duration::ZERO))
        .upstream("a", upstream)
        .route(
            Route::new("/")
                .to("a")
                .retry(RetryLayer::new().max_tries(0)),
        )
        .build()
        .unwrap_err();
    let mistakes: Vec<_> = error.mistakes().collect();
    assert_eq!(mistakes.len(), 9, "{mistakes:#?}");
    for what in [
        "max_tries",
        "budget",
        "timeout",
        "share",
        "ftp://b",
        "max_requests",
        "slow_start",
    ] {
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(what)),
            "{what}: {mistakes:#?}"
        );
    }
}
