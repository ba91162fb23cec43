//! What has to be so for a request to be allowed.

use std::{fmt, sync::Arc};

use http::{HeaderName, request::Parts};

use crate::{
    claims::Claims,
    context::{Params, RequestContext},
    field,
    json::Value,
    template::encode::decode,
};

/// One condition.
#[derive(Clone)]
pub(super) enum Rule {
    AllScopes(Vec<String>),
    AnyScope(Vec<String>),
    /// The claim is one of these texts, or has one of them.
    AnyOf(String, Vec<String>),
    AllOf(String, Vec<String>),
    /// The claim is the path param, or has it.
    IsParam {
        claim: String,
        param: String,
    },
    /// The claim is every value of the header (in lower case), or has them.
    IsHeader {
        claim: String,
        header: String,
    },
    When(Arc<dyn Fn(&Parts) -> bool + Send + Sync>),
}

/// Why a request is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// With these scopes it may be.
    Scope(String),
    Other(String),
}

impl Rule {
    /// Whether it holds for a request of somebody of whom this is known.
    pub(super) fn check(&self, head: &Parts, claims: &Claims) -> Result<(), Refusal> {
        let holds = match self {
            Self::AllScopes(scopes) => scopes
                .iter()
                .all(|scope| claims.scopes().any(|one| one == scope)),
            Self::AnyScope(scopes) => scopes
                .iter()
                .any(|scope| claims.scopes().any(|one| one == scope)),
            Self::AnyOf(claim, texts) => texts.iter().any(|text| claims.has(claim, text)),
            Self::AllOf(claim, texts) => texts.iter().all(|text| claims.has(claim, text)),
            Self::IsParam { claim, param } => {
                let context = head.extensions.get::<RequestContext>();
                let params = context.map(RequestContext::params);
                is_param(params, claims, claim, param)
            }
            Self::IsHeader { claim, header } => is_header(head, claims, claim, header),
            Self::When(allows) => allows(head),
        };
        match holds {
            true => Ok(()),
            false => Err(self.refusal()),
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            Self::AllScopes(scopes) | Self::AnyScope(scopes) => Refusal::Scope(scopes.join(" ")),
            Self::AnyOf(claim, texts) => Refusal::Other(format!("`{claim}` has none of {texts:?}")),
            Self::AllOf(claim, texts) => {
                Refusal::Other(format!("`{claim}` has not all of {texts:?}"))
            }
            Self::IsParam { claim, param } => {
                Refusal::Other(format!("`{claim}` is not the path's `{param}`"))
            }
            Self::IsHeader { claim, header } => {
                Refusal::Other(format!("`{claim}` is not what `{header}` says"))
            }
            Self::When(_) => Refusal::Other("the closure does not allow it".to_owned()),
        }
    }

    /// What can not be meant.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        match self {
            Self::AllScopes(scopes) | Self::AnyScope(scopes) => {
                if scopes.is_empty() {
                    mistakes.push("authorize: a rule has no scope; name at least one".to_owned());
                }
                let wrong = scopes.iter().filter(|scope| !is_scope(scope));
                mistakes.extend(wrong.map(|scope| {
                    format!("authorize: {scope:?} is no scope; it is visible ASCII but for `\"` and `\\`, without blanks")
                }));
            }
            Self::AnyOf(claim, texts) | Self::AllOf(claim, texts) => {
                mistakes.extend(claim_mistake(claim));
                if texts.is_empty() {
                    mistakes.push(format!(
                        "authorize: the rule on `{claim}` has no value; name at least one"
                    ));
                }
            }
            Self::IsParam { claim, param } => {
                mistakes.extend(claim_mistake(claim));
                if param.is_empty() {
                    mistakes.push("authorize: a path param has a name".to_owned());
                }
            }
            Self::IsHeader { claim, header } => {
                mistakes.extend(claim_mistake(claim));
                if HeaderName::from_bytes(header.as_bytes()).is_err() {
                    mistakes.push(format!(
                        "authorize: {header:?} is no name of a header field"
                    ));
                }
            }
            Self::When(_) => {}
        }
        mistakes
    }

    /// The path param that it needs.
    pub(super) fn param(&self) -> Option<&str> {
        match self {
            Self::IsParam { param, .. } => Some(param),
            _ => None,
        }
    }
}

fn claim_mistake(claim: &str) -> Option<String> {
    let is_path = !claim.is_empty() && !claim.starts_with('.') && !claim.ends_with('.');
    (!is_path).then(|| {
        format!("authorize: {claim:?} names no claim; it is a name, or names joined by dots")
    })
}

/// A scope-token of RFC 6749, section 3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// The param is compared as what it means, not as it is spelled in the path.
fn is_param(params: Option<&Params>, claims: &Claims, claim: &str, param: &str) -> bool {
    let value = params.and_then(|params| params.get(param));
    value.is_some_and(|value| says(claims, claim, &decode(value.as_bytes())))
}

/// Whichever line of a header a backend goes by, and whatever it takes for the same name, says what the claim does.
fn is_header(head: &Parts, claims: &Claims, claim: &str, header: &str) -> bool {
    let Ok(header) = HeaderName::from_bytes(header.as_bytes()) else {
        return false;
    };
    let is_it =
        |name: &HeaderName| field::is_alias(name.as_str().as_bytes(), header.as_str().as_bytes());
    let mut lines = head.headers.iter().filter(|(name, _)| is_it(name));
    head.headers.contains_key(&header)
        && lines.all(|(_, line)| says(claims, claim, line.as_bytes()))
}

/// Whether the claim is this text or number, or an array that has it.
fn says(claims: &Claims, claim: &str, value: &[u8]) -> bool {
    let is = |item: Value<'_>| {
        let text = item.as_str().or_else(|| item.number());
        text.is_some_and(|text| text.as_bytes() == value)
    };
    !value.is_empty() && claims.items(claim).any(is)
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllScopes(_) => "AllScopes",
            Self::AnyScope(_) => "AnyScope",
            Self::AnyOf(..) => "AnyOf",
            Self::AllOf(..) => "AllOf",
            Self::IsParam { .. } => "IsParam",
            Self::IsHeader { .. } => "IsHeader",
            Self::When(_) => "When",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, uri::PathAndQuery};

    fn head(param: Option<&'static str>, headers: &[(&'static str, &'static str)]) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        for (name, value) in headers {
            head.headers.append(*name, value.parse().unwrap());
        }
        let mut context = RequestContext::new();
        if let Some(param) = param {
            let path = PathAndQuery::from_static(param);
            let end = u32::try_from(param.len()).unwrap();
            context.params = Params::new(path, ["id".into()].into(), [Some(1..end)]);
        }
        head.extensions.insert(context);
        head
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn scopes_and_values() {
        let claims: Claims =
            r#"{"scope": "read write", "realm": {"roles": ["staff", 7]}, "org": "acme"}"#
                .parse()
                .unwrap();
        let roles = || "realm.roles".to_owned();
        let org = || "org".to_owned();
        for (rule, expected) in [
            (Rule::AllScopes(texts(&["read", "write"])), true),
            (Rule::AllScopes(texts(&["read", "admin"])), false),
            (Rule::AllScopes(texts(&["rea"])), false),
            (Rule::AnyScope(texts(&["admin", "write"])), true),
            (Rule::AnyScope(texts(&["admin"])), false),
            (Rule::AnyOf(roles(), texts(&["admin", "staff"])), true),
            (Rule::AnyOf(roles(), texts(&["admin"])), false),
            (Rule::AnyOf(roles(), texts(&["7"])), false),
            (Rule::AllOf(roles(), texts(&["staff"])), true),
            (Rule::AllOf(roles(), texts(&["staff", "admin"])), false),
            (Rule::AnyOf(org(), texts(&["acme"])), true),
            (Rule::AnyOf(org(), texts(&["ACME"])), false),
            (Rule::AnyOf("org.x".to_owned(), texts(&["acme"])), false),
        ] {
            assert_eq!(
                rule.check(&head(None, &[]), &claims).is_ok(),
                expected,
                "{:?}",
                rule.refusal()
            );
        }
    }

    #[test]
    fn a_claim_is_compared_with_what_the_param_means() {
        let rule = |claim: &str| Rule::IsParam {
            claim: claim.to_owned(),
            param: "id".to_owned(),
        };
        let claims: Claims =
            r#"{"sub": "a b", "n": 7, "list": ["x", "y"], "empty": "", "yes": true, "e": "%61"}"#
                .parse()
                .unwrap();
        for (claim, path, expected) in [
            ("sub", Some("/a%20b"), true),
            ("sub", Some("/a%2520b"), false),
            ("sub", Some("/A%20b"), false),
            ("sub", Some("/a%20b%00"), false),
            ("n", Some("/7"), true),
            ("n", Some("/07"), false),
            ("list", Some("/y"), true),
            ("list", Some("/z"), false),
            ("empty", Some("/"), false),
            ("yes", Some("/true"), false),
            ("missing", Some("/"), false),
            ("e", Some("/a"), false),
            ("sub", None, false),
        ] {
            let head = head(path, &[]);
            assert_eq!(
                rule(claim).check(&head, &claims).is_ok(),
                expected,
                "{claim} {path:?}"
            );
        }
        let other = Rule::IsParam {
            claim: "sub".to_owned(),
            param: "other".to_owned(),
        };
        assert!(other.check(&head(Some("/a%20b"), &[]), &claims).is_err());
    }

    #[test]
    fn every_value_of_a_header_is_looked_at() {
        let rule = Rule::IsHeader {
            claim: "tenant".to_owned(),
            header: "x-tenant".to_owned(),
        };
        let claims: Claims = r#"{"tenant": ["a", "b"]}"#.parse().unwrap();
        for (lines, expected) in [
            (&[][..], false),
            (&[("x-tenant", "a")], true),
            (&[("x-tenant", "a"), ("x-tenant", "b")], true),
            (&[("x-tenant", "a"), ("x-tenant", "c")], false),
            (&[("x-tenant", "c"), ("x-tenant", "a")], false),
            (&[("x-tenant", "a, b")], false),
            (&[("x-tenant", "")], false),
            (&[("x-tenant", "a"), ("x_tenant", "b")], true),
            (&[("x-tenant", "a"), ("x_tenant", "c")], false),
            (&[("x_tenant", "a")], false),
        ] {
            assert_eq!(
                rule.check(&head(None, lines), &claims).is_ok(),
                expected,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn only_missing_scopes_are_told() {
        let refused = |rule: Rule| rule.check(&head(None, &[]), &Claims::new()).unwrap_err();
        assert_eq!(
            refused(Rule::AllScopes(texts(&["a", "b"]))),
            Refusal::Scope("a b".to_owned())
        );
        assert!(matches!(
            refused(Rule::AnyOf("org".to_owned(), texts(&["a"]))),
            Refusal::Other(_)
        ));
    }
}
