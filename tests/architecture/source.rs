//! The crate's sources as a tree of modules, without their tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use syn::{
    Attribute, Item, ItemMod, Meta, buffer::TokenBuffer, parse::Parser, punctuated::Punctuated,
};

use crate::mentions::Mentions;

/// A module's path below the crate's root.
pub type ModPath = Vec<String>;

pub struct Module {
    /// Where it stands, for messages.
    pub file: String,
    /// Without the modules inside, and without what is for tests.
    pub items: Vec<Item>,
}

pub struct Source {
    pub modules: BTreeMap<ModPath, Module>,
    /// Files that no module is in; those of tests are not counted.
    pub stray: Vec<String>,
}

impl Source {
    /// The library.
    pub fn library() -> Self {
        let source = Self::new(&files("src"));
        assert!(source.modules.len() > 40, "sources are not where they were");
        assert_eq!(source.stray, [""; 0], "files that no module is in");
        source
    }

    /// Reads what is reached from `lib.rs`.
    pub fn new(files: &[(String, String)]) -> Self {
        let mut reading = Reading {
            files: files.iter().map(|(at, text)| (&**at, &**text)).collect(),
            modules: BTreeMap::new(),
            read: BTreeSet::new(),
            tests: Vec::new(),
        };
        reading.file("lib.rs", Vec::new());
        let is_stray = |file: &&str| {
            let is_of_tests = |tests: &String| file.starts_with(tests.as_str());
            !reading.read.contains(*file) && !reading.tests.iter().any(is_of_tests)
        };
        let stray = reading.files.keys().copied().filter(is_stray);
        Self {
            stray: stray.map(str::to_owned).collect(),
            modules: reading.modules,
        }
    }

    /// A crate of a few lines, for the checks' own tests.
    pub fn sample(files: &[(&str, &str)]) -> Self {
        let owned = |(at, text): &(&str, &str)| ((*at).to_owned(), (*text).to_owned());
        Self::new(&files.iter().map(owned).collect::<Vec<_>>())
    }
}

/// The Rust files of a folder of the crate, by their paths in it.
pub fn files(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let parts = path.strip_prefix(root).unwrap().iter();
                let parts: Vec<_> = parts.map(|part| part.to_str().unwrap()).collect();
                found.push((parts.join("/"), text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found
}

struct Reading<'a> {
    files: BTreeMap<&'a str, &'a str>,
    modules: BTreeMap<ModPath, Module>,
    read: BTreeSet<&'a str>,
    /// The beginnings of the paths of files that only tests are in.
    tests: Vec<String>,
}

impl Reading<'_> {
    fn file(&mut self, name: &str, path: ModPath) {
        let (name, text) = self
            .files
            .get_key_value(name)
            .unwrap_or_else(|| panic!("no file {name} for the module {path:?}"));
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.read.insert(name);
        self.module(name, path, file.items);
    }

    fn module(&mut self, file: &str, path: ModPath, items: Vec<Item>) {
        let mut own = Vec::new();
        for item in flat(items) {
            match item {
                Item::Mod(module) => self.child(file, &path, module),
                item if !is_test(attributes(&item)) => own.push(item),
                _ => {}
            }
        }
        let file = file.to_owned();
        self.modules.insert(path, Module { file, items: own });
    }

    fn child(&mut self, file: &str, parent: &[String], module: ItemMod) {
        let mut path = parent.to_vec();
        path.push(module.ident.to_string());
        let stem = path.join("/");
        if is_test(&module.attrs) {
            self.tests.push(format!("{stem}.rs"));
            self.tests.push(format!("{stem}/"));
            return;
        }
        if let Some((_, items)) = module.content {
            return self.module(file, path, items);
        }
        // What is there with one feature and what is there without are modules both.
        if let Some(other) = module.attrs.iter().find_map(other_file) {
            let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            let beside = format!("{folder}/{other}");
            let name = other.trim_end_matches(".rs").to_owned();
            self.file(&beside, [parent, &[name]].concat());
        }
        let [plain, folder] = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
        let has_plain = self.files.contains_key(&*plain);
        self.file(if has_plain { &plain } else { &folder }, path);
    }
}

/// Items that a macro only passes on, as `pin_project!` does, stand among the others.
fn flat(items: Vec<Item>) -> Vec<Item> {
    let open = |item: Item| match &item {
        Item::Macro(call) if call.ident.is_none() => match call.mac.parse_body::<syn::File>() {
            Ok(body) => flat(body.items),
            Err(_) => vec![item],
        },
        _ => vec![item],
    };
    items.into_iter().flat_map(open).collect()
}

/// Whether it is compiled for tests only.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let words = Mentions::of_tokens(&TokenBuffer::new2(list.tokens.clone())).paths;
            let has = |name: &str| words.contains(&vec![name.to_owned()]);
            has("test") && !has("not") && !has("any")
        }
        _ => false,
    })
}

/// What `#[path = "…"]` says, also inside `cfg_attr`.
fn other_file(attribute: &Attribute) -> Option<String> {
    let of = |meta: &Meta| match meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    };
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let metas = Punctuated::<Meta, syn::Token![,]>::parse_terminated;
            metas.parse2(list.tokens.clone()).ok()?.iter().find_map(of)
        }
        meta => of(meta),
    }
}

pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[test]
fn tests_are_left_out_and_nothing_else() {
    let source = Source::sample(&[
        (
            "lib.rs",
            "mod a; #[cfg(not(test))] mod b { fn c() {} } #[cfg(test)] mod tests;",
        ),
        (
            "a/mod.rs",
            "#[cfg_attr(not(x), path = \"other.rs\")] mod d; #[cfg(all(test, x))] fn e() {} hide! { struct F; }",
        ),
        ("a/d.rs", ""),
        ("a/other.rs", ""),
        ("a/lost.rs", ""),
        ("tests.rs", "no Rust"),
        ("tests/f.rs", "no Rust"),
    ]);
    let paths: Vec<_> = source.modules.keys().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["", "a", "a::d", "a::other", "b"]);
    assert_eq!(source.stray, ["a/lost.rs"]);
    assert_eq!(source.modules[&["a".to_owned()][..]].items.len(), 1);
}
