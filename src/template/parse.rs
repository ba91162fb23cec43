//! From a template's text to its parts.

use crate::path::{PathPolicy, canonicalize};

use super::{
    Part, Place, TemplateError,
    encode::{has_dot_segment, is_control, path_fault},
    facts::{Fact, Source},
};

pub(super) fn parse(text: &str, place: Place) -> Result<Vec<Part>, TemplateError> {
    let fault = |at, reason: &'static str| TemplateError::new(text, at, reason);
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    loop {
        let start = text.len() - rest.len();
        let (plain, tail) = rest.split_at(rest.find(['{', '}']).unwrap_or(rest.len()));
        if let Some((at, reason)) = literal_fault(plain, place) {
            return Err(fault(start + at, reason));
        }
        literal.push_str(plain);
        let at = start + plain.len();
        let Some(brace) = tail.chars().next() else {
            break;
        };
        let after = tail.split_at(1).1;
        if let Some(after) = after.strip_prefix(brace) {
            if place == Place::Path {
                return Err(fault(at, "a brace in a path is written `%7B` or `%7D`"));
            }
            literal.push(brace);
            rest = after;
            continue;
        }
        if brace == '}' {
            return Err(fault(at, "`}` closes nothing; `}}` stands for a brace"));
        }
        let (inside, after) = after
            .split_once('}')
            .ok_or_else(|| fault(at, "`{` is not closed; `{{` stands for a brace"))?;
        let source = Source::parse(inside).map_err(|reason| fault(at, reason))?;
        push_literal(&mut parts, &mut literal, place);
        parts.push(Part::Value { at, source });
        rest = after;
    }
    push_literal(&mut parts, &mut literal, place);
    if place == Place::Path {
        check_path(text, &parts)?;
    }
    Ok(parts)
}

fn push_literal(parts: &mut Vec<Part>, literal: &mut String, place: Place) {
    if !literal.is_empty() {
        let mut bytes = Vec::new();
        match place {
            Place::Query => super::encode::escape(&mut bytes, literal.as_bytes()),
            Place::Path | Place::Header => bytes.extend_from_slice(literal.as_bytes()),
        }
        literal.clear();
        parts.push(Part::Literal(bytes));
    }
}

fn literal_fault(plain: &str, place: Place) -> Option<(usize, &'static str)> {
    match place {
        Place::Path => path_fault(plain),
        Place::Query => None,
        Place::Header => (plain
            .bytes()
            .position(|byte| is_control(byte) && byte != b'\t'))
        .map(|at| (at, "a header value has no control characters")),
    }
}

/// What holds for a path as a whole, whatever its values are.
/// Whether the door would let it through, with an `x` for each value.
fn is_let_through(path: &[u8]) -> bool {
    let policy = PathPolicy::new().allow_encoded_slash(true);
    std::str::from_utf8(path).is_ok_and(|path| canonicalize(path, policy).is_ok())
}

fn check_path(text: &str, parts: &[Part]) -> Result<(), TemplateError> {
    let mut path = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let (at, source) = match part {
            Part::Literal(literal) => {
                path.extend_from_slice(literal);
                continue;
            }
            Part::Value { at, source } => (*at, source),
        };
        let reason = match source {
            Source::Request(Fact::Path | Fact::Query) => {
                "a path can not hold the request's whole path or query; name a param or a prefix"
            }
            Source::Param { rest: true, .. }
                if index + 1 != parts.len() || path.last() != Some(&b'/') =>
            {
                "`{*name}` is the whole end of a path, after a `/`"
            }
            _ => {
                path.push(b'x');
                continue;
            }
        };
        return Err(TemplateError::new(text, at, reason));
    }
    let reason = if path.first() != Some(&b'/') {
        "a path begins with `/`"
    } else if path.windows(2).any(|pair| pair == b"//") {
        "a path has no empty segments"
    } else if has_dot_segment(&path) {
        "a path has no `.` and `..` segments"
    } else if !is_let_through(&path) {
        "no request with such a path is let through"
    } else {
        return Ok(());
    };
    Err(TemplateError::new(text, 0, reason))
}
