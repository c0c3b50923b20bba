//! What sweeps came to, as far as another sweep is compared with them.

use std::collections::BTreeMap;

use skew_core::model::{CellId, CheckName, CommitId, SweepRecord, VersionId};

use super::change::SweepRef;
use super::model::Model;
use super::standing::{Judged, rows};
use super::text::instant;
use super::words::{Standing, Word};

/// What each cell came to in one sweep: as much as is needed to compare it with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    /// The sweep.
    pub sweep: SweepRef,
    /// Its cells.
    pub cells: BTreeMap<CellId, At>,
    /// The commit that each of its versions had.
    pub commits: BTreeMap<VersionId, CommitId>,
}

/// What a cell came to in one sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// Its text form.
    pub cell: String,
    /// Its check.
    pub check: CheckName,
    /// Its verdict.
    pub verdict: Word,
    /// How that stood to what was expected.
    pub standing: Standing,
    /// Whether the strategy asked it.
    pub asked: bool,
}

impl Standings {
    /// Those of a sweep that was judged.
    pub fn of(sweep: &SweepRecord, judged: &Judged<'_>) -> Self {
        let cells = rows(judged).into_iter().map(|row| {
            let at = At {
                cell: row.cell.to_string(),
                check: row.cell.check.clone(),
                verdict: row.word,
                standing: row.standing,
                asked: row.asked,
            };
            (row.cell.id(), at)
        });
        Self {
            sweep: SweepRef { id: sweep.id.clone(), started: instant(sweep.started_ms) },
            cells: cells.collect(),
            commits: sweep.versions.iter().cloned().collect(),
        }
    }

    /// Those of a report.
    pub fn of_model(model: &Model) -> Self {
        let cells = model.checks.iter().flat_map(|check| check.cells().map(move |cell| (check, cell)));
        let cells = cells.map(|(check, cell)| {
            let at = At {
                cell: cell.cell.clone(),
                check: check.name.clone(),
                verdict: cell.verdict,
                standing: cell.standing,
                asked: cell.asked,
            };
            (cell.id.clone(), at)
        });
        let commits = model.versions.iter().map(|version| (version.id.clone(), version.commit.clone()));
        Self { sweep: model.this_sweep(), cells: cells.collect(), commits: commits.collect() }
    }
}

/// What a cell came to in the last of some sweeps, the oldest first, that asked it: one that asked less in between made
/// nothing new. Without any, what the last one knew of it.
pub(super) fn latest<'a>(past: &'a [Standings], id: &CellId) -> Option<(&'a Standings, &'a At)> {
    let known = |standings: &'a Standings| Some((standings, standings.cells.get(id)?));
    let asked = past.iter().rev().filter_map(known).find(|(_, at)| at.asked);
    asked.or_else(|| known(past.last()?))
}
