//! Upstreams and routes, checked and put together: what a gateway and a router layer have in common.

use std::{collections::HashMap, sync::Arc};

use http::HeaderName;

use super::{
    Next, Route, Upstream,
    access::Access,
    caching::Caching,
    routes::Routes,
    shares::Shares,
    target::{Ended, Target, Way},
    upstream::Ready,
};
use crate::{
    routing::{
        HostPattern, PathPattern, Rewriter, RouteMatch, RouteTable, TableError, WeightedSplit,
    },
    template::Param,
    throttle::ThrottleLayer,
    upstream::ForwardHeaders,
};

/// What people wrote down.
#[derive(Default)]
pub(crate) struct Assembly {
    pub(crate) upstreams: Vec<(String, Upstream)>,
    pub(crate) routes: Vec<Route>,
    /// For the routes that have none of their own.
    pub(crate) body_limit: Option<u64>,
    pub(crate) access: Access,
    pub(crate) shares: Shares,
    pub(crate) caching: Caching,
}

impl Assembly {
    /// The header fields that nobody but the gateway may set, on whatever route.
    pub(crate) fn owned(&self) -> impl Iterator<Item = HeaderName> {
        let routes = self.routes.iter().map(|route| &route.access);
        routes.chain([&self.access]).flat_map(Access::owned)
    }

    /// What routes and this throttle at the door would both spend of for a request.
    pub(crate) fn spent_twice(&self, door: Option<&ThrottleLayer>) -> Vec<String> {
        let mut mistakes = self.shares.twice_with(door);
        for route in &self.routes {
            let twice = route.shares.twice_with(door).into_iter();
            mistakes.extend(twice.map(|what| format!("route `{}`: {what}", route.label())));
        }
        mistakes
    }

    /// The routes, ready for requests; what is wrong with them is added to the mistakes.
    pub(crate) fn routes(
        &self,
        forward: ForwardHeaders,
        mistakes: &mut Vec<String>,
    ) -> Option<Routes> {
        let upstreams = ready(&self.upstreams, mistakes);
        let (mut names, mut matches, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for route in &self.routes {
            if let Some((wanted, end)) = self.assemble(route, &upstreams, forward, mistakes) {
                names.push(route.label());
                matches.push(wanted);
                ends.push(end.map(|mut end| {
                    end.body_limit = end.body_limit.or(self.body_limit);
                    end
                }));
            }
        }
        let shares = self.routes.iter().map(|route| &route.shares);
        let mut unknown: Vec<_> = shares
            .chain([&self.shares])
            .flat_map(Shares::priced)
            .filter(|wanted| !self.routes.iter().any(|route| route.label() == **wanted))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        mistakes.extend(unknown.iter().map(|wanted| {
            format!("throttle: there is a cost on route `{wanted}`, and no route `{wanted}`")
        }));
        let table = match ends.into_iter().collect::<Option<Vec<_>>>() {
            Some(ends) => RouteTable::build(matches.into_iter().zip(ends)).map(Some),
            // Not for requests: what else is wrong with a route does not hide that another one is in its way.
            None => RouteTable::build(matches.into_iter().map(|wanted| (wanted, ()))).map(|_| None),
        };
        match table {
            Ok(table) => table.map(Routes),
            Err(TableError::Conflicts(conflicts)) => {
                mistakes.extend(conflicts.iter().map(|conflict| {
                    format!(
                        "route `{}`: it can not be told apart from route `{}` for {}",
                        names[conflict.second], names[conflict.first], conflict.shared
                    )
                }));
                None
            }
            Err(error @ TableError::TooLarge) => {
                mistakes.push(error.to_string());
                None
            }
        }
    }

    /// What a route takes, if that can be said, and its end, if nothing is wrong with it.
    fn assemble(
        &self,
        route: &Route,
        upstreams: &HashMap<String, Option<Ready>>,
        forward: ForwardHeaders,
        mistakes: &mut Vec<String>,
    ) -> Option<(RouteMatch, Option<Ended>)> {
        let before = mistakes.len();
        let label = route.label();
        let mut wrong = |what: String| mistakes.push(format!("route `{label}`: {what}"));
        let pattern: Option<PathPattern> = route
            .path
            .parse()
            .map_err(|error| wrong(format!("{error}")))
            .ok();
        let mut hosts = Vec::new();
        for host in &route.hosts {
            match host.parse::<HostPattern>() {
                Ok(host) => hosts.push(host),
                Err(error) => wrong(error.to_string()),
            }
        }
        if route.timeout.is_some_and(|limit| limit.is_zero()) {
            wrong("timeout is 0; leave it out for no limit".to_owned());
        }
        route.guards.mistakes().into_iter().for_each(&mut wrong);
        let mut targets = Vec::new();
        if route.targets.is_empty() {
            wrong("it leads nowhere; name an upstream with `to`".to_owned());
        }
        for (name, _) in &route.targets {
            match upstreams.get(name) {
                None => wrong(format!("there is no upstream `{name}`")),
                Some(None) => {}
                Some(Some(ready)) => targets.push(ready.clone()),
            }
        }
        let split = match &route.targets[..] {
            [] => None,
            [(_, weight)] if *weight > 0 => None,
            many => match WeightedSplit::new(many.iter().map(|(name, weight)| (name, *weight))) {
                Ok(split) => Some(split),
                Err(errors) => {
                    errors.iter().for_each(|error| wrong(error.to_string()));
                    None
                }
            },
        };
        let names: Vec<Box<str>> = pattern
            .iter()
            .flat_map(PathPattern::params)
            .map(Into::into)
            .collect();
        let has_rest = route
            .path
            .rsplit('/')
            .next()
            .is_some_and(|last| last.starts_with("{*"));
        let params: Vec<Param<'_>> = names
            .iter()
            .enumerate()
            .map(|(at, name)| Param {
                name,
                rest: has_rest && at + 1 == names.len(),
            })
            .collect();
        if pattern.is_some() {
            let access = route.access.mistakes_on(&self.access, &params);
            access.into_iter().for_each(&mut wrong);
            let access = route.access.or(&self.access);
            let shares = route.shares.mistakes_on(&self.shares, &access, &params);
            shares.into_iter().for_each(&mut wrong);
            let caching = route.caching.mistakes_on(&self.caching, &access);
            caching.into_iter().for_each(&mut wrong);
        }
        // Of a bad pattern it is not known which params it was meant to have.
        let params = pattern.is_some().then_some(&params[..]);
        let rewriter = match route.rewrite.compile(params) {
            Ok(rewriter) => (!rewriter.is_empty()).then_some(rewriter),
            Err(errors) => {
                errors.iter().for_each(|error| wrong(error.to_string()));
                None::<Rewriter>
            }
        };
        let pattern = pattern?;
        if hosts.is_empty() && !route.hosts.is_empty() {
            return None;
        }
        let mut matches = RouteMatch::new(pattern).order(route.order);
        matches = route
            .methods
            .iter()
            .cloned()
            .fold(matches, RouteMatch::method);
        matches = hosts.into_iter().fold(matches, RouteMatch::host);
        matches = route
            .headers
            .iter()
            .cloned()
            .fold(matches, RouteMatch::header);
        matches = route
            .queries
            .iter()
            .cloned()
            .fold(matches, RouteMatch::query);
        if mistakes.len() > before {
            return Some((matches, None));
        }
        let target = Arc::new(Target {
            upstreams: targets,
            split,
            sticky: route.sticky.clone(),
            rewriter,
            forward,
        });
        let stages = route.stages(self);
        let way = if stages.is_empty() {
            Way::Straight(target)
        } else {
            let last = Next::from_fn(move |request| target.call(request));
            Way::Layered(stages.around(last))
        };
        let ended = Ended {
            name: label.into(),
            params: names.into(),
            body_limit: route.body_limit,
            timeout: route.timeout,
            way,
        };
        Some((matches, Some(ended)))
    }
}

fn ready(
    upstreams: &[(String, Upstream)],
    mistakes: &mut Vec<String>,
) -> HashMap<String, Option<Ready>> {
    let mut known = HashMap::new();
    for (name, upstream) in upstreams {
        let ready = match upstream.ready() {
            Ok(ready) => Some(ready.named(name)),
            Err(error) => {
                mistakes.extend(
                    error
                        .mistakes()
                        .map(|mistake| format!("upstream `{name}`: {mistake}")),
                );
                None
            }
        };
        if known.insert(name.clone(), ready).is_some() {
            mistakes.push(format!("upstream `{name}` is there twice"));
        }
    }
    known
}
