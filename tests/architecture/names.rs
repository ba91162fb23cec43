//! Where a name comes from: through imports, re-exports and type aliases, up to what defines it.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, Visibility, buffer::TokenBuffer, visit::Visit};

use crate::{
    mentions::{Mentions, Words, imports},
    source::{ModPath, Source},
};

/// What a module knows by a name.
enum Known {
    /// It is defined there; whether it is `pub`.
    Defined(bool),
    /// It is another name for this path, or for a type made of these.
    Same(Vec<Words>),
}

pub struct Names<'a> {
    source: &'a Source,
    known: BTreeMap<&'a ModPath, BTreeMap<String, Vec<Known>>>,
}

impl<'a> Names<'a> {
    pub fn new(source: &'a Source) -> Self {
        let read = |(path, module): (&'a ModPath, &'a crate::source::Module)| {
            let mut reading = Reading::default();
            module.items.iter().for_each(|item| reading.define(item));
            module
                .items
                .iter()
                .for_each(|item| reading.visit_item(item));
            (path, reading.0)
        };
        let known = source.modules.iter().map(read).collect();
        Self { source, known }
    }

    /// All that a path in a module stands for, from its first name to where it is defined: paths of this crate, which
    /// begin with `crate`, and of others. Empty when nothing here says what it is.
    pub fn trail(&self, module: &ModPath, path: &[String]) -> BTreeSet<Words> {
        let mut found = BTreeSet::new();
        let mut open = self.absolute(module, path);
        while let Some(path) = open.pop() {
            if found.insert(path.clone()) && path[0] == "crate" {
                open.extend(self.next(&path[1..]));
            }
        }
        found
    }

    /// Whether a path of this crate, as a trail has it, names something that is defined; and whether that is `pub`.
    pub fn is_public(&self, path: &[String]) -> Option<bool> {
        let (module, rest) = self.split(&path[1..]);
        let [name, ..] = rest else { return Some(true) };
        let known = self.known.get(module)?.get(name)?.iter();
        known.fold(None, |found, known| match known {
            Known::Defined(public) => Some(found.unwrap_or(false) || *public),
            Known::Same(_) => found,
        })
    }

    /// A path from the root on, where its first name says so or is known here.
    fn plain(&self, module: &ModPath, path: &[String]) -> Option<Words> {
        let (mut up, mut rest) = (0, path);
        let known_here = loop {
            match rest {
                [first, after @ ..] if first == "self" => rest = after,
                [first, after @ ..] if first == "super" => (up, rest) = (up + 1, after),
                [first, ..] if rest.len() == path.len() => match &**first {
                    "crate" => return Some(path.to_vec()),
                    "" => return Some(path[1..].to_vec()),
                    name => break self.knows(module, name),
                },
                _ => break true,
            }
        };
        let above = &module[..module.len().saturating_sub(up)];
        known_here.then(|| [&["crate".to_owned()], above, rest].concat())
    }

    /// What a path in a module may mean.
    fn absolute(&self, module: &ModPath, path: &[String]) -> Vec<Words> {
        if path[0] == "Self" {
            return Vec::new();
        }
        if let Some(found) = self.plain(module, path) {
            return vec![found];
        }
        let mut found = Vec::new();
        let mut is_known = false;
        for glob in self.globs(module) {
            let (inside, rest) = self.split(&glob[1..]);
            if rest.is_empty() {
                is_known |= self.knows(inside, &path[0]);
                found.push([&*glob, path].concat());
            }
        }
        // What is no name of ours begins with the name of a crate.
        if !is_known && path.len() > 1 && !path[0].starts_with(char::is_uppercase) {
            found.push(path.to_vec());
        }
        found
    }

    /// What the module that a path leads to says about the name after it.
    fn next(&self, path: &[String]) -> Vec<Words> {
        let (module, rest) = self.split(path);
        let [name, after @ ..] = rest else {
            return Vec::new();
        };
        match self.known.get(module).and_then(|known| known.get(name)) {
            Some(known) => known
                .iter()
                .flat_map(|known| match known {
                    Known::Defined(_) => &[][..],
                    Known::Same(paths) => paths,
                })
                .flat_map(|path| {
                    // `use a` and `use a::a` mean the crate.
                    if &path[0] == name && !self.has(module, name) {
                        return vec![path.clone()];
                    }
                    match self.absolute(module, path) {
                        known if known.is_empty() => vec![path.clone()],
                        known => known,
                    }
                })
                .map(|path| [&*path, after].concat())
                .collect(),
            None => self
                .globs(module)
                .map(|glob| [&*glob, rest].concat())
                .collect(),
        }
    }

    /// The longest module at the beginning of a path, and what comes after.
    fn split<'p>(&self, path: &'p [String]) -> (&ModPath, &'p [String]) {
        (0..=path.len())
            .rev()
            .find_map(|at| {
                let (module, _) = self.source.modules.get_key_value(&path[..at])?;
                Some((module, &path[at..]))
            })
            .expect("the root is a module")
    }

    fn has(&self, module: &[String], child: &str) -> bool {
        self.source
            .modules
            .contains_key(&[module, &[child.to_owned()]].concat())
    }

    fn knows(&self, module: &ModPath, name: &str) -> bool {
        self.has(module, name) || self.known[module].contains_key(name)
    }

    /// The modules of this crate that a module takes all names of.
    fn globs(&self, module: &ModPath) -> impl Iterator<Item = Words> {
        let known = self.known[module].get("*").into_iter().flatten();
        let paths = known.flat_map(|known| match known {
            Known::Defined(_) => &[][..],
            Known::Same(paths) => paths,
        });
        paths.filter_map(|path| {
            let found = self.plain(module, &path[..path.len() - 1])?;
            (found[0] == "crate").then_some(found)
        })
    }
}

#[derive(Default)]
struct Reading(BTreeMap<String, Vec<Known>>);

impl Reading {
    fn add(&mut self, name: &impl ToString, known: Known) {
        self.0.entry(name.to_string()).or_default().push(known);
    }

    fn define(&mut self, item: &Item) {
        let (name, vis) = match item {
            Item::Const(item) => (&item.ident, &item.vis),
            Item::Enum(item) => (&item.ident, &item.vis),
            Item::Fn(item) => (&item.sig.ident, &item.vis),
            Item::Static(item) => (&item.ident, &item.vis),
            Item::Struct(item) => (&item.ident, &item.vis),
            Item::Trait(item) => (&item.ident, &item.vis),
            Item::Union(item) => (&item.ident, &item.vis),
            Item::Type(item) => {
                let mut made_of = Mentions::default();
                made_of.visit_type(&item.ty);
                self.add(&item.ident, Known::Same(made_of.paths));
                (&item.ident, &item.vis)
            }
            Item::ExternCrate(item) => {
                let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
                let path = vec![String::new(), item.ident.to_string()];
                return self.add(name, Known::Same(vec![path]));
            }
            Item::Macro(call) => return self.define_by_macro(call),
            _ => return,
        };
        self.add(name, Known::Defined(matches!(vis, Visibility::Public(_))));
    }

    /// A macro may define what a word for it stands before.
    fn define_by_macro(&mut self, call: &syn::ItemMacro) {
        if let Some(name) = &call.ident {
            self.add(name, Known::Defined(false));
        }
        let words = Mentions::of_tokens(&TokenBuffer::new2(call.mac.tokens.clone())).paths;
        for pair in words.windows(2) {
            if matches!(&*pair[0][0], "enum" | "struct" | "trait" | "type" | "union") {
                self.add(&pair[1][0], Known::Defined(true));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reading {
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    /// Imports inside of functions count for the whole module: that only asks for more.
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for (path, name) in imports(&item.tree, item.leading_colon.is_some()) {
            self.add(&name, Known::Same(vec![path]));
        }
    }
}

#[test]
fn names_are_followed_to_where_they_are_defined() {
    let source = Source::sample(&[
        ("lib.rs", "pub mod a; mod b { pub mod c; } pub use b::c::Deep; use http as web;"),
        ("a.rs", "use crate::{b::{self, c}, Deep as D}; use super::b::c::*; use tower; use tokio::io as c2;
            mod inner { use super::super::b; pub(super) type Pair = (crate::Deep, web::X); }
            fn f() { use bytes::Bytes; }"),
        ("b/c.rs", "pub struct Deep; pub(crate) struct Hidden; made! { pub enum Made {} } pub use hyper::rt;"),
    ]);
    let names = Names::new(&source);
    let of = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    for (module, path, end) in [
        ("a", "D", "crate::b::c::Deep"),
        ("a", "D::new", "crate::b::c::Deep::new"),
        ("a", "c::Deep", "crate::b::c::Deep"),
        ("a", "b::c::Deep", "crate::b::c::Deep"),
        ("a", "Hidden", "crate::b::c::Hidden"),
        ("a", "Made::One", "crate::b::c::Made::One"),
        ("a", "super::b::c", "crate::b::c"),
        ("a", "rt::Read", "hyper::rt::Read"),
        ("a", "tower::Layer", "tower::Layer"),
        ("a", "c2::Read", "tokio::io::Read"),
        ("a", "Bytes", "bytes::Bytes"),
        ("a", "::b::X", "b::X"),
        ("a", "h2::Reason", "h2::Reason"),
        ("a", "inner::Pair", "crate::b::c::Deep"),
        ("a::inner", "b::c", "crate::b::c"),
        ("a::inner", "self::super::super::b::c", "crate::b::c"),
        ("a::inner", "self::Pair", "crate::b::c::Deep"),
        ("a", "crate::web::Uri", "http::Uri"),
        ("b::c", "super::super::Deep", "crate::b::c::Deep"),
    ] {
        let trail = names.trail(&of(module), &of(path));
        assert!(trail.contains(&of(end)), "{path} in {module}: {trail:?}");
    }
    for unknown in ["T", "T::Item", "x", "Self::Item"] {
        let trail = names.trail(&of("b::c"), &of(unknown));
        assert!(trail.is_empty(), "{unknown}: {trail:?}");
    }
    for (path, public) in [
        ("Deep", Some(true)),
        ("Hidden", Some(false)),
        ("Made", Some(true)),
        ("Lost", None),
    ] {
        assert_eq!(
            names.is_public(&of(&format!("crate::b::c::{path}"))),
            public,
            "{path}"
        );
    }
}
