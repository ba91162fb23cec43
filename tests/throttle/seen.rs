//! What layers and people around a throttle see of it, and do with it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Router, routing::any};
use http::{HeaderName, Request, Response, request::Parts};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_gateway::{
    Body, BoxError, Gateway, Rejection, Route,
    throttle::{
        Ask, Key, KeyExtractor, LocalStore, Policy, RateLimits, Rule, ThrottleLayer, WithoutKey,
    },
};

use crate::{
    support::{axum_backend, serve, upstream},
    world::{gateway, get, of, statuses},
};

/// What was seen of each answer: the rejection's status, and what was left of each policy.
type Seen = Arc<Mutex<Vec<(Option<u16>, Vec<(String, u64)>)>>>;

async fn seen_by_a_layer_around(gateway: Gateway, seen: Seen) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = ServiceBuilder::new()
        .map_response(move |response: Response<Body>| {
            let rejection = response.extensions().get::<Rejection>();
            let limits = response.extensions().get::<RateLimits>();
            let limits = limits.into_iter().flat_map(RateLimits::iter);
            let limits = limits.map(|(policy, it)| (policy.name().to_owned(), it.remaining()));
            let status = rejection.map(|rejection| rejection.0.status().as_u16());
            seen.lock().unwrap().push((status, limits.collect()));
            response
        })
        .service(gateway);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = ServiceBuilder::new()
                .map_request(move |mut request: Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(peer);
                    request
                })
                .service(service.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            tokio::spawn(connection);
        }
    });
    address
}

#[tokio::test]
async fn what_limits_said_is_there_for_layers_that_want_it() {
    for is_on in [true, false] {
        let layer = |many, name| ThrottleLayer::new(of(many).named(name)).extensions(is_on);
        let route = Route::new("/{*rest}").to("backend");
        let route = route.throttle(layer(1, "route"));
        let builder = gateway().await.throttle(layer(2, "door")).route(route);
        let seen = Seen::default();
        let gateway = seen_by_a_layer_around(builder.build().unwrap(), seen.clone()).await;
        assert_eq!(statuses(gateway, "192.0.2.1", 3).await, [200, 429, 429]);
        let said = |name: &str, left| (name.to_owned(), left);
        let expected = [
            (None, vec![said("route", 0), said("door", 1)]),
            (Some(429), vec![said("route", 0), said("door", 0)]),
            (Some(429), vec![said("door", 0)]),
        ];
        for (seen, expected) in seen.lock().unwrap().iter().zip(expected) {
            assert_eq!(seen.0, expected.0);
            assert_eq!(seen.1, if is_on { expected.1 } else { vec![] });
        }
    }
}

#[tokio::test]
async fn the_support_desk_forgets_what_a_client_has_spent() {
    let store = LocalStore::new();
    let day = Duration::from_secs(86_400);
    for policy in [of(2).named("rate"), Policy::sliding_window(2, day)] {
        let key = Key::header(HeaderName::from_static("x-tenant"));
        let rule = Rule::new(policy.clone()).by(key.clone());
        let throttle = ThrottleLayer::new(rule).limiter(Arc::new(store.clone()));
        let route = Route::new("/{*rest}").to("backend");
        let gateway = gateway().await.throttle(throttle).route(route);
        let gateway = serve(gateway.build().unwrap()).await;
        let status = async |tenant: &'static str| {
            let fields = [("x-tenant", tenant)];
            get(gateway, "/", "192.0.2.1", &fields).await.status
        };
        for tenant in ["acme", "other"] {
            for expected in [200, 200, 429] {
                assert_eq!(status(tenant).await, expected);
            }
        }
        let head = |tenant| {
            let head = Request::get("/").header("x-tenant", tenant);
            head.body(()).unwrap().into_parts().0
        };
        let acme = key.of(&head("acme")).unwrap();
        assert!(store.forget(&policy, &acme));
        assert!(!store.forget(&policy, &acme), "it is forgotten");
        assert!(!store.forget(&policy.clone().named("else"), &acme));
        let ask = Ask {
            policy: &policy,
            key: &acme,
            cost: 2,
        };
        assert!(store.peek(&ask, Instant::now()).is_allowed());
        for expected in [200, 200, 429] {
            assert_eq!(status("acme").await, expected);
        }
        assert_eq!(status("other").await, 429, "it is another key");
    }
    assert_eq!(
        Key::subject().of(&Request::new(()).into_parts().0),
        None,
        "nobody is known"
    );
}

struct Tenant;

impl KeyExtractor for Tenant {
    async fn extract(&self, head: &Parts) -> Result<Option<Vec<u8>>, BoxError> {
        tokio::task::yield_now().await;
        let tenant = head.headers.get("x-tenant");
        Ok(tenant.map(|tenant| tenant.as_bytes().to_vec()))
    }
}

#[tokio::test]
async fn what_is_known_is_not_asked_again_when_something_is_waited_for() {
    let times = Arc::new(AtomicU64::new(0));
    let (by, cost) = (times.clone(), times.clone());
    let key = Key::from_fn(move |head| {
        by.fetch_add(1, Relaxed);
        Some(head.uri.path().to_owned())
    });
    let first = Rule::new(of(9).named("path")).by(key).cost_by(move |_| {
        cost.fetch_add(100, Relaxed);
        1
    });
    let second = Rule::new(of(3).named("tenant"))
        .by(Tenant)
        .without_key(WithoutKey::Share);
    let throttle = ThrottleLayer::new(first).rule(second);
    let handle = throttle.handle();
    let route = Route::new("/{*rest}").to("backend");
    let backend = axum_backend(Router::new().fallback(any(async || "served"))).await;
    let gateway = Gateway::builder()
        .upstream("backend", upstream(backend))
        .trust_proxies(["127.0.0.1"])
        .throttle(throttle)
        .route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(statuses(gateway, "192.0.2.1", 2).await, [200; 2]);
    assert_eq!(times.load(Relaxed), 202, "once for each");
    let answer = get(gateway, "/", "192.0.2.1", &[]).await;
    let told = answer.header("ratelimit")[0];
    assert!(told.contains("\"path\";r=6;") && told.contains("\"tenant\";r=0;"));
    assert_eq!(statuses(gateway, "192.0.2.1", 1).await, [429]);
    assert_eq!(handle.allowed(), 3);
}
