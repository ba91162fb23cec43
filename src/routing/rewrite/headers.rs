//! Changes of header fields.

use super::{Action, Check, Edit, RewriteError};
use crate::field;
use crate::template::{Facts, Place, RenderError, Template};
use http::{HeaderMap, HeaderName, HeaderValue, header::MaxSizeReached};

#[derive(Debug, Clone)]
pub(super) struct HeaderRule {
    name: HeaderName,
    action: Action<Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Fixed(HeaderValue),
    Template(Template),
}

/// A change whose value is known.
#[derive(Debug, Clone)]
pub(super) struct HeaderEdit {
    name: HeaderName,
    action: Action<HeaderValue>,
}

impl HeaderRule {
    /// Fills in the value; `None` when nothing is to be done without it.
    pub(super) fn fill(&self, facts: &dyn Facts) -> Result<Option<HeaderEdit>, RenderError> {
        let action = match &self.action {
            Action::Set(value) => value.fill(facts)?.map_or(Action::Remove, Action::Set),
            Action::Append(value) => match value.fill(facts)? {
                Some(value) => Action::Append(value),
                None => return Ok(None),
            },
            Action::Remove => Action::Remove,
        };
        let name = self.name.clone();
        Ok(Some(HeaderEdit { name, action }))
    }
}

impl Value {
    fn new(template: Template) -> Self {
        match template.fixed().map(HeaderValue::from_bytes) {
            Some(Ok(value)) => Self::Fixed(value),
            _ => Self::Template(template),
        }
    }

    fn fill(&self, facts: &dyn Facts) -> Result<Option<HeaderValue>, RenderError> {
        match self {
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::Template(template) => template.render_header(facts),
        }
    }
}

impl HeaderEdit {
    pub(super) fn apply(&self, headers: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        match &self.action {
            Action::Set(value) => _ = headers.try_insert(self.name.clone(), value.clone())?,
            Action::Append(value) => _ = headers.try_append(self.name.clone(), value.clone())?,
            Action::Remove => _ = headers.remove(&self.name),
        }
        Ok(())
    }

    /// Whether the client's field `name` would be taken for this one by a backend that does not tell `_` from `-`.
    fn owns_alias(&self, name: &HeaderName) -> bool {
        !matches!(self.action, Action::Append(_))
            && *name != self.name
            && field::is_alias(name.as_str().as_bytes(), self.name.as_str().as_bytes())
    }
}

/// Removes what the client sent under an alias of a field that is set or removed: CGI and its heirs write both alike.
pub(super) fn remove_aliases(edits: &[HeaderEdit], headers: &mut HeaderMap) {
    let aliases: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            name.as_str().contains('_') && edits.iter().any(|edit| edit.owns_alias(name))
        })
        .cloned()
        .collect();
    for name in aliases {
        headers.remove(name);
    }
}

impl Check<'_> {
    /// Checks one change; `message` is `request` or `response`.
    pub(super) fn header(&mut self, message: &str, edit: &Edit) -> Option<HeaderRule> {
        let setting = edit.setting(&format!("{message}_header"));
        let name = HeaderName::from_bytes(edit.name.as_bytes());
        let reason = match &name {
            Err(_) => "a field's name is a token of RFC 9110 §5.6.2",
            Ok(name) if field::is_alias(name.as_str().as_bytes(), b"host") => {
                "the host that a backend sees is a setting of its upstream"
            }
            Ok(name) if field::is_reserved(name) => {
                "this field frames the message or belongs to one connection, so the proxy alone writes it"
            }
            Ok(_) => "",
        };
        if !reason.is_empty() {
            self.errors.push(RewriteError::Name {
                setting: setting.clone(),
                reason,
            });
        }
        let action = (edit.action)
            .try_map(|text| self.template(&setting, text, Place::Header).map(Value::new))?;
        Some(HeaderRule {
            name: name.ok()?,
            action,
        })
    }
}
