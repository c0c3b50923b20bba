//! The walls of the house: which crate may know which, and that no two files know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use syn::visit::{self, Visit};

/// What each crate may use of the others; what is not listed is not allowed.
const EDGES: &[(&str, &[&str])] = &[
    ("skew", &["skew-core", "skew-deploy", "skew-host", "skew-image", "skew-report", "skew-spec"]),
    ("skew-agent", &[]),
    ("skew-core", &[]),
    ("skew-deploy", &["skew-core", "skew-host", "skew-spec"]),
    ("skew-host", &[]),
    ("skew-image", &["skew-core", "skew-host", "skew-spec"]),
    ("skew-report", &["skew-core"]),
    ("skew-spec", &["skew-core"]),
    ("skew-testing", &[]),
];

/// What nothing below a pure crate may be: I/O, clusters, engines, stores, renderers.
const IMPURE: &[&str] = &["askama", "bollard", "hyper", "kube", "reqwest", "rustix", "sled", "tempfile", "tokio"];

/// The crates that only compute, and what of the above they may have: colours of tables come with a terminal's library.
const PURE: &[(&str, &[&str])] = &[("skew-core", &[]), ("skew-report", &["askama", "rustix"])];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every crate of the workspace by name, with its directory.
fn crates() -> BTreeMap<String, PathBuf> {
    let members = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let name = |dir: &PathBuf| dir.file_name().unwrap().to_str().unwrap().to_owned();
    let members = members.filter(|dir| dir.join("Cargo.toml").exists()).map(|dir| (name(&dir), dir));
    members.chain([("skew".to_owned(), root().to_owned())]).collect()
}

#[test]
fn crates_use_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let crates = crates();
    assert_eq!(crates.keys().map(String::as_str).collect::<Vec<_>>(), allowed.keys().copied().collect::<Vec<_>>());
    for (name, dir) in &crates {
        let manifest: toml::Table = fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse().unwrap();
        let none = toml::Table::new();
        for section in ["dependencies", "build-dependencies"] {
            let dependencies = manifest.get(section).and_then(toml::Value::as_table).unwrap_or(&none);
            for used in dependencies.keys().filter(|used| crates.contains_key(*used)) {
                assert!(allowed[name.as_str()].contains(&used.as_str()), "{name} must not use {used}");
            }
        }
    }
}

#[test]
fn pure_crates_stand_on_nothing_that_does_io() {
    for (name, except) in PURE {
        let mut tree = Command::new(env!("CARGO"));
        tree.args(["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--offline", "--locked"]);
        let output = tree.current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = String::from_utf8(output.stdout).unwrap();
        let below: BTreeSet<&str> = output.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(below.contains(name) && below.contains("serde"), "{below:?}");
        let found: Vec<_> = IMPURE.iter().filter(|bad| below.contains(*bad) && !except.contains(bad)).collect();
        assert!(found.is_empty(), "{name} stands on {found:?}");
    }
}

#[test]
fn no_two_files_know_each_other() {
    let mut circles = Vec::new();
    for (name, dir) in crates() {
        circles.extend(House::read(&dir.join("src")).circles().into_iter().map(|circle| format!("{name}: {circle}")));
    }
    assert!(circles.is_empty(), "files that use each other:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("lib.rs", "mod a; mod b; mod c; pub use a::A; pub use c::inner::*;"),
        ("a.rs", "pub struct A; fn f() { crate::b::g() }"),
        ("b.rs", "use super::C; pub fn g() {} fn h(_: C) {}"),
        ("c/mod.rs", "pub mod inner;"),
        ("c/inner.rs", "use crate::{A as Other}; pub struct C(Other);"),
        ("d.rs", "use crate::a; #[cfg(test)] mod tests { use crate::b; }"),
        ("e.rs", "use crate::f; fn g() { f::h() }"),
        ("f/mod.rs", "mod deep; pub use deep::h;"),
        ("f/deep.rs", "pub fn h() { println!(\"{} crate::d\", crate::e::X) }"),
    ] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    assert_eq!(House::read(dir.path()).circles(), ["a -> b -> c::inner -> a", "e -> f::deep -> e"]);
    fs::write(dir.path().join("b.rs"), "pub fn g() {}").unwrap();
    fs::write(dir.path().join("e.rs"), "pub const X: u8 = 0;").unwrap();
    assert_eq!(House::read(dir.path()).circles(), Vec::<String>::new());
}

/// A module's path below its crate's root.
type Module = Vec<String>;

/// The files of one crate.
struct House(BTreeMap<Module, Contents>);

/// What one file says.
#[derive(Default)]
struct Contents {
    /// Items that are defined here, by name.
    defined: BTreeSet<String>,
    /// What comes from elsewhere, under its name here: children see that, and others what is passed on.
    imported: BTreeMap<String, Vec<String>>,
    /// Modules of which all comes.
    globs: Vec<Vec<String>>,
    /// Paths that are used, as they stand there.
    used: BTreeSet<Vec<String>>,
}

impl House {
    fn read(src: &Path) -> Self {
        let files = walkdir::WalkDir::new(src).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"));
        let read = |entry: walkdir::DirEntry| {
            let below = entry.path().strip_prefix(src).unwrap().with_extension("");
            let mut module: Module = below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            let file = syn::parse_file(&fs::read_to_string(entry.path()).unwrap()).unwrap();
            let mut contents = Contents::default();
            contents.visit_file(&file);
            (module, contents)
        };
        let mut house = BTreeMap::<Module, Contents>::new();
        for (module, contents) in files.map(read) {
            // `main.rs` beside `lib.rs` is a crate of its own, which only calls.
            house.entry(module).or_insert(contents);
        }
        Self(house)
    }

    /// The path from the crate's root, where it is one of this crate.
    fn absolute(&self, from: &Module, path: &[String]) -> Option<Vec<String>> {
        let mut base = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while let Some("super") = rest.first().map(String::as_str) {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                base.push(first.to_owned());
                rest = &path[1..];
                if !self.0.contains_key(&base) {
                    // A module that was imported under this name, not a crate that has it.
                    let to = self.0.get(from)?.imported.get(first).filter(|to| to[0] != *first)?;
                    base = self.absolute(from, to)?;
                }
            }
        }
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }

    /// The file in which that is defined which a path from the root names. What a macro defines is not seen: where `else_here`
    /// is set, what is found nowhere is taken to be such.
    fn definer(&self, path: &[String], depth: usize, else_here: bool) -> Option<Module> {
        let mut module = Module::new();
        for (index, name) in path.iter().enumerate() {
            let below: Module = module.iter().cloned().chain([name.clone()]).collect();
            if self.0.contains_key(&below) {
                module = below;
                continue;
            }
            let contents = self.0.get(&module)?;
            if contents.defined.contains(name) || depth > 8 {
                return Some(module);
            }
            let rest = &path[index + 1..];
            if let Some(to) = contents.imported.get(name) {
                let to: Vec<String> = self.absolute(&module, to)?.into_iter().chain(rest.iter().cloned()).collect();
                return self.definer(&to, depth + 1, else_here);
            }
            let found = contents.globs.iter().find_map(|glob| {
                let glob = self.absolute(&module, glob)?;
                let of: Vec<String> = glob.into_iter().chain(path[index..].iter().cloned()).collect();
                self.definer(&of, depth + 1, false)
            });
            return found.or(else_here.then_some(module));
        }
        Some(module)
    }

    fn circles(&self) -> Vec<String> {
        let mut edges: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, contents) in &self.0 {
            let used = contents.used.iter().filter_map(|path| self.definer(&self.absolute(module, path)?, 0, true));
            edges.insert(module, used.filter(|used| used != module).collect());
        }
        // What uses nothing that is left, or is used by nothing that is left, is in no circle.
        loop {
            let left: BTreeSet<Module> = edges.keys().map(|module| (*module).clone()).collect();
            let used: BTreeSet<Module> = edges.values().flatten().cloned().collect();
            edges.values_mut().for_each(|used| used.retain(|module| left.contains(module)));
            edges.retain(|module, uses| !uses.is_empty() && used.contains(*module));
            if edges.len() == left.len() {
                break;
            }
        }
        let mut circles = BTreeSet::new();
        for begin in edges.keys() {
            let mut walk = vec![(*begin).clone()];
            while let Some(next) = edges[walk.last().unwrap()].iter().next() {
                if let Some(at) = walk.iter().position(|module| module == next) {
                    let mut circle = walk.split_off(at);
                    let first = circle.iter().enumerate().min_by_key(|(_, module)| *module).unwrap().0;
                    circle.rotate_left(first);
                    circle.push(circle[0].clone());
                    let name = |module: &Module| if module.is_empty() { "lib".to_owned() } else { module.join("::") };
                    circles.insert(circle.iter().map(name).collect::<Vec<_>>().join(" -> "));
                    break;
                }
                walk.push(next.clone());
            }
        }
        circles.into_iter().collect()
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => attribute.path().is_ident("test"),
    })
}

/// Every path of a `use`, with the name that it gets.
fn leaves(tree: &syn::UseTree, before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let with = |name: &syn::Ident| -> Vec<String> { before.iter().cloned().chain([name.to_string()]).collect() };
    match tree {
        syn::UseTree::Path(path) => leaves(&path.tree, &with(&path.ident), found),
        syn::UseTree::Name(name) if name.ident == "self" => {
            found.push((before.last().cloned().unwrap_or_default(), before.to_vec()));
        }
        syn::UseTree::Name(name) => found.push((name.ident.to_string(), with(&name.ident))),
        syn::UseTree::Rename(rename) => found.push((rename.rename.to_string(), with(&rename.ident))),
        syn::UseTree::Glob(_) => found.push(("*".to_owned(), before.to_vec())),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, found)),
    }
}

impl<'ast> Visit<'ast> for Contents {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Const(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            syn::Item::Static(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            syn::Item::Mod(item) => (&item.attrs, None),
            syn::Item::Use(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if is_test(attributes) {
            return;
        }
        self.defined.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, &[], &mut found);
        let passed_on = !matches!(item.vis, syn::Visibility::Inherited);
        for (name, path) in found {
            if !passed_on {
                self.used.insert(path.clone());
            }
            if name == "*" {
                self.globs.push(path);
            } else {
                self.imported.insert(name, path);
            }
        }
    }

    // What a macro is given is text to it: paths are looked for between strings.
    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        let text = invoked.tokens.to_string();
        let text = regex::Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap().replace_all(&text, "");
        for path in regex::Regex::new(r"\w+(?: ?:: ?\w+)+").unwrap().find_iter(&text) {
            self.used.insert(path.as_str().split("::").map(|name| name.trim().to_owned()).collect());
        }
        visit::visit_macro(self, invoked);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.used.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    // `pub(in crate::room)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
