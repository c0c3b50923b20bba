//! Networks still to be run, each with the reason it is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttemptId, AxisPoint, Cell, Digest, NetworkId, NodeName, Party};

/// One node of a planned network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seat {
    /// The node's name.
    pub node: NodeName,
    /// Its role and version.
    pub party: Party,
    /// The content id of what is seated there.
    pub content: Digest,
    /// The digest of the role's definition at that version.
    pub definition: Digest,
    /// Whether the seat is filled only so that others can be tested.
    pub support: bool,
}

/// Why a network is in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Reason {
    /// It asks cells that are open.
    Cover,
    /// It refills every seat with only the suspects' versions.
    Isolate {
        /// The cell under suspicion.
        cell: Cell,
    },
    /// It seats one version with partners known to work, to learn whether that version is broken.
    Alone {
        /// The version in question.
        party: Party,
    },
    /// It repeats an attempt unchanged, because every pair in it passed by itself.
    Rerun {
        /// The attempt.
        of: AttemptId,
    },
    /// It takes third versions away from an attempt, to find the smallest set that fails.
    Reduce {
        /// The attempt.
        of: AttemptId,
    },
    /// A person asked for it.
    Asked,
}

/// A network to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkPlan {
    /// Its id.
    pub id: NetworkId,
    /// Its nodes, role by role in the order they start.
    pub seats: Vec<Seat>,
    /// Its values of the axes beyond versions.
    #[serde(default, skip_serializing_if = "AxisPoint::is_empty")]
    pub axes: AxisPoint,
    /// The cells it asks.
    pub asks: Vec<Cell>,
    /// Why it is there.
    pub reason: Reason,
    /// The seed for everything random in it.
    pub seed: u64,
}

impl NetworkPlan {
    /// The seat of a node.
    pub fn seat(&self, node: &NodeName) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.node == *node)
    }
}
