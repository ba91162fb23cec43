//! The same endpoint for the same key, over sockets.

use std::collections::HashSet;

use http::HeaderName;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tower_gateway::{Affinity, Balance, Endpoint, Route, StickyKey, Upstream};

use crate::{
    backend::{Backend, Mode},
    support::{
        one_route, raw_backend, read_head, refusing, request, request_with, send, serve, text,
    },
};

#[tokio::test]
async fn a_key_stays_and_keys_spread() {
    let backends = Backend::three().await;
    let header = StickyKey::header(HeaderName::from_static("x-user"));
    for (key, route) in [
        (header, "/{*rest}"),
        (StickyKey::cookie("user"), "/{*rest}"),
        (StickyKey::param("user"), "/{user}"),
    ] {
        // Two gateways agree.
        let mut gateways = Vec::new();
        for _ in 0..2 {
            let upstream = Upstream::http(&backends).balance(Balance::hash(key.clone()));
            gateways.push(serve(one_route(Route::new(route), upstream)).await);
        }
        let mut used = HashSet::new();
        for user in 0..20 {
            let mut seen = HashSet::new();
            for gateway in gateways.iter().chain(&gateways) {
                let (name, cookie) = (format!("user-{user}"), format!("user=user-{user}"));
                let lines = [("x-user", &*name), ("cookie", &*cookie)];
                let request = request_with(&format!("/{name}"), &lines);
                seen.insert(text(send(*gateway, request).await).await);
            }
            assert_eq!(seen.len(), 1, "{key:?} {user}");
            used.extend(seen);
        }
        assert_eq!(used.len(), 3, "{key:?}");
    }
}

#[tokio::test]
async fn a_client_stays() {
    let backends = Backend::three().await;
    let upstream = Upstream::http(&backends).balance(Balance::hash(StickyKey::client_ip()));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let mut seen = HashSet::new();
    for _ in 0..10 {
        seen.insert(text(send(gateway, request("GET", "/")).await).await);
    }
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn weights_and_functions_decide() {
    let [a, b, c] = Backend::three().await;
    let weighed = [
        Endpoint::from(&a).weight(3),
        Endpoint::from(&b),
        Endpoint::from(&c).weight(0),
    ];
    let upstream = Upstream::http(weighed).balance(Balance::round_robin());
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..20 {
        assert_eq!(send(gateway, request("GET", "/")).await.status(), 200);
    }
    assert_eq!([a.taken(), b.taken(), c.taken()], [15, 5, 0]);

    let url = c.url();
    let pick = move |candidates: tower_gateway::Candidates<'_>| {
        (0..candidates.len())
            .find(|at| candidates.url(*at) == url)
            .unwrap_or(0)
    };
    let upstream = Upstream::http([&a, &b, &c]).balance(Balance::custom(pick));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..10 {
        assert_eq!(text(send(gateway, request("GET", "/")).await).await, "c");
    }
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_endpoint() {
    let backends = Backend::three().await;
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let upstream = Upstream::http(&backends)
            .balance(Balance::round_robin())
            .affinity(Affinity::cookie("home", [7; 32]));
        gateways.push(serve(one_route(Route::new("/{*rest}"), upstream)).await);
    }
    let ask = async |at: usize, cookie: Option<&str>| {
        let line = format!("home={}", cookie.unwrap_or_default());
        let lines = [("cookie", &*line)];
        let lines = if cookie.is_some() { &lines[..] } else { &[] };
        let response = send(gateways[at], request_with("/", lines)).await;
        let set = response.headers().get("set-cookie");
        let set = set.map(|set| set.to_str().unwrap().to_owned());
        (text(response).await, set)
    };
    let (name, set) = ask(0, None).await;
    let set = set.expect("a cookie");
    let (pair, rest) = set.split_once(';').unwrap();
    assert_eq!(rest, " Path=/; HttpOnly; SameSite=Lax");
    let token = pair.strip_prefix("home=").unwrap();
    for at in [0, 1, 0, 1, 0, 1] {
        assert_eq!(
            ask(at, Some(token)).await,
            (name.clone(), None),
            "nothing new is said"
        );
    }
    let mut seen = HashSet::new();
    for forged in ["", "x", "aaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaab"] {
        let (name, set) = ask(0, Some(forged)).await;
        assert!(set.is_some(), "{forged:?} is none of ours");
        seen.insert(name);
    }
    assert!(seen.len() > 1);

    // The endpoint is gone: another one, and another cookie.
    let home = backends
        .iter()
        .position(|backend| backend.name == name)
        .unwrap();
    backends[home].set(Mode::Resets);
    let gone = Upstream::http(backends.iter().enumerate().map(|(at, backend)| {
        let url = Endpoint::from(backend);
        if at == home { url.weight(0) } else { url }
    }));
    let gone = gone.affinity(Affinity::cookie("home", [7; 32]));
    let gateway = serve(one_route(Route::new("/{*rest}"), gone)).await;
    let response = send(gateway, request_with("/", &[("cookie", pair)])).await;
    let other = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(!other.starts_with(pair));
    assert_ne!(text(response).await, name);
}

#[tokio::test]
async fn a_client_whose_endpoint_can_not_be_reached_is_told_of_another() {
    let [a, ..] = Backend::three().await;
    let (_kept, dead) = refusing();
    let upstream = Upstream::http([a.url(), format!("http://{dead}")])
        .affinity(Affinity::cookie("home", [7; 32]));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let mut cookies = HashSet::new();
    for _ in 0..20 {
        let response = send(gateway, request("GET", "/")).await;
        cookies.insert(response.headers()["set-cookie"].clone());
        assert_eq!(text(response).await, "a");
    }
    assert_eq!(
        cookies.len(),
        1,
        "whoever was chosen first, it is that of the one that answered"
    );
}

/// It is asked now and then whether it is back; the key's next endpoint is the same then.
#[tokio::test]
async fn a_key_whose_endpoint_can_not_be_reached_has_one_other() {
    let [a, b, _] = Backend::three().await;
    let (_kept, dead) = refusing();
    let key = StickyKey::header(HeaderName::from_static("x-user"));
    let upstream = Upstream::http([a.url(), b.url(), format!("http://{dead}")]);
    let gateway = serve(one_route(
        Route::new("/{*rest}"),
        upstream.balance(Balance::hash(key)),
    ))
    .await;
    for user in 0..8 {
        let name = format!("user-{user}");
        let mut seen = HashSet::new();
        for _ in 0..60 {
            let request = request_with("/", &[("x-user", &name)]);
            seen.insert(text(send(gateway, request).await).await);
        }
        assert_eq!(seen.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_client_that_changes_the_protocol_is_told_where_it_belongs() {
    let chat = raw_backend(|_, mut stream| async move {
        read_head(&mut stream).await;
        let switch = b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
        stream.write_all(switch).await.unwrap();
    })
    .await;
    let upstream = Upstream::http([format!("http://{chat}")])
        .upgrades(["chat"])
        .affinity(Affinity::cookie("home", [7; 32]));
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    let mut client = TcpStream::connect(gateway).await.unwrap();
    let asks = b"GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
    client.write_all(asks).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("set-cookie: home="), "{head}");
}

#[tokio::test]
async fn an_endpoint_that_is_full_is_passed_over() {
    let backends = Backend::three().await;
    let upstream = Upstream::http(&backends).max_requests(2);
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for backend in &backends {
        backend.set(Mode::Holds);
    }
    let mut held = Vec::new();
    for _ in 0..6 {
        let response = send(gateway, request("GET", "/")).await;
        assert_eq!(response.status(), 200);
        held.push(response);
    }
    assert!(backends.iter().all(|backend| backend.taken() == 2));
    assert_eq!(send(gateway, request("GET", "/")).await.status(), 503);
    for backend in &backends {
        backend.let_go();
        backend.set(Mode::Status(200));
    }
    assert_eq!(
        text(held.remove(0)).await,
        "held",
        "it counts to the end of its body"
    );
    let room = async || send(gateway, request("GET", "/")).await.status() == 200;
    crate::backend::until("there is room", room).await;
}
