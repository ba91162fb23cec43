//! HTTP/2 clients that make a server work for nothing: what they start at backends is bounded and ends with them, and
//! others are served meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{in_front_of, raw_backend, request, send};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const CANCEL: u32 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The streams that hyper's server has open at once, unless told otherwise, and some that are on their way out.
const BOUND: usize = 200 + 20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET http://t.example/slow`: two indexed fields, two literal ones with indexed names (RFC 7541, sections 6.1 and 6.2).
fn asking() -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(4, "/slow"), (1, "t.example")] {
        block.extend([name, u8::try_from(value.len()).unwrap()]);
        block.extend(value.as_bytes());
    }
    block
}

/// What a backend has to do at this moment, and had to at most.
#[derive(Clone, Default)]
struct Load(Arc<(AtomicUsize, AtomicUsize, AtomicUsize)>);

impl Load {
    fn enter(&self) -> Leave {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        self.0.2.fetch_add(1, Ordering::SeqCst);
        Leave(self.clone())
    }

    fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    fn total(&self) -> usize {
        self.0.2.load(Ordering::SeqCst)
    }
}

struct Leave(Load);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A gateway, and what is to be done behind it: a request for `/slow` is under way until its connection is closed.
async fn slow_backend() -> (SocketAddr, Load) {
    let load = Load::default();
    let counted = load.clone();
    let backend = raw_backend(move |_, mut stream| {
        let load = counted.clone();
        async move {
            let (mut read, mut chunk, mut under_way) = (Vec::new(), [0; 1024], None);
            loop {
                match stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => read.extend_from_slice(&chunk[..length]),
                }
                if !read.ends_with(b"\r\n\r\n") {
                    continue;
                }
                if read.starts_with(b"GET /slow") {
                    under_way.get_or_insert_with(|| load.enter());
                } else {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                }
                read.clear();
            }
        }
    })
    .await;
    (in_front_of(backend).await, load)
}

/// When the next frames are sent.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// At once.
    Rushed,
    /// When the backend has got the request before.
    Patient,
}

/// Speaks HTTP/2 until everything is said or the gateway has had enough; whether it had.
async fn attack(
    gateway: SocketAddr,
    pace: Pace,
    load: Load,
    frames: impl Iterator<Item = Vec<u8>>,
) -> bool {
    let (mut reader, mut writer) = TcpStream::connect(gateway).await.unwrap().into_split();
    let listener = tokio::spawn(async move {
        loop {
            let mut head = [0; 9];
            if reader.read_exact(&mut head).await.is_err() {
                return;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if reader.read_exact(&mut payload).await.is_err() || head[3] == GOAWAY {
                return;
            }
        }
    });
    let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    start.extend(frame(SETTINGS, 0, 0, &[]));
    writer.write_all(&start).await.unwrap();
    for (number, frame) in frames.enumerate() {
        while pace == Pace::Patient && load.total() < number && !listener.is_finished() {
            tokio::task::yield_now().await;
        }
        if listener.is_finished() || writer.write_all(&frame).await.is_err() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    // What was not heard yet may be on its way.
    let ended = tokio::time::timeout(Duration::from_millis(500), listener)
        .await
        .is_ok();
    drop(writer);
    ended
}

/// Attacks a gateway while another client goes on. Returns whether the gateway ended the connection, with the load.
async fn besiege(
    pace: Pace,
    frames: impl Iterator<Item = Vec<u8>> + Send + 'static,
) -> (bool, Load) {
    let (gateway, load) = slow_backend().await;
    let attack = tokio::spawn(attack(gateway, pace, load.clone(), frames));
    let mut served = 0;
    while !attack.is_finished() || served < 10 {
        let answer = send(gateway, request("GET", "/quick"));
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
        assert_eq!(answer.expect("others are served").status(), 200);
        served += 1;
    }
    let ended = attack.await.unwrap();
    // What was begun for the attacker ends with it.
    tokio::time::timeout(Duration::from_secs(5), async {
        while load.now() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{} requests are still under way", load.now()));
    (ended, load)
}

/// The identifiers of a client's streams.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &asking())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// More than a window can hold, so that the gateway has to reset the stream (RFC 9113, section 6.9.1).
fn overflow(stream: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())
}

/// CVE-2023-44487, rapid reset: the connection is ended, and little or nothing reaches a backend.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2023_44487_streams_that_are_reset_at_once() {
    let frames = streams(3000).map(|stream| [ask(stream), reset(stream)].concat());
    let (ended, load) = besiege(Pace::Rushed, frames).await;
    assert!(ended, "the gateway ends such a connection");
    assert!(load.most() <= BOUND, "{} at once", load.most());
}

/// CVE-2023-44487, by a client that waits until its request is at the backend: nothing piles up there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2023_44487_streams_that_are_reset_when_they_cost_something() {
    const OPEN: u32 = 20;
    let frames = streams(300).map(|stream| {
        let old = stream.checked_sub(2 * OPEN).map(reset);
        [old.unwrap_or_default(), ask(stream)].concat()
    });
    let (_, load) = besiege(Pace::Patient, frames).await;
    assert_eq!(load.total(), 300);
    assert!(load.most() <= 3 * OPEN as usize, "{} at once", load.most());
}

/// CVE-2025-8671, `MadeYouReset`: the gateway resets the streams. The connection is ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2025_8671_streams_that_the_gateway_has_to_reset_at_once() {
    let frames = streams(3000).map(|stream| [ask(stream), overflow(stream)].concat());
    let (ended, load) = besiege(Pace::Rushed, frames).await;
    assert!(ended, "the gateway ends such a connection");
    assert!(load.most() <= BOUND, "{} at once", load.most());
}

/// CVE-2025-8671, by a client that waits until its request is at the backend: nothing piles up there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2025_8671_streams_that_the_gateway_has_to_reset_when_they_cost_something() {
    let frames = streams(300).map(|stream| {
        let old = stream.checked_sub(2).map(overflow);
        [old.unwrap_or_default(), ask(stream)].concat()
    });
    let (_, load) = besiege(Pace::Patient, frames).await;
    assert_eq!(load.total(), 300);
    assert!(load.most() <= 40, "{} at once", load.most());
}

/// RUSTSEC-2024-0003, RUSTSEC-2024-0332, RUSTSEC-2026-0258: a header block that never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rustsec_2024_0332_a_header_block_that_never_ends() {
    // 64 MiB, if somebody takes them; in a field that is not even shown, and in empty frames.
    for payload in [vec![0; 16 * 1024], Vec::new()] {
        let begin = frame(HEADERS, END_STREAM, 1, &asking());
        let count = 4096 * if payload.is_empty() { 10 } else { 1 };
        let more = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &payload), count);
        let (ended, load) = besiege(Pace::Rushed, std::iter::once(begin).chain(more)).await;
        assert!(ended, "the gateway ends such a connection");
        assert_eq!(load.total(), 0);
    }
}

/// The same advisories: the version of h2 that has all the corrections.
#[test]
fn h2_is_not_older_than_its_last_advisory() {
    let lock = include_str!("../../../Cargo.lock");
    let versions: Vec<_> = lock
        .split("[[package]]")
        .filter(|package| package.contains("\nname = \"h2\"\n"))
        .filter_map(|package| package.split("version = \"").nth(1)?.split('"').next())
        .collect();
    assert!(!versions.is_empty());
    for version in versions {
        let numbers: Vec<u32> = version
            .split('.')
            .map(|number| number.parse().unwrap())
            .collect();
        assert!(numbers >= vec![0, 4, 16], "{version}");
    }
}
