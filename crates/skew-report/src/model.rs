//! The model: everything a report says, before anyone decides how it looks. Serialised, it is `results.json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skew_core::model::{
    AttemptId, AxisName, CellId, CheckName, CommitId, Counts, Digest, RoleName, SourceName, Strategy, SweepId,
    VersionId,
};

use super::change::{Change, Since, SweepRef};
use super::end::SweepEnd;
use super::network::NetworkModel;
use super::words::{Standing, UntestedReason, Word};

/// The format that [`Model`] describes; a reader refuses a greater one.
pub(super) const FORMAT: u32 = 2;

/// Everything that a report says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// The number of this format: 2. It grows when a reader of the old one would be misled.
    pub format: u32,
    /// The version of skew that made it.
    pub skew: String,
    /// The system's name.
    pub system: String,
    /// The spec's path.
    pub spec: String,
    /// How everything about a cell is shown, where `CELL` stands for its id.
    pub show: String,
    /// When it was made, RFC 3339.
    pub generated: String,
    /// The sweep it reports.
    pub sweep: SweepModel,
    /// What came of it, in one word.
    pub state: State,
    /// What came of it, in one sentence.
    pub headline: String,
    /// How many cells have which verdict; only cells that were asked are counted.
    pub tally: Tally,
    /// The sweeps that this report looks back on, the oldest first, and at last the one it reports.
    #[serde(default)]
    pub sweeps: Vec<SweepRef>,
    /// What changed since the sweep before; none when there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Since>,
    /// What is not as expected, summed up: neighbours that share a fate are one finding. The worst first.
    pub findings: Vec<Finding>,
    /// Known failures that fail, summed up in the same way.
    pub accepted: Vec<Finding>,
    /// For each two roles, which of their versions work together, in ranges.
    #[serde(default)]
    pub windows: Vec<Windows>,
    /// Which versions work together: the worst of all checks, each way. None with fewer than two versions.
    pub together: Option<Together>,
    /// The checks, prerequisites first.
    pub checks: Vec<CheckModel>,
    /// The versions, by source and then from old to new.
    pub versions: Vec<VersionModel>,
    /// The images that were built.
    #[serde(default)]
    pub images: Vec<ImageModel>,
    /// The images that could not be built.
    pub unbuilt: Vec<UnbuiltModel>,
    /// The networks that are evidence, by attempt; bounded, those of failures first.
    pub networks: BTreeMap<AttemptId, NetworkModel>,
    /// How many networks are evidence and were left out to keep the report small; `show` has them.
    pub networks_left_out: usize,
}

/// What came of a sweep, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every verdict is as expected.
    Good,
    /// Some verdict is not.
    Wrong,
    /// Nothing is known to be wrong, and some cells could not be settled.
    Unknown,
}

/// The sweep that is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepModel {
    /// Its id.
    pub id: SweepId,
    /// When it began, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339; none when it was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The seed, to give back with `--seed`; text, since it may be larger than what a number of JavaScript holds.
    #[serde(with = "super::seed")]
    #[schemars(with = "String")]
    pub seed: u64,
    /// The command line's arguments.
    pub command: Vec<String>,
    /// The digest of the spec's text.
    pub spec: Digest,
    /// Which cells it asked.
    pub strategy: Strategy,
    /// The version that a release gate is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<VersionId>,
    /// How it ended: why something may be left without an answer.
    #[serde(skip_serializing_if = "SweepEnd::is_completed", default)]
    pub end: SweepEnd,
    /// Whether it asked less than its strategy asks (`--only`).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub narrowed: bool,
}

/// How many cells have which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "each field is the word of a verdict")]
pub struct Tally {
    pub fail: u32,
    pub broken: u32,
    pub interference: u32,
    pub flaky: u32,
    pub unbuilt: u32,
    pub error: u32,
    pub untested: u32,
    pub unsupported: u32,
    pub pass: u32,
    /// Of all, those that a known failure expects.
    pub known: u32,
    /// Of all, those that are not as expected.
    pub wrong: u32,
    /// Of all, known failures that no longer fail.
    pub unexpected_pass: u32,
    /// Of all, those that were asked and could not be settled.
    pub unknown: u32,
}

impl Tally {
    pub(super) fn add(&mut self, word: Word, standing: Standing) {
        *match word {
            Word::Fail => &mut self.fail,
            Word::Broken => &mut self.broken,
            Word::Interference => &mut self.interference,
            Word::Flaky => &mut self.flaky,
            Word::Unbuilt => &mut self.unbuilt,
            Word::Error => &mut self.error,
            Word::Untested => &mut self.untested,
            Word::Unsupported => &mut self.unsupported,
            Word::Pass => &mut self.pass,
        } += 1;
        match standing {
            Standing::Wrong => self.wrong += 1,
            Standing::UnexpectedPass => self.unexpected_pass += 1,
            Standing::Unknown => self.unknown += 1,
            Standing::Known => self.known += 1,
            Standing::Fine => {}
        }
    }

    /// How many cells have a verdict's word.
    pub fn of(&self, word: Word) -> u32 {
        match word {
            Word::Fail => self.fail,
            Word::Broken => self.broken,
            Word::Interference => self.interference,
            Word::Flaky => self.flaky,
            Word::Unbuilt => self.unbuilt,
            Word::Error => self.error,
            Word::Untested => self.untested,
            Word::Unsupported => self.unsupported,
            Word::Pass => self.pass,
        }
    }

    /// How many cells there are.
    pub fn total(&self) -> u32 {
        Word::ALL.iter().map(|word| self.of(*word)).sum()
    }
}

/// Cells that share a check, a verdict, and a place or the one party that is to blame for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What is the matter.
    pub standing: Standing,
    /// The verdict they share.
    pub verdict: Word,
    /// The check.
    pub check: CheckName,
    /// In words: which versions, and what of them.
    pub text: String,
    /// What to do about it, in one sentence.
    #[serde(default)]
    pub advice: String,
    /// What the check expected and what was found, where it is the check that is likeliest wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seen: Option<String>,
    /// The party that fails as much by itself, and so is the only one to blame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub charged: Option<String>,
    /// Between which versions it began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boundary: Option<Boundary>,
    /// How many cells.
    pub cells: u32,
    /// A cell to look at, and at most nine more.
    pub ids: Vec<CellId>,
    /// The first of the sweeps since which one of these stands as it does; none when there is no other sweep.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_seen: Option<SweepRef>,
}

/// Two neighbouring versions of a role, of which one works and the other does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Boundary {
    /// The role.
    pub role: RoleName,
    /// The older version.
    pub older: VersionId,
    /// The newer one.
    pub newer: VersionId,
    /// Whether the older one is the one that works: then the newer one broke it, and otherwise mended it.
    pub broke: bool,
}

/// Which versions of two roles work together: all their checks, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Windows {
    /// A role.
    pub a: RoleName,
    /// Another role, or the same.
    pub b: RoleName,
    /// Ranges of versions of which each one works with each; the largest first.
    pub works: Vec<Window>,
    /// Pairs that work and are in none of these ranges.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub works_elsewhere: u32,
    /// Pairs that do not work, none of these versions being to blame alone.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub fails: u32,
    /// Pairs of which nothing is known.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub open: u32,
    /// Versions that are in no range because of themselves; the text says why.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub except: Vec<Except>,
    /// All that in one sentence for each range, and one for what is in none.
    pub text: Vec<String>,
}

/// Two ranges of versions of which each one works with each; versions that are excepted are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// The oldest and the newest version of the first role.
    pub a: [VersionId; 2],
    /// The oldest and the newest version of the second role.
    pub b: [VersionId; 2],
}

/// A version of a role that is to blame alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Except {
    /// The role.
    pub role: RoleName,
    /// The version.
    pub version: VersionId,
    /// What it is to blame for, at worst.
    pub verdict: Word,
}

/// Which versions work together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Together {
    /// The versions' names, in their order.
    pub versions: Vec<String>,
    /// The ordered pairs that some cell is about, a version with itself included.
    pub pairs: Vec<Pair>,
}

/// Two versions, and the worst that is known of the first towards the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// The place in `versions` of the version that acts.
    pub a: usize,
    /// The place of the version that it acts upon.
    pub b: usize,
    /// The worst verdict of their cells.
    pub verdict: Word,
    /// How the cell with that verdict stands to what was expected; one that is not as expected comes before all others.
    pub standing: Standing,
    /// How many cells are about exactly these two in this direction.
    pub cells: u32,
    /// How many of them pass.
    pub passed: u32,
    /// The fewest networks in which one of those was seen to work; 0 where none was counted.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub networks: u32,
    /// Those that do not pass, the worst first; at most ten.
    pub worst: Vec<CellId>,
}

/// A check and its cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckModel {
    /// Its name.
    pub name: CheckName,
    /// Whom it is about, in words.
    pub about: String,
    /// How many of its cells have which verdict.
    pub tally: Tally,
    /// Its matrices: one for each pair of roles and point of the axes.
    pub grids: Vec<Grid>,
    /// Its cells about sets: interference.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sets: Vec<CellModel>,
}

/// A matrix of cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Grid {
    /// The role of its rows; none when each row is a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<RoleName>,
    /// The role of its columns; none when a column is a version of any role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RoleName>,
    /// Whether one cell stands for both directions, and so in two places.
    pub symmetric: bool,
    /// The values of the axes beyond versions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub axes: BTreeMap<AxisName, String>,
    /// What its rows are: versions, or roles when `from` is none.
    pub rows: Vec<String>,
    /// Its columns: versions.
    pub columns: Vec<String>,
    /// Its cells; places without one were not asked.
    pub cells: Vec<CellModel>,
}

/// A cell, its verdict, and where its evidence is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellModel {
    /// The short id.
    pub id: CellId,
    /// Its text form: `pay: node@v1 -> notary@v2`.
    pub cell: String,
    /// The parties it names, in the order of the text.
    pub parties: Vec<String>,
    /// The values of the axes beyond versions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub axes: BTreeMap<AxisName, String>,
    /// Its row, from 0; none for a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// Its column, from 0; none for a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The verdict.
    pub verdict: Word,
    /// How that stands to what was expected.
    pub standing: Standing,
    /// Whether the strategy asks it; others are here because there is evidence about them, and count for nothing.
    pub asked: bool,
    /// What the verdict says, in whole sentences.
    pub sentence: String,
    /// The known failure it matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
    /// The party that fails as much by itself, and so is the only one to blame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub charged: Option<String>,
    /// The cell that explains this one: what blocks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<CellId>,
    /// How often each way.
    pub counts: Counts,
    /// The failure rate above which a pass excludes every rate, at 95 % confidence, as a fraction.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub excludes: Option<f64>,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub untested: Option<UntestedReason>,
    /// The networks in which it failed while what is to blame is not established.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspected: Option<u32>,
    /// Whether its failures are likeliest its check's own: that has passed nowhere.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub wrong_check: bool,
    /// The networks that decide it, of those in this report; at most five.
    pub evidence: Vec<AttemptId>,
    /// How many networks are its evidence.
    pub evidence_total: usize,
    /// The command that runs the first of them again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
    /// How it changed since the sweep before; none when it did not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change: Option<Change>,
    /// What it came to over the report's `sweeps`: an entry wherever that changed. Empty when it never did.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub history: Vec<Was>,
}

/// What a cell came to from one sweep on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Was {
    /// The sweep's place in the report's `sweeps`, from 0.
    pub sweep: usize,
    /// The verdict; none when it was not asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict: Option<Word>,
    /// How that stood to what was expected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub standing: Option<Standing>,
}

/// A known failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Known {
    /// Why it is accepted.
    pub reason: String,
    /// Where it is discussed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A version and how it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionModel {
    /// Its name.
    pub id: VersionId,
    /// The source it comes from.
    pub source: SourceName,
    /// Every label its commit was asked for under.
    pub labels: Vec<String>,
    /// The commit.
    pub commit: CommitId,
    /// How the cells that name it do.
    pub tally: Tally,
    /// Of the versions it was tried with, itself not counted, how many pass every check both ways.
    pub works_with: u32,
    /// How many it was tried with.
    pub tried_with: u32,
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageModel {
    /// The role.
    pub role: RoleName,
    /// The version.
    pub version: VersionId,
    /// The manifest's digest.
    pub manifest: Digest,
    /// When its build began, RFC 3339.
    pub started: String,
    /// How long that took, in milliseconds.
    pub duration_ms: u64,
}

/// An image that could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnbuiltModel {
    /// The role.
    pub role: RoleName,
    /// The version.
    pub version: VersionId,
    /// Whether the harness failed, and not the version's own build.
    pub infrastructure: bool,
    /// The reason in one line.
    pub detail: String,
    /// The end of the build's log.
    pub tail: Vec<String>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Model {
    /// Every cell of every check.
    pub fn cells(&self) -> impl Iterator<Item = &CellModel> {
        self.checks.iter().flat_map(CheckModel::cells)
    }

    /// The sweep it reports.
    pub fn this_sweep(&self) -> SweepRef {
        SweepRef { id: self.sweep.id.clone(), started: self.sweep.started.clone() }
    }
}

impl CheckModel {
    /// Every cell: those of its matrices, then sets.
    pub fn cells(&self) -> impl Iterator<Item = &CellModel> {
        self.grids.iter().flat_map(|grid| &grid.cells).chain(&self.sets)
    }
}
