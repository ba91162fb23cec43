//! What a route changes in a request on its way up, and in the response on its way back.
//!
//! ```text
//! use tower_gateway::{routing::Rewrite, template::Param};
//!
//! let rewrite = Rewrite::new()
//!     .path("/v2/users/{id}/{*rest}")
//!     .query_set("tenant", "{header.x-tenant}")
//!     .request_header_remove("x-debug")
//!     .response_header_set("x-served-by", "{request.host}");
//! let pattern = [Param { name: "id", rest: false }, Param { name: "rest", rest: true }];
//! assert!(rewrite.compile(Some(&pattern)).is_ok());
//! // A mistake is reported before the first request: this route's pattern has no params.
//! assert_eq!(rewrite.compile(Some(&[])).unwrap_err().len(), 2);
//! ```

mod headers;
mod path;
mod plan;
mod query;

pub use plan::{Plan, Rewriter};

use crate::template::{Param, Place, Template, TemplateError};
use thiserror::Error;

/// A declaration of changes to requests and responses, for [`Route::rewrite`](crate::Route::rewrite). Nothing is checked until
/// the gateway is built. Clones are independent.
///
/// Values are templates, filled from the request as the client sent it: no change sees another. Of the
/// path's changes there is one each; those of query and headers are carried out in the order in which they were declared.
///
/// | placeholder | value |
/// |---|---|
/// | `{id}` | a path param |
/// | `{*rest}` | a path param whose slashes stay slashes; in a path only the last segment |
/// | `{header.x-tenant}` | a header field of the client's request; several lines are joined by `, ` |
/// | `{query.page}` | a query param, the first of its name, decoded as form data |
/// | `{cookie.session}` | a cookie, the first of its name |
/// | `{claims.sub}` | a claim of the [`Identity`](crate::Identity), by its path; the items of an array are joined by `,` |
/// | `{request.host}` | a fact: `host`, `client_ip`, `id`, `method`, `scheme`, `path` or `query` |
///
/// A name without a dot is always a path param, so that a pattern may call its params as it likes. `{{` and `}}` stand for braces.
///
/// | place | a value is | a value that is missing | refused |
/// |---|---|---|---|
/// | path | a path param as it was spelled; all but unreserved characters of others escaped, `/` too | refused, as is an empty one; an absent `{*rest}` goes together with the slash before it | dot segments, control characters, backslashes |
/// | query | decoded, then all but unreserved characters escaped | leaves the query param out | |
/// | header | decoded, without blanks at either end; of a claim, all but visible ASCII, `%`, `,` (but between the items of an array) and blanks at its ends are percent-encoded | leaves the field out | control characters but for tabs |
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    steps: Vec<Step>,
}

/// A mistake in a [`Rewrite`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// A template that can not be used, or that needs what the route's pattern does not have.
    #[error("{setting}: {source}")]
    Template {
        /// The setting, as `query_set tenant`.
        setting: String,
        /// What is wrong.
        source: TemplateError,
    },
    /// A name that can not be used: it is none, or that of a header which frames the message or belongs to one connection.
    #[error("{setting}: {reason}")]
    Name {
        /// The setting with the name.
        setting: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A prefix that is none.
    #[error("strip_prefix `{prefix}`: {reason}")]
    Prefix {
        /// The prefix as it was given.
        prefix: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A setting that was given twice, or beside one that it contradicts.
    #[error("{setting}: {reason}")]
    Conflict {
        /// The later setting.
        setting: String,
        /// What is wrong.
        reason: &'static str,
    },
}

#[derive(Debug, Clone)]
enum Step {
    StripPrefix(String),
    AddPrefix(String),
    Path(String),
    Query(Edit),
    Request(Edit),
    Response(Edit),
}

/// A change of one named thing.
#[derive(Debug, Clone)]
struct Edit {
    name: String,
    action: Action<String>,
}

/// What happens to a query param or a header field.
#[derive(Debug, Clone)]
enum Action<V> {
    Set(V),
    Append(V),
    Remove,
}

impl Rewrite {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes whole segments from the front of the path: `/api` makes `/x` of `/api/x` and `/` of `/api`, and leaves `/apix` alone. A
    /// slash at the prefix's end means nothing. What was taken goes into `X-Forwarded-Prefix`.
    #[must_use]
    pub fn strip_prefix(self, prefix: impl Into<String>) -> Self {
        self.step(Step::StripPrefix(prefix.into()))
    }

    /// Puts a path template before the path, after any stripping. With `strip_prefix("/api").add_prefix("/v2")`, `/api` becomes `/v2`
    /// and `/api/` becomes `/v2/`. A slash at the prefix's end means nothing.
    #[must_use]
    pub fn add_prefix(self, prefix: impl Into<String>) -> Self {
        self.step(Step::AddPrefix(prefix.into()))
    }

    /// Replaces the whole path by a template, as `/v2/{id}/{*rest}`. It excludes the two prefix settings.
    #[must_use]
    pub fn path(self, template: impl Into<String>) -> Self {
        self.step(Step::Path(template.into()))
    }

    /// Gives the query one param of this name, where the first one stood or at the end. A template with a missing value removes it.
    #[must_use]
    pub fn query_set(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Step::Query(Edit::new(name, Action::Set(value.into()))))
    }

    /// Adds a param at the query's end, unless the template has a missing value.
    #[must_use]
    pub fn query_append(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Step::Query(Edit::new(name, Action::Append(value.into()))))
    }

    /// Removes every param of this name. Names are compared decoded, and `+` counts as itself and as a space.
    #[must_use]
    pub fn query_remove(self, name: impl Into<String>) -> Self {
        self.step(Step::Query(Edit::new(name, Action::Remove)))
    }

    /// Gives the request one field of this name. What the client sent under it, or under an alias with `_` for `-`, is gone, also when
    /// the template has a missing value and no field is set.
    #[must_use]
    pub fn request_header_set(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Step::Request(Edit::new(name, Action::Set(value.into()))))
    }

    /// Adds a field line behind those of the client, unless the template has a missing value.
    #[must_use]
    pub fn request_header_append(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Step::Request(Edit::new(name, Action::Append(value.into()))))
    }

    /// Removes all fields of this name, and of its aliases with `_` for `-`.
    #[must_use]
    pub fn request_header_remove(self, name: impl Into<String>) -> Self {
        self.step(Step::Request(Edit::new(name, Action::Remove)))
    }

    /// Gives the response one field of this name, filled from the request. A template with a missing value removes it.
    #[must_use]
    pub fn response_header_set(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Step::Response(Edit::new(name, Action::Set(value.into()))))
    }

    /// Adds a field line to the response, filled from the request, unless the template has a missing value.
    #[must_use]
    pub fn response_header_append(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.step(Step::Response(Edit::new(
            name,
            Action::Append(value.into()),
        )))
    }

    /// Removes all fields of this name from the response.
    #[must_use]
    pub fn response_header_remove(self, name: impl Into<String>) -> Self {
        self.step(Step::Response(Edit::new(name, Action::Remove)))
    }

    /// Checks and parses all of it, for a route whose pattern has these params; `None` when they are not known.
    ///
    /// # Errors
    /// Every mistake, in the order of declaration.
    pub(crate) fn compile(
        &self,
        pattern: Option<&[Param<'_>]>,
    ) -> Result<Rewriter, Vec<RewriteError>> {
        let mut check = Check {
            pattern,
            errors: Vec::new(),
        };
        let mut rewriter = Rewriter::default();
        for step in &self.steps {
            match step {
                Step::StripPrefix(prefix) => check.strip_prefix(&mut rewriter.path, prefix),
                Step::AddPrefix(prefix) => check.add_prefix(&mut rewriter.path, prefix),
                Step::Path(template) => check.path(&mut rewriter.path, template),
                Step::Query(edit) => rewriter.query.extend(check.query(edit)),
                Step::Request(edit) => rewriter.request.extend(check.header("request", edit)),
                Step::Response(edit) => rewriter.response.extend(check.header("response", edit)),
            }
        }
        if check.errors.is_empty() {
            Ok(rewriter)
        } else {
            Err(check.errors)
        }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl Edit {
    fn new(name: impl Into<String>, action: Action<String>) -> Self {
        let name = name.into();
        Self { name, action }
    }

    /// How the setting is called in a message.
    fn setting(&self, what: &str) -> String {
        format!("{what}_{} `{}`", self.action.verb(), self.name)
    }
}

impl<V> Action<V> {
    fn verb(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::Append(_) => "append",
            Self::Remove => "remove",
        }
    }

    /// The same action with another value, if there is one.
    fn try_map<W>(&self, map: impl FnOnce(&V) -> Option<W>) -> Option<Action<W>> {
        Some(match self {
            Self::Set(value) => Action::Set(map(value)?),
            Self::Append(value) => Action::Append(map(value)?),
            Self::Remove => Action::Remove,
        })
    }
}

/// Collects the mistakes of one declaration.
struct Check<'a> {
    pattern: Option<&'a [Param<'a>]>,
    errors: Vec<RewriteError>,
}

impl Check<'_> {
    /// Parses a template and compares its needs with the pattern.
    fn template(&mut self, setting: &str, text: &str, place: Place) -> Option<Template> {
        let (template, faults) = match Template::parse(text, place) {
            Ok(template) => {
                let unmet = self.pattern.map(|params| template.unmet(params));
                let unmet = unmet.unwrap_or_default();
                (Some(template), unmet)
            }
            Err(error) => (None, vec![error]),
        };
        self.errors.extend(faults.into_iter().map(|source| {
            let setting = setting.to_owned();
            RewriteError::Template { setting, source }
        }));
        template
    }

    fn conflict(&mut self, setting: String, reason: &'static str) {
        self.errors.push(RewriteError::Conflict { setting, reason });
    }
}

#[cfg(test)]
mod tests;
