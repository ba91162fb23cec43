use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

use super::{PathError, PathPolicy, canonicalize};

/// `uri` with its canonical path, the query kept byte for byte; `None` when nothing changes. The asterisk form
/// (`OPTIONS *`) has no path and is left alone.
///
/// # Errors
/// As [`canonicalize`].
pub fn canonicalize_uri(uri: &Uri, policy: PathPolicy) -> Result<Option<Uri>, PathError> {
    let path = uri.path();
    if path == "*" {
        return Ok(None);
    }
    let canonical = canonicalize(path, policy)?;
    // `http://host?query` has a path of `/` that is not in its text.
    let is_written = uri
        .path_and_query()
        .is_some_and(|target| target.as_str().starts_with('/'));
    if is_written && canonical == path {
        return Ok(None);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query(&["", &canonical], uri.query())?);
    Uri::from_parts(parts)
        .map(Some)
        .map_err(|_| PathError::TooLong)
}

/// The target for an endpoint whose URL has the path `base`: `base`, without its last slash, in front of `path`. Neither
/// is decoded or encoded. With no path at all it is `base`, or `/`.
///
/// ```text
/// assert_eq!(join_path("/base/", "/orders/7", Some("a=b"))?, "/base/orders/7?a=b");
/// ```
///
/// # Errors
/// [`PathError::TooLong`] when the parts do not make a target of a size (and of characters) that a URI can hold,
/// [`PathError::NotAbsolute`] when a part does not start with `/`.
pub fn join_path(base: &str, path: &str, query: Option<&str>) -> Result<PathAndQuery, PathError> {
    let parts = match (base.strip_suffix('/').unwrap_or(base), path) {
        ("", "") => ["", "/"],
        parts => [parts.0, parts.1],
    };
    if parts
        .iter()
        .any(|part| !part.is_empty() && !part.starts_with('/'))
    {
        return Err(PathError::NotAbsolute);
    }
    path_and_query(&parts, query)
}

fn path_and_query(path: &[&str; 2], query: Option<&str>) -> Result<PathAndQuery, PathError> {
    let length = path[0].len() + path[1].len() + query.map_or(0, |query| 1 + query.len());
    let mut target = String::with_capacity(length);
    target.push_str(path[0]);
    target.push_str(path[1]);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|_| PathError::TooLong)
}
