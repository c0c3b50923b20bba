//! How a sweep ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skew_core::model::{CutShort, SweepRecord};

/// How a sweep ended: the reason for what is left without an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SweepEnd {
    /// It ran until nothing was left to run.
    #[default]
    Completed,
    /// A signal ended it.
    Interrupted,
    /// Its end is not recorded: it was interrupted, or still runs.
    Unfinished,
    /// The budget that the command line gave was spent.
    Budget,
    /// The spec's `[limits] sweep` passed.
    Limit,
}

impl SweepEnd {
    /// How a recorded sweep ended.
    pub fn of(sweep: &SweepRecord) -> Self {
        match (sweep.ended_ms, sweep.cut_short) {
            (None, _) => Self::Unfinished,
            (Some(_), None) => Self::Completed,
            (Some(_), Some(CutShort::Budget)) => Self::Budget,
            (Some(_), Some(CutShort::Limit)) => Self::Limit,
        }
    }

    pub(super) fn is_completed(&self) -> bool {
        *self == Self::Completed
    }
}
