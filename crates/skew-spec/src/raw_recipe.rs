//! Recipes as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{At, Decode, Map, Merge, entries, raw, text};
use super::keys::{EnvName, GlobKey};
use super::leaf::{Below, Filled, Sha256, Span};
use super::problem::{Place, Problem, Sink};
use super::tree::{Entry, Node, Value};

raw! {
    /// A command in a temporary worktree of the version. It finds `$OUT` (where the image's files go), `$SOURCE`,
    /// `$SOURCE_DATE_EPOCH`, `$SKEW_VERSION`, `$SKEW_COMMIT`, `$SKEW_RECIPE` (the recipe's directory) and `$HOME`.
    merged RawCommand("a `command` recipe") {
        /// The program and its arguments.
        #[schemars(required)]
        run: Option<At<Vec<String>>>,
        /// The environment it gets beside what is always there.
        env: Option<Map<EnvName, At<String>>>,
        /// Variables passed through from skew's environment.
        pass_env: Option<Vec<EnvName>>,
        /// Tools that must be on PATH.
        tools: Option<Vec<At<Filled>>>,
        /// Commands whose output is part of the build key.
        inputs: Option<Vec<At<Vec<String>>>>,
        /// Directories kept between versions: variable → cache's name.
        caches: Option<Map<EnvName, At<String>>>,
        /// Patches applied to the checkout first, relative to the file they are named in.
        patches: Option<Vec<At<Filled>>>,
        /// Files of the checkout that go into the image: glob → directory in the image.
        files: Option<Map<GlobKey, At<Below>>>,
        /// How long it may take; 30m when not given.
        within: Option<At<Span>>,
        /// Whether submodules are checked out.
        submodules: Option<At<bool>>,
        /// Paths of the checkout that the build depends on; all when not given.
        paths: Option<Vec<At<Below>>>,
        /// What the image runs, relative to its root, when a role gives no `run`.
        entrypoint: Option<At<Vec<String>>>,
    }

    /// What exists already: a directory, a tarball with its checksum, or an image in a registry. One of `path` and
    /// `image`.
    merged RawPrebuilt("a `prebuilt` recipe") {
        /// A directory, `.tar`, `.tar.gz` or `.tgz` relative to the recipe's file; `{version}`, `{label}` and
        /// `{commit}` are replaced.
        path: Option<At<Filled>>,
        /// An image, such as `docker.io/library/redis:{version}`; `{version}`, `{label}` and `{commit}` are replaced. What
        /// its tag means when it is looked up is part of the build key.
        image: Option<At<Filled>>,
        /// With `image`: whether its registry speaks plain HTTP; on this machine's loopback it does anyway.
        insecure: Option<At<bool>>,
        /// The checksum a tarball must have, by version's label.
        sha256: Option<Map<String, At<Sha256>>>,
        /// Leading directories to drop from the paths in a tarball.
        strip: Option<At<usize>>,
        /// What the image runs, relative to its root, when a role gives no `run`.
        entrypoint: Option<At<Vec<String>>>,
    }

    /// A Dockerfile in a temporary worktree of the version, built by Docker itself without its cache. The times of files
    /// are no later than the commit's, so that the same files are the same layers.
    merged RawDockerfile("a `dockerfile` recipe") {
        /// The Dockerfile, below the context; `Dockerfile` when not given.
        dockerfile: Option<At<Below>>,
        /// The directory of the checkout that is the build's context; all of the checkout when not given.
        context: Option<At<Below>>,
        /// The stage that is the image; the last when not given.
        target: Option<At<String>>,
        /// Build arguments.
        args: Option<Map<EnvName, At<String>>>,
        /// How long it may take; 30m when not given.
        within: Option<At<Span>>,
        /// Whether submodules are checked out.
        submodules: Option<At<bool>>,
        /// Paths of the checkout that the build depends on; all when not given.
        paths: Option<Vec<At<Below>>>,
        /// What the image runs, relative to its root, when a role gives no `run`; else what the Dockerfile says.
        entrypoint: Option<At<Vec<String>>>,
    }

    /// An output of a flake in a temporary worktree of the version, built by Nix, with everything it needs to run. What
    /// is in the output's top directories is found at the image's root: `bin/node`.
    merged RawNix("a `nix` recipe") {
        /// The attribute: `packages.x86_64-linux.node`, or `node`; the flake's default package when not given.
        attr: Option<At<String>>,
        /// The directory of the checkout that has the flake; all of the checkout when not given.
        flake: Option<At<Below>>,
        /// How many layers the image has at most; 64 when not given.
        layers: Option<At<usize>>,
        /// How long it may take; 30m when not given.
        within: Option<At<Span>>,
        /// Whether submodules are checked out.
        submodules: Option<At<bool>>,
        /// Paths of the checkout that the build depends on; all when not given.
        paths: Option<Vec<At<Below>>>,
        /// What the image runs, relative to its root, when a role gives no `run`.
        entrypoint: Option<At<Vec<String>>>,
    }
}

/// How a role's image is built from a version.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(tag = "kind", rename_all = "kebab-case")]
pub(super) enum RawRecipe {
    /// A command in a temporary worktree.
    Command(Box<RawCommand>),
    /// Files that exist already.
    Prebuilt(Box<RawPrebuilt>),
    /// A Dockerfile in a temporary worktree.
    Dockerfile(Box<RawDockerfile>),
    /// An output of a flake in a temporary worktree.
    Nix(Box<RawNix>),
}

const KINDS: [&str; 4] = ["command", "prebuilt", "dockerfile", "nix"];

impl RawRecipe {
    /// Where it was written.
    pub(crate) fn at(&self) -> Place {
        match self {
            Self::Command(recipe) => recipe.at,
            Self::Prebuilt(recipe) => recipe.at,
            Self::Dockerfile(recipe) => recipe.at,
            Self::Nix(recipe) => recipe.at,
        }
    }

    /// Takes over an override's keys.
    pub(crate) fn patch(&mut self, patch: &RawRecipePatch, sink: &Sink) {
        match self {
            Self::Command(recipe) => patch_with(&mut **recipe, patch, sink),
            Self::Prebuilt(recipe) => patch_with(&mut **recipe, patch, sink),
            Self::Dockerfile(recipe) => patch_with(&mut **recipe, patch, sink),
            Self::Nix(recipe) => patch_with(&mut **recipe, patch, sink),
        }
    }
}

fn patch_with<T: Decode + Merge>(recipe: &mut T, patch: &RawRecipePatch, sink: &Sink) {
    if let Some(over) = T::decode(&patch.0, sink) {
        recipe.merge(&over);
    }
}

impl Decode for RawRecipe {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let all = entries(node, "a recipe", sink)?;
        let Some(kind) = all.iter().find(|entry| *entry.key == *"kind") else {
            let problem = Problem::new(node.at, "a recipe needs the key `kind`", "`kind` is missing");
            sink.push(problem.hint("valid: `command`, `prebuilt`, `dockerfile`, `nix`"));
            return None;
        };
        let rest = without_kind(node, all);
        match text(&kind.node, "a kind of recipe", sink)? {
            "command" => RawCommand::decode(&rest, sink).map(|recipe| Self::Command(Box::new(recipe))),
            "prebuilt" => RawPrebuilt::decode(&rest, sink).map(|recipe| Self::Prebuilt(Box::new(recipe))),
            "dockerfile" => RawDockerfile::decode(&rest, sink).map(|recipe| Self::Dockerfile(Box::new(recipe))),
            "nix" => RawNix::decode(&rest, sink).map(|recipe| Self::Nix(Box::new(recipe))),
            other => {
                sink.push(Problem::unknown(kind.node.at, "kind of recipe", other, KINDS));
                None
            }
        }
    }
}

/// Keys of a recipe whose kind the file decides.
#[derive(Debug, Clone)]
pub(super) struct RawRecipePatch(Node);

impl RawRecipePatch {
    /// The keys as written.
    pub(crate) fn node(&self) -> &Node {
        &self.0
    }
}

impl Decode for RawRecipePatch {
    fn decode(node: &Node, sink: &Sink) -> Option<Self> {
        let all = entries(node, "an override of a recipe", sink)?;
        if let Some(kind) = all.iter().find(|entry| *entry.key == *"kind") {
            let problem = Problem::new(kind.key_at, "the kind of a recipe cannot differ between versions", "not here");
            sink.push(problem.hint("override the role's `recipe` with another file instead"));
        }
        Some(Self(without_kind(node, all)))
    }
}

fn without_kind(node: &Node, entries: &[Entry]) -> Node {
    let rest = entries.iter().filter(|entry| *entry.key != *"kind").cloned().collect();
    Node { at: node.at, value: Value::Table(rest), written: None }
}

impl JsonSchema for RawRecipePatch {
    fn schema_name() -> Cow<'static, str> {
        "RecipeOverride".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut either: Vec<Schema> = vec![
            RawCommand::json_schema(generator),
            RawPrebuilt::json_schema(generator),
            RawDockerfile::json_schema(generator),
            RawNix::json_schema(generator),
        ];
        for schema in &mut either {
            schema.remove("required");
        }
        json_schema!({ "anyOf": either })
    }
}
