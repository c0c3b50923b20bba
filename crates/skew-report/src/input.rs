//! What a report is made of.

use std::collections::BTreeMap;

use skew_core::model::{Attempt, BuildRecord, Cell, Digest, RoleName, SweepRecord, VersionId};

use super::end::SweepEnd;
use super::standing::Judged;
use super::standings::Standings;

/// A sweep, and what is wanted of its report.
pub struct Input<'a> {
    /// The system's name.
    pub system: &'a str,
    /// The sweep.
    pub sweep: &'a SweepRecord,
    /// How it ended.
    pub end: SweepEnd,
    /// What it asked, and what is known.
    pub judged: Judged<'a>,
    /// Only this cell is reported, with all of its evidence; what is said of it is decided from all.
    pub focus: Option<&'a Cell>,
    /// Every attempt that a verdict may name; others are ignored.
    pub attempts: &'a [Attempt],
    /// The build of each role at each version.
    pub builds: &'a BTreeMap<(RoleName, VersionId), BuildRecord>,
    /// The spec's path, as its reader would type it.
    pub spec_path: &'a str,
    /// How a network is run again: `skew run NETWORK`, where `NETWORK` is replaced by a network's id.
    pub command: &'a str,
    /// How everything about a cell is shown: `skew show CELL`, where `CELL` is replaced by a cell's id.
    pub show: &'a str,
    /// Stored logs; none when a log is not to be had.
    pub logs: &'a dyn Fn(&Digest) -> Option<Vec<u8>>,
    /// What earlier sweeps came to, the oldest first; the last is what this one is compared with.
    pub past: &'a [Standings],
    /// When the report is made, in milliseconds since 1970.
    pub generated_ms: u64,
}
