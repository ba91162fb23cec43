//! What `pub` items say to the outside is made of this crate's types, of std's, and of those of the shared vocabulary.
//!
//! Strict: every `pub` item counts, whether or not a module above it is private.

use std::collections::BTreeSet;

use syn::{
    Attribute, Field, Fields, Generics, ImplItem, Item, ItemImpl, Path, Token, TraitItem, Type,
    TypePath, Visibility,
    buffer::TokenBuffer,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use crate::{
    mentions::{Mentions, Words, imports, words_of},
    names::Names,
    source::{ModPath, Source, is_test},
};

/// The shared vocabulary: whoever uses the crate has these crates too.
const ALLOWED: [&str; 8] = [
    "alloc",
    "bytes",
    "core",
    "http",
    "http_body",
    "std",
    "tower::Layer",
    "tower::Service",
];

/// Each of them where it may be said, and why it is.
const EXCEPTIONS: [(&str, &str, &str); 8] = [
    (
        "auth/jose/signing.rs",
        "serde::Serialize",
        "and made of them",
    ),
    (
        "body.rs",
        "hyper::body::Incoming",
        "the body of the requests that hyper's servers hand over, without a box",
    ),
    (
        "claims.rs",
        "serde::Serialize",
        "claims are made of types of one's own, whose crate has serde already",
    ),
    (
        "claims.rs",
        "serde::de::DeserializeOwned",
        "and read as such",
    ),
    (
        "gateway/mod.rs",
        "hyper::service::Service",
        "what hyper's servers serve connections with",
    ),
    (
        "gateway/outer.rs",
        "tower_http::compression::CompressionLayer",
        "with the feature, which is named for it: people set the layer up themselves",
    ),
    (
        "gateway/outer.rs",
        "tower_http::cors::CorsLayer",
        "the same",
    ),
    (
        "gateway/outer.rs",
        "tower_http::decompression::RequestDecompressionLayer",
        "the same",
    ),
];

/// In every module without an import.
const PRELUDE: &str = "Some None Ok Err Option Result Box String Vec ToString ToOwned Into From TryInto TryFrom \
    AsRef AsMut Iterator IntoIterator DoubleEndedIterator ExactSizeIterator Extend FromIterator Future IntoFuture \
    Fn FnMut FnOnce AsyncFn AsyncFnMut AsyncFnOnce Send Sync Sized Unpin Copy Clone Drop Default Debug PartialEq Eq \
    PartialOrd Ord Hash Self bool char str u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64";

pub struct Found {
    pub file: String,
    pub item: String,
    pub name: String,
}

/// What public items say that is not in [`ALLOWED`].
pub fn foreign(source: &Source) -> Vec<Found> {
    let names = Names::new(source);
    let mut all = Vec::new();
    for (path, module) in &source.modules {
        let mut check = Check {
            names: &names,
            module: path,
            item: String::new(),
            parameters: Vec::new(),
            found: BTreeSet::new(),
        };
        module.items.iter().for_each(|item| check.item(item));
        all.extend(check.found.into_iter().map(|(item, name)| Found {
            file: module.file.clone(),
            item,
            name,
        }));
    }
    all
}

struct Check<'a> {
    names: &'a Names<'a>,
    module: &'a ModPath,
    /// The item that is looked at, for messages.
    item: String,
    /// The generic parameters in scope.
    parameters: Vec<String>,
    found: BTreeSet<(String, String)>,
}

impl Check<'_> {
    fn item(&mut self, item: &Item) {
        self.parameters.clear();
        match item {
            Item::Const(item) if self.begin(&item.vis, &item.ident) => self.visit_type(&item.ty),
            Item::Static(item) if self.begin(&item.vis, &item.ident) => self.visit_type(&item.ty),
            Item::Fn(item) if self.begin(&item.vis, &item.sig.ident) => {
                self.visit_signature(&item.sig);
            }
            Item::Type(item) if self.begin(&item.vis, &item.ident) => {
                self.visit_generics(&item.generics);
                self.visit_type(&item.ty);
            }
            Item::Struct(item) if self.begin(&item.vis, &item.ident) => {
                self.derives(&item.attrs);
                self.visit_generics(&item.generics);
                self.fields(&item.fields, false);
            }
            Item::Union(item) if self.begin(&item.vis, &item.ident) => {
                self.visit_generics(&item.generics);
                item.fields
                    .named
                    .iter()
                    .for_each(|field| self.field(field, false));
            }
            Item::Enum(item) if self.begin(&item.vis, &item.ident) => {
                self.derives(&item.attrs);
                self.visit_generics(&item.generics);
                for variant in &item.variants {
                    self.fields(&variant.fields, true);
                }
            }
            Item::Trait(item) if self.begin(&item.vis, &item.ident) => {
                self.visit_generics(&item.generics);
                item.supertraits
                    .iter()
                    .for_each(|bound| self.visit_type_param_bound(bound));
                item.items.iter().for_each(|item| self.trait_item(item));
            }
            Item::ExternCrate(item) if self.begin(&item.vis, &item.ident) => {
                self.judge(&[String::new(), item.ident.to_string()]);
            }
            Item::Use(item) if self.begin(&item.vis, &"use") => {
                for (path, _) in imports(&item.tree, item.leading_colon.is_some()) {
                    let path = path.strip_suffix(&["*".to_owned()]).unwrap_or(&path);
                    self.judge(path);
                }
            }
            // What a private import takes from elsewhere without naming it could be anything.
            Item::Use(item) => {
                for (path, _) in imports(&item.tree, item.leading_colon.is_some()) {
                    if let Some(path) = path.strip_suffix(&["*".to_owned()]) {
                        self.begin_at(&"use *");
                        self.judge(path);
                    }
                }
            }
            Item::Impl(item) => self.implementation(item),
            Item::Macro(item) => {
                let name = item.ident.as_ref();
                self.begin_at(name.unwrap_or(&item.mac.path.segments[0].ident));
                let is_exported = item
                    .attrs
                    .iter()
                    .any(|it| it.path().is_ident("macro_export"));
                self.tokens(&item.mac, name.is_none() || is_exported);
            }
            _ => {}
        }
    }

    fn begin(&mut self, vis: &Visibility, name: &impl ToString) -> bool {
        self.begin_at(name);
        matches!(vis, Visibility::Public(_))
    }

    fn begin_at(&mut self, name: &impl ToString) {
        self.item = name.to_string();
    }

    fn fields(&mut self, fields: &Fields, all: bool) {
        fields.iter().for_each(|field| self.field(field, all));
    }

    fn field(&mut self, field: &Field, all: bool) {
        // `#[from]` makes a conversion that everyone sees.
        let is_source = field
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident("from"));
        if all || is_source || matches!(field.vis, Visibility::Public(_)) {
            self.visit_type(&field.ty);
        }
    }

    fn derives(&mut self, attributes: &[Attribute]) {
        for attribute in attributes.iter().filter(|it| it.path().is_ident("derive")) {
            let list = Punctuated::<Path, Token![,]>::parse_terminated;
            for path in attribute.parse_args_with(list).unwrap() {
                let words = words_of(&path);
                let trail = self.names.trail(self.module, &words);
                // It derives std's trait.
                if !trail.contains(&["thiserror".to_owned(), "Error".to_owned()][..]) {
                    self.judge(&words);
                }
            }
        }
    }

    fn trait_item(&mut self, item: &TraitItem) {
        match item {
            TraitItem::Const(item) => self.visit_type(&item.ty),
            TraitItem::Fn(item) => self.visit_signature(&item.sig),
            TraitItem::Type(item) => {
                self.visit_generics(&item.generics);
                item.bounds
                    .iter()
                    .for_each(|bound| self.visit_type_param_bound(bound));
                item.default.iter().for_each(|(_, ty)| self.visit_type(ty));
            }
            TraitItem::Macro(item) => self.tokens(&item.mac, true),
            _ => {}
        }
    }

    fn implementation(&mut self, item: &ItemImpl) {
        let of = |ty: &Type| match ty {
            Type::Path(ty) if ty.qself.is_none() => words_of(&ty.path),
            _ => Words::new(),
        };
        self.begin_at(&format!("impl {}", of(&item.self_ty).join("::")));
        let Some((implemented, _)) = &item.trait_ else {
            self.inherent(item);
            return;
        };
        if self.is_ours_alone(&of(&item.self_ty)) || self.is_ours_alone(&words_of(implemented)) {
            return;
        }
        self.visit_generics(&item.generics);
        self.judge(&words_of(implemented));
        self.visit_path(implemented);
        self.visit_type(&item.self_ty);
        for item in &item.items {
            // The signatures of its functions are the trait's.
            match item {
                ImplItem::Type(item) => {
                    self.visit_generics(&item.generics);
                    self.visit_type(&item.ty);
                }
                ImplItem::Const(item) => self.visit_type(&item.ty),
                _ => {}
            }
        }
    }

    fn inherent(&mut self, item: &ItemImpl) {
        let (header, scope) = (self.item.clone(), names_of(&item.generics));
        let mut is_public = false;
        for inner in &item.items {
            self.parameters.clone_from(&scope);
            match inner {
                ImplItem::Fn(inner)
                    if self.begin(&inner.vis, &inner.sig.ident) && !is_test(&inner.attrs) =>
                {
                    is_public = true;
                    self.visit_signature(&inner.sig);
                }
                ImplItem::Const(inner)
                    if self.begin(&inner.vis, &inner.ident) && !is_test(&inner.attrs) =>
                {
                    is_public = true;
                    self.visit_type(&inner.ty);
                }
                ImplItem::Macro(inner) => {
                    self.begin_at(&header);
                    self.tokens(&inner.mac, true);
                }
                _ => {}
            }
        }
        if is_public {
            self.item = header;
            self.visit_generics(&item.generics);
            self.visit_type(&item.self_ty);
        }
    }

    /// Whether a type or trait is of this crate, and not `pub`.
    fn is_ours_alone(&self, path: &[String]) -> bool {
        let trail = self.names.trail(self.module, path);
        let mut known = trail.iter().filter(|stop| stop[0] == "crate");
        known.any(|stop| self.names.is_public(stop) == Some(false))
    }

    /// A macro whose arguments, or whose definition, can not be read as items: every path in it counts that can be
    /// traced, if it makes anything that is seen. Only a definition can tell that it does not.
    fn tokens(&mut self, call: &syn::Macro, is_seen: bool) {
        let found = Mentions::of_tokens(&TokenBuffer::new2(call.tokens.clone()));
        let has = |word: &str| found.paths.iter().any(|path| path[0] == word);
        if !is_seen && !has("pub") && !has("impl") {
            return;
        }
        for path in found.paths {
            for stop in self.names.trail(self.module, &path) {
                self.judge_stop(&stop);
            }
        }
    }

    fn judge(&mut self, path: &[String]) {
        if self.parameters.contains(&path[0]) {
            return;
        }
        let trail = self.names.trail(self.module, path);
        let is_end = |stop: &Words| stop[0] != "crate" || self.names.is_public(stop).is_some();
        let is_traced = trail.iter().any(is_end);
        if !is_traced && !PRELUDE.split_whitespace().any(|name| name == path[0]) {
            let name = format!("{}, which can not be traced", path.join("::"));
            self.found.insert((self.item.clone(), name));
        }
        trail.iter().for_each(|stop| self.judge_stop(stop));
    }

    fn judge_stop(&mut self, stop: &[String]) {
        let name = stop.join("::");
        let is = |known: &str| name == known || name.starts_with(&format!("{known}::"));
        let is_prelude = stop.len() == 1 && PRELUDE.split_whitespace().any(is);
        if stop[0] != "crate" && !is_prelude && !ALLOWED.iter().any(|allowed| is(allowed)) {
            self.found.insert((self.item.clone(), name));
        }
    }
}

fn names_of(generics: &Generics) -> Vec<String> {
    let types = generics.type_params().map(|it| it.ident.to_string());
    types
        .chain(generics.const_params().map(|it| it.ident.to_string()))
        .collect()
}

impl<'ast> Visit<'ast> for Check<'_> {
    fn visit_generics(&mut self, generics: &'ast Generics) {
        self.parameters.extend(names_of(generics));
        visit::visit_generics(self, generics);
    }

    fn visit_type_path(&mut self, ty: &'ast TypePath) {
        match &ty.qself {
            // `<T>::Name` has no path before the name.
            Some(of) if of.position == 0 => visit::visit_type_path(self, ty),
            _ => {
                self.judge(&words_of(&ty.path));
                visit::visit_type_path(self, ty);
            }
        }
    }

    fn visit_trait_bound(&mut self, bound: &'ast syn::TraitBound) {
        self.judge(&words_of(&bound.path));
        visit::visit_trait_bound(self, bound);
    }

    // Values are no types, and so are the names of arguments.
    fn visit_expr(&mut self, _: &'ast syn::Expr) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

#[test]
fn no_foreign_type_is_in_a_public_signature() {
    let mut unused = EXCEPTIONS.to_vec();
    let mut wrong = Vec::new();
    for Found { file, item, name } in foreign(&Source::library()) {
        let is = |(at, what, _): &(&str, &str, &str)| file == *at && name == *what;
        if EXCEPTIONS.iter().any(is) {
            unused.retain(|exception| !is(exception));
        } else {
            wrong.push(format!("{file}: {item} says {name}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(unused.is_empty(), "no longer said: {unused:#?}");
}
