//! Header fields that belong to the gateway.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// Takes out the fields of these names, and their aliases with `_` for `-` in any place: some backends read both as one.
pub(super) fn remove<'a>(
    headers: &mut HeaderMap,
    names: impl IntoIterator<Item = &'a HeaderName> + Clone,
) {
    let is_owned = |field: &HeaderName| {
        let mut names = names.clone().into_iter();
        names.any(|name| is_alias(field.as_str(), name.as_str()))
    };
    let doomed: SmallVec<[HeaderName; 4]> = headers
        .keys()
        .filter(|name| is_owned(name))
        .cloned()
        .collect();
    for name in &doomed {
        headers.remove(name);
    }
}

fn is_alias(a: &str, b: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| fold(a) == fold(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_go_too() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-user-id",
            "x_user-id",
            "x_user_id",
            "x-user-ids",
            "x-userid",
            "a",
        ] {
            headers.append(HeaderName::from_static(name), "1".parse().unwrap());
            headers.append(HeaderName::from_static(name), "2".parse().unwrap());
        }
        let names = [
            HeaderName::from_static("x-user-id"),
            HeaderName::from_static("a"),
        ];
        remove(&mut headers, &names);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-user-ids", "x-userid"]);
        remove(&mut headers, &[HeaderName::from_static("x_userid")]);
        assert_eq!(
            headers.keys_len(),
            1,
            "a name with `_` covers the one without"
        );
    }
}
