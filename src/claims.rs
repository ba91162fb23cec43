//! What somebody says about a subject: a JSON object that is read strictly, and asked by path.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};

mod error;

pub use error::ClaimError;

use crate::json::{JsonError, Node, Value, parse_object};

/// A set of claims (RFC 7519, section 4): of a token, of an introspection, or of one's own making. Clones share it.
///
/// It is read strictly: one JSON object without repeated members at whatever depth, the registered claims of the right type. Its `Debug`
/// shows the names of the claims, not their values: these are about people.
///
/// A path names a member, or members within each other: `sub`, `realm_access.roles`. A name may have dots itself, as URLs have: in each
/// object the longest name that fits is taken.
///
/// ```
/// use tower_gateway::Claims;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let claims: Claims = r#"{"sub": "alice", "realm_access": {"roles": ["admin", "staff"]}}"#.parse()?;
/// assert_eq!(claims.subject(), Some("alice"));
/// assert!(claims.has("realm_access.roles", "admin"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Claims(Arc<Read>);

struct Read {
    json: Box<str>,
    root: Node,
    times: Times,
}

/// Since the epoch.
#[derive(Clone, Copy, Default)]
struct Times {
    exp: Option<Duration>,
    nbf: Option<Duration>,
    iat: Option<Duration>,
}

/// The end of the year 9999: later than any token should last, and a time that every platform can have.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

impl Claims {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JSON object.
    ///
    /// `iss`, `sub`, `jti` have to be strings if they are there; `aud`, `scope`, `scp` strings or arrays of them; `exp`, `nbf`, `iat`
    /// numbers from 0 to the year 9999, in seconds, whole or not.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Json`] and [`ClaimError::Type`].
    pub fn parse(json: impl AsRef<[u8]>) -> Result<Self, ClaimError> {
        let (json, root) = parse_object(json.as_ref())?;
        let claims = Value::new(json, &root);
        let mut times = [None; 3];
        for (name, value) in claims.members().into_iter().flatten() {
            match name {
                "iss" => string("iss", value)?,
                "sub" => string("sub", value)?,
                "jti" => string("jti", value)?,
                "aud" => strings("aud", value)?,
                "scope" => strings("scope", value)?,
                "scp" => strings("scp", value)?,
                "exp" => times[0] = Some(time("exp", value)?),
                "nbf" => times[1] = Some(time("nbf", value)?),
                "iat" => times[2] = Some(time("iat", value)?),
                _ => {}
            }
        }
        let [exp, nbf, iat] = times;
        Ok(Self(Arc::new(Read {
            json: json.into(),
            root,
            times: Times { exp, nbf, iat },
        })))
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.string("sub")
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.string("iss")
    }

    /// `aud`, whether it is a string or an array; nothing if it is missing.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.texts("aud")
    }

    /// `exp`.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.times.exp.map(|time| UNIX_EPOCH + time)
    }

    /// `nbf`.
    #[must_use]
    pub fn not_before(&self) -> Option<SystemTime> {
        self.0.times.nbf.map(|time| UNIX_EPOCH + time)
    }

    /// `iat`.
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.times.iat.map(|time| UNIX_EPOCH + time)
    }

    /// `jti`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.string("jti")
    }

    /// The scopes: of `scope` (words with spaces between them, RFC 8693 section 4.2, or an array), and of `scp`, which some issuers
    /// have for it.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let words = self.texts("scope").chain(self.texts("scp"));
        words.flat_map(|words| words.split(' ').filter(|word| !word.is_empty()))
    }

    /// A claim by its path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value<'_>> {
        self.value().find(path)
    }

    /// The claims as a type of one's own.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Deserialize`], with what serde says.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ClaimError> {
        serde_json::from_str(&self.0.json)
            .map_err(|error| ClaimError::Deserialize(error.to_string().into()))
    }

    /// The object as it was read.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0.json
    }

    /// Whether the claim is this text, or an array that has it.
    #[must_use]
    pub fn has(&self, path: &str, text: &str) -> bool {
        self.texts(path).any(|one| one == text)
    }

    /// The same claims, with this one added or in place of the one there is.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and [`ClaimError::Json`] for a value that has no JSON.
    pub fn try_with(&self, name: &str, value: impl Serialize) -> Result<Self, ClaimError> {
        let value = serde_json::to_string(&value).map_err(|_| JsonError::NotAnObject)?;
        self.with_json(name, &value)
    }

    /// [`try_with`](Self::try_with), for values that are known to be right: what can not be a claim of this name is left out.
    #[must_use]
    pub fn with(self, name: &str, value: impl Serialize) -> Self {
        self.try_with(name, value).unwrap_or(self)
    }

    pub(crate) fn with_json(&self, name: &str, value: &str) -> Result<Self, ClaimError> {
        self.replace(name, value, |other| other == name)
    }

    /// The same claims, and others under this name: no path that begins with it finds any of these.
    #[cfg(feature = "auth")]
    pub(crate) fn with_others(&self, name: &str, others: &Self) -> Result<Self, ClaimError> {
        self.replace(name, others.as_json(), |other| {
            let rest = other.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    fn replace(
        &self,
        name: &str,
        value: &str,
        goes: impl Fn(&str) -> bool,
    ) -> Result<Self, ClaimError> {
        let others = self.value().members().into_iter().flatten();
        let others = others.filter(|(other, _)| !goes(other));
        let members = others.map(|(name, value)| (name, value.json()));
        let mut json = String::from("{");
        for (name, value) in members.chain([(name, value)]) {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&serde_json::Value::from(name).to_string());
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        Self::parse(json)
    }

    /// The texts of a claim that is one, or an array of them.
    pub(crate) fn texts(&self, path: &str) -> impl Iterator<Item = &str> {
        self.items(path).filter_map(Value::as_str)
    }

    /// The items of a claim: those of an array, or itself.
    pub(crate) fn items(&self, path: &str) -> impl Iterator<Item = Value<'_>> {
        let value = self.get(path);
        let many = value.and_then(Value::items);
        let one = value.filter(|_| many.is_none());
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The member of exactly this name.
    #[cfg(feature = "auth")]
    pub(crate) fn member(&self, name: &str) -> Option<Value<'_>> {
        self.value().member(name)
    }

    fn value(&self) -> Value<'_> {
        Value::new(&self.0.json, &self.0.root)
    }

    fn string(&self, name: &str) -> Option<&str> {
        self.value().member(name)?.as_str()
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self(Arc::new(Read {
            json: "{}".into(),
            root: Node::empty(),
            times: Times::default(),
        }))
    }
}

/// By their JSON.
impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.0.json == other.0.json
    }
}

impl FromStr for Claims {
    type Err = ClaimError;

    fn from_str(json: &str) -> Result<Self, ClaimError> {
        Self::parse(json)
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.value().members().into_iter().flatten();
        f.debug_set()
            .entries(members.map(|(name, _)| name))
            .finish()
    }
}

fn string(claim: &'static str, value: Value<'_>) -> Result<(), ClaimError> {
    let wrong = "has to be a string";
    match value.as_str() {
        Some(_) => Ok(()),
        None => Err(ClaimError::Type { claim, wrong }),
    }
}

fn strings(claim: &'static str, value: Value<'_>) -> Result<(), ClaimError> {
    let is_array = || {
        let mut items = value.items()?;
        Some(items.all(|item| item.as_str().is_some()))
    };
    let wrong = "has to be a string, or an array of strings";
    match value.as_str().is_some() || is_array() == Some(true) {
        true => Ok(()),
        false => Err(ClaimError::Type { claim, wrong }),
    }
}

/// A `NumericDate` (RFC 7519 section 2).
fn time(claim: &'static str, value: Value<'_>) -> Result<Duration, ClaimError> {
    let read = |text: &str| match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Duration::try_from_secs_f64(text.parse().ok()?).ok(),
    };
    let time = value.number().and_then(read);
    time.filter(|time| *time <= LATEST).ok_or(ClaimError::Type {
        claim,
        wrong: "has to be seconds since 1970, as a number from 0 to the year 9999",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_added_or_replaced_and_no_digit_is_lost() {
        let claims: Claims =
            r#"{"n": 12345678901234567890.10, "a\"b": [1, {"x": null}], "sub": "old"}"#
                .parse()
                .unwrap();
        let more = claims.clone().with("sub", "new").with("z", ["a", "b"]);
        assert_eq!(
            more.as_json(),
            r#"{"n":12345678901234567890.10,"a\"b":[1, {"x": null}],"sub":"new","z":["a","b"]}"#
        );
        assert_eq!(claims.subject(), Some("old"), "the others are as they were");
        assert!(claims.try_with("sub", 7).is_err(), "a subject is text");
        assert_eq!(claims.clone().with("sub", 7), claims);
    }

    #[test]
    fn items_are_those_of_an_array_or_one() {
        let claims: Claims = r#"{"a": ["x", 1, "y"], "b": "z", "c": {"a": ["w"]}, "n": null}"#
            .parse()
            .unwrap();
        let texts = |path: &str| claims.texts(path).collect::<Vec<_>>();
        assert_eq!(
            (texts("a"), texts("b"), texts("c.a")),
            (vec!["x", "y"], vec!["z"], vec!["w"])
        );
        assert_eq!(
            (texts("n"), texts("d"), texts("a.b")),
            (vec![], vec![], vec![])
        );
        assert!(claims.has("a", "y") && !claims.has("a", "1") && !claims.has("c", "w"));
    }
}
