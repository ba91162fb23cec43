//! What stands in the log.

use tower_gateway::{Route, throttle::ThrottleLayer};

use crate::{
    logging::Log,
    support::serve,
    world::{gateway, of, statuses},
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
