//! What is not as expected, summed up: a page of a hundred red cells is often three sentences.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{CellId, RoleName, VersionId};

use super::advice::{Commits, advice};
use super::model::{Boundary, CellModel, CheckModel, Finding, Grid};
use super::words::{Standing, Word, count};

/// Cells named by one finding.
const IDS: usize = 10;

/// Parties named of those that fail once they join others.
const JOINING: usize = 4;

/// Sums up every cell that is wrong, unexpected or unsettled; the most urgent first.
pub(super) fn findings(checks: &[CheckModel], commits: &Commits<'_>) -> Vec<Finding> {
    sum_up(checks, commits, |standing| match standing {
        Standing::Wrong | Standing::UnexpectedPass | Standing::Unknown => true,
        Standing::Known | Standing::Fine => false,
    })
}

/// Sums up every known failure that fails.
pub(super) fn accepted(checks: &[CheckModel], commits: &Commits<'_>) -> Vec<Finding> {
    sum_up(checks, commits, |standing| standing == Standing::Known)
}

fn sum_up(checks: &[CheckModel], commits: &Commits<'_>, wanted: impl Fn(Standing) -> bool) -> Vec<Finding> {
    // What one party is to blame for is one finding, wherever in the matrices it shows.
    let key =
        |cell: &CellModel| (wanted(cell.standing) && cell.charged.is_none()).then_some((cell.standing, cell.verdict));
    let mut findings: Vec<Finding> = Vec::new();
    for check in checks {
        let of_party = charged(check, &wanted);
        let of_place = blocks(check, &key).into_iter().map(|block| Finding {
            standing: block.key.0,
            verdict: block.key.1,
            check: check.name.clone(),
            advice: String::new(),
            charged: None,
            text: block.text,
            boundary: block.boundary,
            cells: block.cells,
            ids: block.ids,
            first_seen: None,
        });
        findings.extend(of_party.into_iter().chain(of_place));
    }
    for finding in &mut findings {
        finding.advice = advice(finding, commits);
    }
    // Stable: within a kind, the order of the checks.
    findings.sort_by_key(|finding| (finding.standing, finding.verdict));
    findings
}

/// A finding for each party that is to blame alone.
fn charged(check: &CheckModel, wanted: &impl Fn(Standing) -> bool) -> Vec<Finding> {
    let mut of: BTreeMap<(Standing, Word, &str), Vec<&CellModel>> = BTreeMap::new();
    for cell in check.cells().filter(|cell| wanted(cell.standing)) {
        if let Some(party) = &cell.charged {
            of.entry((cell.standing, cell.verdict, party)).or_default().push(cell);
        }
    }
    let finding = |((standing, verdict, party), mut cells): ((Standing, Word, &str), Vec<&CellModel>)| {
        // What shows it best: the party by itself.
        cells.sort_by_key(|cell| cell.parties.iter().any(|other| other != party));
        let mut text = party.replacen('@', " ", 1);
        if cells.len() > 1 {
            text.push_str(&format!(" ({})", count(cells.len() as u32, "cell")));
        }
        Finding {
            standing,
            verdict,
            check: check.name.clone(),
            text,
            advice: String::new(),
            charged: Some(party.to_owned()),
            boundary: None,
            cells: cells.len() as u32,
            ids: cells.iter().take(IDS).map(|cell| cell.id.clone()).collect(),
            first_seen: None,
        }
    };
    of.into_iter().map(finding).collect()
}

/// Neighbouring cells that share what they are looked at for.
pub(super) struct Block<K> {
    /// What they share.
    pub key: K,
    /// In words: which versions.
    pub text: String,
    /// Between which versions it began, where the neighbours tell.
    pub boundary: Option<Boundary>,
    /// How many they are.
    pub cells: u32,
    /// Some of them.
    pub ids: Vec<CellId>,
}

/// Sums up the cells of a check that have a key: those of its matrices as blocks, each set by itself.
pub(super) fn blocks<K: PartialEq + Copy>(check: &CheckModel, key: &impl Fn(&CellModel) -> Option<K>) -> Vec<Block<K>> {
    let mut blocks = Vec::new();
    for grid in &check.grids {
        let at = places(grid);
        blocks.extend(rectangles(&at, key).into_iter().map(|rectangle| rectangle.block(grid, &at)));
    }
    blocks.extend(sets(check, key));
    blocks
}

/// Sets that differ in one party are one block: whoever joins the others fails with them.
fn sets<K: PartialEq + Copy>(check: &CheckModel, key: &impl Fn(&CellModel) -> Option<K>) -> Vec<Block<K>> {
    let mut left: Vec<(K, &CellModel)> = check.sets.iter().filter_map(|cell| Some((key(cell)?, cell))).collect();
    let mut blocks = Vec::new();
    while let Some((shared, first)) = left.first().copied() {
        // All of a set but one party, and what else holds just these and one other.
        let but = |one: usize| {
            let rest = first.parties.iter().enumerate().filter(move |(at, _)| *at != one);
            rest.map(|(_, party)| party.as_str()).collect::<Vec<&str>>()
        };
        let joins = |common: &[&str], (other, cell): &(K, &CellModel)| {
            *other == shared
                && cell.parties.len() == common.len() + 1
                && common.iter().all(|party| cell.parties.iter().any(|other| other == party))
        };
        let like = |common: &[&str]| left.iter().filter(|set| joins(common, set)).count();
        let common = (0..first.parties.len()).map(but).max_by_key(|common| like(common)).unwrap_or_default();
        let (of, others) = left.iter().copied().partition::<Vec<_>, _>(|set| joins(&common, set));
        let (of, others) = if of.len() > 1 { (of, others) } else { (vec![left[0]], left[1..].to_vec()) };
        left = others;
        let parties = of.iter().flat_map(|(_, cell)| &cell.parties).map(String::as_str);
        let (common, mut joining): (Vec<&str>, Vec<&str>) =
            in_order(check, parties.collect()).into_iter().partition(|party| of.len() == 1 || common.contains(party));
        let text = if joining.is_empty() {
            format!("{} together", common.join(", "))
        } else {
            let more = if joining.len() > JOINING { ", …" } else { "" };
            joining.truncate(JOINING);
            let cells = count(of.len() as u32, "cell");
            format!("{} together with any of {}{more} ({cells})", common.join(", "), joining.join(", "))
        };
        blocks.push(Block {
            key: shared,
            text,
            boundary: None,
            cells: of.len() as u32,
            ids: of.iter().take(IDS).map(|(_, cell)| cell.id.clone()).collect(),
        });
    }
    blocks
}

/// Parties, each once, role by role and each role's versions as the matrices have them.
fn in_order<'a>(check: &CheckModel, parties: BTreeSet<&'a str>) -> Vec<&'a str> {
    let place = |party: &str| {
        let (role, version) = party.split_once('@').unwrap_or((party, ""));
        let names = |grid: &Grid| grid.rows.iter().chain(&grid.columns).position(|name| name == version);
        (role.to_owned(), check.grids.iter().find_map(names))
    };
    let mut parties: Vec<&str> = parties.into_iter().collect();
    parties.sort_by_key(|party| place(party));
    parties
}

/// Neighbouring rows and columns whose cells all share a key.
#[derive(Debug, PartialEq, Eq)]
struct Rectangle<K> {
    key: K,
    rows: (usize, usize),
    columns: (usize, usize),
    ids: Vec<CellId>,
}

/// The cells of a matrix by row and column.
type Places<'a> = BTreeMap<(usize, usize), &'a CellModel>;

fn places(grid: &Grid) -> Places<'_> {
    grid.cells.iter().filter_map(|cell| Some(((cell.row?, cell.column?), cell))).collect()
}

/// Covers the cells of a matrix that have a key with as few blocks as a greedy choice finds.
fn rectangles<K: PartialEq + Copy>(at: &Places<'_>, key: &impl Fn(&CellModel) -> Option<K>) -> Vec<Rectangle<K>> {
    let mut covered = BTreeSet::new();
    let mut rectangles = Vec::new();
    for (&(row, column), cell) in at {
        let Some(shared) = key(cell) else { continue };
        if covered.contains(&(row, column)) {
            continue;
        }
        let fits = |row: usize, column: usize| match at.get(&(row, column)) {
            // Told already: it neither ends a block nor stretches it.
            Some(_) if covered.contains(&(row, column)) => Fit::Silent,
            Some(there) if key(there) == Some(shared) => Fit::Same,
            Some(there) if is_silent(there) => Fit::Silent,
            Some(_) | None => Fit::Other,
        };
        let wide = grow(row, column, fits);
        let tall = {
            let (columns, rows) = grow(column, row, |column, row| fits(row, column));
            (rows, columns)
        };
        let (last_row, last_column) = if area(row, column, tall) > area(row, column, wide) { tall } else { wide };
        let places = (row..=last_row).flat_map(|row| (column..=last_column).map(move |column| (row, column)));
        let places: Vec<(usize, usize)> = places.filter(|(row, column)| fits(*row, *column) == Fit::Same).collect();
        let ids = places.iter().filter_map(|place| at.get(place)).map(|cell| cell.id.clone()).collect();
        covered.extend(places);
        rectangles.push(Rectangle { key: shared, rows: (row, last_row), columns: (column, last_column), ids });
    }
    rectangles
}

/// Whether a cell says nothing about its neighbours: it could not be tried, or one party is to blame alone.
fn is_silent(cell: &CellModel) -> bool {
    cell.charged.is_some() || (cell.verdict, cell.standing) == (Word::Untested, Standing::Fine)
}

/// How a place stands to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It belongs to it.
    Same,
    /// It says nothing, and does not interrupt it: a version between two others that could not be built.
    Silent,
    /// It ends it.
    Other,
}

/// Grows a block from one place, along the second coordinate first. Returns its last places.
fn grow(first: usize, second: usize, fits: impl Fn(usize, usize) -> Fit) -> (usize, usize) {
    let last = |from: usize, fit: &dyn Fn(usize) -> Fit| {
        let reach = (from..).map(|at| (at, fit(at))).take_while(|(_, fit)| *fit != Fit::Other);
        reach.filter(|(_, fit)| *fit == Fit::Same).last().map_or(from, |(at, _)| at)
    };
    let last_second = last(second, &|at| fits(first, at));
    let line = |at: usize| {
        let line = (second..=last_second).map(|second| fits(at, second));
        line.fold(Fit::Silent, |line, fit| match (line, fit) {
            (Fit::Other, _) | (_, Fit::Other) => Fit::Other,
            (Fit::Same, _) | (_, Fit::Same) => Fit::Same,
            (Fit::Silent, Fit::Silent) => Fit::Silent,
        })
    };
    (last(first, &line), last_second)
}

fn area(row: usize, column: usize, (last_row, last_column): (usize, usize)) -> usize {
    (last_row - row + 1) * (last_column - column + 1)
}

impl<K> Rectangle<K> {
    fn block(self, grid: &Grid, at: &Places<'_>) -> Block<K> {
        let boundary = self.boundary(grid, at);
        let rows = range(&grid.rows, self.rows);
        let columns = range(&grid.columns, self.columns);
        let mut text = match (&grid.from, &grid.to) {
            (Some(from), Some(to)) if grid.symmetric => format!("{from} {rows} and {to} {columns}"),
            (Some(from), Some(to)) => format!("{from} {rows} → {to} {columns}"),
            (None, _) | (_, None) => format!("{rows} {columns}"),
        };
        for (axis, value) in &grid.axes {
            text.push_str(&format!(", {axis}={value}"));
        }
        let cells = self.ids.len() as u32;
        if cells > 1 {
            text.push_str(&format!(" ({})", count(cells, "cell")));
        }
        Block { key: self.key, text, boundary, cells, ids: self.ids.into_iter().take(IDS).collect() }
    }

    /// Where it began: the nearest line of cells beside it in which all that says something passes. One before it, which
    /// means that a newer version broke what worked, rather than one after it.
    fn boundary(&self, grid: &Grid, at: &Places<'_>) -> Option<Boundary> {
        let (Some(from), Some(to)) = (&grid.from, &grid.to) else { return None };
        let there = |row: usize, column: usize| {
            let mirrored = || at.get(&(column, row)).filter(|_| grid.symmetric);
            at.get(&(row, column)).or_else(mirrored).copied()
        };
        let row = |row: usize| line((self.columns.0..=self.columns.1).filter_map(|column| there(row, column)));
        let column = |column: usize| line((self.rows.0..=self.rows.1).filter_map(|row| there(row, column)));
        let before = |names: &[String], role: &RoleName, first: usize, line: &dyn Fn(usize) -> Option<bool>| {
            let older = (0..first).rev().find_map(|at| Some((at, line(at)?))).filter(|(_, passes)| *passes)?.0;
            let [older, newer] = [older, first].map(|at| VersionId::new(&names[at]));
            Some(Boundary { role: role.clone(), older, newer, broke: true })
        };
        let after = |names: &[String], role: &RoleName, last: usize, line: &dyn Fn(usize) -> Option<bool>| {
            let newer = (last + 1..names.len()).find_map(|at| Some((at, line(at)?))).filter(|(_, passes)| *passes)?.0;
            let [older, newer] = [last, newer].map(|at| VersionId::new(&names[at]));
            Some(Boundary { role: role.clone(), older, newer, broke: false })
        };
        before(&grid.columns, to, self.columns.0, &column)
            .or_else(|| before(&grid.rows, from, self.rows.0, &row))
            .or_else(|| after(&grid.columns, to, self.columns.1, &column))
            .or_else(|| after(&grid.rows, from, self.rows.1, &row))
    }
}

/// Whether everything passes that says something; none when nothing does.
fn line<'a>(cells: impl Iterator<Item = &'a CellModel>) -> Option<bool> {
    let passes = cells.filter(|cell| !is_silent(cell)).map(|cell| cell.verdict == Word::Pass);
    passes.reduce(|all, one| all && one)
}

/// `v1`, `v1 and v2`, `v1 … v5`.
fn range(names: &[String], (first, last): (usize, usize)) -> String {
    match last - first {
        0 => names[first].clone(),
        1 => format!("{} and {}", names[first], names[last]),
        _ => format!("{} … {}", names[first], names[last]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skew_core::model::Counts;

    /// A matrix drawn with one letter a cell: `F` fails, `K` is known to, `E` errs, `?` is blocked, `B` and `b` are broken
    /// by their column and their row, anything else passes.
    fn drawn(picture: &[&str]) -> Grid {
        let mut cells = Vec::new();
        for (row, line) in picture.iter().enumerate() {
            for (column, letter) in line.chars().enumerate() {
                let (verdict, standing) = match letter {
                    'F' => (Word::Fail, Standing::Wrong),
                    'K' => (Word::Fail, Standing::Known),
                    'E' => (Word::Error, Standing::Unknown),
                    '?' => (Word::Untested, Standing::Fine),
                    'B' | 'b' => (Word::Broken, Standing::Wrong),
                    _ => (Word::Pass, Standing::Fine),
                };
                let charged = match letter {
                    'B' => Some(format!("b@c{column}")),
                    'b' => Some(format!("a@r{row}")),
                    _ => None,
                };
                let cell: skew_core::model::Cell = format!("c: a@r{row} -> b@c{column}").parse().unwrap();
                cells.push(CellModel {
                    id: cell.id(),
                    cell: cell.to_string(),
                    parties: Vec::new(),
                    row: Some(row),
                    column: Some(column),
                    verdict,
                    standing,
                    asked: true,
                    sentence: String::new(),
                    known: None,
                    charged,
                    because: None,
                    counts: Counts::default(),
                    evidence: Vec::new(),
                    evidence_total: 0,
                    reproduce: None,
                    change: None,
                    history: Vec::new(),
                });
            }
        }
        Grid {
            from: Some("a".parse().unwrap()),
            to: Some("b".parse().unwrap()),
            symmetric: false,
            axes: BTreeMap::new(),
            rows: (0..picture.len()).map(|n| format!("r{n}")).collect(),
            columns: (0..picture[0].len()).map(|n| format!("c{n}")).collect(),
            cells,
        }
    }

    fn found(picture: &[&str]) -> Vec<Finding> {
        let check = CheckModel {
            name: "pay".parse().unwrap(),
            about: String::new(),
            tally: Default::default(),
            grids: vec![drawn(picture)],
            sets: Vec::new(),
        };
        findings(&[check], &Commits::new())
    }

    #[test]
    fn neighbours_that_share_a_fate_are_one_finding() {
        let check = |picture: &[&str], expect: &[&str]| {
            let found: Vec<String> = found(picture).into_iter().map(|finding| finding.text).collect();
            assert_eq!(found, expect, "{picture:?}");
        };
        check(&["..", ".."], &[]);
        check(&["..", ".F"], &["a r1 → b c1"]);
        check(
            &["..FF", "..FF", "FF..", "FF.."],
            &["a r0 and r1 → b c2 and c3 (4 cells)", "a r2 and r3 → b c0 and c1 (4 cells)"],
        );
        check(&[".F.", ".F.", ".F."], &["a r0 … r2 → b c1 (3 cells)"]);
        // The taller block is larger than the wider one.
        check(&["FF", "F.", "F."], &["a r0 … r2 → b c0 (3 cells)", "a r0 → b c1"]);
        // What says nothing is passed over, and never counted.
        check(&["F?F", "???", "F?F"], &["a r0 … r2 → b c0 … c2 (4 cells)"]);
        check(&["F?.", "?F."], &["a r0 → b c0", "a r1 → b c1"]);
        check(&["F??", "???"], &["a r0 → b c0"]);
        check(&["FKF"], &["a r0 → b c0", "a r0 → b c2"]);
        check(&["EF"], &["a r0 → b c1", "a r0 → b c0"]);
    }

    #[test]
    fn what_one_party_is_to_blame_for_is_one_finding() {
        let texts = |picture: &[&str]| -> Vec<String> { found(picture).into_iter().map(|one| one.text).collect() };
        assert_eq!(texts(&[".B.", "bBb", ".B."]), ["a r1 (2 cells)", "b c1 (3 cells)"]);
        // It says nothing about its neighbours, which are one finding beside it.
        assert_eq!(texts(&["FBF", "FBF"]), ["a r0 and r1 → b c0 … c2 (4 cells)", "b c1 (2 cells)"]);
    }

    #[test]
    fn sets_that_differ_in_one_party_are_one_finding() {
        let grid = drawn(&["............"; 12]);
        let texts = |sets: &[&[&str]]| -> Vec<String> {
            let set = |parties: &&[&str]| {
                let parties = parties.iter().map(|party| (*party).to_owned()).collect();
                let (verdict, standing) = (Word::Interference, Standing::Wrong);
                CellModel { parties, row: None, column: None, verdict, standing, ..grid.cells[0].clone() }
            };
            let check = CheckModel {
                name: "pay".parse().unwrap(),
                about: String::new(),
                tally: Default::default(),
                grids: vec![grid.clone()],
                sets: sets.iter().map(set).collect(),
            };
            findings(&[check], &Commits::new()).into_iter().map(|finding| finding.text).collect()
        };
        assert_eq!(texts(&[&["a@r10", "a@r9", "b@c1"]]), ["a@r9, a@r10, b@c1 together"]);
        let alike: [&[&str]; 3] = [&["a@r1", "a@r10", "a@r9"], &["a@r1", "a@r11", "a@r9"], &["a@r1", "a@r2", "a@r9"]];
        assert_eq!(texts(&alike), ["a@r1, a@r9 together with any of a@r2, a@r10, a@r11 (3 cells)"]);
    }

    #[test]
    fn neighbours_tell_where_it_began() {
        let check = |picture: &[&str], expect: Option<(&str, &str, &str, bool)>| {
            let found = found(picture).into_iter().find(|finding| finding.verdict == Word::Fail).unwrap();
            let boundary = found.boundary.as_ref();
            let told = boundary.map(|at| (at.role.as_ref(), at.older.as_str(), at.newer.as_str(), at.broke));
            assert_eq!(told, expect, "{picture:?}");
        };
        check(&["..FF", "..FF"], Some(("b", "c1", "c2", true)));
        check(&["....", "FFFF"], Some(("a", "r0", "r1", true)));
        check(&["FF..", "FF.."], Some(("b", "c1", "c2", false)));
        check(&["FFFF", "...."], Some(("a", "r0", "r1", false)));
        // What says nothing is passed over; what does not pass ends the search.
        check(&[".?F", "..F"], Some(("b", "c1", "c2", true)));
        check(&[".BF", ".BF"], Some(("b", "c0", "c2", true)));
        check(&[".EF", ".EF"], None);
        check(&["FF", "FF"], None);
    }
}
