//! Reports: what people read.
//!
//! One pure [`Model`] is made of a sweep's verdicts and attempts by [`model`]; everything else renders it: [`json`] (the
//! model itself, which is `results.json`), [`html`] (one offline file), [`terminal`], and for other tools [`junit`],
//! [`markdown`], [`csv`] and [`badge`]. [`diff`] compares it with what an earlier sweep came to. This room never sees the
//! store, a network, a file or a clock, and decides no verdict: it counts, words and bounds them.
//!
//! Everything that comes from the systems under test (logs, details, names of branches) is bounded, freed of control
//! characters and escaped.

mod advice;
mod assemble;
mod badge;
mod blocks;
mod change;
mod csv;
mod end;
mod evidence;
mod facts;
mod findings;
mod grid;
mod headline;
mod html;
mod input;
mod junit;
mod markdown;
mod model;
mod network;
mod range;
mod seed;
mod sentence;
mod since;
mod standing;
mod standings;
mod telling;
mod terminal;
mod text;
mod together;
mod windows;
mod words;
mod xml;

use model::FORMAT;

pub use assemble::model;
pub use badge::badge;
pub use change::{Change, ChangeFinding, ChangeTally, Since, SweepRef};
pub use csv::{csv, csv_diff};
pub use end::SweepEnd;
pub use html::html;
pub use input::Input;
pub use junit::{junit, junit_diff};
pub use markdown::{COMMENT, SUMMARY, markdown, markdown_diff};
pub use model::{
    Boundary, CellModel, CheckModel, Except, Finding, Grid, ImageModel, Known, Model, Pair, State, SweepModel, Tally,
    Together, UnbuiltModel, VersionModel, Was, Window, Windows,
};
pub use network::{ExcerptModel, ExitModel, MomentModel, NetworkModel, ObservationModel, SeatModel};
pub use since::{CellChange, Diff, diff};
pub use standing::Judged;
pub use standings::{At, Standings};
pub use terminal::{terminal, terminal_diff};
pub use text::indented;
pub use words::{Standing, UntestedReason, Word};

/// The model as JSON: the content of `results.json`, described by [`schema`].
///
/// # Panics
/// Never: the model holds nothing that JSON has no form for.
pub fn json(model: &Model) -> String {
    let mut text = serde_json::to_string_pretty(model).expect("a model is plain data with text keys");
    text.push('\n');
    text
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A newer skew wrote it.
    #[error("its format is {0}, and this skew reads {FORMAT}")]
    Newer(u32),
    /// It is something else.
    #[error("it is no report")]
    Foreign(#[source] serde_json::Error),
}

/// Reads what [`json`] wrote.
///
/// # Errors
/// When it is something else, or a newer skew wrote it.
pub fn read(json: &[u8]) -> Result<Model, ReadError> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(json).map_err(ReadError::Foreign)?;
    if head.format > FORMAT {
        return Err(ReadError::Newer(head.format));
    }
    serde_json::from_slice(json).map_err(ReadError::Foreign)
}

/// A comparison as JSON, described by [`diff_schema`].
///
/// # Panics
/// Never: a comparison holds nothing that JSON has no form for.
pub fn diff_json(diff: &Diff) -> String {
    let mut text = serde_json::to_string_pretty(diff).expect("a comparison is plain data");
    text.push('\n');
    text
}

/// The JSON Schema of a comparison.
pub fn diff_schema() -> schemars::Schema {
    schemars::schema_for!(Diff)
}

/// The JSON Schema of `results.json`.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Model)
}
