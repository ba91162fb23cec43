//! A set of methods that is tested with one instruction.

use http::Method;

/// The methods of RFC 9110 and PATCH as bits; all others share one bit and are compared by name when it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MethodSet(u16);

impl MethodSet {
    pub(super) const ANY: Self = Self(u16::MAX);
    const GET: Self = Self(1);
    const HEAD: Self = Self(1 << 1);
    const OTHER: Self = Self(1 << 15);

    /// The bit of one method.
    pub(super) fn of(method: &Method) -> Self {
        NAMED
            .iter()
            .position(|named| named == method)
            .map_or(Self::OTHER, |bit| Self(1 << bit))
    }

    /// What a route with these methods has to be found by; none means any.
    pub(super) fn from_methods(methods: &[Method]) -> Self {
        if methods.is_empty() {
            return Self::ANY;
        }
        Self(
            methods
                .iter()
                .fold(0, |set, method| set | Self::of(method).0),
        )
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_other(self) -> bool {
        self == Self::OTHER
    }

    pub(super) fn is_head(self) -> bool {
        self == Self::HEAD
    }

    /// Adds the methods that have a bit of their own and are served: HEAD with GET.
    pub(super) fn list(self, methods: &mut Vec<Method>) {
        let served = if self.overlaps(Self::GET) {
            self.0 | Self::HEAD.0
        } else {
            self.0
        };
        methods.extend(
            NAMED
                .iter()
                .enumerate()
                .filter(|(bit, _)| served & 1 << bit != 0)
                .map(|(_, named)| named.clone()),
        );
    }

    /// The bits that may serve this method: HEAD is served by GET routes too (RFC 9110 section 9.3.2).
    pub(super) fn served_by(self) -> Self {
        if self.is_head() {
            Self(Self::HEAD.0 | Self::GET.0)
        } else {
            self
        }
    }
}

/// In the order of their bits.
static NAMED: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::OPTIONS,
    Method::CONNECT,
    Method::TRACE,
];
