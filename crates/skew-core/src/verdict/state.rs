//! What can be known about a cell, and what would bring a failure further that nothing explains yet.

use std::collections::BTreeSet;

use super::hunt::Third;
use super::key::{CheckIx, Key, PartyIx, VersionIx};
use super::statistics::Noise;

/// What is known about a cell, in small numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Observed working.
    Pass,
    /// Fails.
    Fail,
    /// Both.
    Flaky(Option<PartyIx>),
    /// A set of three or more versions that fails together though its pairs pass.
    Interference,
    /// It fails, and so does this party with itself.
    Broken(PartyIx),
    /// The check does not exist at a version.
    Unsupported,
    /// The harness failed, in words.
    Error(String),
    /// The check failed wherever it ran, and passed nowhere: it is likeliest wrong itself.
    Suspicious,
    /// It is asked and nothing can be said yet.
    Open,
    /// The failures that name it are all explained by this cell, and it cannot be tried without that.
    Blocked(Key),
    /// Tried as often as the bounds allow.
    Exhausted,
    /// The topology has too few seats for it.
    NotSeated,
    /// Nobody asks.
    NotAsked,
}

impl State {
    /// Whether nothing more needs to be run for it.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Open)
    }

    /// Whether seating the cell's parties together disturbs a network.
    pub fn is_bad(&self) -> bool {
        match self {
            Self::Fail | Self::Flaky(_) | Self::Interference | Self::Broken(_) => true,
            Self::Pass | Self::Unsupported | Self::Error(_) | Self::Suspicious | Self::Open => false,
            Self::Blocked(_) | Self::Exhausted | Self::NotSeated | Self::NotAsked => false,
        }
    }
}

/// What would bring an unexplained failure further.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A network with one party and, in the other roles, its own version or a partner known to work.
    Alone {
        /// The check.
        check: CheckIx,
        /// The party.
        party: PartyIx,
        /// The partner's version; none means the party's own.
        partner: Option<VersionIx>,
    },
    /// The cell in isolation.
    Isolate(Key),
    /// The cell with partners known to work, away from the other suspects.
    Separate(Key, BTreeSet<Key>),
    /// The trial once more, unchanged.
    Rerun(usize),
    /// The trial with only these third versions.
    Thirds(usize, BTreeSet<Third>),
}

/// What explains a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Charge {
    /// These cells: what is known of them, or of a party in them, is established, or they stay under suspicion.
    Cells(BTreeSet<Key>),
    /// The check's own noise.
    Noise(Noise),
    /// The check itself, which passed nowhere.
    Check,
}

/// A failure that nothing explains yet.
#[derive(Debug, Clone)]
pub struct Incident {
    /// Index of the clause.
    pub clause: usize,
    /// The cell it counts against first.
    pub cell: Key,
    /// What would bring it further.
    pub need: Need,
}
