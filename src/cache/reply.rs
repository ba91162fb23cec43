//! What a client gets of an answer that is stored, or about to be (RFC 9111, section 4; RFC 9110, section 13 and 14).

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use smallvec::SmallVec;

use super::{
    condition::{self, Condition, Held},
    filling::Reader,
    range::{self, Selection},
    shared::Client,
    stored::{Chunks, StoredBody, StoredHead},
};
use crate::body::Body;

/// Where the body is.
pub(super) enum Source<'a> {
    Stored(&'a StoredBody),
    /// It comes; all of it is wanted.
    Coming(Reader),
}

/// Whole, or a part of it, or the word that the client has it already.
pub(super) fn of(
    client: &Client<'_>,
    head: &StoredHead,
    source: Source<'_>,
    age: u64,
    now: u64,
) -> Response<Body> {
    let held = Held {
        status: head.status,
        headers: &head.headers,
        answered_at: head.answered_at,
    };
    let mut headers = head.headers.clone();
    headers.insert(header::AGE, HeaderValue::from(age));
    let is_known = condition::evaluate(client.method, client.headers, held, now);
    let (status, body) = if is_known == Condition::NotModified {
        condition::trim_to_not_modified(&mut headers);
        (StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        match source {
            Source::Coming(reader) => (head.status, Body::boxed(reader)),
            Source::Stored(body) => {
                let selection = range::select(client.method, client.headers, held, body.len(), now);
                let status = match &selection {
                    Selection::Whole => head.status,
                    Selection::Part(part) => {
                        range::write_part(&mut headers, part, body.len());
                        StatusCode::PARTIAL_CONTENT
                    }
                    Selection::Unsatisfiable => {
                        headers.insert(header::CONTENT_RANGE, range::unsatisfied(body.len()));
                        headers.remove(header::CONTENT_LENGTH);
                        StatusCode::RANGE_NOT_SATISFIABLE
                    }
                };
                (status, selected(body, selection))
            }
        }
    };
    let body = match *client.method == Method::HEAD {
        true => Body::empty(),
        false => body,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn selected(body: &StoredBody, selection: Selection) -> Body {
    match (selection, body.chunks()) {
        (Selection::Whole, _) => body.open(),
        (Selection::Unsatisfiable, _) => Body::empty(),
        (Selection::Part(part), Some(chunks)) => {
            let chunks: SmallVec<[Bytes; 1]> = range::slice(chunks, part).collect();
            match &chunks[..] {
                [one] => Body::from(one.clone()),
                _ => Body::boxed(Chunks::new(chunks)),
            }
        }
        (Selection::Part(part), None) => body.open_part(part),
    }
}
