mod model;
mod reuse;
mod said;
mod storing;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{
    asked::Asked,
    terms::{Exchange, NotStored, Override, Rules, Terms, Verdict},
};

/// When answers come: 2026-01-01 00:00:00.
const NOW: u64 = 1_767_225_600_000;
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// `name: value` lines.
fn headers(lines: &[&str]) -> HeaderMap {
    let lines = lines.iter().map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        (name.parse::<HeaderName>().unwrap(), value)
    });
    let mut headers = HeaderMap::new();
    lines.for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

fn exchange(headers: &HeaderMap) -> Exchange<'_> {
    Exchange {
        method: &Method::GET,
        asked: Asked::default(),
        is_identified: false,
        status: StatusCode::OK,
        headers,
        asked_at: NOW,
        answered_at: NOW,
    }
}

fn terms(lines: &[&str]) -> Result<Terms, NotStored> {
    let headers = headers(lines);
    let terms = Terms::of(&exchange(&headers), &Rules::default(), None);
    terms.map(|(terms, _)| terms)
}

fn given(lines: &[&str], ttl: u64, is_forced: bool) -> Result<Terms, NotStored> {
    let headers = headers(lines);
    let given = Some(Override { ttl, is_forced });
    let terms = Terms::of(&exchange(&headers), &Rules::default(), given);
    terms.map(|(terms, _)| terms)
}

/// For a request with this `Cache-Control`, so many seconds after the answer came.
fn verdict(lines: &[&str], asked: &str, later: u64) -> Verdict {
    let asked = Asked::of(&headers(&[&format!("cache-control: {asked}")]));
    let terms = terms(lines).unwrap();
    terms.verdict(NOW, false, &asked, NOW + later * 1000)
}
