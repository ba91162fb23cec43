//! Which host takes a request.

use super::{found, get, route, table};

fn on(host: &str) -> crate::routing::RouteMatch {
    route("/{*rest}").host(host.parse().unwrap())
}

#[test]
fn one_host() {
    let cases = [
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com:8080", true),
        ("example.com", "example.com.", true),
        ("example.com", "example.com.:80", true),
        ("example.com", "example.com:", true),
        ("example.com", "example.com..", false),
        ("example.com", "example.com:80:80", false),
        ("example.com", "example.com:http", false),
        ("example.com", "www.example.com", false),
        ("example.com", "example.co", false),
        ("example.com", "", false),
        ("example.com", ":80", false),
        ("Example.com.", "example.com", true),
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "A.B.Example.com:443", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "badexample.com", false),
        ("*.example.com", "www.example.com.evil.org", false),
        ("*", "whatever", true),
        ("*", "", true),
        ("[::1]", "[::1]", true),
        ("[::1]", "[::1]:8080", true),
        ("[0:0::0:1]", "[::1]", true),
        ("[::1]", "[0:0:0:0:0:0:0:1]:", true),
        ("[::1]", "::1", false),
        ("[::1]", "[::1", false),
        ("[::1]", "[::1]x", false),
        ("[::1]", "[::1]:80:80", false),
        ("[::1]", "[::2]", false),
        ("192.0.2.1", "192.0.2.1:80", true),
    ];
    for (pattern, host, wanted) in cases {
        let found = found(&table([on(pattern)]), &get("/").host(host));
        assert_eq!(found == "0 rest=", wanted, "{pattern} on {host:?}: {found}");
    }
    assert_eq!(found(&table([on("example.com")]), &get("/")), "404");
    assert_eq!(found(&table([on("*")]), &get("/")), "0 rest=");
}

#[test]
fn hosts_beyond_what_names_may_be() {
    let routes = table([on("*.example.com"), route("/{*rest}")]);
    for len in [10, 200, 241, 242, 300, 100_000] {
        let host = format!("{}.example.com", "a".repeat(len));
        let wanted = if host.len() <= 253 {
            "0 rest="
        } else {
            "1 rest="
        };
        assert_eq!(found(&routes, &get("/").host(&host)), wanted, "{len}");
    }
    assert_eq!(
        found(&routes, &get("/").host(&"a.".repeat(100_000))),
        "1 rest="
    );
    assert_eq!(found(&routes, &get("/").host(&".".repeat(250))), "1 rest=");
}

#[test]
fn the_longest_suffix_wins() {
    let routes = table([
        on("*"),
        on("*.com"),
        on("*.b.example.com"),
        on("*.example.com"),
        on("a.b.example.com"),
    ]);
    let cases = [
        ("a.b.example.com", "4 rest="),
        ("c.b.example.com", "2 rest="),
        ("d.c.b.example.com", "2 rest="),
        ("b.example.com", "3 rest="),
        ("example.com", "1 rest="),
        ("com", "0 rest="),
        ("example.org", "0 rest="),
    ];
    for (host, wanted) in cases {
        assert_eq!(found(&routes, &get("/").host(host)), wanted, "{host}");
    }
}

#[test]
fn several_hosts_of_a_route() {
    let both = route("/a")
        .host("a.example".parse().unwrap())
        .host("*.b.example".parse().unwrap());
    let routes = table([
        both,
        route("/a").host("x.b.example".parse().unwrap()),
        route("/a"),
    ]);
    for (host, wanted) in [
        ("a.example", "0"),
        ("y.b.example", "0"),
        ("x.b.example", "1"),
        ("c.example", "2"),
    ] {
        assert_eq!(found(&routes, &get("/a").host(host)), wanted, "{host}");
    }
}
