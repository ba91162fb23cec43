//! What a JWT claims.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::de::DeserializeOwned;

use super::{
    ClaimError, Value,
    json::{Node, parse_object},
};

/// The claims of a JWT (RFC 7519), read strictly: one JSON object without repeated members at whatever depth, the registered
/// claims of the right type.
///
/// Its `Debug` shows the names of the claims, not their values.
#[derive(Clone)]
pub struct Claims {
    payload: Box<str>,
    root: Node,
    times: Times,
}

/// Since the epoch.
#[derive(Clone, Copy)]
struct Times {
    exp: Option<Duration>,
    nbf: Option<Duration>,
    iat: Option<Duration>,
}

/// The end of the year 9999: later than any token should last, and a time that every platform can have.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

impl Claims {
    /// Reads a payload.
    ///
    /// `iss`, `sub`, `jti` have to be strings if they are there; `aud`, `scope`, `scp` strings or arrays of them; `exp`, `nbf`, `iat`
    /// numbers from 0 to the year 9999, in seconds, whole or not.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Json`] and [`ClaimError::Type`].
    pub fn parse(payload: impl AsRef<[u8]>) -> Result<Self, ClaimError> {
        let (payload, root) = parse_object(payload.as_ref())?;
        let claims = Value::new(payload, &root);
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
        Ok(Self {
            payload: payload.into(),
            root,
            times: Times { exp, nbf, iat },
        })
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
        self.strings("aud")
    }

    /// `exp`.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.times.exp.map(|time| UNIX_EPOCH + time)
    }

    /// `nbf`.
    #[must_use]
    pub fn not_before(&self) -> Option<SystemTime> {
        self.times.nbf.map(|time| UNIX_EPOCH + time)
    }

    /// `iat`.
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.times.iat.map(|time| UNIX_EPOCH + time)
    }

    /// `jti`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.string("jti")
    }

    /// The scopes: of `scope` (words with spaces between them, RFC 8693 section 4.2, or an array), and of `scp`, which some issuers
    /// have for it.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let words = self.strings("scope").chain(self.strings("scp"));
        words.flat_map(|words| words.split(' ').filter(|word| !word.is_empty()))
    }

    /// A claim by its name, or within others by a path with dots: `realm_access.roles`.
    ///
    /// A name may have dots itself, as URLs have: in each object the longest name that fits is taken.
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
        serde_json::from_str(&self.payload)
            .map_err(|error| ClaimError::Deserialize(error.to_string().into()))
    }

    /// The payload they were read from.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.payload
    }

    fn value(&self) -> Value<'_> {
        Value::new(&self.payload, &self.root)
    }

    fn string(&self, name: &str) -> Option<&str> {
        self.value().member(name)?.as_str()
    }

    fn strings(&self, name: &str) -> impl Iterator<Item = &str> {
        let value = self.value().member(name);
        let one = value.and_then(Value::as_str);
        let many = value.and_then(Value::items).into_iter().flatten();
        one.into_iter().chain(many.filter_map(Value::as_str))
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
