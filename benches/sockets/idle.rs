//! Memory for each idle keep-alive connection: many connections that had one request each, then the growth of the
//! proxy's resident memory over their number.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::options::Options;
use crate::peers::Peer;

/// Connections opened and closed beforehand, so that what a proxy keeps once is not put on the first ones' account.
const WARM_UP: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the proxy to finish with what was sent last.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn run(peers: &[Peer], count: usize, options: &Options) -> Result<(), String> {
    println!("peer      RSS before KiB  with {count} idle KiB  KiB/connection");
    for peer in peers {
        let failed = |error: String| format!("idle connections to {}: {error}", peer.name);
        open(peer, WARM_UP.min(count), options).map_err(failed)?;
        thread::sleep(SETTLE);
        let before = peer.process.resident_kib();
        let held = open(peer, count, options).map_err(failed)?;
        thread::sleep(SETTLE);
        let after = peer.process.resident_kib();
        still_open(&held).map_err(failed)?;
        let each = (after as f64 - before as f64) / count as f64;
        println!(
            "{:<8}{before:>16}{after:>width$}{each:>16.2}",
            peer.name,
            width = 16 + count.to_string().len()
        );
    }
    Ok(())
}

/// Opens connections one after the other, each with one request whose answer is read to the end.
fn open(peer: &Peer, count: usize, options: &Options) -> Result<Vec<TcpStream>, String> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
        options.path, peer.address
    );
    let mut answer = Vec::new();
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect_timeout(&peer.address, TIMEOUT)
                .map_err(|error| error.to_string())?;
            stream
                .set_read_timeout(Some(TIMEOUT))
                .map_err(|error| error.to_string())?;
            stream
                .write_all(request.as_bytes())
                .map_err(|error| error.to_string())?;
            read_answer(&mut stream, &mut answer, options.size)?;
            Ok(stream)
        })
        .collect()
}

fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>, size: usize) -> Result<(), String> {
    const HEAD_END: &[u8] = b"\r\n\r\n";
    answer.clear();
    let mut block = [0; 16 << 10];
    loop {
        let head = answer
            .windows(HEAD_END.len())
            .position(|window| window == HEAD_END);
        if let Some(head) = head.filter(|head| answer.len() >= head + HEAD_END.len() + size) {
            let whole = answer.starts_with(b"HTTP/1.1 200 ")
                && answer.len() == head + HEAD_END.len() + size;
            return if whole {
                Ok(())
            } else {
                Err("an answer that is not the backend's".to_owned())
            };
        }
        match stream.read(&mut block) {
            Ok(0) => return Err("closed within an answer".to_owned()),
            Ok(read) => answer.extend_from_slice(block.get(..read).unwrap_or_default()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// A proxy that closed some of them would look thrifty.
fn still_open(held: &[TcpStream]) -> Result<(), String> {
    for stream in held {
        stream
            .set_nonblocking(true)
            .map_err(|error| error.to_string())?;
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return Err("not all stayed open".to_owned()),
        }
    }
    Ok(())
}
