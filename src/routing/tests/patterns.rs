//! Pattern syntax, and what each form takes.

use super::{found, get, route, table};
use crate::routing::{HostPattern, PathPattern};

#[test]
fn takes() {
    let cases = [
        ("/", "/", "0"),
        ("/", "/a", "404"),
        ("/users", "/users", "0"),
        ("/users", "/users/", "404"),
        ("/users", "/user", "404"),
        ("/users", "/userss", "404"),
        ("/users", "/Users", "404"),
        ("/users/", "/users/", "0"),
        ("/users/", "/users", "404"),
        ("/users/", "/users//", "404"),
        ("/users/{id}", "/users/7", "0 id=7"),
        ("/users/{id}", "/users/%2F", "0 id=%2F"),
        ("/users/{id}", "/users/", "404"),
        ("/users/{id}", "/users", "404"),
        ("/users/{id}", "/users/7/", "404"),
        ("/users/{id}", "/users/7/x", "404"),
        ("/users/{id}/", "/users/7/", "0 id=7"),
        ("/users/{id}/", "/users/7", "404"),
        ("/{a}/{b}", "/x/y", "0 a=x b=y"),
        ("/{a}/{b}", "/x//", "404"),
        ("/{a}/b/c/{d}/e/f", "/1/b/c/2/e/f", "0 a=1 d=2"),
        ("/files/{*rest}", "/files", "0"),
        ("/files/{*rest}", "/files/", "0 rest="),
        ("/files/{*rest}", "/files/a", "0 rest=a"),
        ("/files/{*rest}", "/files/a/b", "0 rest=a/b"),
        ("/files/{*rest}", "/files//", "0 rest=/"),
        ("/files/{*rest}", "/file", "404"),
        ("/files/{*rest}", "/filesa", "404"),
        ("/{*rest}", "/", "0 rest="),
        ("/{*rest}", "/a/b/", "0 rest=a/b/"),
        ("/{*rest}", "*", "404"),
        ("/{*rest}", "", "404"),
        ("/a/{x}/b/{*rest}", "/a/1/b", "0 x=1"),
        ("/a/{x}/b/{*rest}", "/a/1/b/2/3", "0 x=1 rest=2/3"),
        ("/a/{x}/b/{*rest}", "/a/1/c", "404"),
        ("/caf%c3%a9", "/caf%C3%A9", "0"),
        ("/café", "/caf%C3%A9", "0"),
        ("/%7euser/%41", "/~user/A", "0"),
        ("/a%2fb", "/a%2Fb", "0"),
        ("/a%2fb", "/a/b", "404"),
        ("/%7Bid%7D", "/%7Bid%7D", "0"),
        ("/a;v=1,2:@!$&'()*+", "/a;v=1,2:@!$&'()*+", "0"),
        ("/.../a..", "/.../a..", "0"),
    ];
    for (pattern, path, wanted) in cases {
        assert_eq!(
            found(&table([route(pattern)]), &get(path)),
            wanted,
            "{pattern} on {path}"
        );
    }
}

#[test]
fn many_captures() {
    let pattern: String = (0..20).map(|n| format!("/{{p{n}}}")).collect();
    let path: String = (0..20).map(|n| format!("/{n}")).collect();
    let wanted: String = (0..20).map(|n| format!(" p{n}={n}")).collect();
    assert_eq!(
        found(&table([route(&pattern)]), &get(&path)),
        format!("0{wanted}")
    );
}

#[test]
fn refused() {
    let long = format!("/{}", "a".repeat(9000));
    let cases = [
        ("", "must begin with `/`"),
        ("users", "must begin with `/`"),
        ("*", "must begin with `/`"),
        (&long, "longer than 8192 bytes"),
        ("//", "empty segment"),
        ("/a//b", "empty segment"),
        ("/.", "dot segment `.`"),
        ("/a/../b", "dot segment `..`"),
        ("/a/%2E%2e/b", "dot segment `%2E%2e`"),
        ("/a{b}c", "a param takes a whole segment"),
        ("/{a}{b}", "a param takes a whole segment"),
        ("/{a", "a param takes a whole segment"),
        ("/a}", "a param takes a whole segment"),
        ("/{{a}}", "a param takes a whole segment"),
        ("/{a/b}", "a param takes a whole segment"),
        ("/{}", "param name ``"),
        ("/{*}", "param name ``"),
        ("/{**a}", "param name `*a`"),
        ("/{1a}", "param name `1a`"),
        ("/{a b}", "param name `a b`"),
        ("/{é}", "param name `é`"),
        ("/{a}/{a}", "param `a` appears twice"),
        ("/{a}/{*a}", "param `a` appears twice"),
        ("/{*rest}/a", "catch-all `{*rest}` must be the last segment"),
        ("/{*rest}/", "catch-all `{*rest}` must be the last segment"),
        ("/a?b", "'?' may not appear"),
        ("/a#b", "'#' may not appear"),
        ("/a b", "' ' may not appear"),
        ("/a\\b", "'\\\\' may not appear"),
        ("/a\u{7}", "may not appear"),
        ("/a|b", "'|' may not appear"),
        ("/%", "`%` is not an escape"),
        ("/%4", "`%4` is not an escape"),
        ("/%zz", "`%zz` is not an escape"),
        ("/%+1", "`%+1` is not an escape"),
        ("/%é", "is not an escape"),
        ("/%00", "`%00` never appears"),
        ("/%5c", "`%5c` never appears"),
        ("/a%0A", "`a%0A` never appears"),
        ("/a%7F/{id}", "`a%7F` never appears"),
        ("/..;x", "`..;x` never appears"),
        ("/;x", "`;x` never appears"),
        ("/%C0%AF", "`%C0%AF` never appears"),
    ];
    for (pattern, wanted) in cases {
        let error = pattern.parse::<PathPattern>().unwrap_err().to_string();
        assert!(error.contains(wanted), "{pattern}: {error}");
        assert!(
            error.len() < 600 && error.contains(&pattern[..pattern.len().min(100)]),
            "{pattern}: {error}"
        );
    }
}

#[test]
fn params_and_display() {
    let pattern: PathPattern = "/caf%c3%a9/{user-id}/x/{*_rest2}".parse().unwrap();
    assert_eq!(pattern.params().collect::<Vec<_>>(), ["user-id", "_rest2"]);
    assert_eq!(pattern.to_string(), "/caf%c3%a9/{user-id}/x/{*_rest2}");
}

#[test]
fn hosts_refused() {
    let label = "a".repeat(64);
    let long = "a.".repeat(127);
    let cases = [
        ("", "labels"),
        (".", "labels"),
        ("a..b", "labels"),
        (&label, "labels"),
        (&format!("{long}aa"), "labels"),
        ("*.", "`*` may only"),
        ("*..", "labels"),
        ("example.com:80", "ports are not matched"),
        ("::1", "ports are not matched"),
        ("[::1]:80", "IPv6"),
        ("[::1", "IPv6"),
        ("[fe80::1%25eth0]", "IPv6"),
        ("a.*.b", "`*` may only"),
        ("*a.b", "`*` may only"),
        ("**", "`*` may only"),
        ("a b", "' ' may not appear"),
        ("bücher.example", "'ü' may not appear"),
        ("user@host", "'@' may not appear"),
    ];
    for (pattern, wanted) in cases {
        let error = pattern.parse::<HostPattern>().unwrap_err().to_string();
        assert!(
            error.contains(wanted) && error.contains(pattern),
            "{pattern}: {error}"
        );
    }
}
