//! One form for the spellings of a field that mean the same, as far as RFC 9111 section 4.1 lets a cache take them for one.
//!
//! | field | lines | white space around commas | order, case, all white space |
//! |---|---|---|---|
//! | `Accept-Encoding`, `Accept-Language` | one list | does not matter | do not matter |
//! | those that are no lists, as `Cookie` and `User-Agent` | joined | kept | kept |
//! | all others | one list | does not matter, but within quotes | kept |
//!
//! The order of languages does not say which one is preferred: that is said by their weights, and nobody may rely on anything else (RFC 9110, section
//! 12.5.4). Browsers give each its own weight.

use http::{HeaderName, header};
use smallvec::SmallVec;

/// Writes the normal form of a field, byte for byte. It is its own normal form.
pub(in crate::cache) fn write<'a>(
    name: &HeaderName,
    lines: impl Iterator<Item = &'a [u8]>,
    sink: impl FnMut(u8),
) {
    if is_set(name) {
        let members = lines.flat_map(|line| line.split(|byte| *byte == b','));
        let mut members: SmallVec<[&[u8]; 16]> = members
            .filter(|member| folded(member).next().is_some())
            .collect();
        members.sort_unstable_by(|one, other| folded(one).cmp(folded(other)));
        join(members.into_iter().map(folded), sink);
    } else {
        let lines = lines.map(<[u8]>::trim_ascii);
        let lines = lines.filter(|line| !line.is_empty());
        if is_single(name) {
            join(lines.map(|line| line.iter().copied()), sink);
        } else {
            write_list(lines, sink);
        }
    }
}

/// Elements with `, ` between them; an empty one is none (RFC 9110, section 5.6.1.2). Lines are read as one with commas between them, so that a quote
/// goes on in the next line if it is not closed.
fn write_list<'a>(lines: impl Iterator<Item = &'a [u8]>, mut sink: impl FnMut(u8)) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let (mut is_first, mut is_between) = (true, false);
    for (place, line) in lines.enumerate() {
        if place > 0 && is_quoted {
            is_escaped = false;
            b", ".iter().copied().for_each(&mut sink);
        } else {
            is_between = true;
        }
        // Where the white space begins that may be followed by more of the element.
        let mut space = 0;
        for (at, byte) in line.iter().copied().enumerate() {
            if !is_quoted {
                match byte {
                    b',' => is_between = true,
                    b' ' | b'\t' => continue,
                    _ => {}
                }
            }
            if is_quoted || byte != b',' {
                let is_new = std::mem::take(&mut is_between);
                match (is_new, std::mem::take(&mut is_first)) {
                    (_, true) => {}
                    (true, false) => b", ".iter().copied().for_each(&mut sink),
                    (false, false) => line[space..at].iter().copied().for_each(&mut sink),
                }
                sink(byte);
                let was_escaped = std::mem::take(&mut is_escaped);
                is_quoted ^= byte == b'"' && !was_escaped;
                is_escaped = is_quoted && byte == b'\\' && !was_escaped;
            }
            space = at + 1;
        }
    }
}

fn join(members: impl Iterator<Item = impl Iterator<Item = u8>>, mut sink: impl FnMut(u8)) {
    for (place, member) in members.enumerate() {
        if place > 0 {
            b", ".iter().copied().for_each(&mut sink);
        }
        member.for_each(&mut sink);
    }
}

/// Lists of names and their weights: neither has a space, and no case.
fn is_set(name: &HeaderName) -> bool {
    [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE].contains(name)
}

/// A comma of these separates nothing.
fn is_single(name: &HeaderName) -> bool {
    const SINGLE: [HeaderName; 16] = [
        header::AUTHORIZATION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::DATE,
        header::FROM,
        header::HOST,
        header::IF_MODIFIED_SINCE,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        header::MAX_FORWARDS,
        header::ORIGIN,
        header::PROXY_AUTHORIZATION,
        header::RANGE,
        header::REFERER,
        header::USER_AGENT,
    ];
    SINGLE.contains(name)
}

/// Without white space and in lower case.
fn folded(member: &[u8]) -> impl Iterator<Item = u8> {
    let bytes = member.iter().filter(|byte| !byte.is_ascii_whitespace());
    bytes.map(u8::to_ascii_lowercase)
}
