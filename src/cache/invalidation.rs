//! What is not right any more when something was changed (RFC 9111, section 4.4).

#[cfg(test)]
mod tests;

use http::{HeaderMap, Method, StatusCode, Uri, header};

/// Whether a method may change something. Of one that is not known nobody knows.
pub(super) fn is_unsafe(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

/// Whether an answer says that it was changed: it is no error.
pub(super) fn is_done(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// The URLs that an answer names as changed beside the one that was asked for, if they are of the same origin: nobody says it of others (section 7.5). Without a scheme and
/// an authority they are of that origin.
pub(super) fn named(target: &Uri, scheme: &str, authority: &str, answer: &HeaderMap) -> Vec<Uri> {
    let fields = [header::LOCATION, header::CONTENT_LOCATION];
    let named = fields
        .iter()
        .filter_map(|name| answer.get(name)?.to_str().ok());
    let resolved = named.filter_map(|reference| resolve(target, scheme, authority, reference));
    resolved.collect()
}

/// A reference as the target's server would be asked for it (RFC 3986, section 5.2); `None`: it is another server, or none.
fn resolve(target: &Uri, scheme: &str, authority: &str, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or(reference);
    let path = if let Some(path) = of_origin(scheme, authority, reference) {
        path?
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else if reference.is_empty() {
        return Some(target.clone());
    } else if let Some(query) = reference.strip_prefix('?') {
        format!("{}?{query}", target.path())
    } else {
        let base = target.path();
        let folder = &base[..=base.rfind('/')?];
        format!("{folder}{reference}")
    };
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*path, None),
    };
    let path = without_dots(path);
    let whole = match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    whole.parse().ok()
}

/// The path of a reference that names a server: `Some(None)` if that is another one; `None` if it names none.
fn of_origin(scheme: &str, authority: &str, reference: &str) -> Option<Option<String>> {
    let rest = match reference.split_once("://") {
        Some((named, rest))
            if named
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) =>
        {
            if !named.eq_ignore_ascii_case(scheme) {
                return Some(None);
            }
            rest
        }
        _ => reference.strip_prefix("//")?,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (named, path) = rest.split_at(end);
    let is_same = super::key::is_same_authority(scheme, named, authority);
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    Some(is_same.then_some(path))
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<_> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}
