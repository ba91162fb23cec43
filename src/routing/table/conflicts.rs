//! Finds routes that can not be told apart.

use std::collections::HashMap;

use http::Method;

use super::grow::Branch;
use super::{Conflict, TableError};
use crate::routing::{HostPattern, RouteMatch};

/// By what the routes of one path are told apart, for one of a route's hosts and one of its methods.
#[derive(PartialEq, Eq, Hash)]
struct Claim<'a> {
    order: i32,
    host: Option<&'a HostPattern>,
    method: Option<&'a Method>,
    predicates: &'a [String],
}

/// Reports every pair of a route and the first one that claims the same.
pub(super) fn check(branches: &[Branch<'_>], routes: &[RouteMatch]) -> Result<(), TableError> {
    let mut conflicts: Vec<Conflict> = Vec::new();
    for ids in branches
        .iter()
        .flat_map(|branch| [&branch.end, &branch.catch_all])
    {
        // Most paths have one route, which needs no look.
        if ids.len() > 1 {
            check_path(ids, routes, &mut conflicts);
        }
    }
    conflicts.sort_by_key(|conflict| (conflict.second, conflict.first));
    if conflicts.is_empty() {
        Ok(())
    } else {
        Err(TableError::Conflicts(conflicts))
    }
}

fn check_path(ids: &[u32], routes: &[RouteMatch], conflicts: &mut Vec<Conflict>) {
    let routes: Vec<_> = ids
        .iter()
        .map(|id| (*id as usize, &routes[*id as usize]))
        .collect();
    let predicates: Vec<_> = routes.iter().map(|(_, route)| predicates(route)).collect();
    let mut claimed = HashMap::new();
    for (second, predicates) in routes.iter().zip(&predicates) {
        let reported = conflicts.len();
        for host in alternatives(second.1.hosts()) {
            // "Any" written out is the same as no host at all.
            let host = host.filter(|host| **host != HostPattern::ANY);
            for method in alternatives(second.1.methods()) {
                let claim = Claim {
                    order: second.1.precedence(),
                    host,
                    method,
                    predicates,
                };
                let first = *claimed.entry(claim).or_insert(second);
                let known = conflicts[reported..]
                    .iter()
                    .any(|conflict| conflict.first == first.0);
                if first.0 != second.0 && !known {
                    conflicts.push(conflict(*first, *second, host, method));
                }
            }
        }
    }
}

fn alternatives<T>(wanted: &[T]) -> impl Iterator<Item = Option<&T>> {
    let none = wanted.is_empty().then_some(None);
    wanted.iter().map(Some).chain(none)
}

/// The predicates as texts that are equal only for equal predicates, in an order that does not depend on how they were
/// declared.
fn predicates(route: &RouteMatch) -> Vec<String> {
    let headers = route.headers().iter().map(|header| format!("{header:?}"));
    let mut predicates: Vec<_> = headers
        .chain(route.queries().iter().map(|query| format!("{query:?}")))
        .collect();
    predicates.sort();
    predicates
}

fn conflict(
    first: (usize, &RouteMatch),
    second: (usize, &RouteMatch),
    host: Option<&HostPattern>,
    method: Option<&Method>,
) -> Conflict {
    let method = method.map_or("any method", Method::as_str);
    let host = host.map_or("any host".to_owned(), ToString::to_string);
    Conflict {
        first: first.0,
        second: second.0,
        first_route: first.1.to_string(),
        second_route: second.1.to_string(),
        shared: format!("{method} on {host}"),
    }
}
