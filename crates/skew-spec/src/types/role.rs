//! Roles: what each runs, and what it needs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use skew_core::model::{CheckName, PartName, PortName, RoleName, SourceName};

use super::{Recipe, Selector, Template};

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
    /// With `started`: how long it must stay alive; none means the default, [`SETTLE`] or `within` if that is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<Duration>,
}

/// How long a node that nothing tells to be ready must stay alive before it counts as ready.
pub const SETTLE: Duration = Duration::from_secs(2);

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
    /// It is still alive a while after it started.
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
