//! Ten thousand requests to which anything may happen, with all protections on: nothing is left of them.

use std::{
    cell::Cell,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};
use tower_gateway::{
    CircuitBreakerLayer, ConcurrencyLimitLayer, DeadlineLayer, Gateway, HealthCheck,
    OutlierEjection, RetryLayer, Route, Upstream,
    load::{Adaptive, Priority},
    mirror::MirrorLayer,
};

use crate::{
    backend::until,
    support::{connect, connect_http2, raw_backend, refusing, request, send, serve},
};

/// Numbers that are the same each time; what they meet is not.
#[derive(Default)]
struct Dice(AtomicU64);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let mut mixed = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, SeqCst);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A backend that does one of everything.
async fn misbehave(mut stream: TcpStream, dice: Arc<Dice>, is_well: Arc<AtomicBool>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let fate = match is_well.load(SeqCst) {
            true => 99,
            false => dice.roll(20),
        };
        if head.starts_with(b"PUT") && fate != 0 {
            let mut body = [0; 3000];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
        }
        let (said, then) = match fate {
            0 => (
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                false,
            ),
            1 | 2 => ("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", true),
            3 => ("HTTP/1.1 500 X\r\ncontent-length: 1\r\n\r\nx", true),
            4 => (
                "HTTP/1.1 429 X\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
                true,
            ),
            5 => ("", false),
            6 => ("I am a teapot\r\n\r\n", false),
            7 => ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", false),
            8 => (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                false,
            ),
            9 | 10 => {
                // Silent before the head, or in the body, until the other side has had enough.
                if fate == 10 {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
                        .await;
                }
                let _ = stream.read_u8().await;
                return;
            }
            _ if head.starts_with(b"HEAD") => {
                ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", true)
            }
            _ => (WHOLE, true),
        };
        if stream.write_all(said.as_bytes()).await.is_err() || !then {
            return;
        }
    }
}

/// A client that asks for something, and leaves after so many turns of the others.
async fn ask(gateway: SocketAddr, dice: Arc<Dice>) {
    let (method, path) = match dice.roll(8) {
        0 => ("PUT", "/put"),
        1 => ("POST", "/post"),
        2 => ("HEAD", "/head"),
        3 => ("GET", "/vital"),
        _ => ("GET", "/get"),
    };
    let mut asked = request(method, path);
    if method == "PUT" {
        *asked.body_mut() = Full::from(vec![7; 3000]);
    }
    let talk = async {
        let response = if dice.roll(3) == 0 {
            *asked.version_mut() = http::Version::HTTP_2;
            *asked.uri_mut() = format!("http://t.example{path}").parse().unwrap();
            asked.headers_mut().remove("host");
            connect_http2(gateway).await.send_request(asked).await
        } else {
            connect(gateway).await.send_request(asked).await
        };
        let Ok(response) = response else { return };
        let mut body = response.into_body();
        for _ in 0..dice.roll(3) * 3 {
            let _ = body.frame().await;
        }
    };
    let turns = match dice.roll(3) {
        0 => dice.roll(60),
        _ => u64::MAX,
    };
    let leave = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    };
    match turns {
        u64::MAX => talk.await,
        _ => match select(pin!(talk), pin!(leave)).await {
            Either::Left(_) | Either::Right(_) => {}
        },
    }
}

#[tokio::test]
async fn ten_thousand_faults_leave_nothing_behind() {
    let ms = Duration::from_millis;
    let (dice, is_well) = (Arc::<Dice>::default(), Arc::<AtomicBool>::default());
    let (_kept, gone) = refusing();
    let mut backends = vec![gone];
    for _ in 0..4 {
        let (dice, is_well) = (dice.clone(), is_well.clone());
        let backend = move |_, stream| misbehave(stream, dice.clone(), is_well.clone());
        backends.push(raw_backend(backend).await);
    }
    let url = |address: &SocketAddr| format!("http://{address}");
    let shadow = backends.pop().unwrap();
    let mirror = MirrorLayer::new(Upstream::http([url(&shadow)]))
        .share(0.3)
        .timeout(ms(60));
    let breaker = CircuitBreakerLayer::new()
        .count_window(20)
        .minimum_calls(10)
        .failure_rate(60.0)
        .open_duration(ms(2))
        .half_open_calls(2)
        .half_open_wait(ms(50));
    let retry = RetryLayer::new()
        .try_timeout(ms(20))
        .hedge_after(ms(5))
        .backoff(ms(1), ms(2))
        .budget(0.5);
    let limits = [
        ConcurrencyLimitLayer::max(28).queue(4, ms(5)),
        ConcurrencyLimitLayer::adaptive(Adaptive::gradient().min(12).max(24)).queue(4, ms(5)),
        ConcurrencyLimitLayer::max(10).queue(4, ms(5)),
    ];
    let permits = limits.each_ref().map(ConcurrencyLimitLayer::handle);
    let [outer, middle, inner] = limits;
    let (copies, circuit, tries) = (mirror.handle(), breaker.handle(), retry.handle());
    let upstream = Upstream::http(backends.iter().map(url))
        .activity_timeout(ms(20))
        .outlier_ejection(OutlierEjection::new().base_ejection(ms(5)))
        .health_check(
            HealthCheck::get("/healthz")
                .interval(ms(20))
                .timeout(ms(10)),
        )
        .max_requests(8)
        .mirror(mirror)
        .retry(retry)
        .circuit_breaker(breaker)
        .concurrency_limit(inner);
    let endpoints = upstream.handle();
    let vital = Route::new("/vital").to("a").priority(Priority::Critical);
    let gateway = Gateway::builder()
        .concurrency_limit(outer)
        .deadline(DeadlineLayer::new().timeout(ms(150)))
        .upstream("a", upstream)
        .route(vital)
        .route(
            Route::new("/{*rest}")
                .to("a")
                .concurrency_limit(middle)
                .timeout(ms(100)),
        )
        .build()
        .unwrap();
    let gateway = serve(gateway).await;

    let left = Rc::new(Cell::new(10_000));
    let clients = LocalSet::new();
    for _ in 0..32 {
        let (left, dice, circuit) = (left.clone(), dice.clone(), circuit.clone());
        clients.spawn_local(async move {
            while left.get() > 0 {
                left.set(left.get() - 1);
                ask(gateway, dice.clone()).await;
                match dice.roll(1000) {
                    0 => circuit.force_open(),
                    1 => circuit.force_close(),
                    2..30 => circuit.reset(),
                    _ => {}
                }
                let probes = circuit.figures().half_open_calls;
                assert!(probes <= 2, "{probes} half-open calls");
            }
        });
    }
    clients.await;

    let in_flight = || {
        let counts = tries.counts();
        let mut all = vec![
            circuit.figures().half_open_calls,
            counts.in_flight,
            counts.extra_in_flight,
            copies.counts().in_flight as u64,
        ];
        all.extend(
            permits
                .iter()
                .flat_map(|limit| [limit.in_flight(), limit.waiting()].map(u64::from)),
        );
        all.extend(
            endpoints
                .endpoints()
                .iter()
                .map(|status| status.in_flight as u64),
        );
        all
    };
    is_well.store(true, SeqCst);
    until("all gauges are at zero", async || {
        in_flight().iter().all(|gauge| *gauge == 0)
    })
    .await;

    // It was worth it: each protection has had something to do.
    let counts = tries.counts();
    let figures = circuit.figures();
    assert!(counts.retries > 0 && counts.hedges > 0, "{counts:?}");
    assert!(figures.opened > 0 && figures.refused > 0, "{figures:?}");
    assert!(
        copies.counts().answered > 0 && copies.counts().failed > 0,
        "{:?}",
        copies.counts()
    );
    let admitted = permits.each_ref().map(|limit| limit.admitted());
    assert!(admitted.iter().all(|count| *count > 1_000), "{admitted:?}");
    let shed: u64 = permits
        .iter()
        .map(|limit| limit.shed(Priority::Normal))
        .sum();
    assert!(shed > 0, "{permits:?}");
    assert!(
        endpoints
            .endpoints()
            .iter()
            .any(|status| status.ejections > 0)
    );

    circuit.reset();
    until("it is well again", async || {
        send(gateway, request("GET", "/get")).await.status() == 200
    })
    .await;
}
