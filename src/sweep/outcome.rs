//! What a sweep came to, with everything that a report of it is made of.

use std::collections::BTreeMap;

use skew_core::model::{Attempt, BuildRecord, Cell, Matrix, Overlay, RoleName, SweepRecord, VersionId};
use skew_core::verdict::Decision;

use super::ending::{Ending, ending, shard_ending};
use super::shard::Shard;
use crate::record::Store;

/// What a sweep came to.
pub struct Outcome {
    /// Its record.
    pub record: SweepRecord,
    /// What it asked.
    pub matrix: Matrix,
    /// What is known.
    pub decision: Decision,
    /// How that stands to the known failures.
    pub overlays: BTreeMap<Cell, Overlay>,
    /// The believed evidence.
    pub attempts: Vec<Attempt>,
    /// The build of each role at each version.
    pub builds: BTreeMap<(RoleName, VersionId), BuildRecord>,
    /// Networks that were run and recorded.
    pub networks: usize,
    /// Images that were built.
    pub built: usize,
    /// Whether a signal ended it early.
    pub interrupted: bool,
    /// The part of the first plan that it was.
    pub shard: Option<Shard>,
    /// The store, for logs.
    pub store: Store,
}

impl Outcome {
    /// What it comes to as an exit code; with `gate` only the candidate's cells count.
    pub fn ending(&self, gate: Option<&VersionId>) -> Ending {
        if self.interrupted {
            return Ending::Interrupted;
        }
        if self.shard.is_some() {
            return shard_ending(&self.decision.verdicts);
        }
        ending(&self.matrix, &self.decision.verdicts, &self.overlays, &self.decision.asked, gate)
    }
}
