//! What is not as expected, summed up: a page of a hundred red cells is often three sentences.

use std::collections::BTreeMap;

use skew_core::model::{AttemptId, AxisPoint, CellId};
use skew_core::text::count;

use super::advice::{Outlook, advice, passed_before};
use super::blocks::{Block, blocks};
use super::model::{CellModel, CheckModel, Finding};
use super::network::NetworkModel;
use super::sentence::passed_nowhere;
use super::telling::telling;
use super::text::clean;
use super::words::{Standing, Word, list, point};

/// Cells named by one finding.
const IDS: usize = 10;

/// Characters of what a check expected and found.
const SEEN: usize = 600;

/// Cells of a check that are looked through for what it expected and found.
const LOOKED_AT: usize = 200;

/// Sums up every cell that is wrong, unexpected or unsettled; the most urgent first.
pub(super) fn findings(
    checks: &[CheckModel],
    networks: &BTreeMap<AttemptId, NetworkModel>,
    outlook: &Outlook<'_>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = checks.iter().filter_map(|check| wrong_check(check, networks, outlook)).collect();
    findings.extend(sum_up(checks, outlook, |standing| match standing {
        Standing::Wrong | Standing::UnexpectedPass | Standing::Unknown => true,
        Standing::Known | Standing::Fine => false,
    }));
    findings
}

/// Sums up every known failure that fails.
pub(super) fn accepted(checks: &[CheckModel], outlook: &Outlook<'_>) -> Vec<Finding> {
    sum_up(checks, outlook, |standing| standing == Standing::Known)
}

/// A check that is likeliest wrong itself is one finding, and blames no version.
fn wrong_check(
    check: &CheckModel,
    networks: &BTreeMap<AttemptId, NetworkModel>,
    outlook: &Outlook<'_>,
) -> Option<Finding> {
    let cells: Vec<&CellModel> = check.cells().filter(|cell| cell.asked && cell.wrong_check).collect();
    let first = cells.first()?;
    let mut seen: Option<&str> = None;
    for cell in cells.iter().take(LOOKED_AT) {
        let found = telling(cell, networks).map(|seen| seen.detail.as_str());
        if seen.is_none() || found.is_some_and(|found| found.contains("expected")) {
            seen = found.or(seen);
        }
        if seen.is_some_and(|seen| seen.contains("expected")) {
            break;
        }
    }
    let text = passed_nowhere(check.name.as_str(), outlook.facts.check(&check.name));
    Some(Finding {
        seen: seen.map(|seen| clean(seen, SEEN)),
        advice: "Compare what the check expects with what was found, and correct the check in the spec.".to_owned(),
        ..finding(check, &cells, first.standing, first.verdict, text)
    })
}

fn sum_up(checks: &[CheckModel], outlook: &Outlook<'_>, wanted: impl Fn(Standing) -> bool) -> Vec<Finding> {
    let wanted = |cell: &CellModel| wanted(cell.standing) && !cell.wrong_check;
    // What one party is to blame for is one finding, wherever in the matrices it shows.
    let key = |cell: &CellModel| {
        (wanted(cell) && cell.charged.is_none()).then_some((cell.standing, cell.verdict, cell.untested))
    };
    let mut findings: Vec<Finding> = Vec::new();
    for check in checks {
        let elsewhere = Elsewhere::of(check);
        findings.extend(charged(check, &elsewhere, outlook, &wanted));
        for Block { key: (standing, verdict, _), place, boundary, cells } in blocks(check, &outlook.order, &key) {
            let text = format!("{}{}", elsewhere.with_values(&place, &cells), suspected(&cells));
            let mut found = finding(check, &cells, standing, verdict, text);
            found.boundary = boundary.filter(|_| !passed_before(&cells, outlook));
            found.advice = advice(&found, &cells, outlook);
            findings.push(found);
        }
    }
    // Stable: within a kind, the order of the checks.
    findings.sort_by_key(|finding| (finding.standing, finding.verdict));
    findings
}

fn finding(check: &CheckModel, cells: &[&CellModel], standing: Standing, verdict: Word, text: String) -> Finding {
    Finding {
        standing,
        verdict,
        check: check.name.clone(),
        text,
        advice: String::new(),
        seen: None,
        charged: None,
        boundary: None,
        cells: cells.len() as u32,
        ids: ids(cells),
        first_seen: None,
    }
}

/// Some cells by their ids.
pub(super) fn ids(cells: &[&CellModel]) -> Vec<CellId> {
    cells.iter().take(IDS).map(|cell| cell.id.clone()).collect()
}

/// `: suspected, failed in 3 networks`.
fn suspected(cells: &[&CellModel]) -> String {
    let networks: Vec<u32> = cells.iter().filter_map(|cell| cell.suspected).collect();
    match (networks.iter().min(), networks.iter().max()) {
        (Some(least), Some(most)) if least == most => {
            let each = if networks.len() > 1 { " each" } else { "" };
            format!(": suspected, failed in {}{each}", count(*least, "network"))
        }
        (Some(least), Some(most)) => format!(": suspected, failed in {least} to {} each", count(*most, "network")),
        (None, _) | (_, None) => String::new(),
    }
}

/// What the cells of a check came to at every value of the axes, by what is asked of them.
struct Elsewhere<'a>(BTreeMap<&'a str, Vec<(&'a AxisPoint, Word)>>);

impl<'a> Elsewhere<'a> {
    fn of(check: &'a CheckModel) -> Self {
        let mut points: BTreeMap<&str, Vec<(&AxisPoint, Word)>> = BTreeMap::new();
        for cell in check.cells().filter(|cell| !cell.axes.is_empty()) {
            points.entry(subject(cell)).or_default().push((&cell.axes, cell.verdict));
        }
        Self(points)
    }

    /// The other values of the axes at which every one of these cells passes.
    fn works(&self, cells: &[&CellModel]) -> Vec<&'a AxisPoint> {
        let Some(first) = cells.first() else { return Vec::new() };
        let passes = |cell: &CellModel, at: &AxisPoint| {
            let known = self.0.get(subject(cell)).into_iter().flatten();
            known.into_iter().any(|(point, word)| *point == at && *word == Word::Pass)
        };
        let points = self.0.get(subject(first)).into_iter().flatten().map(|(point, _)| *point);
        points.filter(|point| **point != first.axes && cells.iter().all(|cell| passes(cell, point))).collect()
    }

    /// A place with how many cells it has, and the values of the axes: also those with which the same works.
    fn with_values(&self, place: &str, cells: &[&CellModel]) -> String {
        let Some(first) = cells.first() else { return place.to_owned() };
        let verb = match first.verdict {
            Word::Fail | Word::Broken | Word::Interference => "fails",
            Word::Flaky => "is flaky",
            Word::Unbuilt | Word::Error | Word::Untested | Word::Unsupported | Word::Pass => "",
        };
        let works: Vec<String> = self.works(cells).into_iter().map(point).collect();
        if verb.is_empty() || works.is_empty() {
            return at_values(place, cells);
        }
        format!("{}: {verb} with {}, works with {}", counted(place, cells), point(&first.axes), list(&works))
    }
}

/// What a cell is about, without the values of the axes.
fn subject(cell: &CellModel) -> &str {
    if cell.axes.is_empty() {
        &cell.cell
    } else {
        cell.cell.rsplit_once(" [").map_or(&cell.cell, |(subject, _)| subject)
    }
}

/// A place with the values of the axes and how many cells it has.
pub(super) fn at_values(place: &str, cells: &[&CellModel]) -> String {
    match cells.first() {
        Some(first) if !first.axes.is_empty() => counted(&format!("{place} with {}", point(&first.axes)), cells),
        Some(_) | None => counted(place, cells),
    }
}

/// A place with how many cells it has, where they are several.
fn counted(place: &str, cells: &[&CellModel]) -> String {
    match cells.len() {
        0 | 1 => place.to_owned(),
        n => format!("{place} ({})", count(n as u32, "cell")),
    }
}

/// What is charged to one party: how that stands, the verdict, the party, and the values of the axes.
type Charge<'a> = (Standing, Word, &'a str, &'a AxisPoint);

/// A finding for each party that is to blame alone.
fn charged(
    check: &CheckModel,
    elsewhere: &Elsewhere<'_>,
    outlook: &Outlook<'_>,
    wanted: &impl Fn(&CellModel) -> bool,
) -> Vec<Finding> {
    let mut of: BTreeMap<Charge<'_>, Vec<&CellModel>> = BTreeMap::new();
    for cell in check.cells().filter(|cell| wanted(cell)) {
        if let Some(party) = &cell.charged {
            of.entry((cell.standing, cell.verdict, party, &cell.axes)).or_default().push(cell);
        }
    }
    let charge = |((standing, verdict, party, _), mut cells): (Charge<'_>, Vec<&CellModel>)| {
        // What shows it best: the party by itself.
        cells.sort_by_key(|cell| cell.parties.iter().any(|other| other != party));
        let text = elsewhere.with_values(&party.replacen('@', " ", 1), &cells);
        let mut found = finding(check, &cells, standing, verdict, text);
        found.charged = Some(party.to_owned());
        found.advice = advice(&found, &cells, outlook);
        found
    };
    of.into_iter().map(charge).collect()
}
