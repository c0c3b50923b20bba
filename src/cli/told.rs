//! What other tools and GitHub are told: a report or a comparison.

use skew_report::{Diff, Model};

/// What they are told.
#[derive(Clone, Copy)]
pub(super) enum Told<'a> {
    /// A sweep's report.
    Report(&'a Model),
    /// A comparison.
    Diff(&'a Diff),
}

impl Told<'_> {
    /// As JUnit XML.
    pub(super) fn junit(self) -> String {
        match self {
            Self::Report(model) => skew_report::junit(model),
            Self::Diff(diff) => skew_report::junit_diff(diff),
        }
    }

    /// As Markdown of at most so many bytes.
    pub(super) fn markdown(self, room: usize) -> String {
        match self {
            Self::Report(model) => skew_report::markdown(model, room),
            Self::Diff(diff) => skew_report::markdown_diff(diff, room),
        }
    }

    /// A line of CSV for each cell.
    pub(super) fn csv(self) -> String {
        match self {
            Self::Report(model) => skew_report::csv(model),
            Self::Diff(diff) => skew_report::csv_diff(diff),
        }
    }

    /// The system's name.
    pub(super) fn system(&self) -> &str {
        match self {
            Self::Report(model) => &model.system,
            Self::Diff(diff) => &diff.system,
        }
    }
}
