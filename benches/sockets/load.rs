//! The load: wrk for HTTP/1.1, h2load for HTTP/2.

use crate::options::Options;
use crate::peers::Peer;
use crate::process::{LOAD_CORE, pinned};

const STREAMS_PER_CONNECTION: usize = 8;
/// What a load generator may take beyond its time before it is ended.
const GRACE_SECONDS: u64 = 10;

/// What `--api-headers` adds to a request.
const API_HEADERS: [&str; 12] = [
    "accept: application/json",
    "accept-encoding: gzip, br",
    "accept-language: en-GB,en;q=0.8",
    "authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI0MiIsImV4cCI6NDEwMjQ0NDgwMH0.c2lnbmF0dXJl",
    "cache-control: no-cache",
    "cookie: session=6c1f0a9be3d24c71; theme=dark",
    "origin: https://app.example.com",
    "referer: https://app.example.com/orders/42",
    "sec-fetch-mode: cors",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "user-agent: ExampleApp/3.2 (Linux; x86_64)",
    "x-client-version: 3.2.1",
];

/// What the load generator counted.
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
}

/// Loads one peer for the time of a sample. Any failed request fails the sample.
pub(crate) fn run(peer: &Peer, options: &Options) -> Result<Counted, String> {
    let limit = (options.seconds + GRACE_SECONDS).to_string();
    let mut command = vec!["timeout".to_owned(), limit];
    let count = if options.http2 {
        h2load(&mut command, options)
    } else {
        wrk(&mut command, options)
    };
    for header in API_HEADERS.iter().filter(|_| options.api_headers) {
        command.extend(["-H".to_owned(), (*header).to_owned()]);
    }
    command.push(format!("http://{}{}", peer.address, options.path));

    let output = pinned(LOAD_CORE, &command)
        .output()
        .map_err(|error| format!("the load did not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = |why: &str| {
        format!(
            "load on {}: {why}\n{text}{}",
            peer.name,
            String::from_utf8_lossy(&output.stderr)
        )
    };
    if !output.status.success() {
        return Err(failed(&output.status.to_string()));
    }
    count(&text).map_err(|why| failed(&why))
}

type Count = fn(&str) -> Result<Counted, String>;

fn wrk(command: &mut Vec<String>, options: &Options) -> Count {
    command.extend(["wrk", "-t1"].map(str::to_owned));
    command.push(format!("-c{}", options.connections));
    command.push(format!("-d{}s", options.seconds));
    count_wrk
}

fn h2load(command: &mut Vec<String>, options: &Options) -> Count {
    let streams = options.connections.min(STREAMS_PER_CONNECTION);
    command.extend(["h2load", "-t1"].map(str::to_owned));
    command.push(format!("-c{}", options.connections / streams));
    command.push(format!("-m{streams}"));
    command.push(format!("-D{}", options.seconds));
    count_h2load
}

/// wrk mentions errors only when there were any.
fn count_wrk(text: &str) -> Result<Counted, String> {
    if text.contains("Socket errors:") {
        return Err("connections failed".to_owned());
    }
    if text.contains("Non-2xx or 3xx responses:") {
        return Err("answers with an error status".to_owned());
    }
    counted(before(text, " requests in "), after(text, "Requests/sec:"))
}

/// h2load breaks off what is in flight at the end and calls it neither done nor failed.
fn count_h2load(text: &str) -> Result<Counted, String> {
    for error in ["failed,", "errored,", "timeout", "3xx,", "4xx,", "5xx"] {
        let count = before(text, &format!(" {error}"));
        if count.and_then(|count| count.parse().ok()) != Some(0_u64) {
            return Err(format!(
                "requests counted as {}",
                error.trim_end_matches(',')
            ));
        }
    }
    counted(before(text, " succeeded,"), before(text, " req/s,"))
}

fn counted(requests: Option<&str>, per_second: Option<&str>) -> Result<Counted, String> {
    let requests = requests.and_then(|text| text.parse().ok());
    let per_second = per_second.and_then(|text| text.parse().ok());
    match (requests, per_second) {
        (Some(requests), Some(per_second)) if requests > 0 => Ok(Counted {
            requests,
            per_second,
        }),
        _ => Err("no request completed, or an unknown output".to_owned()),
    }
}

/// The word that ends where `mark` begins.
fn before<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.get(..text.find(mark)?)?.split_whitespace().next_back()
}

/// The word that follows `mark`.
fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.get(text.find(mark)? + mark.len()..)?
        .split_whitespace()
        .next()
}
