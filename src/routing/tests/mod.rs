//! What the parts do together.

mod fixture;
mod hosts;
mod methods;
mod oracle;
mod patterns;
mod precedence;
mod predicates;
mod reference;
mod scale;

use http::{HeaderMap, Method};

use super::{Facts, Outcome, RouteMatch, RouteTable};

/// A request to search with; what a test does not set is a plain GET.
pub(super) struct Asked {
    method: Method,
    host: Option<String>,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

pub(super) fn get(path: &str) -> Asked {
    let path = path.to_owned();
    Asked {
        method: Method::GET,
        host: None,
        path,
        query: None,
        headers: HeaderMap::new(),
    }
}

impl Asked {
    fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            method: &self.method,
            host: self.host.as_deref(),
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

pub(super) fn route(path: &str) -> RouteMatch {
    RouteMatch::new(path.parse().unwrap())
}

/// Each route's value is its position.
pub(super) fn table(routes: impl IntoIterator<Item = RouteMatch>) -> RouteTable<usize> {
    RouteTable::build(routes.into_iter().zip(0..)).unwrap()
}

/// The outcome as a text: `2 id=7`, `405 GET,HEAD` or `404`.
pub(super) fn found(table: &RouteTable<usize>, asked: &Asked) -> String {
    match table.find(&asked.facts()) {
        Outcome::Found(found) => {
            let params = found
                .params(&asked.path)
                .map(|(name, value)| format!(" {name}={value}"));
            format!("{}{}", found.value, params.collect::<String>())
        }
        Outcome::MethodNotAllowed { allow } => {
            format!(
                "405 {}",
                allow
                    .iter()
                    .map(Method::as_str)
                    .collect::<Vec<_>>()
                    .join(",")
            )
        }
        Outcome::NotFound => "404".to_owned(),
    }
}
