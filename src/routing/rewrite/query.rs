//! Changes of the query, which leave every other byte of it alone.

use super::{Action, Check, Edit, RewriteError};
use crate::template::{
    Facts, Place, RenderError, Template,
    encode::{escape, reads_as},
};
use std::borrow::Cow;

#[derive(Debug, Clone)]
pub(super) struct QueryRule {
    name: String,
    /// The escaped name with its `=`.
    key: Vec<u8>,
    action: Action<Template>,
}

impl QueryRule {
    /// Carries out one change. A query that loses its last param is gone, together with its `?`.
    pub(super) fn edit<'q>(
        &self,
        query: Option<Cow<'q, [u8]>>,
        facts: &dyn Facts,
    ) -> Result<Option<Cow<'q, [u8]>>, RenderError> {
        let value = match &self.action {
            Action::Set(template) | Action::Append(template) => template.render(facts)?,
            Action::Remove => None,
        };
        let pair = value.map(|value| [&*self.key, &*value].concat());
        let Some(query) = query else {
            return Ok(pair.map(Cow::Owned));
        };
        if !matches!(self.action, Action::Append(_)) && pairs(&query).any(|pair| self.names(pair)) {
            return Ok(self.replace(&query, pair.as_deref()));
        }
        Ok(Some(match pair {
            None => query,
            Some(pair) if query.is_empty() => Cow::Owned(pair),
            Some(pair) => Cow::Owned([&*query, &*pair].join(&b'&')),
        }))
    }

    /// Puts `with` where the first pair of this name stood, and drops the others.
    fn replace<'q>(&self, query: &[u8], mut with: Option<&[u8]>) -> Option<Cow<'q, [u8]>> {
        let kept: Vec<&[u8]> = pairs(query)
            .filter_map(|pair| {
                if self.names(pair) {
                    with.take()
                } else {
                    Some(pair)
                }
            })
            .collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join(&b'&')))
    }

    fn names(&self, pair: &[u8]) -> bool {
        let key = pair.split(|&byte| byte == b'=').next();
        key.is_some_and(|key| reads_as(key, &self.name))
    }
}

fn pairs(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|&byte| byte == b'&')
}

impl Check<'_> {
    pub(super) fn query(&mut self, edit: &Edit) -> Option<QueryRule> {
        let setting = edit.setting("query");
        if edit.name.is_empty() {
            let reason = "a query param has a name";
            self.errors.push(RewriteError::Name {
                setting: setting.clone(),
                reason,
            });
        }
        let action = edit
            .action
            .try_map(|text| self.template(&setting, text, Place::Query))?;
        let mut key = Vec::new();
        escape(&mut key, edit.name.as_bytes());
        key.push(b'=');
        let name = edit.name.clone();
        Some(QueryRule { name, key, action })
    }
}
