//! Three endpoints, one of which fails on a schedule, under load, with and without what keeps a gateway standing.
//!
//! ```sh
//! cargo run --release --example chaos                 # protections on
//! cargo run --release --example chaos -- --off        # the same without them
//! ```
//!
//! A table tells twice a second what clients saw and what the gateway did: requests and errors, tries, the circuit, and how each
//! endpoint is. Every ten seconds the broken endpoint is another one, and every third time it is slow instead of broken. Ctrl-C ends
//! it. While it runs, the gateway can be asked as well:
//!
//! ```sh
//! curl -i http://127.0.0.1:8080/
//! ```
//!
//! With `-- --check` it sends a number of requests while one of three endpoints fails every request, once with the protections and
//! once without, and fails if the first costs clients one error in a thousand or the second does not.

mod support;

use std::{
    fmt::Write as _,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, response::IntoResponse};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use support::Checks;
use tokio::net::TcpStream;
use tower_gateway::{
    BoxError, CircuitBreakerLayer, ConcurrencyLimitLayer, Gateway, HealthCheck, OutlierEjection,
    RetryLayer, Route, Upstream, UpstreamHandle,
    breaker::CircuitHandle,
    load::{Adaptive, ConcurrencyLimitHandle},
    retry::RetryHandle,
};

/// Clients that ask all the time.
const CLIENTS: usize = 16;

/// Requests of one run of `--check`.
const REQUESTS: u64 = 6000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, BoxError> {
    if support::is_check() {
        return check().await;
    }
    let is_on = !std::env::args().any(|arg| arg == "--off");
    let stage = Stage::set(is_on).await?;
    let listener = support::front().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(support::serve(listener, stage.gateway.clone()));
    let seen = Arc::new(Seen::default());
    for _ in 0..CLIENTS {
        tokio::spawn(client(address, seen.clone(), u64::MAX));
    }
    tokio::spawn(stage.show(seen, address));
    support::until_ctrl_c(server).await
}

/// The backends, the gateway in front of them, and what tells how they are.
struct Stage {
    moods: [Arc<AtomicU8>; 3],
    gateway: Gateway,
    endpoints: UpstreamHandle,
    /// Only with the protections.
    guards: Option<Guards>,
    is_on: bool,
}

struct Guards {
    retries: RetryHandle,
    circuit: CircuitHandle,
    limit: ConcurrencyLimitHandle,
}

/// What an endpoint does with a request.
const WELL: u8 = 0;
const BROKEN: u8 = 1;
const SLOW: u8 = 2;

impl Stage {
    async fn set(is_on: bool) -> Result<Self, BoxError> {
        let moods: [Arc<AtomicU8>; 3] = Default::default();
        let mut urls = Vec::new();
        for mood in &moods {
            urls.push(format!("http://{}", backend(mood.clone()).await?));
        }
        let mut upstream = Upstream::http(&urls);
        let mut guards = None;
        if is_on {
            // These are requests that change nothing: a 500 may be asked again as well.
            let statuses = [500, 502, 503, 504].map(StatusCode::from_u16);
            let retry = RetryLayer::new()
                .statuses(statuses.into_iter().flatten())
                .try_timeout(Duration::from_millis(500));
            let breaker = CircuitBreakerLayer::new()
                .time_window(Duration::from_secs(10))
                .open_duration(Duration::from_secs(2));
            let limit = ConcurrencyLimitLayer::adaptive(Adaptive::gradient())
                .queue(100, Duration::from_secs(1));
            guards = Some(Guards {
                retries: retry.handle(),
                circuit: breaker.handle(),
                limit: limit.handle(),
            });
            upstream = upstream
                // A request that failed is sent again to another endpoint, as long as that is not too often.
                .retry(retry)
                // When all of them fail, none is asked for a while.
                .circuit_breaker(breaker)
                // No more at once than they can take.
                .concurrency_limit(limit)
                // One that fails is left alone.
                .outlier_ejection(OutlierEjection::new().base_ejection(Duration::from_secs(2)))
                // It comes back when it says that it is well.
                .health_check(
                    HealthCheck::get("/healthz")
                        .interval(Duration::from_millis(500))
                        .timeout(Duration::from_millis(250)),
                );
        }
        let endpoints = upstream.handle();
        let gateway = Gateway::builder()
            .upstream("orders", upstream)
            .route(Route::new("/{*rest}").to("orders"))
            .build()?;
        Ok(Self {
            moods,
            gateway,
            endpoints,
            guards,
            is_on,
        })
    }

    /// One endpoint is in a bad mood at a time, each in turn.
    fn upset(&self, round: usize) {
        let (at, mood) = (round % 3, if round % 3 == 2 { SLOW } else { BROKEN });
        for (number, endpoint) in self.moods.iter().enumerate() {
            endpoint.store(if number == at { mood } else { WELL }, Ordering::Relaxed);
        }
    }

    /// Draws the table again and again.
    async fn show(self, seen: Arc<Seen>, address: SocketAddr) {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        for count in 0.. {
            tick.tick().await;
            self.upset(count / 20);
            // From the top left, over what was there before.
            print!("\x1b[2J\x1b[H{}", self.table(&seen, address));
        }
    }

    fn table(&self, seen: &Seen, address: SocketAddr) -> String {
        let (requests, errors) = seen.counts();
        let mut text = String::new();
        let on = if self.is_on { "on" } else { "off" };
        let _ = writeln!(text, "http://{address}   protections: {on}\n");
        let share = errors as f64 * 100.0 / requests.max(1) as f64;
        let _ = writeln!(text, "requests {requests}   errors {errors} ({share:.3} %)");
        if let Some(guards) = &self.guards {
            let retries = guards.retries.counts();
            let circuit = guards.circuit.figures();
            let (retried, denied) = (retries.retries, retries.over_budget);
            let _ = writeln!(
                text,
                "tries    {}   again {retried}   over budget {denied}",
                requests + retried
            );
            let _ = writeln!(
                text,
                "circuit  {:?}   failures {:.1} %   opened {}   refused {}",
                guards.circuit.state(),
                circuit.failure_rate().unwrap_or_default(),
                circuit.opened,
                circuit.refused
            );
            let _ = writeln!(
                text,
                "limit    {}   in flight {}   waiting {}",
                guards.limit.limit(),
                guards.limit.in_flight(),
                guards.limit.waiting()
            );
        }
        let _ = writeln!(
            text,
            "\n{:<24} {:<7} {:<10} {:>9} {:>9}",
            "endpoint", "mood", "state", "in flight", "ejections"
        );
        for (endpoint, mood) in self.endpoints.endpoints().iter().zip(&self.moods) {
            let mood = ["well", "BROKEN", "SLOW"][usize::from(mood.load(Ordering::Relaxed))];
            let state = match (endpoint.is_healthy, endpoint.is_ejected) {
                (Some(false), _) => "unhealthy",
                (_, true) => "ejected",
                _ => "in use",
            };
            let _ = writeln!(
                text,
                "{:<24} {mood:<7} {state:<10} {:>9} {:>9}",
                endpoint.url, endpoint.in_flight, endpoint.ejections
            );
        }
        text
    }
}

/// A backend that does what its mood says.
async fn backend(mood: Arc<AtomicU8>) -> Result<SocketAddr, BoxError> {
    let answer = move || {
        let mood = mood.clone();
        async move {
            match mood.load(Ordering::Relaxed) {
                BROKEN => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                SLOW => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    "at last\n".into_response()
                }
                _ => "here you are\n".into_response(),
            }
        }
    };
    support::backend(Router::new().fallback(answer)).await
}

/// What clients saw.
#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    errors: AtomicU64,
}

impl Seen {
    fn counts(&self) -> (u64, u64) {
        let requests = self.requests.load(Ordering::Relaxed);
        (requests, self.errors.load(Ordering::Relaxed))
    }
}

/// Asks one request after the other, until all clients together have asked so many.
async fn client(address: SocketAddr, seen: Arc<Seen>, most: u64) {
    let mut connection = None;
    while seen.requests.fetch_add(1, Ordering::Relaxed) < most {
        let is_ok = matches!(ask(&mut connection, address).await, Ok(true));
        if !is_ok {
            seen.errors.fetch_add(1, Ordering::Relaxed);
            connection = None;
        }
    }
}

type Connection = SendRequest<Empty<bytes::Bytes>>;

/// Whether the answer is a good one.
async fn ask(connection: &mut Option<Connection>, address: SocketAddr) -> Result<bool, BoxError> {
    let sender = match connection {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(address).await?;
            let (sender, driver) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            connection.insert(sender)
        }
    };
    sender.ready().await?;
    let request = http::Request::get("/orders/7")
        .header("host", "chaos.example")
        .body(Empty::new())?;
    let response = sender.send_request(request).await?;
    let is_ok = response.status().is_success();
    response.into_body().collect().await?;
    Ok(is_ok)
}

/// Sends requests while one endpoint of three fails them all.
async fn check() -> Result<ExitCode, BoxError> {
    let mut checks = Checks::default();
    for is_on in [true, false] {
        let stage = Stage::set(is_on).await?;
        let listener = support::front().await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(support::serve(listener, stage.gateway.clone()));
        stage.upset(0);
        let seen = Arc::new(Seen::default());
        let clients = (0..CLIENTS).map(|_| tokio::spawn(client(address, seen.clone(), REQUESTS)));
        for client in clients.collect::<Vec<_>>() {
            client.await?;
        }
        server.abort();
        let errors = seen.counts().1;
        let came = format!("{errors} errors in {REQUESTS} requests");
        if is_on {
            checks.expect(
                "one of three fails, protected",
                errors * 1000 < REQUESTS,
                came,
            );
            let ejections: u64 = stage
                .endpoints
                .endpoints()
                .iter()
                .map(|at| at.ejections)
                .sum();
            checks.expect(
                "it is ejected",
                ejections >= 1,
                format!("{ejections} ejections"),
            );
            if let Some(guards) = &stage.guards {
                let again = guards.retries.counts().retries;
                let is_bounded = again * 5 <= REQUESTS;
                checks.expect(
                    "few are sent again",
                    is_bounded,
                    format!("{again} of {REQUESTS}"),
                );
                let in_flight = guards.limit.in_flight();
                checks.expect(
                    "nothing is left",
                    in_flight == 0,
                    format!("{in_flight} in flight"),
                );
            }
        } else {
            checks.expect("unprotected", errors * 4 > REQUESTS, came);
        }
        println!("\n{}", stage.table(&seen, address));
    }
    Ok(checks.exit())
}
