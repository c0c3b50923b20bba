//! Everything that was read, and what holds of it at a version: overrides and `extends`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::decode::{At, Decode, Map, Merge};
use super::problem::{Place, Problem, Sink, Text, Texts, brief};
use super::raw::{RawConfig, RawRole, RawSpec, RecipeRef};
use super::raw_recipe::{RawCommand, RawRecipe, RawRecipePatch};
use super::template::RawTemplate;
use super::tree;

/// No file that a spec names may be larger, in bytes.
pub(super) const FILE_LIMIT: usize = 4 << 20;

/// Which overrides apply: by their index.
pub(super) type Active<'a> = &'a dyn Fn(usize) -> bool;

/// What was read, nothing resolved.
#[derive(Debug)]
pub(super) struct Definitions {
    /// The spec.
    pub spec: RawSpec,
    /// The spec's file, absolute where that was known.
    pub path: PathBuf,
    /// The texts that places point into.
    pub texts: Texts,
    /// The recipes' files; `None` for those that were reported.
    pub recipes: BTreeMap<PathBuf, Option<RawRecipe>>,
    /// The config templates' files.
    pub templates: BTreeMap<PathBuf, Option<RawTemplate>>,
    /// The lists of revisions.
    pub lists: BTreeMap<PathBuf, Option<Vec<String>>>,
}

/// Reads a file of text.
pub(super) type Read<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

impl Definitions {
    /// Reads every file that the spec names.
    pub(crate) fn read(spec: RawSpec, path: PathBuf, texts: Texts, shown: &Path, read: Read<'_>, sink: &Sink) -> Self {
        let mut all =
            Self { spec, path, texts, recipes: BTreeMap::new(), templates: BTreeMap::new(), lists: BTreeMap::new() };
        let mut reader = Reader { shown, read, sink };
        let mut recipes: Vec<At<String>> = Vec::new();
        let mut templates: Vec<At<String>> = Vec::new();
        let whens = all.spec.when.iter().flatten();
        let overridden = whens.clone().flat_map(|when| &when.roles);
        for (_, role) in all.spec.roles.iter().chain(overridden).flat_map(|roles| &roles.entries) {
            let parts = role.parts.iter().flat_map(|parts| &parts.entries).filter_map(|(_, part)| part.recipe.as_ref());
            recipes.extend(role.recipe.iter().chain(parts).filter_map(|recipe| match &recipe.value {
                RecipeRef::File(path) => Some(At { value: path.clone(), at: recipe.at }),
                RecipeRef::Inline(_) => None,
            }));
            templates.extend(role.config.iter().flat_map(|config| &config.entries).filter_map(
                |(_, config)| match config {
                    RawConfig::Table(table) => {
                        table.file.as_ref().map(|file| At { value: file.0.clone(), at: file.at })
                    }
                    RawConfig::Text(_) => None,
                },
            ));
        }
        let lists = all.spec.sources.iter().flat_map(|sources| &sources.entries).filter_map(|(_, source)| {
            let file = source.versions.as_ref()?.file.as_ref().filter(|file| file.0 != "-")?;
            Some(At { value: file.0.clone(), at: file.at })
        });
        let lists: Vec<At<String>> = lists.collect();
        for path in recipes {
            let full = all.join(&path.value, path.at);
            if !all.recipes.contains_key(&full) {
                let recipe = reader.recipe(&mut all.texts, &path, &full);
                all.recipes.insert(full, recipe);
            }
        }
        for path in templates {
            let full = all.join(&path.value, path.at);
            if !all.templates.contains_key(&full) {
                let template =
                    reader.text(&mut all.texts, &path, &full).and_then(|(text, at)| RawTemplate::file(&text, at, sink));
                all.templates.insert(full, template);
            }
        }
        for path in lists {
            let full = all.join(&path.value, path.at);
            let list = reader.text(&mut all.texts, &path, &full).map(|(text, _)| revisions(&text));
            all.lists.insert(full, list);
        }
        all.look_for_patches(&mut reader);
        all
    }

    /// A missing patch is an error of the spec, not of the build that is reached an hour later.
    fn look_for_patches(&self, reader: &mut Reader<'_>) {
        let quiet = Sink::default();
        let of = |recipe: &RawRecipe| match recipe {
            RawRecipe::Command(recipe) => recipe.patches.clone().unwrap_or_default(),
            RawRecipe::Prebuilt(_) | RawRecipe::Dockerfile(_) | RawRecipe::Nix(_) => Vec::new(),
        };
        let mut patches: Vec<At<_>> = self.recipes.values().flatten().flat_map(of).collect();
        let whens = self.spec.when.iter().flatten();
        let roles =
            self.spec.roles.iter().chain(whens.clone().flat_map(|when| &when.roles)).flat_map(|roles| &roles.entries);
        for (_, role) in roles {
            let parts = role.parts.iter().flat_map(|parts| &parts.entries).filter_map(|(_, part)| part.recipe.as_ref());
            for recipe in role.recipe.iter().chain(parts) {
                if let RecipeRef::Inline(recipe) = &recipe.value {
                    patches.extend(of(recipe));
                }
            }
        }
        for (_, patch) in whens.flat_map(|when| &when.recipes).flat_map(|recipes| &recipes.entries) {
            patches.extend(patch.decode::<RawCommand>(&quiet).and_then(|command| command.patches).unwrap_or_default());
        }
        for patch in patches {
            reader.must_exist(&patch.0, patch.at, &self.join(&patch.0, patch.at));
        }
    }

    /// A path as it was written at a place, made relative to the file it stands in.
    pub(crate) fn join(&self, path: &str, at: Place) -> PathBuf {
        normal(&self.texts[at.text as usize].dir.join(path))
    }

    /// The roles as written.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &(At<skew_core::model::RoleName>, RawRole)> {
        self.spec.roles.iter().flat_map(|roles| &roles.entries)
    }

    /// A role as written.
    pub(crate) fn raw_role(&self, name: &str) -> Option<&RawRole> {
        self.spec.roles.as_ref()?.get(name)
    }

    /// A role and those it extends, itself first; a cycle ends it.
    pub(crate) fn chain<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut chain = vec![name];
        let mut role = self.raw_role(name);
        while let Some(parent) = role.and_then(|role| role.extends.as_ref()) {
            if chain.contains(&parent.as_str()) || self.raw_role(parent.as_str()).is_none() {
                break;
            }
            chain.push(parent.as_str());
            role = self.raw_role(parent.as_str());
        }
        chain
    }

    /// The role whose version this one has in the end, when it follows one; `extends` counts.
    pub(crate) fn followed(&self, name: &str) -> Option<&str> {
        let first = self.follows(name)?;
        let mut last = first;
        let mut seen = vec![first];
        while let Some(next) = self.follows(last) {
            if seen.contains(&next) {
                break;
            }
            seen.push(next);
            last = next;
        }
        Some(last)
    }

    /// The role that this one follows, as the nearest of its chain says.
    fn follows(&self, name: &str) -> Option<&str> {
        let mut at =
            self.spec.roles.as_ref()?.entries.iter().find(|(role, _)| role.as_str() == name).map(|(_, role)| role);
        let mut steps = 0;
        while let Some(role) = at {
            if let Some(follows) = &role.follows {
                return Some(follows.as_str());
            }
            steps += 1;
            if role.pinned.is_some() || steps > self.roles().count() {
                return None;
            }
            at = role.extends.as_ref().and_then(|parent| self.raw_role(parent.as_str()));
        }
        None
    }

    /// A role with what it extends and the overrides that apply.
    pub(crate) fn role(&self, name: &str, active: Active<'_>) -> Option<RawRole> {
        let mut chain = self.chain(name).into_iter().rev();
        let mut role = self.layered(chain.next()?, active)?;
        for name in chain {
            role = extend(role, self.layered(name, active)?);
        }
        Some(role)
    }

    fn layered(&self, name: &str, active: Active<'_>) -> Option<RawRole> {
        let mut role = self.raw_role(name)?.clone();
        for (_, when) in self.spec.when.iter().flatten().enumerate().filter(|(index, _)| active(*index)) {
            if let Some(over) = when.roles.as_ref().and_then(|roles| roles.get(name)) {
                role.merge(over);
            }
        }
        Some(role)
    }

    /// A recipe with the overrides that apply; `None` when it was reported.
    pub(crate) fn recipe(
        &self,
        reference: &At<RecipeRef>,
        active: Active<'_>,
        sink: &Sink,
    ) -> Option<(RawRecipe, PathBuf)> {
        match &reference.value {
            RecipeRef::Inline(recipe) => Some((recipe.clone(), self.path.clone())),
            RecipeRef::File(path) => {
                let full = self.join(path, reference.at);
                let mut recipe = self.recipes.get(&full)?.clone()?;
                for (_, when) in self.spec.when.iter().flatten().enumerate().filter(|(index, _)| active(*index)) {
                    for (key, patch) in when.recipes.iter().flat_map(|recipes| &recipes.entries) {
                        if self.join(&key.value, key.at) == full {
                            recipe.patch(patch, sink);
                        }
                    }
                }
                Some((recipe, full))
            }
        }
    }

    /// The overrides that can change a role, by index.
    pub(crate) fn touching(&self, name: &str) -> Vec<usize> {
        let chain = self.chain(name);
        let touches = |roles: &Map<_, RawRole>| chain.iter().any(|name| roles.has(name));
        let whens = self.spec.when.iter().flatten().enumerate();
        whens
            .filter(|(_, when)| when.roles.as_ref().is_some_and(touches) || when.recipes.is_some())
            .map(|(index, _)| index)
            .collect()
    }
}

/// A child's keys over its parent's.
fn extend(parent: RawRole, mut child: RawRole) -> RawRole {
    let mut role = parent;
    // A child's arguments come after its parent's; a `run` of its own replaces both.
    let (run, args) = if child.run.is_some() {
        (child.run.take(), child.args.take())
    } else {
        let run = match (role.run.take(), role.args.take()) {
            (Some(mut run), Some(args)) => {
                run.value.extend(args.value);
                Some(run)
            }
            (run, args) => run.or(args),
        };
        (run, child.args.take())
    };
    // Where a version comes from is one choice: the child's replaces the parent's.
    if child.pinned.is_some() || child.follows.is_some() {
        role.pinned = None;
        role.follows = None;
    }
    role.merge(&child);
    role.run = run;
    role.args = args;
    role.at = child.at;
    role
}

/// One revision a line; `#` begins a comment.
fn revisions(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(line, _)| line).trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A path without `.` and, where it can be told without looking, without `..`.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir | Component::Normal(_) | Component::RootDir | Component::Prefix(_) => out.push(part),
        }
    }
    out
}

struct Reader<'a> {
    /// The spec's directory as people gave it.
    shown: &'a Path,
    read: Read<'a>,
    sink: &'a Sink,
}

impl Reader<'_> {
    /// Reads a file and adds it to the texts.
    fn text(&mut self, texts: &mut Texts, path: &At<String>, full: &Path) -> Option<(String, Place)> {
        match (self.read)(full) {
            Ok(text) if text.len() <= FILE_LIMIT => {
                let shown = if path.at.text == 0 { normal(&self.shown.join(&path.value)) } else { full.to_owned() };
                let dir = full.parent().unwrap_or(Path::new("")).to_owned();
                texts.push(Text { name: shown.display().to_string(), dir, body: text.as_str().into() });
                let index = u32::try_from(texts.len() - 1).unwrap_or(u32::MAX);
                let at = Place::new(index, 0..text.len());
                Some((text, at))
            }
            Ok(_) => {
                let message = format!("`{}` is larger than {FILE_LIMIT} bytes", brief(&path.value));
                self.sink.push(Problem::new(path.at, message, "too large"));
                None
            }
            Err(error) => {
                self.unreadable(&path.value, path.at, &error);
                None
            }
        }
    }

    fn recipe(&mut self, texts: &mut Texts, path: &At<String>, full: &Path) -> Option<RawRecipe> {
        let (text, at) = self.text(texts, path, full)?;
        let node = tree::parse(&text, at.text, self.sink)?;
        RawRecipe::decode(&node, self.sink)
    }

    /// A patch need not be text, but it must be there.
    fn must_exist(&mut self, path: &str, at: Place, full: &Path) {
        match (self.read)(full) {
            Err(error) if error.kind() != io::ErrorKind::InvalidData => self.unreadable(path, at, &error),
            Ok(_) | Err(_) => {}
        }
    }

    fn unreadable(&self, path: &str, at: Place, error: &io::Error) {
        let label =
            if error.kind() == io::ErrorKind::NotFound { "no such file".to_owned() } else { brief(&error.to_string()) };
        let problem = Problem::new(at, format!("failed to read `{}`", brief(path)), label);
        self.sink.push(problem.hint("paths are relative to the file they are written in"));
    }
}

impl RawRecipePatch {
    /// Whether it fits the recipes used is told elsewhere; here it is only looked into.
    fn decode<T: Decode>(&self, quiet: &Sink) -> Option<T> {
        T::decode(self.node(), quiet)
    }
}
