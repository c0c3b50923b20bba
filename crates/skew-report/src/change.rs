//! What changed between two sweeps, as data: a part of the model, and of a comparison.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skew_core::model::{CellId, CheckName, SweepId};

use super::words::{Standing, Word};

/// A sweep that is mentioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweepRef {
    /// Its id.
    pub id: SweepId,
    /// When it began, RFC 3339.
    pub started: String,
}

impl SweepRef {
    /// In words: `the sweep of 2026-11-21 03:15 (20261121T031500Z-4f2a)`.
    pub fn words(&self) -> String {
        let minute: String = self.started.chars().take(16).collect();
        format!("the sweep of {} ({})", minute.replace('T', " "), self.id)
    }
}

/// How a cell changed from one sweep to another, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It worked, and fails now, and nobody said that it would.
    Regressed,
    /// It was not asked before.
    New,
    /// It failed, and works now.
    Fixed,
    /// Another change: of the kind of failure, of what is known, to or from what could not be settled.
    Changed,
    /// It is not asked any more.
    Gone,
}

impl Change {
    /// Every one, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Regressed, Self::New, Self::Fixed, Self::Changed, Self::Gone];

    /// The word itself.
    pub fn text(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::New => "new",
            Self::Fixed => "fixed",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

/// How many cells changed how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeTally {
    /// Worked, and fail now.
    pub regressed: u32,
    /// Failed, and work now.
    pub fixed: u32,
    /// Were not asked before.
    pub new: u32,
    /// Of the new ones, those that are not as expected.
    pub new_wrong: u32,
    /// Are not asked any more.
    pub gone: u32,
    /// Changed in another way.
    pub changed: u32,
    /// Of those, the ones that fail now and did not before.
    pub changed_wrong: u32,
    /// Are as they were.
    pub same: u32,
}

/// What changed since an earlier sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Since {
    /// The earlier sweep.
    pub before: SweepRef,
    /// Whether something fails that did not fail before, and that nobody said would.
    pub worse: bool,
    /// What changed, in one sentence.
    pub headline: String,
    /// How many cells changed how.
    pub tally: ChangeTally,
    /// What changed, summed up: neighbours that share a change are one line. The most urgent first.
    pub findings: Vec<ChangeFinding>,
}

/// Cells that share a check, a change and a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeFinding {
    /// How they changed.
    pub change: Change,
    /// Their verdict before; none when they are new.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub was: Option<Word>,
    /// Their verdict now; none when they are gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict: Option<Word>,
    /// How that stands to what was expected; none when they are gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub standing: Option<Standing>,
    /// The check.
    pub check: CheckName,
    /// In words: which versions.
    pub text: String,
    /// How many cells.
    pub cells: u32,
    /// A cell to look at, and at most nine more.
    pub ids: Vec<CellId>,
}

impl ChangeFinding {
    /// From what to what: `pass → fail`.
    pub fn step(&self) -> String {
        match (self.was, self.verdict) {
            (Some(was), Some(now)) if was != now => format!("{was} → {now}"),
            (Some(_), Some(now)) => format!("{now}, {}", self.standing.map_or("", Standing::text)),
            (None, Some(now)) => now.to_string(),
            (Some(was), None) => format!("was {was}"),
            (None, None) => String::new(),
        }
    }
}
