//! A network as a report shows it: who was seated, what happened, what was observed and logged.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skew_core::model::{AxisName, CheckName, NetworkId, NodeName, Outcome, SweepId};
use skew_core::text::duration_ms;

/// A network that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkModel {
    /// The planned network's id.
    pub network: NetworkId,
    /// The sweep that ran it.
    pub sweep: SweepId,
    /// Why it ran, in words.
    pub reason: String,
    /// The seed for everything random in it; text, since it may be larger than what a number of JavaScript holds.
    #[serde(with = "super::seed")]
    #[schemars(with = "String")]
    pub seed: u64,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Where it ran: backend and platform.
    pub place: String,
    /// What of the infrastructure failed; none when it ran to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its values of the axes beyond versions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub axes: BTreeMap<AxisName, String>,
    /// Its nodes.
    pub seats: Vec<SeatModel>,
    /// What was observed; bounded, failures first.
    pub observations: Vec<ObservationModel>,
    /// How many observations were left out.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub observations_left_out: usize,
    /// Nodes that exited unasked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub exits: Vec<ExitModel>,
    /// What happened in it, in order; bounded.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub timeline: Vec<MomentModel>,
    /// The lines of the logs that matter; bounded.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub excerpts: Vec<ExcerptModel>,
    /// The command that runs it again.
    pub reproduce: String,
}

/// A node of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeatModel {
    /// Its name.
    pub node: NodeName,
    /// Its role and version: `notary@v1`.
    pub party: String,
    /// Whether it is there only so that others can be tested.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub support: bool,
}

/// One result, or several equal ones, of one check between named nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationModel {
    /// The check.
    pub check: CheckName,
    /// The node that acted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<NodeName>,
    /// The node acted upon.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<NodeName>,
    /// Nodes that took part.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub via: Vec<NodeName>,
    /// What it came to.
    pub result: Outcome,
    /// What was seen; bounded.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// How many equal results.
    pub count: u32,
    /// When it was seen, in milliseconds since its network began.
    pub at_ms: u64,
}

/// A node that exited unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExitModel {
    /// The node.
    pub node: NodeName,
    /// How, in words.
    pub text: String,
    /// When, in milliseconds since its network began.
    pub at_ms: u64,
}

impl fmt::Display for ExitModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}", self.text, duration_ms(self.at_ms))
    }
}

/// Something that happened in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MomentModel {
    /// When, in milliseconds since the network began.
    pub at_ms: u64,
    /// The node it happened to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<NodeName>,
    /// What: `start`, `ready`, `check`.
    pub what: String,
}

/// A few lines of a node's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExcerptModel {
    /// The node.
    pub node: NodeName,
    /// Why these lines.
    pub why: String,
    /// The lines.
    pub lines: Vec<String>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}
