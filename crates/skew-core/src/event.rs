//! What happened, in order. A leaf: everyone may import it, it imports only the nouns.

use crate::model::{Cell, NetworkPlan, NodeName, RoleName, SweepId, Verdict, VersionId};

/// One thing that happened in a sweep.
#[derive(Debug, Clone)]
pub enum Event {
    /// A sweep began.
    SweepStarted {
        /// Its id.
        id: SweepId,
        /// The seed, to give back with `--seed`.
        seed: u64,
        /// How many cells are asked.
        cells: usize,
        /// How many of them are not settled by what is recorded.
        open: usize,
    },
    /// Work that is not a network: resolving, fetching.
    Note(String),
    /// A line of a program elsewhere that does a part of it.
    Said {
        /// Which part, such as `shard 1/3`.
        who: String,
        /// The line.
        line: String,
    },
    /// A build began.
    BuildStarted {
        /// The role.
        role: RoleName,
        /// The version.
        version: VersionId,
    },
    /// A build ended.
    BuildEnded {
        /// The role.
        role: RoleName,
        /// The version.
        version: VersionId,
        /// How.
        how: BuildEnd,
        /// In milliseconds.
        ms: u64,
    },
    /// An image was pushed, or was found to be in the registry.
    PushEnded {
        /// The image, as `ROLE@VERSION`.
        image: String,
        /// How.
        how: PushEnd,
        /// In milliseconds.
        ms: u64,
    },
    /// A network began.
    NetworkStarted {
        /// The network.
        plan: NetworkPlan,
        /// Its ordinal in the sweep, from 1.
        ordinal: usize,
    },
    /// A node became ready.
    NodeReady {
        /// The network's ordinal.
        ordinal: usize,
        /// The node.
        node: NodeName,
    },
    /// A network ended and is recorded.
    NetworkEnded {
        /// Its ordinal.
        ordinal: usize,
        /// Failed observations.
        failures: usize,
        /// All observations.
        observations: usize,
        /// What of the infrastructure failed, in words.
        error: Option<String>,
        /// In milliseconds.
        ms: u64,
    },
    /// A network found no room: it is put back, nothing of it is recorded, and it begins again later.
    NetworkPutBack {
        /// Its ordinal.
        ordinal: usize,
        /// Why there was none, in words.
        why: String,
    },
    /// A cell got a verdict that it did not have.
    Decided {
        /// The cell.
        cell: Cell,
        /// The verdict.
        verdict: Verdict,
        /// Cells still open.
        open: usize,
    },
    /// The first Ctrl-C, or a budget that is spent: what runs is finished, nothing begins.
    Stopping(String),
    /// The sweep ended.
    SweepEnded {
        /// Networks run.
        networks: usize,
        /// Images built.
        built: usize,
        /// In milliseconds.
        ms: u64,
    },
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEnd {
    /// It was built.
    Built,
    /// The layout has it already.
    Reused,
    /// The registry had it.
    Pulled,
    /// The version's own build failed.
    Unbuilt(String),
    /// The harness failed.
    Error(String),
}

/// How a push ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushEnd {
    /// It is there now.
    Pushed {
        /// Bytes that were sent.
        bytes: u64,
    },
    /// It was there.
    Unchanged,
    /// The registry did not take it.
    Error(String),
}
