//! What a piece of code names: paths, imports and methods, in macros' arguments too.

use syn::{
    ImplItem, Item, Macro, UseTree,
    buffer::{Cursor, TokenBuffer},
    ext::IdentExt,
    visit::{self, Visit},
};

use crate::source::{attributes, is_test};

/// A path as it is written. One that begins with `::` has an empty first segment, and a glob ends in `*`.
pub type Words = Vec<String>;

#[derive(Default)]
pub struct Mentions {
    pub paths: Vec<Words>,
    pub methods: Vec<String>,
}

impl Mentions {
    /// What the items of one module name, tests left out; modules inside are modules of their own.
    pub fn of(items: &[Item]) -> Self {
        let mut found = Self::default();
        items.iter().for_each(|item| found.visit_item(item));
        found
    }

    /// What stands in an attribute, in a macro's definition or between the parentheses of its call.
    pub fn of_tokens(tokens: &TokenBuffer) -> Self {
        let mut found = Self::default();
        found.tokens(tokens.begin(), &[]);
        found
    }

    fn tokens(&mut self, mut at: Cursor<'_>, prefix: &[String]) {
        let mut before = ' ';
        while !at.eof() {
            if let Some((inside, _, _, after)) = at.any_group() {
                self.tokens(inside, &[]);
                (at, before) = (after, ' ');
            } else if let Some((name, after)) = at.ident() {
                at = after;
                let name = name.unraw().to_string();
                match before {
                    // A variable of the macro.
                    '$' => {}
                    '.' => self.methods.push(name),
                    _ => at = self.path(at, [prefix, &[name]].concat()),
                }
                before = ' ';
            } else if let Some((mark, after)) = at.punct() {
                (at, before) = (after, mark.as_char());
            } else if let Some((_, after)) = at.token_tree() {
                (at, before) = (after, ' ');
            }
        }
    }

    fn path<'a>(&mut self, mut at: Cursor<'a>, mut path: Words) -> Cursor<'a> {
        while let Some(after) = colons(at) {
            if let Some((name, after)) = after.ident() {
                path.push(name.unraw().to_string());
                at = after;
            } else if let Some((inside, _, _, after)) = after.any_group() {
                self.tokens(inside, &path);
                return after;
            } else {
                break;
            }
        }
        // In a group, `self` is what stands before the group.
        if path.len() > 1 {
            path.pop_if(|last| last == "self");
        }
        self.paths.push(path);
        at
    }
}

fn colons(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let (first, after) = at.punct()?;
    let (second, after) = after.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(after)
}

/// The paths that an import names, each with the name that it gives to it.
pub fn imports(tree: &UseTree, leading: bool) -> Vec<(Words, String)> {
    fn walk(tree: &UseTree, before: &[String], found: &mut Vec<(Words, String)>) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => walk(&path.tree, &with(path.ident.unraw().to_string()), found),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| walk(tree, before, found)),
            UseTree::Glob(_) => found.push((with("*".to_owned()), "*".to_owned())),
            UseTree::Name(name) if name.ident == "self" => {
                found.push((before.to_vec(), before.last().cloned().unwrap_or_default()));
            }
            UseTree::Name(name) => {
                let name = name.ident.unraw().to_string();
                found.push((with(name.clone()), name));
            }
            UseTree::Rename(rename) => {
                let path = match rename.ident.to_string() {
                    name if name == "self" => before.to_vec(),
                    name => with(name),
                };
                found.push((path, rename.rename.unraw().to_string()));
            }
        }
    }
    let mut found = Vec::new();
    let before = if leading {
        vec![String::new()]
    } else {
        Vec::new()
    };
    walk(tree, &before, &mut found);
    found
}

/// The words of a path, without generics.
pub fn words_of(path: &syn::Path) -> Words {
    let leading = path.leading_colon.as_ref().map(|_| String::new());
    let names = path
        .segments
        .iter()
        .map(|part| part.ident.unraw().to_string());
    leading.into_iter().chain(names).collect()
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item(&mut self, item: &'ast Item) {
        if !matches!(item, Item::Mod(_)) && !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(words_of(path));
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let found = imports(&item.tree, item.leading_colon.is_some());
        self.paths.extend(found.into_iter().map(|(path, _)| path));
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.methods.push(call.method.unraw().to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        let inside = Self::of_tokens(&TokenBuffer::new2(call.tokens.clone()));
        self.paths.extend(inside.paths);
        self.methods.extend(inside.methods);
    }
}

#[test]
fn macros_hide_nothing() {
    let text = "
        fn a() {
            b::c!(x => { use d::{e, f::{self, g}}; }, h::i(::j::k).l(), $m::n);
            fn o() -> p::Q<r::S> { use t::{u as v, w::*}; x.y::<z::A>() }
            #[cfg(test)]
            mod tests { fn b() { c::d() } }
        }";
    let file = syn::parse_file(text).unwrap();
    let found = Mentions::of(&file.items);
    let paths: Vec<_> = found.paths.iter().map(|path| path.join("::")).collect();
    for named in [
        "b::c", "d::e", "d::f::g", "h::i", "j::k", "p::Q", "r::S", "t::u", "t::w::*", "z::A",
    ] {
        assert!(
            paths.iter().any(|path| path == named),
            "{named} in {paths:?}"
        );
    }
    assert!(!paths.contains(&"c::d".to_owned()));
    assert_eq!(found.methods, ["l", "y"]);
}
