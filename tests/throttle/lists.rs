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
