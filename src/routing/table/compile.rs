//! Makes the arrays of a table from its routes.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::endpoints::{Checks, Endpoint, Endpoints, Entry, NO_CHECKS};
use super::grow::Branch;
use super::hosts::{Hosts, Run};
use super::index::{self, Index};
use super::trie::{HASHED, NONE, Node, Trie};
use crate::routing::methods::MethodSet;
use crate::routing::{HostPattern, RouteMatch};

/// More literal children than this are looked up, not compared one by one.
const MAX_SIBLINGS: usize = 8;

/// `branches` is what these routes have grown to, so their number and text fit into the positions that are used here.
pub(super) fn compile(branches: &[Branch<'_>], routes: &[RouteMatch]) -> (Trie, Endpoints) {
    let mut compiler = Compiler::default();
    compiler.place(branches, routes);
    let Compiler {
        nodes,
        labels,
        hashed,
        entries,
        checks,
        hosts,
        runs,
        ..
    } = compiler;
    let key = |seed, at: usize| {
        let (parent, child): (u32, u32) = hashed[at];
        index::segment(
            seed,
            parent,
            &labels,
            nodes[child as usize].label as usize + 1,
        )
        .0
    };
    let index = Index::build(hashed.len(), key, |at| hashed[at].1);
    let mut names: Vec<_> = hosts.into_iter().collect();
    names.sort_by_key(|(_, id)| *id);
    let endpoints = Endpoints {
        entries: entries.into(),
        checks: checks.into(),
        hosts: Hosts::build(names.into_iter().map(|(name, _)| name).collect(), runs),
        lowest: routes.iter().map(RouteMatch::precedence).min().unwrap_or(0),
    };
    (
        Trie {
            nodes: nodes.into(),
            labels: labels.into(),
            index,
        },
        endpoints,
    )
}

#[derive(Default)]
struct Compiler<'a> {
    nodes: Vec<Node>,
    labels: Vec<u8>,
    /// Parents with children that are to be looked up.
    hashed: Vec<(u32, u32)>,
    entries: Vec<Entry>,
    checks: Vec<Checks>,
    /// Position in `checks` of routes that have any.
    checked: HashMap<u32, u32>,
    hosts: HashMap<(&'a str, bool), u32>,
    runs: Vec<Run>,
    hosted: u32,
}

/// Work that is left while nodes are placed, in place of recursion.
enum Task<'a> {
    /// Make a node for the child of a node whose children are looked up.
    Child(u32, &'a str, usize),
    /// Make the children of a node.
    Children(u32, usize),
}

impl<'a> Compiler<'a> {
    fn place(&mut self, branches: &[Branch<'a>], routes: &'a [RouteMatch]) {
        let mut tasks = Vec::new();
        let make =
            |compiler: &mut Self, tasks: &mut Vec<Task<'a>>, text: Option<&str>, branch: usize| {
                let (node, branch) = compiler.node(branches, text, branch);
                tasks.push(Task::Children(node, branch));
                node
            };
        make(self, &mut tasks, None, 0);
        while let Some(task) = tasks.pop() {
            match task {
                Task::Child(parent, text, branch) => {
                    let child = make(self, &mut tasks, Some(text), branch);
                    self.hashed.push((parent, child));
                }
                Task::Children(node, branch) => {
                    let branch = &branches[branch];
                    self.nodes[node as usize].end = self.endpoint(&branch.end, routes);
                    self.nodes[node as usize].catch_all = self.endpoint(&branch.catch_all, routes);
                    if branch.literals.len() <= MAX_SIBLINGS {
                        self.nodes[node as usize].children = self.nodes.len() as u32;
                        self.nodes[node as usize].fanout = branch.literals.len() as u8;
                        for (text, branch) in &branch.literals {
                            make(self, &mut tasks, Some(text), *branch);
                        }
                    } else {
                        self.nodes[node as usize].fanout = HASHED;
                        let children = branch.literals.iter().rev();
                        tasks.extend(
                            children.map(|(text, branch)| Task::Child(node, text, *branch)),
                        );
                    }
                    if let Some(param) = branch.param {
                        self.nodes[node as usize].param = make(self, &mut tasks, None, param);
                    }
                }
            }
        }
    }

    /// Makes a node that takes `text` and all literals that follow without a choice, and says which branch that leads
    /// to.
    fn node(&mut self, branches: &[Branch<'a>], text: Option<&str>, mut at: usize) -> (u32, usize) {
        let label = self.labels.len();
        let mut take = |text: &str| {
            self.labels.push(b'/');
            self.labels.extend_from_slice(text.as_bytes());
        };
        if let Some(text) = text {
            take(text);
        }
        while let Branch {
            literals,
            param: None,
            end,
            catch_all,
        } = &branches[at]
            && let [(text, next)] = literals[..]
            && end.is_empty()
            && catch_all.is_empty()
        {
            take(text);
            at = next;
        }
        let id = self.nodes.len() as u32;
        self.nodes.push(Node {
            label: label as u32,
            label_len: (self.labels.len() - label) as u16,
            lead: self.labels.get(label + 1).copied().unwrap_or(b'/'),
            fanout: 0,
            children: NONE,
            param: NONE,
            end: Endpoint::NONE,
            catch_all: Endpoint::NONE,
        });
        (id, at)
    }

    fn endpoint(&mut self, ids: &[u32], routes: &'a [RouteMatch]) -> Endpoint {
        if ids.is_empty() {
            return Endpoint::NONE;
        }
        let mut by_host: Vec<(u32, Entry)> = Vec::with_capacity(ids.len());
        for &id in ids {
            let route = &routes[id as usize];
            let checks = self.checks_of(id, route);
            let hosts = if route.hosts().is_empty() {
                &[HostPattern::ANY]
            } else {
                route.hosts()
            };
            for host in hosts {
                let entry = Entry {
                    rank: route.rank(host.rank()),
                    order: route.precedence(),
                    route: id,
                    checks,
                    methods: MethodSet::from_methods(route.methods()),
                    last: false,
                };
                let next = self.hosts.len() as u32;
                let host = host
                    .key()
                    .map_or(Hosts::ANY, |key| *self.hosts.entry(key).or_insert(next));
                by_host.push((host, entry));
            }
        }
        by_host.sort_by_key(|(host, entry)| (*host, entry.order, Reverse(entry.rank), entry.route));
        let start = self.entries.len() as u32;
        let endpoint = if by_host.iter().all(|(host, _)| *host == Hosts::ANY) {
            Endpoint::run(start)
        } else {
            self.hosted += 1;
            Endpoint::hosted(self.hosted - 1)
        };
        let mut entries = by_host.into_iter().peekable();
        let mut begun = None;
        while let Some((host, mut entry)) = entries.next() {
            if endpoint != Endpoint::run(start) && begun != Some(host) {
                self.runs.push(Run {
                    endpoint: self.hosted - 1,
                    host,
                    start: self.entries.len() as u32,
                });
                begun = Some(host);
            }
            entry.last = entries.peek().is_none_or(|(next, _)| *next != host);
            self.entries.push(entry);
        }
        endpoint
    }

    fn checks_of(&mut self, id: u32, route: &RouteMatch) -> u32 {
        let other = route
            .methods()
            .iter()
            .any(|method| MethodSet::of(method).is_other());
        if route.headers().is_empty() && route.queries().is_empty() && !other {
            return NO_CHECKS;
        }
        *self.checked.entry(id).or_insert_with(|| {
            self.checks.push(Checks {
                methods: if other {
                    route.methods().into()
                } else {
                    Box::default()
                },
                headers: route.headers().into(),
                queries: route.queries().into(),
            });
            self.checks.len() as u32 - 1
        })
    }
}
