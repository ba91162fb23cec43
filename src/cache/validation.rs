//! Asking the backend whether a stored answer is still right (RFC 9111, section 4.3).

#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{
    condition::{self, ETag},
    stored::{Stored, Variants},
};

/// What a 304 means for the stored answers.
#[derive(Debug)]
pub(super) enum Selected<'a> {
    /// This one is right.
    One(&'a Stored),
    /// None of them is: the request has to be sent again, without conditions.
    None,
}

/// Whether there is something to validate it by.
pub(super) fn can_be_asked(stored: &HeaderMap) -> bool {
    ETag::of(stored).is_some() || condition::only(stored, &header::LAST_MODIFIED).is_some()
}

/// Takes a client's own conditions away: they are looked at when the answer is there.
pub(super) fn remove_conditions(request: &mut HeaderMap) {
    const CONDITIONS: [HeaderName; 4] = [
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_RANGE,
        header::RANGE,
    ];
    for name in CONDITIONS {
        request.remove(name);
    }
}

/// Asks about these answers (section 4.3.1): by the entity tags of all of them, and by the date of the one that would be used. Not by
/// dates alone where there is a tag, since a backend takes the tag (RFC 9110, section 13.1.3).
pub(super) fn ask(request: &mut HeaderMap, chosen: &Stored, variants: &Variants) {
    remove_conditions(request);
    let mut tags: Vec<u8> = Vec::new();
    let others = variants
        .iter()
        .filter(|other| !std::ptr::eq(*other, chosen));
    for stored in std::iter::once(chosen).chain(others) {
        let Some(tag) = condition::only(&stored.head().headers, &header::ETAG) else {
            continue;
        };
        let is_known =
            ETag::list(&tags).any(|known| ETag::read(tag).is_some_and(|tag| tag.is_weakly(&known)));
        // What a backend could not read is no condition.
        if !ETag::read(tag).is_some_and(|tag| tag.is_valid()) || is_known {
            continue;
        }
        if !tags.is_empty() {
            tags.extend_from_slice(b", ");
        }
        tags.extend_from_slice(tag);
    }
    if let Ok(tags) = HeaderValue::from_bytes(&tags)
        && !tags.is_empty()
    {
        request.insert(header::IF_NONE_MATCH, tags);
    }
    if let Some(changed) = chosen.head().headers.get(header::LAST_MODIFIED) {
        request.insert(header::IF_MODIFIED_SINCE, changed.clone());
    }
}

/// Which of the stored answers a 304 is about (section 4.3.3 and 4.3.4): the one with its tag; or without a tag the one that was asked about.
pub(super) fn select<'a>(
    answer: &HeaderMap,
    chosen: &'a Stored,
    variants: &'a Variants,
) -> Selected<'a> {
    let Some(tag) = ETag::of(answer) else {
        let is_other = |name| {
            let (new, old) = (answer.get(&name), chosen.head().headers.get(&name));
            new.is_some() && new != old
        };
        return match is_other(header::LAST_MODIFIED) {
            true => Selected::None,
            false => Selected::One(chosen),
        };
    };
    let is_meant =
        |stored: &&Stored| ETag::of(&stored.head().headers).is_some_and(|own| own.is_weakly(&tag));
    let mut all = std::iter::once(chosen).chain(variants.iter());
    all.find(is_meant).map_or(Selected::None, Selected::One)
}

/// Brings the fields of a stored answer up to date (section 3.2): what the new one has takes the place of what there was, but for what describes the body that is
/// stored.
pub(super) fn refresh(stored: &mut HeaderMap, answer: &HeaderMap) {
    let is_kept = |name: &HeaderName| {
        matches!(
            *name,
            header::CONTENT_ENCODING
                | header::CONTENT_LENGTH
                | header::CONTENT_RANGE
                | header::CONTENT_TYPE
                | header::ETAG
        )
    };
    for name in answer.keys().filter(|name| !is_kept(name)) {
        stored.remove(name);
        for value in answer.get_all(name) {
            stored.append(name, value.clone());
        }
    }
    // An age is of the answer that has said it.
    if !answer.contains_key(header::AGE) {
        stored.remove(header::AGE);
    }
}

/// What an answer to `HEAD` says of a stored one to `GET` (section 4.3.5): whether it is still right; `None`: nothing.
pub(super) fn is_confirmed(
    stored: &HeaderMap,
    status: StatusCode,
    answer: &HeaderMap,
) -> Option<bool> {
    if status != StatusCode::OK {
        return None;
    }
    let differs = |name: HeaderName| {
        let (new, old) = (answer.get(&name), stored.get(&name));
        new.is_some() && old.is_some() && new != old
    };
    let is_other =
        differs(header::ETAG) || differs(header::LAST_MODIFIED) || differs(header::CONTENT_LENGTH);
    Some(!is_other)
}
