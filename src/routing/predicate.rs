//! Predicates on header fields and query parameters.

use std::borrow::Cow;
use std::fmt;
use std::ops::Not;

use http::HeaderMap;
use http::header::{self, HeaderName};

mod values;

/// A predicate on the values of one header field.
///
/// Every value of the field counts, on however many lines it was sent: a predicate holds when *some* value meets it, a
/// negated one (`!`) when *no* value does, so a missing field meets every negation. A line that is empty counts as
/// missing. Letter case of values matters unless [`ignore_case`](Self::ignore_case) is asked for.
///
/// ```
/// use http::{HeaderMap, header};
/// use tower_gateway::routing::HeaderMatch;
///
/// let mut headers = HeaderMap::new();
/// headers.append(header::ACCEPT, "text/html, application/json;q=0.9".parse()?);
///
/// let json = HeaderMatch::prefix(header::ACCEPT, "application/json");
/// assert!(json.holds(&headers));
/// assert!(!(!json).holds(&headers));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderMatch {
    name: HeaderName,
    test: Test,
}

impl HeaderMatch {
    /// Some value is exactly this one. A value is an element of the comma-separated list (`;` in `Cookie`), without
    /// white space and quotes around it; the whole line counts as a value as well.
    pub fn exact(name: HeaderName, value: impl AsRef<str>) -> Self {
        Self::new(name, Mode::Exact, Some(value.as_ref()))
    }

    /// Some value begins with this; what a value is, see [`exact`](Self::exact).
    pub fn prefix(name: HeaderName, value: impl AsRef<str>) -> Self {
        Self::new(name, Mode::Prefix, Some(value.as_ref()))
    }

    /// Some line has this anywhere in it.
    pub fn contains(name: HeaderName, value: impl AsRef<str>) -> Self {
        Self::new(name, Mode::Contains, Some(value.as_ref()))
    }

    /// The field is there, and not empty.
    pub fn exists(name: HeaderName) -> Self {
        Self::new(name, Mode::Exists, None)
    }

    /// Adds an alternative: the predicate is met by either value. Has no effect on `exists`.
    #[must_use]
    pub fn or(mut self, value: impl AsRef<str>) -> Self {
        self.test.or(value.as_ref());
        self
    }

    /// Compares ASCII letters without their case.
    #[must_use]
    pub fn ignore_case(mut self) -> Self {
        self.test.ignore_case = true;
        self
    }

    /// Whether these header fields meet the predicate.
    pub fn holds(&self, headers: &HeaderMap) -> bool {
        let separator = if self.name == header::COOKIE {
            b';'
        } else {
            b','
        };
        let mut lines = headers
            .get_all(&self.name)
            .iter()
            .map(|line| line.as_bytes().trim_ascii());
        let met = lines.any(|line| {
            !line.is_empty()
                && match self.test.mode {
                    Mode::Exact | Mode::Prefix => {
                        self.test.met_by(line)
                            || values::elements(line, separator)
                                .any(|element| self.test.met_by(&element))
                    }
                    Mode::Contains | Mode::Exists => self.test.met_by(line),
                }
        });
        met != self.test.negated
    }

    fn new(name: HeaderName, mode: Mode, value: Option<&str>) -> Self {
        Self {
            name,
            test: Test::new(mode, value),
        }
    }
}

impl Not for HeaderMatch {
    type Output = Self;

    /// The predicate that holds when this one does not.
    fn not(mut self) -> Self {
        self.test.negated = !self.test.negated;
        self
    }
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.test.fmt(f, self.name.as_str())
    }
}

/// A predicate on the values of one query parameter.
///
/// Parameters are separated by `&`. Names and values are compared after `+` is read as a space and escapes are decoded,
/// byte by byte, so they need not be UTF-8; an escape that is not one stands for itself. Names are case-sensitive,
/// values are unless [`ignore_case`](Self::ignore_case) is asked for. A parameter that is repeated meets a predicate
/// when *some* of its values does, and a negated one (`!`) when *none* does.
///
/// ```
/// use tower_gateway::routing::QueryMatch;
///
/// let page = QueryMatch::exact("sort by", "name").or("date");
/// assert!(page.holds(Some("page=2&sort+by=date")));
/// assert!(!QueryMatch::exists("debug").holds(None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryMatch {
    name: Box<str>,
    test: Test,
}

impl QueryMatch {
    /// Some value of the parameter is exactly this one.
    pub fn exact(name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        Self::new(name.as_ref(), Mode::Exact, Some(value.as_ref()))
    }

    /// Some value of the parameter begins with this.
    pub fn prefix(name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        Self::new(name.as_ref(), Mode::Prefix, Some(value.as_ref()))
    }

    /// Some value of the parameter has this anywhere in it.
    pub fn contains(name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        Self::new(name.as_ref(), Mode::Contains, Some(value.as_ref()))
    }

    /// The parameter is there, with or without a value.
    pub fn exists(name: impl AsRef<str>) -> Self {
        Self::new(name.as_ref(), Mode::Exists, None)
    }

    /// Adds an alternative: the predicate is met by either value. Has no effect on `exists`.
    #[must_use]
    pub fn or(mut self, value: impl AsRef<str>) -> Self {
        self.test.or(value.as_ref());
        self
    }

    /// Compares ASCII letters of values without their case.
    #[must_use]
    pub fn ignore_case(mut self) -> Self {
        self.test.ignore_case = true;
        self
    }

    /// Whether this query, without its `?`, meets the predicate.
    pub fn holds(&self, query: Option<&str>) -> bool {
        let parameters = query
            .unwrap_or_default()
            .split('&')
            .filter(|parameter| !parameter.is_empty());
        let met = parameters.into_iter().any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            *values::decoded(name) == *self.name.as_bytes()
                && self.test.met_by(&values::decoded(value))
        });
        met != self.test.negated
    }

    fn new(name: &str, mode: Mode, value: Option<&str>) -> Self {
        Self {
            name: name.into(),
            test: Test::new(mode, value),
        }
    }
}

impl Not for QueryMatch {
    type Output = Self;

    /// The predicate that holds when this one does not.
    fn not(mut self) -> Self {
        self.test.negated = !self.test.negated;
        self
    }
}

impl fmt::Display for QueryMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.test.fmt(f, &self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mode {
    Exact,
    Prefix,
    Contains,
    Exists,
}

/// What is asked of a value, whether it comes from a header or a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Test {
    mode: Mode,
    negated: bool,
    ignore_case: bool,
    /// Sorted, so that the same alternatives in another order are the same test.
    values: Vec<Box<str>>,
}

impl Test {
    fn new(mode: Mode, value: Option<&str>) -> Self {
        Self {
            mode,
            negated: false,
            ignore_case: false,
            values: value.into_iter().map(Into::into).collect(),
        }
    }

    fn or(&mut self, value: &str) {
        if self.mode == Mode::Exists {
            return;
        }
        if let Err(at) = self.values.binary_search_by(|known| (**known).cmp(value)) {
            self.values.insert(at, value.into());
        }
    }

    fn met_by(&self, value: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| {
            if self.ignore_case {
                a.eq_ignore_ascii_case(b)
            } else {
                a == b
            }
        };
        let wanted = || self.values.iter().map(|wanted| wanted.as_bytes());
        match self.mode {
            Mode::Exists => true,
            Mode::Exact => wanted().any(|wanted| same(value, wanted)),
            Mode::Prefix => wanted().any(|wanted| {
                value
                    .get(..wanted.len())
                    .is_some_and(|start| same(start, wanted))
            }),
            Mode::Contains => wanted().any(|wanted| {
                wanted.is_empty() || value.windows(wanted.len()).any(|part| same(part, wanted))
            }),
        }
    }

    fn fmt(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let (yes, no) = match self.mode {
            Mode::Exact => ("=", "!="),
            Mode::Prefix => ("begins with", "does not begin with"),
            Mode::Contains => ("contains", "does not contain"),
            Mode::Exists => ("exists", "does not exist"),
        };
        write!(f, "{name} {}", if self.negated { no } else { yes })?;
        for (at, value) in self.values.iter().enumerate() {
            write!(f, "{}{value}", if at == 0 { " " } else { "|" })?;
        }
        f.write_str(if self.ignore_case { " (any case)" } else { "" })
    }
}

/// Bytes that are borrowed unless they had to be decoded.
type Bytes<'a> = Cow<'a, [u8]>;
