//! Changes of the path.

use super::{Check, RewriteError};
use crate::path::{PathPolicy, canonicalize};
use crate::template::{
    Facts, Place, RenderError, Template,
    encode::{has_dot_segment, path_fault},
};
use std::{borrow::Cow, sync::Arc};

#[derive(Debug, Clone, Default)]
pub(super) struct PathRule {
    strip: Option<Arc<str>>,
    add: Option<Template>,
    replace: Option<Template>,
}

/// What became of a path.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// The new path, unless it stays as it is.
    pub(super) path: Option<Vec<u8>>,
    pub(super) stripped: Option<Arc<str>>,
}

impl PathRule {
    pub(super) fn is_empty(&self) -> bool {
        self.strip.is_none() && self.add.is_none() && self.replace.is_none()
    }

    pub(super) fn rewrite(&self, path: &str, facts: &dyn Facts) -> Result<Rewritten, RenderError> {
        if let Some(template) = &self.replace {
            let path = finish(template.render(facts)?.unwrap_or_default())?;
            return Ok(Rewritten {
                path: Some(path),
                stripped: None,
            });
        }
        let strip = self.strip.as_ref();
        let (stripped, kept) = strip
            .and_then(|prefix| Some((Some(Arc::clone(prefix)), after_prefix(path, prefix)?)))
            .unwrap_or((None, path));
        if stripped.is_none() && self.add.is_none() {
            return Ok(Rewritten::default());
        }
        let added = match &self.add {
            Some(prefix) => prefix.render(facts)?,
            None => None,
        };
        let mut path = added.unwrap_or_default();
        path.extend_from_slice(kept.as_bytes());
        let path = Some(finish(path)?);
        Ok(Rewritten { path, stripped })
    }

    fn prefixes(&self) -> bool {
        self.strip.is_some() || self.add.is_some()
    }
}

/// What follows a prefix of whole segments.
fn after_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let kept = path.strip_prefix(prefix)?;
    (kept.is_empty() || kept.starts_with('/')).then_some(kept)
}

/// Makes a path of whatever was put together: it begins with exactly one slash, since `//` would begin an authority (RFC 3986 §4.2),
/// and can not climb.
fn finish(mut path: Vec<u8>) -> Result<Vec<u8>, RenderError> {
    let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
    match slashes {
        0 => path.insert(0, b'/'),
        _ => _ = path.drain(..slashes - 1),
    }
    if has_dot_segment(&path) {
        return Err(RenderError::DotSegment);
    }
    // Nothing goes to a backend that the door would refuse, whichever field it came from.
    let text = std::str::from_utf8(&path).map_err(|_| RenderError::TwoReadings)?;
    match canonicalize(text, POLICY) {
        Ok(Cow::Borrowed(_)) => Ok(path),
        Ok(Cow::Owned(canonical)) => Ok(canonical.into_bytes()),
        Err(_) => Err(RenderError::TwoReadings),
    }
}

/// What a template's author asks for stays: empty segments, and a value's slash as data.
const POLICY: PathPolicy = PathPolicy::new()
    .merge_slashes(false)
    .allow_encoded_slash(true);

const TWICE: &str = "is given twice";
const EXCLUDES: &str =
    "`path` replaces the whole path, so it excludes `strip_prefix` and `add_prefix`";

impl Check<'_> {
    pub(super) fn strip_prefix(&mut self, rule: &mut PathRule, given: &str) {
        let prefix = given.trim_end_matches('/');
        let reason = if prefix.is_empty() {
            Some("there is nothing to strip")
        } else if !prefix.starts_with('/') {
            Some("a prefix begins with `/`")
        } else if prefix.contains("//") || has_dot_segment(prefix.as_bytes()) {
            Some("a canonical path has no empty segments, `.` and `..`")
        } else {
            path_fault(prefix).map(|fault| fault.1)
        };
        if let Some(reason) = reason {
            let prefix = given.to_owned();
            self.errors.push(RewriteError::Prefix { prefix, reason });
        }
        let setting = || format!("strip_prefix `{given}`");
        if rule.replace.is_some() {
            self.conflict(setting(), EXCLUDES);
        }
        if rule.strip.replace(prefix.into()).is_some() {
            self.conflict(setting(), TWICE);
        }
    }

    pub(super) fn add_prefix(&mut self, rule: &mut PathRule, given: &str) {
        let setting = || format!("add_prefix `{given}`");
        let template = self.template("add_prefix", given.trim_end_matches('/'), Place::Path);
        if rule.replace.is_some() {
            self.conflict(setting(), EXCLUDES);
        }
        if rule.add.is_some() {
            self.conflict(setting(), TWICE);
        }
        if template.as_ref().is_some_and(Template::ends_in_rest) {
            self.conflict(setting(), "a prefix can not end in `{*name}`");
        }
        rule.add = template.or(rule.add.take());
    }

    pub(super) fn path(&mut self, rule: &mut PathRule, given: &str) {
        let setting = || format!("path `{given}`");
        let template = self.template("path", given, Place::Path);
        if rule.prefixes() {
            self.conflict(setting(), EXCLUDES);
        }
        if rule.replace.is_some() {
            self.conflict(setting(), TWICE);
        }
        rule.replace = template.or(rule.replace.take());
    }
}
