//! Many routes, long and hostile paths.

use super::{found, get, route, table};

#[test]
fn a_hundred_thousand_hosts_on_one_path() {
    let routes = table((0..100_000).map(|n| {
        let host = if n % 2 == 0 {
            format!("t{n}.example")
        } else {
            format!("*.t{n}.example")
        };
        route("/{*rest}").host(host.parse().unwrap())
    }));
    for n in (0..100_000).step_by(997) {
        let host = if n % 2 == 0 {
            format!("T{n}.example:80")
        } else {
            format!("a.b.t{n}.example")
        };
        assert_eq!(
            found(&routes, &get("/x").host(&host)),
            format!("{n} rest=x")
        );
    }
    assert_eq!(found(&routes, &get("/x").host("t100000.example")), "404");
}

#[test]
fn places_are_visited_once() {
    // Going back to every choice anew would take 2^60 steps for a path that takes neither in the end.
    let literals = "/a".repeat(60);
    let params: String = (0..60).map(|n| format!("/{{p{n}}}")).collect();
    let mixed: Vec<String> = (0..60)
        .map(|n| format!("{}/{{p}}{}/x", "/a".repeat(n), "/a".repeat(59 - n)))
        .collect();
    let ends = [format!("{literals}/x"), format!("{params}/y")];
    let routes = table(ends.iter().chain(&mixed).map(|path| route(path)));
    assert_eq!(found(&routes, &get(&format!("{literals}/z"))), "404");
    assert!(found(&routes, &get(&format!("{literals}/y"))).starts_with("1 "));
    assert_eq!(found(&routes, &get(&format!("{literals}/x"))), "0");
}

#[test]
fn every_mixture_of_literals_and_params() {
    // The worst that a table can be for its path: all its places are tried before the miss is certain.
    let routes = table((0..1 << 12).map(|bits: u32| {
        let segments = (0..12).map(|at| {
            if bits & 1 << at == 0 {
                "/a".to_owned()
            } else {
                format!("/{{p{at}}}")
            }
        });
        route(&(segments.collect::<String>() + "/end"))
    }));
    let path = "/a".repeat(12);
    assert_eq!(found(&routes, &get(&format!("{path}/other"))), "404");
    assert_eq!(found(&routes, &get(&format!("{path}/end"))), "0");
    assert!(found(&routes, &get(&format!("{}/end", "/b".repeat(12)))).starts_with("4095 "));
}

#[test]
fn long_paths() {
    let deep = "/a".repeat(4000);
    let params: String = (0..1000).map(|n| format!("/{{p{n}}}")).collect();
    let routes = table([route(&deep), route(&params), route("/x/{*rest}")]);
    assert_eq!(found(&routes, &get(&deep)), "0");
    assert_eq!(
        found(&routes, &get(&"/b".repeat(1000))).split(' ').count(),
        1001
    );
    let longest = "/a".repeat(1 << 20);
    assert_eq!(found(&routes, &get(&longest)), "404");
    assert_eq!(
        found(&routes, &get(&format!("/x{longest}"))),
        format!("2 rest={}", &longest[1..])
    );
    assert_eq!(found(&routes, &get(&"/".repeat(1 << 20))), "404");
}
