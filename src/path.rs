//! stub
use std::borrow::Cow;
#[derive(Default)]
pub struct PathPolicy;
pub(crate) fn canonicalize<'a>(path: &'a str, _: &PathPolicy) -> Result<Cow<'a, str>, ()> {
    Ok(Cow::Borrowed(path))
}
