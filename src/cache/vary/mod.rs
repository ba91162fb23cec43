//! Which of several stored answers a request gets (RFC 9111, section 4.1; RFC 9110, section 12.5.5).

mod normal;
#[cfg(test)]
mod tests;

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

pub(super) use normal::write as write_normal;

/// The fields that told a stored answer apart, with the normal form of what its request had; `None`: it had none. In the order of their names.
pub(super) type Selecting = Vec<(HeaderName, Option<Vec<u8>>)>;

/// More than a backend has a use for: so many fields tell all requests apart.
const MOST: usize = 32;

/// The `Vary` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vary {
    /// By these fields, each once and in order. None: the answer is for all requests.
    Fields(SmallVec<[HeaderName; 4]>),
    /// By something that no request shows: `*`, what is no name, and more than 32 of them. Such an answer is not stored.
    Any,
}

impl Vary {
    pub(super) fn of(response: &HeaderMap) -> Self {
        let mut names = SmallVec::new();
        for line in response.get_all(header::VARY) {
            let members = line.as_bytes().split(|byte| *byte == b',');
            for member in members.map(<[u8]>::trim_ascii) {
                if member.is_empty() {
                    continue;
                }
                // `*` is a name by its letters.
                let name = HeaderName::from_bytes(member);
                match name.ok().filter(|name| name != "*") {
                    Some(name) if names.contains(&name) => {}
                    Some(name) if names.len() < MOST => names.push(name),
                    _ => return Self::Any,
                }
            }
        }
        sort(&mut names);
        Self::Fields(names)
    }

    /// What of this request tells the answer to it apart; `None` if it is not known.
    pub(super) fn selecting(&self, request: &HeaderMap) -> Option<Selecting> {
        let Self::Fields(names) = self else {
            return None;
        };
        let value = |name: &HeaderName| {
            request.contains_key(name).then(|| {
                let mut value = Vec::new();
                write_normal(name, lines(request, name), |byte| value.push(byte));
                value
            })
        };
        Some(
            names
                .iter()
                .map(|name| (name.clone(), value(name)))
                .collect(),
        )
    }
}

/// Whether the request is like the one that the answer was given to, in all that tells it apart.
pub(super) fn matches(selecting: &[(HeaderName, Option<Vec<u8>>)], request: &HeaderMap) -> bool {
    selecting.iter().all(|(name, stored)| match stored {
        None => !request.contains_key(name),
        Some(stored) => is_like(name, stored, request),
    })
}

/// The place of the answer that is to be taken, among those of one key. Each is given by what tells it apart and its date; one behind another with
/// the same date is the newer one.
///
/// It is the most recent of those that match. But any that has a `Vary` comes before those without: some backends leave it out of the answer to a
/// request that prefers nothing, and would have it chosen for all.
pub(super) fn choose<'a>(
    variants: impl IntoIterator<Item = (&'a [(HeaderName, Option<Vec<u8>>)], u64)>,
    request: &HeaderMap,
) -> Option<usize> {
    let variants = variants.into_iter().enumerate();
    variants
        .filter(|(_, (selecting, _))| matches(selecting, request))
        .max_by_key(|(_, (selecting, date))| (!selecting.is_empty(), *date))
        .map(|(place, _)| place)
}

/// All the fields that tell answers of one key apart, each once and in order.
pub(super) fn names<'a>(
    variants: impl IntoIterator<Item = &'a [(HeaderName, Option<Vec<u8>>)]>,
) -> SmallVec<[HeaderName; 4]> {
    let mut names: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for (name, _) in variants.into_iter().flatten() {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    sort(&mut names);
    names
}

/// What the request has in these fields, so that no two different requests write the same: those that wait for one answer have to be alike in this.
pub(super) fn write_variant(
    names: &[HeaderName],
    request: &HeaderMap,
    out: &mut SmallVec<[u8; 64]>,
) {
    for name in names {
        if !request.contains_key(name) {
            out.push(0);
            continue;
        }
        out.push(1);
        let start = out.len();
        out.extend([0; 4]);
        write_normal(name, lines(request, name), |byte| out.push(byte));
        let length = out.len() - start - 4;
        // A head has never so many bytes.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

fn sort(names: &mut [HeaderName]) {
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
}

fn lines<'a>(request: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = request.get_all(name).iter();
    lines.map(|line| line.as_bytes())
}

/// Whether the field is there, and its normal form is this.
fn is_like(name: &HeaderName, stored: &[u8], request: &HeaderMap) -> bool {
    let mut first = lines(request, name);
    match (first.next(), first.next()) {
        (None, _) => return false,
        // A normal form is its own normal form.
        (Some(line), None) if line == stored => return true,
        _ => {}
    }
    let mut rest = stored.iter();
    let mut is_like = true;
    let lines = lines(request, name);
    write_normal(name, lines, |byte| is_like &= rest.next() == Some(&byte));
    is_like && rest.next().is_none()
}
