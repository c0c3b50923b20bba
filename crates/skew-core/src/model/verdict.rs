//! What is known about a cell.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttemptId, Cell, Party};

/// How often a cell was seen to work and to fail, in networks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Networks in which it worked and did not fail.
    pub passed: u32,
    /// Networks in which it failed and did not work, no one else being to blame.
    pub failed: u32,
    /// Networks in which it did both.
    pub mixed: u32,
    /// Of `passed`, those in isolation.
    pub passed_isolated: u32,
    /// Of `failed`, those in isolation.
    pub failed_isolated: u32,
    /// Single ok observations.
    pub oks: u32,
    /// Single failed observations.
    pub failures: u32,
}

/// Why nothing is known about a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Untested {
    /// Another cell fails, and this one cannot be tried without it.
    Blocked {
        /// That cell.
        by: Cell,
    },
    /// An image it needs could not be built.
    Unbuilt {
        /// The `builds` cell.
        by: Cell,
    },
    /// The topology cannot seat it.
    NotSeated,
    /// The strategy does not ask it.
    NotAsked,
    /// It is asked and has not run yet, or the budget was spent before it.
    Pending,
    /// It was tried as often as the bounds allow and nothing could be told.
    Exhausted,
    /// It failed, and what is to blame is not established.
    Suspected {
        /// Networks in which it failed and nothing established explains the failure.
        networks: u32,
    },
}

/// Whose failure an error is: never the system's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorSource {
    /// The harness or its infrastructure.
    #[default]
    Infrastructure,
    /// The check itself, most likely: it failed wherever it ran and has passed nowhere.
    Check,
}

impl ErrorSource {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    fn is_infrastructure(&self) -> bool {
        *self == Self::Infrastructure
    }
}

/// What is known about a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum VerdictKind {
    /// Observed working.
    Pass,
    /// Failed at least twice, at least once in isolation, and never passed there.
    Fail,
    /// Both, after the repeat policy.
    Flaky {
        /// The version to blame, when its diagonal flakes as much.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        charged: Option<Party>,
    },
    /// Fails together though its pairs pass; the cell's subject is the smallest such set.
    Interference,
    /// This party fails the check with itself.
    Broken {
        /// The broken party.
        party: Party,
    },
    /// The image could not be built.
    Unbuilt {
        /// The reason in one line.
        detail: String,
    },
    /// The check does not exist at a version.
    Unsupported,
    /// Something other than the system failed.
    Error {
        /// What failed, in words.
        detail: String,
        /// Whose failure it is.
        #[serde(default, skip_serializing_if = "ErrorSource::is_infrastructure")]
        source: ErrorSource,
    },
    /// No evidence.
    Untested(Untested),
}

impl VerdictKind {
    /// Whether it says that something does not work.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Fail | Self::Flaky { .. } | Self::Interference | Self::Broken { .. } => true,
            Self::Pass | Self::Unbuilt { .. } | Self::Unsupported | Self::Error { .. } | Self::Untested(_) => false,
        }
    }

    /// Whether it shows that the check exists: it was seen to work or to fail.
    pub fn was_seen(&self) -> bool {
        *self == Self::Pass || self.is_failure()
    }

    /// The one word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Flaky { .. } => "flaky",
            Self::Interference => "interference",
            Self::Broken { .. } => "broken",
            Self::Unbuilt { .. } => "unbuilt",
            Self::Unsupported => "unsupported",
            Self::Error { .. } => "error",
            Self::Untested(_) => "untested",
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How a verdict stands to the `[[known]]` failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "overlay")]
pub enum Overlay {
    /// A known failure that fails.
    Expected {
        /// Its reason.
        reason: String,
        /// Where it is discussed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<String>,
    },
    /// A known failure that no longer fails.
    UnexpectedPass {
        /// The reason that no longer holds.
        reason: String,
    },
}

/// A verdict with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// What is known.
    #[serde(flatten)]
    pub kind: VerdictKind,
    /// How often each way.
    pub counts: Counts,
    /// The attempts that are its evidence, those that decide first.
    pub evidence: Vec<AttemptId>,
    /// Failures that were seen and are not charged to this cell, by what explains them; `counts.failed` leaves them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<Explained>,
}

impl Verdict {
    /// A verdict without evidence.
    pub fn bare(kind: VerdictKind) -> Self {
        Self { kind, counts: Counts::default(), evidence: Vec::new(), explained: Vec::new() }
    }
}

/// Failures of a cell that have one established explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// Networks in which the cell failed for this reason.
    pub networks: u32,
    /// The reason.
    pub by: Explanation,
}

/// What explains a failure that is not charged to the cell that it was seen in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Explanation {
    /// Another cell, whose verdict is established and whose parties were there.
    Cell {
        /// That cell.
        cell: Cell,
    },
    /// The check's own noise, measured on everything that works.
    Noise {
        /// Networks in which something that works failed once.
        failed: u32,
        /// Networks that it is measured on.
        networks: u32,
    },
}

/// Every cell's verdict, in the cells' order.
pub type Verdicts = BTreeMap<Cell, Verdict>;
