//! Retries, deadlines and mirroring at their places in a gateway.

use std::time::Duration;

use http::HeaderName;
use tower_gateway::{
    Balance, CircuitBreakerLayer, ConcurrencyLimitLayer, Gateway, RetryLayer, Route, Upstream,
    breaker::CircuitState,
    deadline::{DeadlineHeader, DeadlineLayer},
    load::Priority,
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
        .concurrency_limit(ConcurrencyLimitLayer::max(9))
        .circuit_breaker(CircuitBreakerLayer::new())
        .retry(RetryLayer::new())
        .mirror(MirrorLayer::new(Upstream::http(["http://b"])));
    let gateway = Gateway::builder()
        .deadline(DeadlineLayer::new().honour(DeadlineHeader::grpc()))
        .upstream("a", upstream)
        .concurrency_limit(ConcurrencyLimitLayer::max(9))
        .route(
            Route::new("/")
                .to("a")
                .circuit_breaker(CircuitBreakerLayer::new())
                .retry(RetryLayer::new())
                .concurrency_limit(ConcurrencyLimitLayer::max(9))
                .priority(Priority::Critical),
        )
        .build()
        .unwrap();
    let plan = gateway.pipeline().to_string();
    for part in [
        "own headers > DeadlineLayer > ConcurrencyLimitLayer > match",
        "route /: PriorityLayer > ConcurrencyLimitLayer > RetryLayer > CircuitBreakerLayer > upstream a",
        "upstream a: MirrorLayer > RetryLayer > CircuitBreakerLayer > ConcurrencyLimitLayer > DeadlineLayer > Max-Forwards",
    ] {
        assert!(plan.contains(part), "{part}\n{plan}");
    }
}

#[test]
fn wrong_settings_are_mistakes_of_the_build() {
    let upstream = Upstream::http(["http://a"])
        .retry(RetryLayer::new().budget(f64::NAN))
        .circuit_breaker(CircuitBreakerLayer::new().failure_rate(f64::NAN))
        .concurrency_limit(ConcurrencyLimitLayer::max(0))
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
    assert_eq!(mistakes.len(), 11, "{mistakes:#?}");
    for what in [
        "max_tries",
        "failure",
        "max 0",
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

#[test]
fn what_needs_endpoints_is_not_ignored_for_a_service() {
    let service = || Upstream::service(Upstream::http(["http://a"]));
    for (upstream, what) in [
        (service().max_requests(1), "max_requests"),
        (service().balance(Balance::random()), "balance"),
        (service().slow_start(Duration::MAX), "slow_start"),
        (service().panic_mode(false), "panic_mode"),
    ] {
        let error = upstream.check().unwrap_err();
        let mistakes: Vec<_> = error.mistakes().collect();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{mistakes:?}"
        );
    }
    assert!(service().check().is_ok());
}

#[tokio::test]
async fn a_backend_that_fails_is_left_alone_and_a_fallback_answers() {
    let [main, other, _] = Backend::three().await;
    main.set(Mode::Status(500));
    for with_fallback in [false, true] {
        let breaker = CircuitBreakerLayer::new().consecutive_failures(3);
        let breaker = match with_fallback {
            true => breaker.fallback(Upstream::http([&other])),
            false => breaker,
        };
        let circuit = breaker.handle();
        let upstream = Upstream::http([&main]).circuit_breaker(breaker);
        let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
        let before = main.taken();
        for _ in 0..3 {
            assert_eq!(send(gateway, request("GET", "/")).await.status(), 500);
        }
        assert_eq!(circuit.state(), CircuitState::Open);
        for _ in 0..5 {
            let response = send(gateway, request("GET", "/")).await;
            if with_fallback {
                assert_eq!(text(response).await, "b");
            } else {
                assert_eq!(response.status(), 503);
                assert_eq!(response.headers()["retry-after"], "60");
                assert_eq!(
                    response.headers()["content-type"],
                    "application/problem+json"
                );
            }
        }
        assert_eq!(main.taken(), before + 3, "not asked any more");
        assert_eq!(circuit.figures().refused, 5);
    }
}

#[tokio::test]
async fn each_try_counts_for_the_circuit_and_an_open_one_is_not_tried_again() {
    let [main, ..] = Backend::three().await;
    main.set(Mode::Status(503));
    let breaker = CircuitBreakerLayer::new().consecutive_failures(3);
    let circuit = breaker.handle();
    let upstream = Upstream::http([&main])
        .circuit_breaker(breaker)
        .retry(RetryLayer::new());
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
    assert_eq!((main.taken(), circuit.state()), (3, CircuitState::Open));
    assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
    assert_eq!((main.taken(), circuit.figures().refused), (3, 1));
}

#[tokio::test]
async fn a_bulkhead_keeps_what_other_routes_need_and_the_important_go_last() {
    let [slow, fast, _] = Backend::three().await;
    slow.set(Mode::Holds);
    let limit = ConcurrencyLimitLayer::max(2);
    let handle = limit.handle();
    let gateway = Gateway::builder()
        .upstream("slow", Upstream::http([&slow]).concurrency_limit(limit))
        .upstream("fast", Upstream::http([&fast]))
        .route(Route::new("/slow").to("slow"))
        .route(Route::new("/vital").to("slow").priority(Priority::Critical))
        .route(Route::new("/fast").to("fast"))
        .build()
        .unwrap();
    let gateway = serve(gateway).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let response = send(gateway, request("GET", "/slow")).await;
        assert_eq!(response.status(), 200, "its body is still to come");
        held.push(response);
    }
    let shed = send(gateway, request("GET", "/slow")).await;
    assert_eq!(
        (shed.status().as_u16(), &shed.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    held.push(send(gateway, request("GET", "/vital")).await);
    assert_eq!(held[2].status(), 200, "shed last");
    assert_eq!(
        text(send(gateway, request("GET", "/fast")).await).await,
        "b"
    );
    assert_eq!(handle.in_flight(), 3);
    slow.let_go();
    for response in held {
        assert_eq!(text(response).await, "held");
    }
    until("all permits are back", async || handle.in_flight() == 0).await;
}

#[tokio::test]
async fn one_slow_endpoint_of_five_is_not_felt() {
    let mut backends = Backend::three().await.to_vec();
    backends.extend(Backend::three().await.into_iter().take(2));
    backends[3].set(Mode::Hangs);
    let upstream = Upstream::http(&backends)
        .balance(Balance::round_robin())
        .outlier_ejection(tower_gateway::OutlierEjection::new().consecutive_failures(2))
        .retry(RetryLayer::new().try_timeout(Duration::from_millis(200)));
    let handle = upstream.handle();
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..25 {
        assert_eq!(send(gateway, request("GET", "/")).await.status(), 200);
    }
    let ejected: Vec<_> = handle.endpoints().iter().map(|at| at.is_ejected).collect();
    assert_eq!(ejected, [false, false, false, true, false]);
    // It was asked until it was ejected, and what hangs is given up: nothing is left there.
    assert_eq!(backends[3].taken(), 2);
    until("it is let go", async || backends[3].open() == 0).await;
    assert!(handle.endpoints().iter().all(|at| at.in_flight == 0));
}

#[tokio::test]
async fn what_is_shed_is_not_sent_again() {
    let [slow, ..] = Backend::three().await;
    slow.set(Mode::Holds);
    let retry = RetryLayer::new();
    let retries = retry.handle();
    let upstream = Upstream::http([&slow])
        .concurrency_limit(ConcurrencyLimitLayer::max(1))
        .retry(retry);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let held = send(gateway, request("GET", "/")).await;
    assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
    assert_eq!(retries.counts().retries, 0);
    slow.let_go();
    assert_eq!(text(held).await, "held");
}
