//! The question a sweep asks: which roles at which versions, under which checks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AxisName, AxisPoint, Cell, CheckName, Digest, Party, RoleName, Version, VersionId};

/// Everything `plan` and `verdict` know about the system: pure data, made once at the start of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// Every version, by source and then from old to new.
    pub versions: Vec<Version>,
    /// The roles of the topology, those depended on first.
    pub roles: Vec<RoleAxis>,
    /// The checks, prerequisites (`after`) first.
    pub checks: Vec<CheckAxis>,
    /// The axes beyond versions; every combination of values is asked.
    pub axes: Vec<Axis>,
    /// Which cells are asked, and by what kind of networks.
    pub strategy: Strategy,
    /// The version that a release gate is about.
    pub candidate: Option<VersionId>,
    /// Of the cells that the strategy asks, only these; none means all.
    pub only: Option<BTreeSet<Cell>>,
    /// What evidence is bound to beside its parties: structural counts, backend and mode, platform, epoch.
    pub frame: Digest,
    /// How often things are tried.
    pub bounds: Bounds,
}

impl Matrix {
    /// The role of that name.
    pub fn role(&self, name: &RoleName) -> Option<&RoleAxis> {
        self.roles.iter().find(|role| role.name == *name)
    }

    /// The check of that name.
    pub fn check(&self, name: &CheckName) -> Option<&CheckAxis> {
        self.checks.iter().find(|check| check.name == *name)
    }

    /// The version of that id.
    pub fn version(&self, id: &VersionId) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == *id)
    }
}

/// A role of the topology and the versions it can be played at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAxis {
    /// The role.
    pub name: RoleName,
    /// Where its version comes from.
    pub kind: RoleKind,
    /// How many nodes play it.
    pub count: Count,
    /// The roles that must be ready before it starts.
    pub depends: Vec<RoleName>,
    /// The versions it can be played at (one for a pinned role), with what is seated there.
    pub members: BTreeMap<VersionId, Result<Member, Unbuilt>>,
}

/// A role at a version, ready to be seated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The content id of its image, of the parts mounted into it, and of its version where something that runs names it:
    /// the same program, the same id.
    pub content: Digest,
    /// The digest of the role's definition as it holds at that version.
    pub definition: Digest,
}

/// A role at a version that could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbuilt {
    /// True when the harness failed (a fetch, a full disk, a missing tool) and not the version's own build.
    pub infrastructure: bool,
    /// The reason in one line.
    pub detail: String,
}

/// Where a role's version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleKind {
    /// Its version is an axis of the matrix.
    Matrix,
    /// One version for good.
    Pinned(VersionId),
    /// The version of another role, one node beside each of its nodes.
    Follows(RoleName),
}

/// How many nodes play a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// Structural: the network needs exactly this many.
    Exactly(usize),
    /// Capacity: at most this many, as many versions at once.
    Seats(usize),
}

impl Count {
    /// The number itself.
    pub fn get(self) -> usize {
        match self {
            Self::Exactly(n) | Self::Seats(n) => n,
        }
    }
}

/// A check and what it asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAxis {
    /// Its name.
    pub name: CheckName,
    /// Whom it is about.
    pub scope: Scope,
    /// Whether an ok shows that exactly the named nodes understood each other.
    pub direct: bool,
    /// Checks that must have worked for the same parties, else this one is blocked.
    pub after: Vec<CheckName>,
    /// The role whose nodes report it, when that is a driver; its version is suspected too.
    pub reporter: Option<RoleName>,
    /// Whether an observation that is missing twice is a failure.
    pub complete: bool,
    /// The versions at which the check does not exist (`since`), whatever the role.
    pub unsupported: BTreeSet<VersionId>,
    /// The digest of its resolved definition, its driver's and its expectations' included.
    pub definition: Digest,
}

/// Whom a check is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Every ordered pair of nodes in these roles; `via` nodes take part and are named in observations.
    Pair {
        /// The role that acts.
        from: RoleName,
        /// The role acted upon.
        to: RoleName,
        /// Roles that take part.
        via: Vec<RoleName>,
        /// Whether one verdict holds for both directions.
        symmetric: bool,
    },
    /// Every node of these roles by itself.
    Node {
        /// The roles.
        roles: Vec<RoleName>,
    },
    /// The network as a whole.
    Network,
}

/// An axis beyond versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// Its name.
    pub name: AxisName,
    /// Its values, in the order of the spec.
    pub values: Vec<String>,
}

/// Which cells are asked, and by what kind of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Every pair of versions, two versions a network.
    Pairs,
    /// The candidate against every other version, two versions a network.
    Candidate,
    /// Versions at most `window` apart in the same source, two versions a network.
    Adjacent,
    /// Every pair of versions of different roles, one version a role.
    PerRole,
    /// Every pair of versions, as many versions a network as there are seats.
    Packed,
}

impl Strategy {
    /// Its name, as the command line and the spec have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Candidate => "candidate",
            Self::Adjacent => "adjacent",
            Self::PerRole => "per-role",
            Self::Packed => "packed",
        }
    }
}

/// How often things are tried before the sweep goes on without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Failures that convict (rule 6).
    pub convict: usize,
    /// Networks in which a cell both worked and failed, or was tried for it, before it is `flaky` (rule 6).
    pub repeats: usize,
    /// Networks that may ask one cell before it is given up.
    pub attempts: usize,
    /// Times that a failure of infrastructure is tried again.
    pub retries: usize,
    /// How many versions apart `adjacent` looks.
    pub window: usize,
    /// Networks that may be spent to tell one interference from flaking (rule 6).
    #[serde(default = "Bounds::contrast", skip_serializing_if = "is_usual_contrast")]
    pub contrast: usize,
    /// The chance that something innocent is named, in millionths, for each cell under test (rule 6).
    #[serde(default = "Bounds::error", skip_serializing_if = "is_usual_error")]
    pub error_ppm: u32,
}

// Questions from before these were options read, and are written, as they were.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_usual_contrast(contrast: &usize) -> bool {
    *contrast == Bounds::contrast()
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_usual_error(error: &u32) -> bool {
    *error == Bounds::error()
}

impl Bounds {
    fn contrast() -> usize {
        24
    }

    fn error() -> u32 {
        10_000
    }

    /// The chance that something innocent is named, for each cell under test: 0.01 is 1 %.
    pub fn error_rate(&self) -> f64 {
        f64::from(self.error_ppm) / 1e6
    }
}

impl Default for Bounds {
    fn default() -> Self {
        let (contrast, error_ppm) = (Self::contrast(), Self::error());
        Self { convict: 2, repeats: 4, attempts: 12, retries: 2, window: 1, contrast, error_ppm }
    }
}

/// An accepted failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its cells, as written in the spec.
    pub pattern: String,
    /// Why it is accepted.
    pub reason: String,
    /// Where it is discussed.
    pub link: Option<String>,
    /// The cells of the matrix it matches are those whose check is this …
    pub check: CheckName,
    /// … and whose parties are, in order, in these sets; one set for a party alone.
    pub parties: Vec<BTreeSet<Party>>,
    /// The arrow that was written between the parties.
    pub symmetric: bool,
    /// The values of axes that were written; every value of the other axes is meant.
    #[serde(default, skip_serializing_if = "AxisPoint::is_empty")]
    pub axes: AxisPoint,
}

/// What a sweep asked, kept beside its record: with it, what the sweep came to is judged again by today's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The matrix.
    pub matrix: Matrix,
    /// The failures that were known then.
    pub known: Vec<Known>,
}
