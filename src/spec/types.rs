//! The resolved spec: every name checked, every default filled in, every reference known to exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;

use super::backend::BackendSpec;
use crate::model::{
    AxisName, Bounds, CheckName, Count, Digest, Known, PartName, PortName, RegistryUrl, RoleName, Scope, SourceName,
    Strategy,
};

/// A whole spec.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The spec's file.
    pub path: PathBuf,
    /// The directory that relative paths are relative to.
    pub dir: PathBuf,
    /// The digest of the spec's text.
    pub digest: Digest,
    /// The system's name.
    pub system: String,
    /// Where versions come from.
    pub sources: BTreeMap<SourceName, Source>,
    /// The roles, as they are where no `[[when]]` applies; in the order of the spec.
    pub roles: IndexMap<RoleName, Role>,
    /// How many nodes play each role; the roles of the topology, those depended on first.
    pub topology: IndexMap<RoleName, Count>,
    /// Axes beyond versions.
    pub axes: BTreeMap<AxisName, Vec<String>>,
    /// Which cells are asked.
    pub matrix: MatrixSpec,
    /// The checks, prerequisites first; the built-in ones are not among them.
    pub checks: Vec<Check>,
    /// The drivers.
    pub drivers: Vec<Driver>,
    /// The expectations.
    pub expects: Vec<Expect>,
    /// Accepted failures, their patterns not yet held against versions.
    pub known: Vec<KnownPattern>,
    /// Overrides by version, in the order of the spec.
    pub whens: Vec<When>,
    /// Where networks run.
    pub backend: BackendSpec,
    /// Limits of the sweep.
    pub limits: Limits,
    /// Where images are pushed to, and taken from instead of building them.
    pub registry: Option<RegistrySpec>,
    /// What roles and checks are resolved from again where an override applies.
    pub(super) overlays: Arc<super::at::Overlays>,
}

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

/// A role as it holds at a version.
#[derive(Debug, Clone, Serialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// How its image is built; none for a role whose files are all on the host.
    pub recipe: Option<Recipe>,
    /// The addresses or host names where its nodes are already: skew reaches them, and does nothing else to them.
    pub external: Vec<String>,
    /// Where its version comes from.
    pub version: RoleVersion,
    /// The sources its versions come from; empty means all.
    pub sources: Vec<SourceName>,
    /// The versions it exists for.
    pub versions: Option<Selector>,
    /// The program and its arguments (`run` and then `args`).
    pub run: Vec<Template>,
    /// The environment of its nodes.
    pub env: BTreeMap<String, Template>,
    /// Its ports.
    pub ports: BTreeMap<PortName, u16>,
    /// When a node is ready.
    pub ready: Option<Ready>,
    /// What runs in a node when its dependencies are ready and before it starts.
    pub init: Vec<InitStep>,
    /// Roles that must be ready before it starts.
    pub depends: Vec<RoleName>,
    /// Files rendered into the node's directory before it starts: path in the node → the template's text.
    pub config: BTreeMap<String, ConfigFile>,
    /// Artefacts mounted into its nodes.
    pub parts: BTreeMap<PartName, Part>,
    /// Limits of each node.
    pub resources: Resources,
    /// How it is asked to stop.
    pub stop: Stop,
}

/// The version of an external role of which nothing else is known.
pub const EXTERNAL: &str = "external";

/// Where a role's version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleVersion {
    /// An axis of the matrix.
    Matrix,
    /// This revision for good, of the role's source.
    Pinned(String),
    /// The version of the other role.
    Follows(RoleName),
}

/// A config file of a node.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigFile {
    /// The text, from the spec or from the file it names.
    pub template: Template,
    /// Whether it holds secrets (a Secret instead of a ConfigMap on Kubernetes).
    pub secret: bool,
    /// Permission bits.
    pub mode: u32,
}

/// An artefact with its own versions, mounted into a role's nodes.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its name.
    pub name: PartName,
    /// How it is built.
    pub recipe: Recipe,
    /// Its source; none means the role's.
    pub source: Option<SourceName>,
    /// Where its version comes from.
    pub version: PartVersion,
    /// The directory below the node's image root where its files appear.
    pub path: String,
}

/// Where a part's version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartVersion {
    /// The version of the node it is mounted into.
    Follows,
    /// This revision for good.
    Pinned(String),
    /// These revisions: an axis named after the part.
    Axis(Vec<String>),
}

/// Limits of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// In bytes.
    pub memory: Option<u64>,
    /// In thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Open files.
    pub files: Option<u64>,
}

/// How a node is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// The signal's number.
    pub signal: i32,
    /// How long it gets before it is killed.
    pub grace: Duration,
}

/// When a node is ready, and how long it may take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ready {
    /// What to wait for.
    pub kind: ReadyKind,
    /// How long.
    pub within: Duration,
}

/// What tells that a node is ready.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadyKind {
    /// A port that accepts connections.
    Tcp(PortName),
    /// A GET that answers with a status (2xx by default).
    Http {
        /// The port.
        port: PortName,
        /// The path.
        path: String,
        /// The status to wait for; none means 200 to 299.
        status: Option<u16>,
    },
    /// A regular expression that a line of its log must match.
    Log(String),
    /// A command in the node that must exit with 0.
    Command(Vec<Template>),
    /// It is still alive after it started.
    Started,
}

/// One thing that runs in a node before it starts.
#[derive(Debug, Clone, Serialize)]
pub struct InitStep {
    /// The program and its arguments.
    pub run: Vec<Template>,
    /// How long it may take.
    pub within: Duration,
    /// The check whose observation this is: from this node to every node of the check's `to`.
    pub check: Option<CheckName>,
}

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

/// What `[matrix]` says.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixSpec {
    /// The strategy.
    pub strategy: Strategy,
    /// The candidate as written: `label`, `source/label` or a revision.
    pub candidate: Option<String>,
}

/// A named thing that must work.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name.
    pub name: CheckName,
    /// Whom it is about.
    #[serde(skip)]
    pub scope: Scope,
    /// Whether an ok shows that exactly the named nodes understood each other.
    pub direct: bool,
    /// Its prerequisites.
    pub after: Vec<CheckName>,
    /// The versions it exists at.
    pub since: Option<Selector>,
    /// How it is done.
    pub how: CheckHow,
    /// How long all of its steps may take between one pair of nodes.
    pub within: Duration,
}

/// How a check is done.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckHow {
    /// Steps, one after the other.
    Steps(Vec<Step>),
    /// A driver reports it.
    Driver(RoleName),
    /// An `init` step of the role `from` is it.
    Init,
}

/// One step of a check.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Which node.
    pub node: StepNode,
    /// What is done.
    pub action: Action,
    /// How long it may take; it is repeated until then when it expects something.
    pub within: Option<Duration>,
    /// The name under which its output is kept for later steps.
    pub capture: Option<String>,
}

/// The node that a step is done in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepNode {
    /// The check's `from`, or the only node.
    From,
    /// The check's `to`.
    To,
    /// A node of one of the check's `via`.
    Via(RoleName),
    /// The first node of this role.
    Role(RoleName),
}

/// What a step does.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A command in the node: 0 ok, 77 unsupported, 126 and 127 error, else failed.
    Run {
        /// The program and its arguments.
        run: Vec<Template>,
        /// What its standard output must be, both trimmed.
        stdout: Option<Template>,
        /// A regular expression that its standard output must match.
        stdout_matches: Option<Template>,
    },
    /// A request to one of the node's ports.
    Http {
        /// `GET`, `POST`, …
        method: String,
        /// The port.
        port: PortName,
        /// Path and query.
        path: Template,
        /// The body.
        body: Option<Template>,
        /// The status to expect; none means 200 to 299.
        status: Option<u16>,
        /// JSON pointers of the answer and what must stand there.
        json: BTreeMap<String, Template>,
    },
    /// A line that the node's log must hold.
    Log {
        /// A regular expression.
        matches: Template,
    },
}

/// A role whose nodes drive the network and report observations.
#[derive(Debug, Clone, Serialize)]
pub struct Driver {
    /// The role.
    pub role: RoleName,
    /// Whether an observation that is missing twice is a failure.
    pub complete: bool,
    /// How long it may take; it ends by exiting with 0.
    pub within: Duration,
}

/// Something that must hold for every node of some roles.
#[derive(Debug, Clone, Serialize)]
pub struct Expect {
    /// The check that it is reported under: of its own for logs, `exit` for exits, the check itself for error rates.
    pub name: CheckName,
    /// The role; none means all.
    pub role: Option<RoleName>,
    /// What.
    pub kind: ExpectKind,
}

/// What must hold.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectKind {
    /// No line of the log matches.
    LogNever(String),
    /// A line of the log matches in time.
    LogWithin {
        /// A regular expression.
        matches: String,
        /// How long after its start.
        within: Duration,
    },
    /// The node may exit by itself with one of these statuses.
    Exit(Vec<i32>),
    /// At most this share of a check's observations may fail, between the same nodes.
    ErrorRate {
        /// The check.
        check: CheckName,
        /// From 0 to 1.
        at_most: f64,
    },
}

impl ExpectKind {
    /// Whether it is a check of its own, with cells of its own; the others change what an existing check's
    /// observations mean.
    pub fn is_a_check(&self) -> bool {
        match self {
            Self::LogNever(_) | Self::LogWithin { .. } => true,
            Self::Exit(_) | Self::ErrorRate { .. } => false,
        }
    }
}

/// An accepted failure, as written.
#[derive(Debug, Clone, Serialize)]
pub struct KnownPattern {
    /// The cell pattern: `check: role@selector -> role@selector`.
    pub cell: String,
    /// Its check.
    pub check: CheckName,
    /// Its parties: role and selector; a `Set` pattern names three or more.
    pub parties: Vec<(RoleName, Selector)>,
    /// The arrow.
    pub symmetric: bool,
    /// Why it is accepted.
    pub reason: String,
    /// Where it is discussed.
    pub link: Option<String>,
}

/// Overrides by version: which, and what they touch. [`Spec::role_at`] and [`Spec::check_at`] apply them.
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
