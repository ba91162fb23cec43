//! Several endpoints, of which some can not be reached: what goes elsewhere, and what does not.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use http::Request;
use tokio::io::AsyncReadExt;
use tower::{Service, ServiceExt, layer::layer_fn, service_fn};
use tower_gateway::{Body, Error, Next, Route, Upstream};

use crate::support::{
    Recorder, one_route, raw_backend, read_head, refusing, request, send, serve, text,
};

/// Endpoints on these addresses, each with its own base path.
fn endpoints(addresses: &[SocketAddr]) -> Upstream {
    let urls = addresses.iter().enumerate();
    Upstream::http(urls.map(|(at, address)| format!("http://{address}/{at}")))
}

#[tokio::test]
async fn what_did_not_reach_an_endpoint_goes_to_another() {
    let (recorder, alive) = Recorder::start().await;
    let ((_kept, dead), (_kept_too, gone)) = (refusing(), refusing());
    let gateway = || {
        serve(one_route(
            Route::new("/{*rest}"),
            endpoints(&[dead, gone, alive]),
        ))
    };
    for round in 0..30 {
        // A new gateway knows nothing of its endpoints.
        let gateway = gateway().await;
        for (method, said) in [("POST", "the body"), ("GET", "")] {
            let mut asked = request(method, "/a?x=1");
            *asked.body_mut() = said.into();
            assert_eq!(send(gateway, asked).await.status(), 200, "{round}");
            let seen = recorder.take();
            assert!(seen.head.starts_with(method));
            assert_eq!(seen.target(), "/2/a?x=1");
            assert_eq!(seen.header("host"), [alive.to_string()]);
            assert_eq!(seen.body, said.as_bytes());
        }
    }
}

#[tokio::test]
async fn a_request_that_was_sent_goes_nowhere_else() {
    let (recorder, alive) = Recorder::start().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let breaks = raw_backend(move |_, mut stream| {
        let count = count.clone();
        async move {
            read_head(&mut stream).await;
            let mut body = [0; 4];
            stream.read_exact(&mut body).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let gateway = serve(one_route(
        Route::new("/{*rest}"),
        endpoints(&[breaks, alive]),
    ))
    .await;
    let mut refused = 0;
    for _ in 0..40 {
        let mut asked = request("POST", "/a");
        *asked.body_mut() = "body".into();
        refused += usize::from(send(gateway, asked).await.status() == 502);
    }
    let taken = taken.load(Ordering::SeqCst);
    assert!(refused > 0 && refused == taken, "{refused} {taken}");
    assert_eq!(recorder.requests().len(), 40 - taken);
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn each_endpoint_is_tried_once() {
    let log = crate::logging::capture::Log::start();
    let ((_kept, dead), (_kept_too, gone)) = (refusing(), refusing());
    let gateway = serve(one_route(Route::new("/{*rest}"), endpoints(&[dead, gone]))).await;
    let mut last = [0, 0];
    for _ in 0..40 {
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), 502);
        let access = log.next().await;
        assert_eq!(access.get("tries"), "2");
        let tried_last = [dead, gone].map(|at| access.get("endpoint").contains(&at.to_string()));
        last = [0, 1].map(|at| last[at] + usize::from(tried_last[at]));
    }
    assert!(last[0] > 0 && last[1] > 0, "{last:?}");
}

#[tokio::test]
async fn an_endpoint_that_was_not_reached_is_not_preferred_until_it_is_back() {
    let (here, alive) = Recorder::start().await;
    let (back, port) = (Arc::new(AtomicBool::new(false)), alive.port());
    let asked = Arc::new(AtomicUsize::new(0));
    let (is_back, count) = (back.clone(), asked.clone());
    let urls = [
        format!("http://away.test:{port}/away"),
        format!("http://{alive}/here"),
    ];
    let upstream = Upstream::http(urls).resolver(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let known = is_back.load(Ordering::SeqCst);
        async move {
            match known {
                true => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
                false => Err(io::Error::other("no such name")),
            }
        }
    });
    let gateway = serve(one_route(Route::new("/{*rest}"), upstream)).await;
    for _ in 0..200 {
        assert_eq!(send(gateway, request("GET", "/a")).await.status(), 200);
    }
    // One in 32 is expected: it is first in every second draw, and one draw in 16 gives it a chance.
    let tries = asked.load(Ordering::SeqCst);
    assert!((1..=30).contains(&tries), "{tries}");

    back.store(true, Ordering::SeqCst);
    let away = || {
        let requests = here.requests();
        requests
            .iter()
            .filter(|seen| seen.target() == "/away/a")
            .count()
    };
    for _ in 0..1000 {
        text(send(gateway, request("GET", "/a")).await).await;
        if away() > 0 {
            break;
        }
    }
    let before = away();
    for _ in 0..200 {
        text(send(gateway, request("GET", "/a")).await).await;
    }
    let since = away() - before;
    assert!((45..=155).contains(&since), "{since} of 200");
}

/// Sends a request without a body again for as long as nothing of it has reached a backend.
fn try_again(
    next: Next,
) -> impl Service<Request<Body>, Response = http::Response<Body>, Error = Error, Future: Send> + Clone
{
    service_fn(move |request: Request<Body>| {
        let next = next.clone();
        async move {
            let (parts, _) = request.into_parts();
            loop {
                let copy = Request::from_parts(parts.clone(), Body::empty());
                match next.clone().oneshot(copy).await {
                    Err(error) if error.is_retryable() => {}
                    other => return other,
                }
            }
        }
    })
}

#[tokio::test]
async fn what_reached_no_endpoint_can_be_tried_again() {
    let (recorder, alive) = Recorder::start().await;
    let asked = AtomicUsize::new(0);
    let upstream = Upstream::http([format!("http://late.test:{}", alive.port())]);
    let upstream = upstream.resolver(move |_| {
        let early = asked.fetch_add(1, Ordering::SeqCst) < 5;
        async move {
            match early {
                true => Err(io::Error::other("not yet")),
                false => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            }
        }
    });
    let patient = upstream.layer(layer_fn(try_again));
    let gateway = serve(one_route(Route::new("/a"), patient)).await;
    assert_eq!(send(gateway, request("GET", "/a")).await.status(), 200);
    assert_eq!(recorder.requests().len(), 1);
}
