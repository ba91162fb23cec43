//! Whatever happens in whatever order: the cap holds, nobody waits while there is room, and every count returns to
//! zero.

use std::sync::Mutex;

use proptest::prelude::*;
use tokio::task::{AbortHandle, JoinHandle};

use super::*;
use crate::{
    client::{Protocol, pool::Pool},
    error::Error,
};

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        fresh: bool,
    },
    /// The request goes away while it waits or connects.
    Cancel(usize),
    /// The request ends as it should.
    Release(usize),
    /// The request breaks off.
    Drop(usize),
    /// The endpoint ends a connection.
    Close(usize),
    /// Nothing else happens until everyone has what he can get.
    Rest,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<bool>().prop_map(|fresh| Step::Acquire { fresh }),
        2 => any::<usize>().prop_map(Step::Cancel),
        4 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Drop),
        2 => any::<usize>().prop_map(Step::Close),
        4 => Just(Step::Rest),
    ];
    proptest::collection::vec(step, 1..60)
}

/// An endpoint whose connections can be ended, and the requests for it.
struct World {
    client: Client,
    tasks: Vec<JoinHandle<Result<Lease, Error>>>,
    held: Vec<Lease>,
    serving: Arc<Mutex<Vec<AbortHandle>>>,
}

impl World {
    async fn new(cap: usize, protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::new(Mutex::new(Vec::new()));
        let list = serving.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let task = tokio::spawn(serve(stream, protocol));
                list.lock().unwrap().push(task.abort_handle());
            }
        });
        let client = client(address, |config| {
            config.protocol = protocol;
            config.max_connections = cap.try_into().unwrap();
            config.max_waiting = 6;
        });
        Self {
            client,
            tasks: Vec::new(),
            held: Vec::new(),
            serving,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Acquire { fresh } => {
                let client = self.client.clone();
                self.tasks.push(tokio::spawn(async move {
                    client.pool().acquire(client.connector(), fresh).await
                }));
            }
            Step::Cancel(which) if !self.tasks.is_empty() => {
                let which = which % self.tasks.len();
                let task = self.tasks.swap_remove(which);
                task.abort();
                if let Ok(Ok(lease)) = task.await {
                    self.held.push(lease);
                }
            }
            Step::Release(which) if !self.held.is_empty() => {
                let which = which % self.held.len();
                match self.held.swap_remove(which) {
                    Lease::Http1(conn) => self.client.pool().release(conn),
                    Lease::Http2(stream) => drop(stream),
                }
            }
            Step::Drop(which) if !self.held.is_empty() => {
                let which = which % self.held.len();
                let mut lease = self.held.swap_remove(which);
                if let Lease::Http2(stream) = &mut lease {
                    stream.broken();
                }
                drop(lease);
            }
            Step::Close(which) => self.close(which),
            Step::Rest => self.rest().await,
            _ => {}
        }
        let cap = self.client.connector().config().max_connections.get();
        assert!(self.client.pool().lock().open <= cap);
    }

    fn close(&self, which: usize) {
        let mut serving = self.serving.lock().unwrap();
        if !serving.is_empty() {
            let which = which % serving.len();
            serving.swap_remove(which).abort();
        }
    }

    /// Runs until nothing moves any more, and looks at who is left.
    async fn rest(&mut self) {
        let quiet = async {
            loop {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                let mut waits = 0;
                for task in std::mem::take(&mut self.tasks) {
                    if !task.is_finished() {
                        waits += 1;
                        self.tasks.push(task);
                    } else if let Ok(Ok(lease)) = task.await {
                        self.held.push(lease);
                    }
                }
                if self.rests(waits) {
                    break;
                }
            }
        };
        let soon = tokio::time::timeout(Duration::from_secs(3), quiet).await;
        if soon.is_err() {
            let state = self.client.pool().lock();
            panic!(
                "{} tasks, {} of them wait, {} of {} connections are being opened, {} are idle",
                self.tasks.len(),
                state.waiting.len(),
                state.opening,
                state.open,
                state.idle.len()
            );
        }
    }

    /// Whether every connection is accounted for, and who waits has a reason to.
    fn rests(&self, waits: usize) -> bool {
        let pool: &Arc<Pool> = self.client.pool();
        let state = pool.lock();
        let used = self.held.iter().filter(|lease| match lease {
            Lease::Http1(_) => true,
            Lease::Http2(_) => false,
        });
        let known = state.idle.len() + state.http2.len() + state.draining.len() + used.count();
        let most = pool.config.max_streams.get();
        let room = state.open < pool.config.max_connections.get()
            || !state.idle.is_empty()
            || state
                .http2
                .iter()
                .any(|entry| !entry.is_closed() && entry.has_room(most));
        let waiting = state
            .waiting
            .iter()
            .filter(|waiter| !waiter.sender.is_closed());
        state.opening == 0
            && state.open == known
            && waiting.count() == waits
            && !(room && waits > 0)
    }

    fn unused(&self) -> bool {
        let now = crate::clock::now();
        let state = self.client.pool().lock();
        state
            .http2
            .iter()
            .all(|entry| entry.is_idle(now, Duration::ZERO))
    }

    /// Everyone goes, and then every connection ends.
    async fn end(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            drop(task.await);
        }
        self.held.clear();
        self.rest().await;
        assert!(self.unused(), "every stream has come back");
        let pool = self.client.pool();
        let none = async {
            while pool.lock().open > 0 {
                // Again and again: the endpoint may be late to accept one.
                self.close(0);
                pool.reap();
                tokio::task::yield_now().await;
            }
        };
        let soon = tokio::time::timeout(Duration::from_secs(3), none);
        soon.await.expect("every connection is counted down");
        assert_eq!(pool.lock().opening, 0);
    }
}

async fn serve(stream: TcpStream, protocol: Protocol) {
    if protocol == Protocol::Http2 {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(2);
        let Ok(mut server) = builder.handshake::<_, bytes::Bytes>(stream).await else {
            return;
        };
        while server.accept().await.is_some() {}
        return;
    }
    answer_all(stream).await;
}

fn run(workers: usize, cap: usize, protocol: Protocol, steps: Vec<Step>) {
    let mut runtime = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(cap, protocol).await;
        for step in steps {
            world.step(step).await;
        }
        world.end().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_request_a_connection(cap in 1..4_usize, workers in 1..3_usize, steps in steps()) {
        run(workers, cap, Protocol::Http1, steps);
    }

    #[test]
    fn one_request_a_connection_as_it_turns_out(cap in 1..4_usize, steps in steps()) {
        run(1, cap, Protocol::Auto, steps);
    }

    #[test]
    fn two_requests_a_connection(cap in 1..4_usize, workers in 1..3_usize, steps in steps()) {
        run(workers, cap, Protocol::Http2, steps);
    }
}
