//! Neighbouring cells that share a fate, as blocks: what a block names is in it, and nothing else is named.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{RoleName, VersionId};

use super::model::{Boundary, CellModel, CheckModel, Grid};
use super::range::Order;
use super::words::{Word, list};

/// Parties named of those that fail once they join others.
const JOINING: usize = 8;

/// Ranges of versions on one side of a block.
const RANGES: usize = 4;

/// Neighbouring cells that share what they are looked at for.
pub(super) struct Block<'a, K> {
    /// What they share.
    pub key: K,
    /// In words: which versions.
    pub place: String,
    /// Between which versions it began, where the neighbours tell.
    pub boundary: Option<Boundary>,
    /// All of them.
    pub cells: Vec<&'a CellModel>,
}

/// Sums up the cells of a check that have a key: those of its matrices as blocks, each set by itself.
pub(super) fn blocks<'a, K: PartialEq + Copy>(
    check: &'a CheckModel,
    order: &Order<'_>,
    key: &impl Fn(&CellModel) -> Option<K>,
) -> Vec<Block<'a, K>> {
    let mut blocks = Vec::new();
    for grid in &check.grids {
        let at = places(grid);
        let area = Area { grid, at: &at, order };
        blocks.extend(area.rectangles(key).into_iter().map(|rectangle| area.block(rectangle)));
    }
    blocks.extend(sets(check, key));
    blocks
}

/// Sets that differ in one party are one block: whoever joins the others fails with them.
fn sets<'a, K: PartialEq + Copy>(check: &'a CheckModel, key: &impl Fn(&CellModel) -> Option<K>) -> Vec<Block<'a, K>> {
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
                && cell.axes == first.axes
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
        let place = if joining.is_empty() {
            format!("{} together", list(&common))
        } else {
            let more = if joining.len() > JOINING { " and others" } else { "" };
            joining.truncate(JOINING);
            format!("{} together with any of {}{more}", list(&common), joining.join(", "))
        };
        blocks.push(Block {
            key: shared,
            place,
            boundary: None,
            cells: of.into_iter().map(|(_, cell)| cell).collect(),
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

/// Rows and columns of which every cell has the same key.
#[derive(Debug, PartialEq, Eq)]
struct Rectangle<K> {
    key: K,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

/// The cells of a matrix by row and column.
type Places<'a> = BTreeMap<(usize, usize), &'a CellModel>;

fn places(grid: &Grid) -> Places<'_> {
    grid.cells.iter().filter_map(|cell| Some(((cell.row?, cell.column?), cell))).collect()
}

/// Whether a cell says nothing about its neighbours: it could not be tried, or one party is to blame alone.
fn is_silent(cell: &CellModel) -> bool {
    cell.charged.is_some() || (cell.verdict == Word::Untested && cell.because.is_some())
}

/// How a place stands to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It belongs to it.
    Same,
    /// It says nothing: a line of such cells does not interrupt a block, and is no part of it.
    Silent,
    /// It ends it.
    Other,
}

/// A matrix, and the order of its versions.
struct Area<'a, 'o> {
    grid: &'a Grid,
    at: &'o Places<'a>,
    order: &'o Order<'o>,
}

impl<'a> Area<'a, '_> {
    /// Covers the cells that have a key with as few blocks as a greedy choice finds.
    fn rectangles<K: PartialEq + Copy>(&self, key: &impl Fn(&CellModel) -> Option<K>) -> Vec<Rectangle<K>> {
        let mut covered = BTreeSet::new();
        let mut rectangles = Vec::new();
        for (&(row, column), cell) in self.at {
            let Some(shared) = key(cell) else { continue };
            if covered.contains(&(row, column)) {
                continue;
            }
            let fits = |row: usize, column: usize| match self.at.get(&(row, column)) {
                // Told already: it neither ends a block nor belongs to it.
                Some(_) if covered.contains(&(row, column)) => Fit::Silent,
                Some(there) if key(there) == Some(shared) => Fit::Same,
                Some(there) if is_silent(there) => Fit::Silent,
                Some(_) | None => Fit::Other,
            };
            let (rows, columns) = (self.grid.rows.as_slice(), self.grid.columns.as_slice());
            let wide = self.grow((row, rows), (column, columns), fits);
            let tall = {
                let (columns, rows) = self.grow((column, columns), (row, rows), |column, row| fits(row, column));
                (rows, columns)
            };
            let area = |(rows, columns): &(Vec<usize>, Vec<usize>)| rows.len() * columns.len();
            let (rows, columns) = if area(&tall) > area(&wide) { tall } else { wide };
            covered.extend(rows.iter().flat_map(|row| columns.iter().map(move |column| (*row, *column))));
            rectangles.push(Rectangle { key: shared, rows, columns });
        }
        rectangles
    }

    /// Grows a block from one place, along the second coordinate first. Every cell of it fits.
    fn grow(
        &self,
        (first, first_names): (usize, &[String]),
        (second, second_names): (usize, &[String]),
        fits: impl Fn(usize, usize) -> Fit,
    ) -> (Vec<usize>, Vec<usize>) {
        let along = |from: usize, names: &[String], fit: &dyn Fn(usize) -> Fit| {
            let mut chosen = vec![from];
            for at in from + 1..names.len() {
                match fit(at) {
                    Fit::Same => chosen.push(at),
                    Fit::Silent => continue,
                    Fit::Other => break,
                }
                let gaps = chosen.windows(2).filter(|pair| !self.order.adjacent(&names[pair[0]], &names[pair[1]]));
                if gaps.count() >= RANGES {
                    chosen.pop();
                    break;
                }
            }
            chosen
        };
        let seconds = along(second, second_names, &|at| fits(first, at));
        let line = |at: usize| {
            let mut line = seconds.iter().map(|second| fits(at, *second));
            match line.next() {
                Some(fit) if line.all(|other| other == fit) => fit,
                Some(_) | None => Fit::Other,
            }
        };
        (along(first, first_names, &line), seconds)
    }

    fn block<K>(&self, rectangle: Rectangle<K>) -> Block<'a, K> {
        let boundary = self.boundary(&rectangle);
        let Rectangle { key, rows, columns } = rectangle;
        let names = |of: &'a [String], at: &[usize]| at.iter().map(|at| of[*at].as_str()).collect::<Vec<&str>>();
        let (row_names, column_names) = (names(&self.grid.rows, &rows), names(&self.grid.columns, &columns));
        let versions = |names: &[&str]| self.order.text(names);
        let place = match (&self.grid.from, &self.grid.to) {
            (Some(from), Some(to)) if self.grid.symmetric => {
                format!("{from} {} and {to} {}", versions(&row_names), versions(&column_names))
            }
            (Some(from), Some(to)) => format!("{from} {} → {to} {}", versions(&row_names), versions(&column_names)),
            (None, _) | (_, None) => format!("{} {}", list(&row_names), versions(&column_names)),
        };
        let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (*row, *column)));
        let cells = places.filter_map(|place| self.at.get(&place).copied()).collect();
        Block { key, place, boundary, cells }
    }

    /// Where it began: the nearest line of cells beside it that says something, when all of that line passes and it comes
    /// from the same source. One before it, which means that a newer version broke what worked, rather than one after it.
    fn boundary<K>(&self, rectangle: &Rectangle<K>) -> Option<Boundary> {
        let Rectangle { rows, columns, .. } = rectangle;
        let (Some(from), Some(to)) = (&self.grid.from, &self.grid.to) else { return None };
        let there = |row: usize, column: usize| {
            let mirrored = || self.at.get(&(column, row)).filter(|_| self.grid.symmetric);
            self.at.get(&(row, column)).or_else(mirrored).copied()
        };
        let row = |row: usize| line(columns.iter().map(|column| there(row, *column)));
        let column = |column: usize| line(rows.iter().map(|row| there(*row, column)));
        let between = |role: &RoleName, names: &[String], older: usize, newer: usize, broke: bool| {
            let of_one_source = self.order.same_source(&names[older], &names[newer]);
            let [older, newer] = [older, newer].map(|at| VersionId::new(&names[at]));
            of_one_source.then(|| Boundary { role: role.clone(), older, newer, broke })
        };
        let before = |role, names: &[String], at: &[usize], line: &dyn Fn(usize) -> Option<bool>| {
            let first = *at.first()?;
            let older = (0..first).rev().find_map(|at| Some((at, line(at)?))).filter(|(_, passes)| *passes)?.0;
            between(role, names, older, first, true)
        };
        let after = |role, names: &[String], at: &[usize], line: &dyn Fn(usize) -> Option<bool>| {
            let last = *at.last()?;
            let newer = (last + 1..names.len()).find_map(|at| Some((at, line(at)?))).filter(|(_, passes)| *passes)?.0;
            between(role, names, last, newer, false)
        };
        before(to, &self.grid.columns, columns, &column)
            .or_else(|| before(from, &self.grid.rows, rows, &row))
            .or_else(|| after(to, &self.grid.columns, columns, &column))
            .or_else(|| after(from, &self.grid.rows, rows, &row))
    }
}

/// Whether every cell of a line passes; none when none of them says anything.
fn line<'a>(cells: impl Iterator<Item = Option<&'a CellModel>>) -> Option<bool> {
    let cells: Vec<Option<&CellModel>> = cells.collect();
    let says = |cell: &Option<&CellModel>| cell.is_some_and(|cell| !is_silent(cell));
    let passes = |cell: &Option<&CellModel>| cell.is_some_and(|cell| cell.verdict == Word::Pass);
    cells.iter().any(says).then(|| cells.iter().all(passes))
}

#[cfg(test)]
mod tests;
