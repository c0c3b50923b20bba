//! Recipes: how images are made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// How a role's image is built.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    /// The recipe's file, for messages; the spec's own for a recipe written in it.
    pub path: PathBuf,
    /// How.
    pub kind: RecipeKind,
    /// Paths of the checkout that the build depends on; empty means all of it.
    pub paths: Vec<String>,
    /// What the image runs, relative to its root, when a role gives no `run`; the image's runtime config.
    pub entrypoint: Vec<String>,
}

/// The ways to build an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecipeKind {
    /// A command in a temporary worktree.
    Command(CommandRecipe),
    /// Files that exist already.
    Prebuilt(PrebuiltRecipe),
    /// An image that exists already.
    Image(ImageRecipe),
    /// A Dockerfile in a temporary worktree.
    Dockerfile(DockerfileRecipe),
    /// An output of a flake in a temporary worktree.
    Nix(NixRecipe),
}

/// A command in a temporary worktree. It finds `$OUT` (put the files of the image there), `$SOURCE` (the checkout, its
/// working directory), `$SOURCE_DATE_EPOCH`, `$SKEW_VERSION`, `$SKEW_COMMIT`, `$SKEW_RECIPE` (the recipe's directory),
/// `$HOME` (empty, temporary) and its caches.
#[derive(Debug, Clone, Serialize)]
pub struct CommandRecipe {
    /// The program and its arguments; `sh -c` is written out when wanted.
    pub run: Vec<String>,
    /// The environment it gets beside what is always there.
    pub env: BTreeMap<String, String>,
    /// Variables passed through from skew's environment.
    pub pass_env: Vec<String>,
    /// Tools that must be on PATH; only their directories are on the build's PATH beside the system's.
    pub tools: Vec<String>,
    /// Commands whose output is part of the build key: `[["cc", "--version"]]`.
    pub inputs: Vec<Vec<String>>,
    /// Directories kept between versions: variable's name → cache's name.
    pub caches: BTreeMap<String, String>,
    /// Patches applied to the checkout first, in order (made absolute).
    pub patches: Vec<PathBuf>,
    /// Files of the checkout that go into the image: glob → path in the image. Beside what the command put into `$OUT`.
    pub files: BTreeMap<String, String>,
    /// How long it may take.
    pub within: Duration,
    /// Whether submodules are checked out.
    pub submodules: bool,
}

/// Files that exist already: a directory, or a tarball with its checksum. `{version}`, `{label}` and `{commit}` are
/// replaced.
#[derive(Debug, Clone, Serialize)]
pub struct PrebuiltRecipe {
    /// A path (relative to the recipe's file, already joined) of a directory or a `.tar`, `.tar.gz` or `.tgz` file.
    pub path: String,
    /// The checksum a tarball must have, by version's label; required for tarballs.
    pub sha256: BTreeMap<String, String>,
    /// Leading directories to drop from the paths in a tarball.
    pub strip: usize,
}

/// An image that is in a registry already. `{version}`, `{label}` and `{commit}` are replaced.
#[derive(Debug, Clone, Serialize)]
pub struct ImageRecipe {
    /// The reference, `HOST/REPOSITORY:TAG` or with `@sha256:…`.
    pub image: String,
    /// Whether the registry speaks plain HTTP; on this machine's loopback it does anyway.
    pub insecure: bool,
}

/// A Dockerfile in a temporary worktree, built by Docker.
#[derive(Debug, Clone, Serialize)]
pub struct DockerfileRecipe {
    /// The Dockerfile, below the context.
    pub dockerfile: String,
    /// The context, below the checkout; empty for all of it.
    pub context: String,
    /// The stage that is the image; none means the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// How long it may take.
    pub within: Duration,
    /// Whether submodules are checked out.
    pub submodules: bool,
}

/// An output of a flake in a temporary worktree, built by Nix.
#[derive(Debug, Clone, Serialize)]
pub struct NixRecipe {
    /// The attribute; empty for the default package.
    pub attr: String,
    /// The flake's directory, below the checkout; empty for all of it.
    pub flake: String,
    /// How many layers the image has at most.
    pub layers: usize,
    /// How long it may take.
    pub within: Duration,
    /// Whether submodules are checked out.
    pub submodules: bool,
}
