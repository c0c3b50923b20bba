//! Reports: what people read.
//!
//! One pure [`Model`] is made of a sweep's verdicts and attempts by [`model`]; everything else renders it: [`json`] (the
//! model itself, which is `results.json`), [`html`] (one offline file), [`terminal`], and for other tools [`junit`],
//! [`markdown`], [`csv`] and [`badge`]. [`diff`] compares it with what an earlier sweep came to. This room never sees the store, a
//! network or a clock, and decides no verdict: it counts, words and bounds them.
//!
//! Everything that comes from the systems under test (logs, details, names of branches) is bounded, freed of control
//! characters and escaped.

mod advice;
mod assemble;
mod badge;
mod csv;
mod evidence;
mod findings;
mod grid;
mod headline;
mod html;
mod junit;
mod markdown;
mod model;
mod network;
mod since;
mod standing;
mod terminal;
mod text;
mod together;
mod windows;
mod words;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::Path;

use crate::model::{Attempt, BuildRecord, Cell, Digest, Matrix, Overlay, RoleName, SweepRecord, Verdicts, VersionId};

use model::FORMAT;

pub use assemble::model;
pub use badge::badge;
pub use csv::{csv, csv_diff};
pub use html::html;
pub use junit::{junit, junit_diff};
pub use markdown::{COMMENT, SUMMARY, markdown, markdown_diff};
pub use model::{
    Boundary, CellModel, CheckModel, Except, Finding, Grid, ImageModel, Known, Model, Pair, State, SweepModel,
    SweepRef, Tally, Together, UnbuiltModel, VersionModel, Was, Window, Windows,
};
pub use network::{ExcerptModel, ExitModel, MomentModel, NetworkModel, ObservationModel, SeatModel};
pub use since::{At, CellChange, Change, ChangeFinding, ChangeTally, Diff, Since, Standings, diff};
pub use terminal::{terminal, terminal_diff};
pub use words::{Standing, Word};

/// What a sweep asked, and what is known.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    /// What was asked.
    pub matrix: &'a Matrix,
    /// What is known.
    pub verdicts: &'a Verdicts,
    /// The cells that the strategy asks; others with evidence are shown and count for nothing.
    pub asked: &'a BTreeSet<Cell>,
    /// How that stands to the known failures.
    pub overlays: &'a BTreeMap<Cell, Overlay>,
}

/// What a report is made of.
pub struct Input<'a> {
    /// The system's name.
    pub system: &'a str,
    /// The sweep.
    pub sweep: &'a SweepRecord,
    /// What it asked, and what is known.
    pub judged: Judged<'a>,
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

/// Writes `index.html` and `results.json` into a directory, each replaced as a whole.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write(dir: &Path, model: &Model) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, text) in [("results.json", json(model)), ("index.html", html(model))] {
        let mut file = tempfile::Builder::new().prefix(".report-").tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        readable(file.path())?;
        file.persist(dir.join(name)).map_err(|error| error.error)?;
    }
    Ok(())
}

/// Temporary files are private; a report is for everyone.
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}
