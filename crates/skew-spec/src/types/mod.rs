//! What a resolved spec is made of: every name checked, every default filled in, every reference known to exist.

mod check;
mod recipe;
mod role;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use skew_core::model::{AxisPoint, Bounds, CheckName, Known, RegistryUrl, RoleName, SourceName, Strategy};

pub use check::{Action, Check, CheckHow, Driver, Expect, ExpectKind, Step, StepNode};
pub use recipe::{CommandRecipe, DockerfileRecipe, ImageRecipe, NixRecipe, PrebuiltRecipe, Recipe, RecipeKind};
pub use role::{
    ConfigFile, EXTERNAL, InitStep, Part, PartVersion, Ready, ReadyKind, Resources, Role, RoleVersion, SETTLE, Stop,
};

/// Where images are pushed to and taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistrySpec {
    /// The registry and the prefix of its repositories.
    pub url: RegistryUrl,
    /// Whether it speaks plain HTTP; on this machine's loopback it does anyway.
    pub insecure: bool,
}

/// A git repository and the versions wanted from it.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// A URL, or a path (made absolute).
    pub repository: String,
    /// Which versions.
    pub versions: Versions,
}

/// Which versions of a source are wanted: the union of what is listed and what is matched.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Versions {
    /// Commit-ishes as written; a `file` was read into this already, `-` stands for standard input.
    pub revisions: Vec<String>,
    /// A tag pattern with one `{version}`, such as `v{version}`.
    pub tags: Option<String>,
    /// Only tags whose semver matches this range; of the `tags`.
    pub range: Option<String>,
    /// Keep only the newest so many of the `tags`, of each group when `per` is given.
    pub newest: Option<usize>,
    /// Group the `tags` by major or minor version.
    pub per: Option<Per>,
    /// Read more revisions from standard input.
    pub stdin: bool,
}

/// How tags are grouped for `newest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// One group a major version.
    Major,
    /// One group a minor version.
    Minor,
}

/// Which versions something holds for: `source:range`, a label, `since` / `until` a commit by ancestry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selector {
    /// As written.
    pub text: String,
    /// Only versions of this source.
    pub source: Option<SourceName>,
    /// What of them.
    pub what: SelectorKind,
}

/// What a selector selects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum SelectorKind {
    /// Every version.
    All,
    /// Those whose semver matches the range.
    Range(semver::VersionReq),
    /// The version with this label.
    Label(String),
    /// Those that contain this revision.
    Since(String),
    /// Those that do not contain this revision.
    Until(String),
}

/// A text with `{{ … }}` in it, known to parse. See `scenario::render` for what may stand there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Template(pub String);

/// What `[matrix]` says.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixSpec {
    /// The strategy.
    pub strategy: Strategy,
    /// The candidate as written: `label`, `source/label` or a revision.
    pub candidate: Option<String>,
}

/// An accepted failure, as written.
#[derive(Debug, Clone, Serialize)]
pub struct KnownPattern {
    /// The cell pattern: `check: role@selector -> role@selector`, then ` [axis=value, …]` where not every value is meant.
    pub cell: String,
    /// Its check.
    pub check: CheckName,
    /// Its parties: role and selector; a `Set` pattern names three or more.
    pub parties: Vec<(RoleName, Selector)>,
    /// The arrow.
    pub symmetric: bool,
    /// The values of axes; every value of the others is meant.
    pub axes: AxisPoint,
    /// Why it is accepted.
    pub reason: String,
    /// Where it is discussed.
    pub link: Option<String>,
}

/// Overrides by version: which, and what they touch. [`role_at`](super::Spec::role_at) and
/// [`check_at`](super::Spec::check_at) apply them.
#[derive(Debug, Clone)]
pub struct When {
    /// The versions.
    pub versions: Selector,
    /// The roles it changes.
    pub roles: BTreeSet<RoleName>,
    /// The checks it changes.
    pub checks: BTreeSet<CheckName>,
    /// The recipes it changes, by the path that roles use.
    pub recipes: BTreeSet<String>,
}

/// Limits of a sweep.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How often things are tried.
    pub bounds: Bounds,
    /// How long one network may take.
    pub network: Duration,
    /// How long the whole sweep may take.
    pub sweep: Option<Duration>,
    /// Networks at once; none means what cores and memory allow.
    pub jobs: Option<usize>,
    /// Builds at once.
    pub build_jobs: Option<usize>,
    /// Evidence older than this is gathered again.
    pub recheck: Option<Duration>,
    /// Bytes kept of each node's log.
    pub log_bytes: u64,
}

/// Known failures held against the versions of a sweep.
pub type KnownCells = Vec<Known>;
