//! The hosts that routes want, each known by a number, and the runs of entries that endpoints have for them.

use smallvec::SmallVec;

use super::index::{self, Index};

pub(super) struct Hosts {
    names: Box<[Name]>,
    by_name: Index,
    runs: Box<[Run]>,
    by_endpoint: Index,
}

struct Name {
    /// Lower case; of a wildcard the part after `*.`
    text: Box<str>,
    wildcard: bool,
}

/// Where the entries begin that an endpoint has for a host.
pub(super) struct Run {
    pub(super) endpoint: u32,
    pub(super) host: u32,
    pub(super) start: u32,
}

impl Hosts {
    /// Stands for routes that want no host.
    pub(super) const ANY: u32 = u32::MAX;

    /// Hosts are numbered in the order of `names`, each a text and whether it is a wildcard's suffix.
    pub(super) fn build(names: Vec<(&str, bool)>, runs: Vec<Run>) -> Self {
        let names: Box<[_]> = names
            .into_iter()
            .map(|(text, wildcard)| Name {
                text: text.into(),
                wildcard,
            })
            .collect();
        let name_hash = |seed, at: usize| {
            let mut whole = 0;
            index::host_suffixes(seed, names[at].text.as_bytes(), |hash, _| whole = hash);
            whole
        };
        Self {
            by_name: Index::build(names.len(), name_hash, |at| at as u32),
            by_endpoint: Index::build(
                runs.len(),
                |seed, at| index::pair(seed, runs[at].endpoint, runs[at].host),
                |at| at as u32,
            ),
            names,
            runs: runs.into(),
        }
    }

    /// The numbers of all hosts that take this one, which is at most [`MAX_LEN`](crate::routing::host::MAX_LEN) bytes.
    pub(super) fn resolve(&self, host: &str) -> SmallVec<[u32; 4]> {
        let mut found = SmallVec::new();
        index::host_suffixes(self.by_name.seed(), host.as_bytes(), |hash, suffix| {
            let wildcard = suffix.len() < host.len();
            // `.example.com` has no label in front.
            if wildcard && suffix.len() + 1 == host.len() {
                return;
            }
            found.extend(self.by_name.find(hash, |at| {
                let name = &self.names[at as usize];
                let same =
                    name.wildcard == wildcard && name.text.as_bytes().eq_ignore_ascii_case(suffix);
                same.then_some(at)
            }));
        });
        found
    }

    /// Where the entries of an endpoint for a host begin.
    pub(super) fn run(&self, endpoint: u32, host: u32) -> Option<u32> {
        let hash = index::pair(self.by_endpoint.seed(), endpoint, host);
        self.by_endpoint.find(hash, |at| {
            let run = &self.runs[at as usize];
            (run.endpoint == endpoint && run.host == host).then_some(run.start)
        })
    }
}
