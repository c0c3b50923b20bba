//! Compares a report with earlier sweeps: what changed, and the history of each cell.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skew_core::model::{CellId, CheckName};
use skew_core::text::{count, thousands};

use super::blocks::{Block, blocks};
use super::change::{Change, ChangeFinding, ChangeTally, Since, SweepRef};
use super::findings::{at_values, ids};
use super::model::{CellModel, FORMAT, Model, Was};
use super::range::Order;
use super::standings::{At, Standings, latest};
use super::words::{Standing, Word};

/// Cells named by one sentence.
const IDS: usize = 10;

/// Whether a verdict says that something does not work.
fn fails(verdict: Word, standing: Standing) -> bool {
    match verdict {
        Word::Fail | Word::Broken | Word::Interference | Word::Flaky | Word::Unbuilt => true,
        Word::Unsupported => standing == Standing::Wrong,
        Word::Error | Word::Untested | Word::Pass => false,
    }
}

/// How a cell changed. None when it did not, or when one of the sweeps did not ask it though it knows of it.
fn change(before: Option<&At>, verdict: Word, standing: Standing, asked: bool) -> Option<Change> {
    if !asked {
        return None;
    }
    let Some(before) = before else {
        return Some(Change::New);
    };
    if !before.asked || (before.verdict, before.standing) == (verdict, standing) {
        return None;
    }
    let worked = matches!(before.verdict, Word::Pass | Word::Unsupported) && !fails(before.verdict, before.standing);
    Some(match (fails(before.verdict, before.standing), fails(verdict, standing)) {
        (false, true) if worked && standing == Standing::Wrong => Change::Regressed,
        (true, false) if verdict == Word::Pass => Change::Fixed,
        (true | false, true | false) => Change::Changed,
    })
}

/// Whether a cell fails, nobody said that it would, and it did not fail before.
fn is_worse(before: Option<&At>, cell: &CellModel) -> bool {
    cell.asked
        && cell.standing == Standing::Wrong
        && before.is_none_or(|before| before.asked && !fails(before.verdict, before.standing))
}

/// Writes into a report what was before it: `past` are earlier sweeps, the oldest first. Each cell is compared with the last
/// one that asked it, and what is gone with the last one.
pub(super) fn annotate(model: &mut Model, past: &[Standings]) {
    let this = model.this_sweep();
    model.sweeps = past.iter().map(|standings| standings.sweep.clone()).chain([this]).collect();
    let last = past.last();
    let mut tally = ChangeTally::default();
    let mut worse = false;
    for check in &mut model.checks {
        for cell in check.grids.iter_mut().flat_map(|grid| &mut grid.cells).chain(&mut check.sets) {
            cell.history = history(cell, past);
            if last.is_none() {
                cell.change = None;
                continue;
            }
            let before = latest(past, &cell.id).map(|(_, at)| at);
            cell.change = change(before, cell.verdict, cell.standing, cell.asked);
            let is_worse = is_worse(before, cell);
            worse |= is_worse;
            add(&mut tally, cell, is_worse);
        }
    }
    let begun: BTreeMap<CellId, usize> = model.cells().map(|cell| (cell.id.clone(), begun(cell))).collect();
    for finding in model.findings.iter_mut().chain(&mut model.accepted) {
        // Of cells that are not named nothing is known here.
        let all_named = finding.ids.len() == finding.cells as usize;
        let begun = finding.ids.iter().filter_map(|id| begun.get(id).copied()).min();
        let begun = begun.filter(|_| all_named && !past.is_empty());
        finding.first_seen = begun.and_then(|at| model.sweeps.get(at).cloned());
    }
    model.since = last.map(|last| {
        // A sweep that was to ask less says nothing about the rest.
        let gone = if model.sweep.narrowed { Vec::new() } else { gone(last, model) };
        tally.gone = gone.len() as u32;
        let mut findings = findings(model, past);
        findings.extend(gone_findings(&gone));
        // Stable: within a kind, the order of the checks.
        findings.sort_by_key(|finding| (finding.change, finding.standing, finding.verdict));
        Since { before: last.sweep.clone(), worse, headline: headline(&tally, &last.sweep), tally, findings }
    });
}

/// Counts a cell.
fn add(tally: &mut ChangeTally, cell: &CellModel, is_worse: bool) {
    match cell.change {
        Some(Change::Regressed) => tally.regressed += 1,
        Some(Change::New) => {
            tally.new += 1;
            tally.new_wrong += u32::from(is_worse);
        }
        Some(Change::Fixed) => tally.fixed += 1,
        Some(Change::Changed) => {
            tally.changed += 1;
            tally.changed_wrong += u32::from(is_worse);
        }
        // It is in no report of now.
        Some(Change::Gone) => {}
        None => tally.same += u32::from(cell.asked),
    }
}

/// When the cell came to what it is now, as a place among the sweeps.
fn begun(cell: &CellModel) -> usize {
    cell.history.last().map_or(0, |was| was.sweep)
}

/// What the cell came to over the sweeps: an entry wherever that was another than before. Nothing where it never was.
fn history(cell: &CellModel, past: &[Standings]) -> Vec<Was> {
    let mut history: Vec<Was> = Vec::new();
    let then = past
        .iter()
        .map(|standings| standings.cells.get(&cell.id).filter(|at| at.asked).map(|at| (at.verdict, at.standing)));
    let now = cell.asked.then_some((cell.verdict, cell.standing));
    for (sweep, at) in then.chain([now]).enumerate() {
        let (verdict, standing) = at.unzip();
        if history.last().is_none_or(|last| (last.verdict, last.standing) != (verdict, standing)) {
            history.push(Was { sweep, verdict, standing });
        }
    }
    if history.len() < 2 { Vec::new() } else { history }
}

/// The cells that are not asked any more.
fn gone<'a>(before: &'a Standings, model: &Model) -> Vec<(&'a CellId, &'a At)> {
    let now: std::collections::BTreeSet<&CellId> = model.cells().map(|cell| &cell.id).collect();
    before.cells.iter().filter(|(id, at)| at.asked && !now.contains(id)).collect()
}

fn findings(model: &Model, past: &[Standings]) -> Vec<ChangeFinding> {
    let key = |cell: &CellModel| {
        let was = latest(past, &cell.id).map(|(_, at)| at.verdict);
        cell.change.map(|change| (change, was, cell.verdict, cell.standing))
    };
    let order = Order::new(model.versions.iter().map(|version| (&version.id, &version.source)));
    let mut findings = Vec::new();
    for check in &model.checks {
        for Block { key: (change, was, verdict, standing), place, cells, .. } in blocks(check, &order, &key) {
            findings.push(ChangeFinding {
                change,
                was: was.filter(|_| change != Change::New),
                verdict: Some(verdict),
                standing: Some(standing),
                check: check.name.clone(),
                text: at_values(&place, &cells),
                cells: cells.len() as u32,
                ids: ids(&cells),
            });
        }
    }
    findings
}

/// One line for each check and verdict: where they stood is no place in a matrix of now.
fn gone_findings(gone: &[(&CellId, &At)]) -> Vec<ChangeFinding> {
    let mut by_check: BTreeMap<(&CheckName, Word), Vec<&CellId>> = BTreeMap::new();
    for (id, at) in gone {
        by_check.entry((&at.check, at.verdict)).or_default().push(id);
    }
    let finding = |((check, was), ids): ((&CheckName, Word), Vec<&CellId>)| ChangeFinding {
        change: Change::Gone,
        was: Some(was),
        verdict: None,
        standing: None,
        check: check.clone(),
        text: format!("{} not asked any more", count(ids.len() as u32, "cell")),
        cells: ids.len() as u32,
        ids: ids.into_iter().take(IDS).cloned().collect(),
    };
    by_check.into_iter().map(finding).collect()
}

fn headline(tally: &ChangeTally, before: &SweepRef) -> String {
    let mut parts = Vec::new();
    let mut add = |n: u32, text: &dyn Fn(String) -> String| {
        if n > 0 {
            parts.push(text(thousands(n)));
        }
    };
    add(tally.regressed, &|n| format!("{n} {} regressed", if tally.regressed == 1 { "cell" } else { "cells" }));
    add(tally.changed_wrong, &|n| match tally.changed_wrong {
        1 => "1 fails that was not known to".to_owned(),
        _ => format!("{n} fail that were not known to"),
    });
    add(tally.fixed, &|n| format!("{n} fixed"));
    add(tally.new, &|n| match tally.new_wrong {
        0 => format!("{n} new"),
        wrong => format!("{n} new ({} of them not as expected)", thousands(wrong)),
    });
    add(tally.changed - tally.changed_wrong, &|n| format!("{n} changed otherwise"));
    add(tally.gone, &|n| format!("{n} gone"));
    let since = format!("Since {}", before.words());
    if parts.is_empty() { format!("{since} nothing changed.") } else { format!("{since}: {}.", parts.join(", ")) }
}

/// Every change of a cell between two sweeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// The number of this format: 2. It grows when a reader of the old one would be misled.
    pub format: u32,
    /// The version of skew that made it.
    pub skew: String,
    /// The system's name.
    pub system: String,
    /// The later sweep.
    pub after: SweepRef,
    /// What changed, summed up.
    pub since: Since,
    /// Every cell that changed: those of the later sweep in the order of its report, then those that are gone.
    pub cells: Vec<CellChange>,
}

/// A cell that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellChange {
    /// The short id.
    pub id: CellId,
    /// Its text form.
    pub cell: String,
    /// How it changed.
    pub change: Change,
    /// Its verdict before; none when it is new.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub was: Option<Word>,
    /// Its verdict now; none when it is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict: Option<Word>,
    /// How that stands to what was expected; none when it is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub standing: Option<Standing>,
    /// Whether it fails now, did not before, and nobody said that it would.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub worse: bool,
    /// What the verdict now says, in whole sentences.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sentence: Option<String>,
}

/// Compares a report with an earlier sweep, and writes into the report what changed.
pub fn diff(before: &Standings, after: &mut Model) -> Diff {
    annotate(after, std::slice::from_ref(before));
    let was = |id: &CellId| before.cells.get(id).filter(|at| at.asked).map(|at| at.verdict);
    let changed = after.cells().filter_map(|cell| {
        Some(CellChange {
            id: cell.id.clone(),
            cell: cell.cell.clone(),
            change: cell.change?,
            was: was(&cell.id),
            verdict: Some(cell.verdict),
            standing: Some(cell.standing),
            worse: is_worse(before.cells.get(&cell.id), cell),
            sentence: Some(cell.sentence.clone()),
        })
    });
    let gone = if after.sweep.narrowed { Vec::new() } else { gone(before, after) };
    let gone = gone.into_iter().map(|(id, at)| CellChange {
        id: id.clone(),
        cell: at.cell.clone(),
        change: Change::Gone,
        was: Some(at.verdict),
        verdict: None,
        standing: None,
        worse: false,
        sentence: None,
    });
    Diff {
        format: FORMAT,
        skew: env!("CARGO_PKG_VERSION").to_owned(),
        system: after.system.clone(),
        after: after.this_sweep(),
        cells: changed.chain(gone).collect(),
        since: after.since.clone().unwrap_or_else(|| Since {
            before: before.sweep.clone(),
            worse: false,
            headline: headline(&ChangeTally::default(), &before.sweep),
            tally: ChangeTally::default(),
            findings: Vec::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_that_asked_less_makes_nothing_new() {
        let cell: skew_core::model::Cell = "c: a@1 -> a@2".parse().unwrap();
        let sweep = |asked: Option<bool>, verdict: Word| {
            let at = asked.map(|asked| At {
                cell: cell.to_string(),
                check: "c".parse().unwrap(),
                verdict,
                standing: Standing::Wrong,
                asked,
            });
            let sweep = SweepRef { id: skew_core::model::SweepId("s".to_owned()), started: String::new() };
            let cells = at.into_iter().map(|at| (cell.id(), at)).collect();
            Standings { sweep, cells, commits: BTreeMap::new() }
        };
        let check = |past: &[Standings], expect: Option<Word>| {
            assert_eq!(latest(past, &cell.id()).map(|(_, at)| at.verdict), expect, "{past:?}");
        };
        check(&[], None);
        check(&[sweep(None, Word::Pass)], None);
        check(&[sweep(Some(true), Word::Fail), sweep(None, Word::Pass)], Some(Word::Fail));
        check(&[sweep(Some(true), Word::Fail), sweep(Some(false), Word::Pass)], Some(Word::Fail));
        check(&[sweep(Some(true), Word::Fail), sweep(Some(true), Word::Pass)], Some(Word::Pass));
        check(&[sweep(None, Word::Fail), sweep(Some(false), Word::Flaky)], Some(Word::Flaky));
    }

    #[test]
    fn changes_are_told_apart() {
        use Standing::{Fine, Known, Unknown, Wrong};
        use Word::{Error, Fail, Flaky, Pass, Unsupported, Untested};
        let check = |before: Option<(Word, Standing)>,
                     (verdict, standing): (Word, Standing),
                     expect: Option<Change>| {
            let before = before.map(|(verdict, standing)| At {
                cell: "c: a@1".to_owned(),
                check: "c".parse().unwrap(),
                verdict,
                standing,
                asked: true,
            });
            assert_eq!(change(before.as_ref(), verdict, standing, true), expect, "{before:?} {verdict} {standing:?}");
            assert_eq!(change(before.as_ref(), verdict, standing, false), None);
        };
        check(None, (Pass, Fine), Some(Change::New));
        check(None, (Fail, Wrong), Some(Change::New));
        check(Some((Pass, Fine)), (Pass, Fine), None);
        check(Some((Pass, Fine)), (Fail, Wrong), Some(Change::Regressed));
        check(Some((Pass, Fine)), (Flaky, Wrong), Some(Change::Regressed));
        check(Some((Pass, Fine)), (Unsupported, Wrong), Some(Change::Regressed));
        check(Some((Pass, Fine)), (Unsupported, Fine), Some(Change::Changed));
        check(Some((Unsupported, Fine)), (Fail, Wrong), Some(Change::Regressed));
        // Somebody said that it would.
        check(Some((Pass, Fine)), (Fail, Known), Some(Change::Changed));
        check(Some((Fail, Wrong)), (Fail, Known), Some(Change::Changed));
        check(Some((Fail, Known)), (Fail, Wrong), Some(Change::Changed));
        check(Some((Fail, Wrong)), (Flaky, Wrong), Some(Change::Changed));
        check(Some((Fail, Wrong)), (Pass, Fine), Some(Change::Fixed));
        check(Some((Fail, Known)), (Pass, Standing::UnexpectedPass), Some(Change::Fixed));
        // What could not be settled did neither work nor fail.
        check(Some((Fail, Wrong)), (Error, Unknown), Some(Change::Changed));
        check(Some((Error, Unknown)), (Fail, Wrong), Some(Change::Changed));
        check(Some((Untested, Fine)), (Fail, Wrong), Some(Change::Changed));
    }
}
