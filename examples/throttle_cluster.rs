//! One limit for five gateways, which keep in one Redis what was spent.
//!
//! ```sh
//! cargo run --features redis --example throttle_cluster
//! ```
//!
//! Five gateways on loopback, and a client that asks all of them as fast as it can. It has 400 requests a second, and 100 at once,
//! wherever it asks. The example prints what each gateway let through in each second, and all of them together beside the limit: first
//! with every request counted in Redis; then with leases, of 20 requests at a time, that each gateway spends by itself; and then
//! without Redis, when each gateway allows a fifth. With `-- --check` it does so for a shorter time, and fails when more was let
//! through than the limit allows, or less than half of it.
//!
//! It starts a `redis-server` of its own, which has to be installed.

mod support;

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, routing::any};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use support::Checks;
use tokio::{net::TcpStream, time::sleep};
use tower_gateway::{
    BoxError, Gateway, Route, Upstream,
    redis::Redis,
    throttle::{Key, OnFailure, Policy, RedisLimiter, Rule, ThrottleHandle, ThrottleLayer},
};

const GATEWAYS: u32 = 5;
const RATE: u64 = 400;
const BURST: u64 = 100;
const LEASE: u64 = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, BoxError> {
    let mut server = Server::start().await?;
    let backend = support::backend(Router::new().fallback(any(|| async { "served\n" }))).await?;
    let seconds = if support::is_check() { 2 } else { 5 };
    let mut checks = Checks::default();
    println!("The limit is {RATE} a second, and {BURST} at once. Let through:");

    let exact = fleet(backend, || RedisLimiter::new(Redis::new(&*server.url))).await?;
    run(
        "each request counted in Redis",
        &exact,
        seconds,
        0,
        &mut checks,
    )
    .await;

    let leases = || RedisLimiter::new(Redis::new(&*server.url).key_prefix("leases:")).lease(LEASE);
    let leasing = fleet(backend, leases).await?;
    let leased = u64::from(GATEWAYS) * LEASE;
    run("leases of 20", &leasing, seconds, leased, &mut checks).await;

    server.stop();
    // What was spent before is not known to each of them: as much as there is at once may pass once more.
    run("without Redis", &exact, seconds, BURST, &mut checks).await;
    let failing = exact.iter().filter(|(_, throttle)| throttle.is_failing());
    let failing = failing.count();
    checks.expect("gateways that know it", failing == 5, failing);
    Ok(checks.exit())
}

/// Gateways with one limit: where they are, and how they fare.
async fn fleet(
    backend: SocketAddr,
    limiter: impl Fn() -> RedisLimiter,
) -> Result<Vec<(SocketAddr, ThrottleHandle)>, BoxError> {
    let mut fleet = Vec::new();
    for _ in 0..GATEWAYS {
        let policy = Policy::per_second(RATE).burst(BURST).named("client");
        let throttle = ThrottleLayer::new(Rule::new(policy).by(Key::client_ip()))
            .limiter(limiter())
            .on_failure(OnFailure::Local { gateways: GATEWAYS });
        let handle = throttle.handle();
        let gateway = Gateway::builder()
            .upstream("backend", Upstream::http([format!("http://{backend}")]))
            .throttle(throttle)
            .route(Route::new("/{*rest}").to("backend"))
            .build()?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        fleet.push((listener.local_addr()?, handle));
        tokio::spawn(support::serve(listener, gateway));
    }
    Ok(fleet)
}

/// Asks all of them for some seconds, and prints what they let through; `more` is what may pass beyond the limit.
async fn run(
    what: &str,
    fleet: &[(SocketAddr, ThrottleHandle)],
    seconds: u32,
    more: u64,
    checks: &mut Checks,
) {
    println!("{what}:");
    let allowed = || -> Vec<u64> {
        fleet
            .iter()
            .map(|(_, throttle)| throttle.allowed())
            .collect()
    };
    let (begun, before) = (Instant::now(), allowed());
    let clients = fleet.iter().map(|(address, _)| tokio::spawn(ask(*address)));
    let clients: Vec<_> = clients.collect();
    let mut last = before.clone();
    for second in 1..=seconds {
        sleep((Duration::from_secs(1) * second).saturating_sub(begun.elapsed())).await;
        let now = allowed();
        let each: Vec<_> = now
            .iter()
            .zip(&last)
            .map(|(now, last)| now - last)
            .collect();
        let limit = if second == 1 { RATE + BURST } else { RATE };
        let all: u64 = each.iter().sum();
        println!("  second {second}: {each:?} together {all}, and the limit is {limit}");
        last = now;
    }
    clients.iter().for_each(|client| client.abort());
    let all = last.iter().sum::<u64>() - before.iter().sum::<u64>();
    // What was let through is read after the clock, so the time is taken after it.
    let most = BURST + more + (RATE as f64 * begun.elapsed().as_secs_f64()).ceil() as u64;
    let is_right = (most / 2..=most).contains(&all);
    checks.expect(
        "let through, of what may be",
        is_right,
        format_args!("{all} of {most}"),
    );
}

/// Asks one gateway as fast as it answers.
async fn ask(address: SocketAddr) -> Result<(), BoxError> {
    loop {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        while sender.ready().await.is_ok() {
            let request = Request::get("/").header(header::HOST, "shop.example");
            let response = sender.send_request(request.body(Empty::<Bytes>::new())?);
            response.await?.into_body().collect().await?;
            // Refusals are quick: others are to have their turn, too.
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A Redis, for as long as it is needed.
struct Server {
    url: String,
    process: Child,
}

impl Server {
    async fn start() -> Result<Self, BoxError> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server can not be started: {error}"))?;
        let server = Self {
            url: format!("redis://127.0.0.1:{port}"),
            process,
        };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(server);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err("redis-server does not listen".into())
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
