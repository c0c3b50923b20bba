//! What is recorded: sweeps, builds, and attempts (one network, run once).

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttemptId, CheckName, CommitId, Digest, NetworkPlan, NodeName, Observation, RoleName, SweepId, VersionId};

/// One network, run once: one transaction of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The sweep that ran it.
    pub sweep: SweepId,
    /// The network, with what was seated.
    pub network: NetworkPlan,
    /// What the evidence is bound to beside its parties (see `Matrix::frame`).
    pub frame: Digest,
    /// The definition of every check that was asked or observed.
    pub checks: BTreeMap<CheckName, Digest>,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How it ended.
    pub end: End,
    /// What was observed, in the order seen.
    pub observations: Vec<Observation>,
    /// Nodes that exited unasked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<Exit>,
    /// The lines of the logs that matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excerpts: Vec<Excerpt>,
    /// The whole logs, by content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogRef>,
    /// What happened, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Moment>,
    /// Where it ran: `process`, `docker`, `kubernetes`.
    pub backend: String,
    /// `linux/amd64`.
    pub platform: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum End {
    /// Its scenario ran to the end, whatever was observed.
    Completed,
    /// The harness or its infrastructure failed; nothing it observed is a failure of the system.
    Infrastructure {
        /// What failed.
        fault: Fault,
        /// In words.
        detail: String,
    },
}

/// What of the infrastructure failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The host ran out of memory.
    Memory,
    /// The host's disk is full.
    Disk,
    /// A port or address is taken by a stranger.
    Port,
    /// An image could not be had.
    Image,
    /// The sweep's deadline or budget passed.
    Deadline,
    /// A time limit passed while the machine was overloaded.
    Overload,
    /// There was no room for it: a quota is used up, or no machine can take a node.
    Room,
    /// The backend failed.
    Backend,
}

/// A node that exited unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// The node.
    pub node: NodeName,
    /// Its exit status, when it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether its own memory limit ended it.
    #[serde(default)]
    pub out_of_memory: bool,
    /// In milliseconds since the network began.
    pub at_ms: u64,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            _ if self.out_of_memory => write!(f, "{} ran out of its own memory limit", self.node),
            (Some(code), _) => write!(f, "{} exited with status {code}", self.node),
            (None, Some(signal)) => write!(f, "{} was ended by signal {signal}", self.node),
            (None, None) => write!(f, "{} exited", self.node),
        }
    }
}

/// A few lines of a node's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Excerpt {
    /// The node.
    pub node: NodeName,
    /// Why these lines.
    pub why: String,
    /// The lines; bounded in number and length.
    pub lines: Vec<String>,
}

/// A whole log, stored by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogRef {
    /// The node.
    pub node: NodeName,
    /// The digest of the stored bytes.
    pub digest: Digest,
    /// How many bytes there were before the bound.
    pub bytes: u64,
    /// Whether the middle was left out.
    pub truncated: bool,
}

/// Something that happened in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// In milliseconds since the network began.
    pub at_ms: u64,
    /// The node it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// What: `start`, `ready`, `init`, `exit`, `check`, …
    pub what: String,
}

/// One sweep in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepRecord {
    /// Its id.
    pub id: SweepId,
    /// The system's name.
    pub system: String,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended; none when it was interrupted or is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// The seed, to give back with `--seed`.
    pub seed: u64,
    /// The command line's arguments.
    pub command: Vec<String>,
    /// The versions it was about, with their commits.
    pub versions: Vec<(VersionId, CommitId)>,
    /// The digest of the spec's text.
    pub spec: Digest,
    /// What it asked, by content, as a `Question`; none when it was interrupted, a shard, or one network by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Digest>,
    /// Evidence from before this time, in milliseconds since 1970, was not believed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub believed_since_ms: u64,
    /// What ended it before every cell was settled; none when it was not cut short, or was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<CutShort>,
}

/// Which limit of time ended a sweep before every cell that it asked was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CutShort {
    /// The budget that the command line gave: what ran was finished.
    Budget,
    /// The spec's `[limits] sweep`: what ran was torn down.
    Limit,
}

fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

/// One image, built or not, in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BuildRecord {
    /// Everything that went into it: the same key, the same image.
    pub key: Digest,
    /// The role.
    pub role: RoleName,
    /// The version that it was built for first.
    pub version: VersionId,
    /// The commit.
    pub commit: CommitId,
    /// What came of it.
    pub result: BuildResult,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The build's log, by content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Digest>,
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum BuildResult {
    /// An image in the layout.
    Built {
        /// The manifest's digest.
        manifest: Digest,
        /// The content id: layers' diff ids and runtime config, no annotations.
        content: Digest,
    },
    /// The version's own build failed.
    Unbuilt {
        /// The reason in one line.
        detail: String,
        /// The end of the log; bounded.
        tail: Vec<String>,
    },
}
