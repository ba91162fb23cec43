//! Whom no limit concerns, and who is not let in at all.

use tower_gateway::{
    Route,
    throttle::{AddressList, ThrottleLayer},
};

use crate::{
    support::serve,
    world::{gateway, of, statuses},
};

#[tokio::test]
async fn lists_hold_at_once_when_they_are_changed() {
    let exempt = AddressList::new(["192.0.2.0/28"]);
    let blocked = AddressList::new(["203.0.113.7", "2001:db8:bad::/48"]);
    let throttle = ThrottleLayer::new(of(1))
        .exempt(exempt.clone())
        .block(blocked.clone());
    let handle = throttle.handle();
    let route = Route::new("/{*rest}").to("backend");
    let gateway = gateway().await.throttle(throttle).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(statuses(gateway, "192.0.2.1", 3).await, [200; 3]);
    assert_eq!(statuses(gateway, "192.0.2.99", 2).await, [200, 429]);
    assert_eq!(statuses(gateway, "203.0.113.7", 2).await, [403; 2]);
    assert_eq!(statuses(gateway, "2001:db8:bad:1::1", 1).await, [403]);
    assert_eq!((handle.exempt(), handle.blocked()), (3, 3));

    exempt.set(["203.0.113.0/24"]).unwrap();
    blocked.set(["192.0.2.1"]).unwrap();
    assert_eq!(statuses(gateway, "203.0.113.7", 3).await, [200; 3]);
    assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [403]);
    assert_eq!(statuses(gateway, "192.0.2.2", 2).await, [200, 429]);
    // A mistake changes nothing.
    assert!(blocked.set(["192.0.2.2", "nobody"]).is_err());
    assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [403]);
}

#[tokio::test]
async fn with_a_block_list_it_has_to_be_known_who_asks() {
    use tower_gateway::throttle::{Policy, Rule};
    let blocked = AddressList::new([""; 0]);
    let everybody = Rule::shared(Policy::per_hour(1).burst(9));
    let throttle = ThrottleLayer::new(everybody).block(blocked.clone());
    let handle = throttle.handle();
    // Nobody has said where axum puts the peer's address.
    let server = crate::alone::axum(throttle).await;
    let status = async || crate::world::ask(server, "/", &[]).await.status;
    assert_eq!(status().await, 200, "nobody is blocked");
    blocked.set(["203.0.113.7"]).unwrap();
    assert_eq!(status().await, 403, "it may be from there");
    assert_eq!((handle.blocked(), handle.without_key()), (0, 1));
}
