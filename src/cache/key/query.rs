//! What of a query is in a key.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Which parameters count, and in which order.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    without: Vec<String>,
    only: Option<Vec<String>>,
    is_sorted: bool,
}

impl Query {
    pub(super) fn without(&mut self, names: impl Iterator<Item = String>) {
        self.without.extend(names);
    }

    pub(super) fn only(&mut self, names: impl Iterator<Item = String>) {
        self.only.get_or_insert_default().extend(names);
    }

    pub(super) fn sort(&mut self) {
        self.is_sorted = true;
    }

    pub(super) fn mistake(&self) -> Option<&'static str> {
        let has_both = self.only.is_some() && !self.without.is_empty();
        has_both.then_some("it has `only_query` and `without_query`; leave out one of them")
    }

    /// Appends it: whether there is one, and its length in front of it.
    pub(super) fn write(&self, query: Option<&str>, key: &mut SmallVec<[u8; 256]>) {
        let is_whole = self.only.is_none() && self.without.is_empty() && !self.is_sorted;
        let Some(query) = query else {
            return key.push(0);
        };
        if is_whole {
            key.push(1);
            return super::text(key, query.as_bytes());
        }
        let mut pairs: SmallVec<[&str; 16]> = query
            .split('&')
            .filter(|pair| !pair.is_empty() && self.counts(pair))
            .collect();
        if pairs.is_empty() {
            return key.push(0);
        }
        if self.is_sorted {
            // By their names as a backend reads them, and then in the order that they have.
            pairs.sort_by(|one, other| name(one).cmp(&name(other)));
        }
        key.push(1);
        let start = key.len();
        key.extend_from_slice(&[0; 4]);
        for (at, pair) in pairs.iter().enumerate() {
            if at > 0 {
                key.push(b'&');
            }
            key.extend_from_slice(pair.as_bytes());
        }
        let length = u32::try_from(key.len() - start - 4).unwrap_or(u32::MAX);
        key[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// What a backend may take for one of the names is one of them.
    fn counts(&self, pair: &str) -> bool {
        let name = name(pair);
        let is = |known: &String| known.as_bytes() == &*name;
        match &self.only {
            Some(only) => only.iter().any(is),
            None => !self.without.iter().any(is),
        }
    }
}

/// A parameter's name without its encoding.
fn name(pair: &str) -> Cow<'_, [u8]> {
    let name = pair.split('=').next().unwrap_or(pair).as_bytes();
    if !name.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(name);
    }
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let hex = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        (decoded, rest) = match hex {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                (decoded, &after[2..])
            }
            None => {
                decoded.push(if *first == b'+' { b' ' } else { *first });
                (decoded, after)
            }
        };
    }
    Cow::Owned(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
