//! What stands in the log.

use tower_gateway::{
    Route,
    throttle::{AddressList, Key, Rule, ThrottleLayer},
};

use crate::{
    logging::Log,
    support::serve,
    world::{gateway, get, of, statuses},
};

#[tokio::test]
async fn a_dry_run_says_whom_it_would_have_refused_and_a_refusal_why() {
    for is_dry in [true, false] {
        let log = Log::start();
        let throttle = ThrottleLayer::new(of(1).named("single")).dry_run(is_dry);
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway().await.throttle(throttle).route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [200]);
        assert_eq!(log.next().await.get("status"), "200");
        let mentions = |what: &str| log.kept().all.matches(what).count();
        assert_eq!(mentions("a dry run would have refused a request"), 0);

        let status = if is_dry { 200 } else { 429 };
        assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [status]);
        assert_eq!(log.next().await.get("status"), status.to_string());
        let times = usize::from(is_dry);
        assert_eq!(mentions("a dry run would have refused a request"), times);
        assert_eq!(mentions("over single"), 1, "{}", log.kept().all);
    }
}

#[tokio::test]
async fn a_dry_run_does_not_fill_the_log() {
    let log = Log::start();
    let key = |name| Key::header(http::HeaderName::from_static(name));
    let throttle = ThrottleLayer::new(Rule::new(of(1).named("a")).by(key("x-a")))
        .rule(Rule::new(of(3).named("b")).by(key("x-b")))
        .block(AddressList::new(["203.0.113.7"]))
        .dry_run(true);
    let handle = throttle.handle();
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    let says = async |ip: &str, fields: &[(&str, &str)]| {
        for _ in 0..20 {
            assert_eq!(get(gateway, "/", ip, fields).await.status, 200);
        }
        let kept = log.kept();
        kept.all
            .matches("a dry run would have refused a request")
            .count()
    };
    assert_eq!(says("192.0.2.1", &[("x-a", "1"), ("x-b", "1")]).await, 1);
    assert_eq!(
        says("192.0.2.1", &[("x-b", "1")]).await,
        1,
        "the first rule has no key"
    );
    let each = |at: usize| format!("{at}");
    for at in 0..20 {
        get(
            gateway,
            "/",
            "192.0.2.1",
            &[("x-a", &each(at)), ("x-b", "2")],
        )
        .await;
    }
    assert_eq!(says("203.0.113.7", &[]).await, 3, "each rule, and the list");
    assert_eq!(handle.would_refuse(), 19 + 20 + 17 + 20);
}
