use std::sync::Arc;

use http::HeaderName;

use crate::field;

/// The names of fields that the gateway sets for backends, and that a client may therefore not send. Built once, cheap to
/// clone.
///
/// A name covers its aliases with `_` for `-` in any place, since some backends read both as one (`X_Forwarded-For`).
/// `Forwarded`, `X-Real-IP` and everything that starts with `X-Forwarded-` needs no naming: it is believed from trusted
/// peers only.
#[derive(Debug, Clone, Default)]
pub struct OwnedHeaders {
    gateway: Names,
    settled: Names,
}

impl OwnedHeaders {
    /// Only the forwarded fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds fields that only the gateway sets, such as an identity: removed whoever sent them.
    #[must_use]
    pub fn own(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let gateway = self.gateway.with(names);
        Self { gateway, ..self }
    }

    /// Adds fields that the gateway has set before anything is removed, such as a request id: they stay, and only their
    /// aliases go.
    #[must_use]
    pub fn settle(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let settled = self.settled.with(names);
        Self { settled, ..self }
    }

    /// Most fields are told apart by their length and their first byte.
    #[inline]
    pub(super) fn owner(&self, name: &str) -> Owner {
        let lengths = self.gateway.lengths | self.settled.lengths;
        let may_be_forwarded = matches!(name.as_bytes(), [b'x' | b'f', ..]);
        if lengths & length_bit(name) == 0 && !may_be_forwarded {
            return Owner::Client;
        }
        self.look_up(name)
    }

    fn look_up(&self, name: &str) -> Owner {
        if self.gateway.find(name).is_some() {
            Owner::Gateway
        } else if let Some(is_exact) = self.settled.find(name) {
            if is_exact {
                Owner::Settled
            } else {
                Owner::Gateway
            }
        } else if is_forwarded(name) {
            // Trusted peers write the true name: an alias comes from behind them.
            if name.contains('_') {
                Owner::Gateway
            } else {
                Owner::TrustedPeer
            }
        } else {
            Owner::Client
        }
    }
}

/// Who may send a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Client,
    TrustedPeer,
    Gateway,
    /// Nobody any more: what is there is the gateway's.
    Settled,
}

fn is_forwarded(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    let starts = |prefix: &str| {
        name.as_bytes()
            .get(..prefix.len())
            .is_some_and(|start| field::is_alias(start, prefix.as_bytes()))
    };
    match name.as_bytes().first() {
        Some(b'x') => starts(PREFIX) || name.len() == 9 && starts("x-real-ip"),
        Some(b'f') => name == "forwarded",
        _ => false,
    }
}

/// Names, with a filter in front: most fields of a request have a length that none of the names has.
#[derive(Debug, Clone, Default)]
struct Names {
    names: Arc<[HeaderName]>,
    /// Bit `n`: there is a name of `n` bytes (of 63 or more: bit 63).
    lengths: u64,
}

impl Names {
    fn with(&self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names: Arc<[_]> = self.names.iter().cloned().chain(names).collect();
        let lengths = names
            .iter()
            .fold(0, |bits, name| bits | length_bit(name.as_str()));
        Self { names, lengths }
    }

    /// Whether `name` is one of the names or an alias of one: `Some(true)` is the name itself.
    fn find(&self, name: &str) -> Option<bool> {
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        let mut found = None;
        for own in self.names.iter().map(HeaderName::as_str) {
            if own == name {
                return Some(true);
            }
            if field::is_alias(name.as_bytes(), own.as_bytes()) {
                found = Some(false);
            }
        }
        found
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}
