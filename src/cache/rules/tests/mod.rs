mod asked;
mod directives;
mod freshness;
mod model;
mod reuse;
mod status;
mod storing;
mod targeted;
mod terms;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::*;

/// 2024-06-01 00:00:00 GMT, in milliseconds.
const NOW: u64 = 1_717_200_000_000;
const DATE: &str = "Sat, 01 Jun 2024 00:00:00 GMT";

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        (name, value)
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

/// What is asked for in an exchange.
#[derive(Default)]
struct Question {
    method: Method,
    headers: HeaderMap,
    is_identified: bool,
    overridden: Option<Override>,
}

/// An exchange of a moment, with this answer.
fn judge(
    status: u16,
    fields: &[(&str, &str)],
    settings: &Settings,
    change: impl FnOnce(&mut Question),
) -> Result<Storable, NotStored> {
    let mut question = Question::default();
    change(&mut question);
    let exchange = Exchange {
        method: &question.method,
        request_headers: &question.headers,
        is_identified: question.is_identified,
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers(fields),
        asked_at: NOW,
        answered_at: NOW,
        overridden: question.overridden,
    };
    Storable::of(&exchange, settings)
}

/// The terms of a 200 with these fields.
fn terms(fields: &[(&str, &str)]) -> Terms {
    judge(200, fields, &Settings::default(), |_| ())
        .unwrap()
        .terms
}

fn kept() -> Kept {
    Kept {
        answered_at: NOW,
        is_invalid: false,
    }
}
