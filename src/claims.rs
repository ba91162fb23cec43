//! What somebody says about a subject: a JSON object that is read strictly, and asked by path.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// A set of claims (RFC 7519, section 4): of a token, of an introspection, or of one's own making. Clones share it.
///
/// A path names a member, or a member of a member: `sub`, `realm_access.roles`. A member of the outermost object whose whole name is
/// the path comes first, so that `https://example.com/roles` is a path too.
///
/// ```
/// use tower_gateway::Claims;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let claims: Claims = r#"{"sub": "alice", "realm_access": {"roles": ["admin", "staff"]}}"#.parse()?;
/// assert_eq!(claims.subject(), Some("alice"));
/// assert!(claims.has("realm_access.roles", "admin"));
/// assert_eq!(claims.get::<Vec<String>>("realm_access.roles"), Some(vec!["admin".into(), "staff".into()]));
/// # Ok(()) }
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Claims(Arc<Map<String, Value>>);

/// Text that is no set of claims: no JSON, no object, or one in which a member is there twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claims can not be read: {0}")]
pub struct ClaimsError(String);

impl Claims {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a claim, or puts it in place of the one there is. What has no JSON, as a map whose keys are no text, is left out.
    pub fn with(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            Arc::make_mut(&mut self.0).insert(name.into(), value);
        }
        self
    }

    /// Reads a JSON object. A member that is there twice, at any depth, is a mistake, and so is anything behind the object.
    ///
    /// # Errors
    /// What is wrong, without the text itself.
    pub fn parse(json: &[u8]) -> Result<Self, ClaimsError> {
        match serde_json::from_slice(json) {
            Ok(Strict(Value::Object(members))) => Ok(Self(Arc::new(members))),
            Ok(Strict(_)) => Err(ClaimsError("it is no object".to_owned())),
            Err(error) => Err(ClaimsError(error.to_string())),
        }
    }

    /// `sub`: whom it is about.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `iss`: who says it.
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `jti`: the name of the token.
    pub fn id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// `aud`: whom it is for; one, several or nobody.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.texts("aud")
    }

    /// What the subject may do: `scope` as text with blanks (RFC 8693, section 4.2) or as an array; if there is none, `scp`.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let name = if self.0.contains_key("scope") {
            "scope"
        } else {
            "scp"
        };
        self.texts(name)
            .flat_map(|text| text.split(' '))
            .filter(|scope| !scope.is_empty())
    }

    /// Whether the claim is this text, or an array that has it.
    pub fn has(&self, path: &str, text: &str) -> bool {
        self.texts(path).any(|one| one == text)
    }

    /// A claim as a type of one's own; `None` if there is none, or it is of another shape.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        T::deserialize(self.find(path)?).ok()
    }

    /// All claims as a type of one's own; `None` if they have another shape.
    pub fn to<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(Value::Object(Map::clone(&self.0))).ok()
    }

    /// A claim that is text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.find(path)?.as_str()
    }

    /// The texts of a claim that is one, or an array of them.
    pub(crate) fn texts(&self, path: &str) -> impl Iterator<Item = &str> {
        self.each(path).iter().filter_map(Value::as_str)
    }

    /// The items of a claim: those of an array, or itself.
    pub(crate) fn each(&self, path: &str) -> &[Value] {
        match self.find(path) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(one) => std::slice::from_ref(one),
        }
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Value> {
        if let Some(whole) = self.0.get(path) {
            return Some(whole);
        }
        let mut names = path.split('.');
        let first = self.0.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_object()?.get(name))
    }

    #[cfg(any(test, feature = "auth"))]
    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A claim as text for people and header fields: what is no text is its JSON.
    pub(crate) fn plain(value: &Value) -> Cow<'_, str> {
        match value {
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}

impl std::str::FromStr for Claims {
    type Err = ClaimsError;

    fn from_str(json: &str) -> Result<Self, ClaimsError> {
        Self::parse(json.as_bytes())
    }
}

/// Names, and no values: these are about people.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// JSON in which no object has a member twice: what two readers would understand differently.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let Strict(value) = from.next_value()?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        json.parse().unwrap()
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"\u0062":2}]}"#,
            r#"["a"]"#,
            r#""a""#,
            "",
            "{",
            r#"{} {}"#,
            r#"{"a":1,}"#,
            r#"{'a':1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":01}"#,
            r#"{"a":"\ud800"}"#,
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
        ] {
            assert!(json.parse::<Claims>().is_err(), "{json}");
        }
        assert!(Claims::parse(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{}1{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
        assert!(deep.parse::<Claims>().is_err());
        assert_eq!(
            claims(r#" {"a": {"a": 1}, "b": {"a": 2}} "#)
                .members()
                .len(),
            2
        );
    }

    #[test]
    fn claims_are_found_by_path() {
        let claims = claims(
            r#"{"a": {"b": {"c": "deep"}}, "a.b": "whole", "https://x.example/roles": ["r"], "n": null, "t": "x"}"#,
        );
        for (path, expected) in [
            ("a.b", Some("whole")),
            ("a.b.c", Some("deep")),
            ("a.c", None),
            ("t.x", None),
            ("https://x.example/roles", None),
            ("n", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(claims.text(path), expected, "{path}");
        }
        assert!(claims.has("https://x.example/roles", "r"));
        assert!(!claims.has("a.b.c", "dee"));
        assert_eq!(claims.each("n"), [] as [Value; 0]);
    }

    #[test]
    fn scopes_come_in_three_shapes() {
        for (json, expected) in [
            (r#"{"scope":"a b"}"#, vec!["a", "b"]),
            (r#"{"scope":" a  b "}"#, vec!["a", "b"]),
            (r#"{"scope":["a","b"]}"#, vec!["a", "b"]),
            (r#"{"scp":["a"]}"#, vec!["a"]),
            (r#"{"scp":"a b"}"#, vec!["a", "b"]),
            (r#"{"scope":"","scp":"a"}"#, vec![]),
            (r#"{"scope":7}"#, vec![]),
            ("{}", vec![]),
        ] {
            assert_eq!(
                claims(json).scopes().collect::<Vec<_>>(),
                expected,
                "{json}"
            );
        }
    }

    #[test]
    fn claims_are_read_as_types_of_ones_own() {
        #[derive(Deserialize, PartialEq, Debug)]
        struct Own {
            sub: String,
            level: u8,
        }
        let claims = Claims::new().with("sub", "a").with("level", 7);
        assert_eq!(claims.get::<u8>("level"), Some(7));
        assert_eq!(claims.get::<String>("level"), None);
        let own = Own {
            sub: "a".to_owned(),
            level: 7,
        };
        assert_eq!(claims.to::<Own>(), Some(own));
        assert_eq!(claims.with("level", "x").to::<Own>(), None);
    }

    #[test]
    fn no_value_is_in_the_debug_text() {
        let claims = Claims::new().with("email", "a@example.com");
        assert_eq!(format!("{claims:?}"), r#"{"email"}"#);
    }
}
