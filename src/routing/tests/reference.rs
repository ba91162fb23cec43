//! The table beside a linear scan over all routes.

use std::cmp::Reverse;

use http::{HeaderMap, Method};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Asked, found, get, route, table};
use crate::routing::{
    HeaderMatch, HostPattern, PathPattern, QueryMatch, RouteMatch, RouteTable, TableError,
};

/// A route as it was drawn, so that the scan need not ask the code under test what it means.
#[derive(Clone, Debug)]
struct Drawn {
    path: String,
    methods: Vec<&'static str>,
    hosts: Vec<&'static str>,
    header: Option<(&'static str, bool)>,
    query: Option<&'static str>,
    order: i32,
}

impl Drawn {
    fn route(&self) -> RouteMatch {
        self.hosts.iter().fold(self.without_hosts(), |route, host| {
            route.host(host.parse().unwrap())
        })
    }

    fn without_hosts(&self) -> RouteMatch {
        let mut drawn = route(&self.path).order(self.order);
        for method in &self.methods {
            drawn = drawn.method(method.parse().unwrap());
        }
        if let Some((value, negated)) = self.header {
            let wanted = HeaderMatch::exact("x".parse().unwrap(), value);
            drawn = drawn.header(if negated { !wanted } else { wanted });
        }
        match self.query {
            Some(value) => drawn.query(QueryMatch::exact("q", value)),
            None => drawn,
        }
    }

    fn predicates_hold(&self, asked: &Asked) -> bool {
        let header = |(value, negated)| {
            asked.headers.get_all("x").iter().any(|sent| sent == value) != negated
        };
        let query = |value| asked.query.as_deref() == Some(&format!("q={value}"));
        self.header.is_none_or(header) && self.query.is_none_or(query)
    }
}

/// What a pattern's params take of a path, by comparing segment lists.
fn params(pattern: &str, path: &str) -> Option<String> {
    let mut taken = String::new();
    let mut rest: Vec<&str> = path[1..].split('/').collect();
    for segment in pattern[1..].split('/') {
        if let Some(name) = segment.strip_prefix("{*") {
            if !rest.is_empty() {
                taken += &format!(" {}={}", name.trim_end_matches('}'), rest.join("/"));
            }
            return Some(taken);
        }
        if rest.is_empty() {
            return None;
        }
        let given = rest.remove(0);
        if let Some(name) = segment.strip_prefix('{') {
            if given.is_empty() {
                return None;
            }
            taken += &format!(" {}={given}", name.trim_end_matches('}'));
        } else if segment != given {
            return None;
        }
    }
    rest.is_empty().then_some(taken)
}

fn host_taken(pattern: &str, host: Option<&str>) -> bool {
    match (pattern.strip_prefix("*."), host) {
        (Some(suffix), Some(host)) => host
            .strip_suffix(suffix)
            .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        (None, Some(host)) => host == pattern,
        (_, None) => false,
    }
}

fn scan(routes: &[Drawn], asked: &Asked) -> String {
    let mut taking = Vec::new();
    let mut allow = Vec::new();
    for (id, drawn) in routes.iter().enumerate() {
        let Some(params) = params(&drawn.path, &asked.path) else {
            continue;
        };
        if !drawn.predicates_hold(asked) {
            continue;
        }
        let base = drawn.without_hosts();
        let alone = if drawn.hosts.is_empty() {
            vec![base.clone()]
        } else {
            vec![]
        };
        let hosts = drawn
            .hosts
            .iter()
            .filter(|host| host_taken(host, asked.host.as_deref()));
        for alone in alone
            .into_iter()
            .chain(hosts.map(|host| base.clone().host(host.parse().unwrap())))
        {
            let method = asked.method.as_str();
            let own = drawn.methods.is_empty() || drawn.methods.contains(&method);
            if own || method == "HEAD" && drawn.methods.contains(&"GET") {
                taking.push((
                    drawn.order,
                    Reverse(alone.specificity()),
                    !own,
                    id,
                    params.clone(),
                ));
            } else {
                allow.extend(&drawn.methods);
            }
        }
    }
    if let Some((.., id, params)) = taking.into_iter().min() {
        return format!("{id}{params}");
    }
    if allow.is_empty() {
        return "404".to_owned();
    }
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    allow.sort_unstable();
    allow.dedup();
    format!("405 {}", allow.join(","))
}

fn pattern() -> impl Strategy<Value = String> {
    let segments = vec(
        select(vec!["a", "b", "ab", "{}", "{}", "longer-than-eight", "c"]),
        0..6,
    );
    (segments, select(vec!["", "", "/", "/{*rest}"])).prop_map(|(segments, tail)| {
        let numbered = segments
            .iter()
            .enumerate()
            .map(|(at, segment)| match *segment {
                "{}" => format!("/{{p{at}}}"),
                literal => format!("/{literal}"),
            });
        let path = numbered.collect::<String>() + tail;
        if path.is_empty() {
            "/".to_owned()
        } else {
            path
        }
    })
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let methods = subsequence(vec!["GET", "HEAD", "POST", "PURGE"], 0..3);
    let hosts = subsequence(
        vec![
            "a.example",
            "b.a.example",
            "*.example",
            "*.a.example",
            "other",
        ],
        0..3,
    );
    let header = proptest::option::weighted(0.3, (select(vec!["1", "2"]), any::<bool>()));
    let query = proptest::option::weighted(0.3, select(vec!["1", "2"]));
    let order = prop_oneof![4 => Just(0), 1 => -1..2];
    (pattern(), methods, hosts, header, query, order).prop_map(
        |(path, methods, hosts, header, query, order)| Drawn {
            path,
            methods,
            hosts,
            header,
            query,
            order,
        },
    )
}

fn asked() -> impl Strategy<Value = Asked> {
    let segment = select(vec![
        "a",
        "b",
        "ab",
        "c",
        "",
        "longer-than-eight",
        "longer-than-nine",
        "x",
    ]);
    let path = vec(segment, 0..7).prop_map(|segments| format!("/{}", segments.join("/")));
    let method = select(vec![
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        "PURGE".parse().unwrap(),
    ]);
    let host = proptest::option::of(select(vec![
        "a.example",
        "b.a.example",
        "c.b.a.example",
        "other",
        "example",
    ]));
    let query = proptest::option::of(select(vec!["q=1", "q=2"]));
    (path, method, host, query, vec(select(vec!["1", "2"]), 0..3)).prop_map(
        |(path, method, host, query, lines)| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x", line.parse().unwrap());
            }
            Asked {
                method,
                host: host.map(Into::into),
                path,
                query: query.map(Into::into),
                headers,
            }
        },
    )
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.facts().fmt(f)
    }
}

/// Without the later route of each pair that can not be told apart.
fn without_conflicts(mut routes: Vec<Drawn>) -> Vec<Drawn> {
    while let Err(TableError::Conflicts(conflicts)) =
        RouteTable::build(routes.iter().map(|drawn| (drawn.route(), ())))
    {
        let mut later: Vec<_> = conflicts.iter().map(|conflict| conflict.second).collect();
        later.dedup();
        for at in later.into_iter().rev() {
            routes.remove(at);
        }
    }
    routes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn finds_what_a_scan_finds(routes in vec(drawn(), 0..40), requests in vec(asked(), 1..20)) {
        let routes = without_conflicts(routes);
        let table = table(routes.iter().map(Drawn::route));
        for asked in requests {
            prop_assert_eq!(found(&table, &asked), scan(&routes, &asked), "{:?}", asked);
        }
    }

    /// Wide enough for every node to be looked up by hash, and requests that mostly take a route.
    #[test]
    fn finds_what_a_scan_finds_below_wide_nodes(
        width in 1_usize..60,
        deep in 0_usize..60,
        requests in vec((0_usize..61, 0_usize..61), 1..20),
    ) {
        let paths = (0..width).flat_map(|n| {
            [format!("/s{n}"), format!("/s{n}/{{id}}/x"), format!("/s0/y/name-number-{n}/end")]
        });
        let paths = paths.chain((0..deep).map(|n| format!("/{{any}}/{n}"))).chain(["/{*rest}".to_owned()]);
        let bare = Drawn { path: String::new(), methods: vec![], hosts: vec![], header: None, query: None, order: 0 };
        let routes: Vec<_> = paths.map(|path| Drawn { path, ..bare.clone() }).collect();
        let table = table(routes.iter().map(Drawn::route));
        for (a, b) in requests {
            let end = format!("/s0/y/name-number-{a}/end");
            for path in [format!("/s{a}"), format!("/s{a}/{b}/x"), end, format!("/s{a}/{b}"), format!("/s{a}/{b}/z")] {
                prop_assert_eq!(found(&table, &get(&path)), scan(&routes, &get(&path)), "{}", path);
            }
        }
    }

    #[test]
    fn no_text_panics(
        pattern in "(/|[{}*%a.]|\\PC){0,12}",
        host in "(\\[|\\]|[:.*a]|\\PC){0,8}",
        path in "(/|\\PC){0,12}",
        query in "[%+&=a0-9]{0,12}",
    ) {
        let _ = host.parse::<HostPattern>();
        let routes = ["/{*rest}", "/a/{x}", &pattern].map(str::parse::<PathPattern>).into_iter().flatten();
        let example: HostPattern = "*.a".parse().unwrap();
        let routes = routes.map(|path| RouteMatch::new(path).host(example.clone()).query(QueryMatch::exact("a", "0")));
        if let Ok(table) = RouteTable::build(routes.zip(0..)) {
            found(&table, &get(&path).host(&host).query(&query));
        }
    }

    /// A literal pattern takes what it is in canonical form, and a parsed pattern takes a path made from it.
    #[test]
    fn a_pattern_takes_what_it_describes(pattern in "(/([a-z~.]|%[0-9a-f][0-9a-f]|é){1,4}|/\\{[a-c]\\}){1,5}") {
        if let Ok(parsed) = pattern.parse::<PathPattern>() {
            let path: String = parsed.segments().iter().map(|segment| match segment {
                crate::routing::pattern::Segment::Literal(text) => format!("/{text}"),
                _ => "/%C3%A9".to_owned(),
            }).collect();
            prop_assert!(found(&table([RouteMatch::new(parsed.clone())]), &get(&path)).starts_with('0'));
            // Canonical text is already canonical.
            if !path.contains("%C3%A9") {
                let again: PathPattern = path.parse().unwrap();
                prop_assert_eq!(again.segments(), parsed.segments());
            }
        }
    }
}
