//! From a checked declaration to the changes of one request.

use super::{
    headers::{self, HeaderEdit, HeaderRule},
    path::{PathRule, Rewritten},
    query::QueryRule,
};
use crate::template::{Facts, RenderError};
use http::{HeaderMap, Uri, header::MaxSizeReached, uri::PathAndQuery};
use std::{borrow::Cow, sync::Arc};

/// A [`Rewrite`](super::Rewrite) that was checked for one route.
#[derive(Debug, Clone, Default)]
pub struct Rewriter {
    pub(super) path: PathRule,
    pub(super) query: Vec<QueryRule>,
    pub(super) request: Vec<HeaderRule>,
    pub(super) response: Vec<HeaderRule>,
}

/// The changes of one request and of its response, with all values filled in. It borrows nothing, so it can wait for the response while
/// the request is on its way. One that changes nothing has allocated nothing.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub(super) uri: Option<Uri>,
    pub(super) stripped: Option<Arc<str>>,
    pub(super) request: Vec<HeaderEdit>,
    pub(super) response: Vec<HeaderEdit>,
}

impl Rewriter {
    /// Whether nothing was asked for, so that no request needs a plan.
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
            && self.query.is_empty()
            && self.request.is_empty()
            && self.response.is_empty()
    }

    /// Decides what is to be changed, from the request as the client sent it.
    ///
    /// # Errors
    /// [`RenderError`] when a value does not fit; the client is to be answered 400, and nothing was changed.
    pub fn plan(&self, facts: &dyn Facts) -> Result<Plan, RenderError> {
        let (uri, stripped) = self.target(facts)?;
        Ok(Plan {
            uri,
            stripped,
            request: fill(&self.request, facts)?,
            response: fill(&self.response, facts)?,
        })
    }

    fn target(&self, facts: &dyn Facts) -> Result<(Option<Uri>, Option<Arc<str>>), RenderError> {
        let uri = facts.uri();
        // `*` of OPTIONS and the authority of CONNECT have neither a path nor a query.
        if !uri.path().starts_with('/') {
            return Ok((None, None));
        }
        let Rewritten { path, stripped } = self.path.rewrite(uri.path(), facts)?;
        let mut query = uri.query().map(|query| Cow::Borrowed(query.as_bytes()));
        for rule in &self.query {
            query = rule.edit(query, facts)?;
        }
        if path.is_none() && query.as_deref() == uri.query().map(str::as_bytes) {
            return Ok((None, stripped));
        }
        let mut target = path.unwrap_or_else(|| uri.path().into());
        if let Some(query) = query {
            target.push(b'?');
            target.extend_from_slice(&query);
        }
        let mut parts = uri.clone().into_parts();
        // What stands in the target was valid or escaped, so that its length is all that can be wrong with it.
        let target = PathAndQuery::try_from(target).map_err(|_| RenderError::TooLong)?;
        parts.path_and_query = Some(target);
        let uri = Uri::from_parts(parts).map_err(|_| RenderError::TooLong)?;
        Ok((Some(uri), stripped))
    }
}

impl Plan {
    /// The prefix that was taken from the path, for `X-Forwarded-Prefix`. It begins with `/` and does not end with one.
    #[must_use]
    pub fn stripped(&self) -> Option<&str> {
        self.stripped.as_deref()
    }

    /// Changes the request.
    ///
    /// # Errors
    /// When the map is full, at about 32,000 fields.
    pub fn apply_request(
        &self,
        uri: &mut Uri,
        headers: &mut HeaderMap,
    ) -> Result<(), MaxSizeReached> {
        if let Some(new) = &self.uri {
            *uri = new.clone();
        }
        headers::remove_aliases(&self.request, headers);
        self.request.iter().try_for_each(|edit| edit.apply(headers))
    }

    /// Changes the response.
    ///
    /// # Errors
    /// When the map is full, at about 32,000 fields.
    pub fn apply_response(&self, headers: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        self.response
            .iter()
            .try_for_each(|edit| edit.apply(headers))
    }
}

fn fill(rules: &[HeaderRule], facts: &dyn Facts) -> Result<Vec<HeaderEdit>, RenderError> {
    (rules.iter())
        .filter_map(|rule| rule.fill(facts).transpose())
        .collect()
}
