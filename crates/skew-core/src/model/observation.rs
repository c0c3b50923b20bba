//! Observations: one result of one check between named nodes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CheckName, NodeName};

/// What a check came to between its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It worked.
    Ok,
    /// The system failed it.
    Failed,
    /// The check does not exist at one of the versions.
    Unsupported,
    /// The harness failed; this says nothing about the system.
    Error,
    /// It could not run because something before it failed; `detail` names what.
    Blocked,
    /// Nothing was heard of it although its reporter lived.
    Missing,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
            Self::Blocked => "blocked",
            Self::Missing => "missing",
        })
    }
}

/// One result, or `count` equal results, of one check between named nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// The check.
    pub check: CheckName,
    /// The node that acted, or the only node a check on a node is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NodeName>,
    /// The node acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeName>,
    /// Nodes that took part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<NodeName>,
    /// The node that reported it; none when skew itself saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<NodeName>,
    /// What it came to.
    pub result: Outcome,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// What was seen, in words; bounded to 2 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// When it was seen, in milliseconds since its network began.
    #[serde(default)]
    pub at_ms: u64,
    /// How many equal results this stands for.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_one(count: &u32) -> bool {
    *count == 1
}
