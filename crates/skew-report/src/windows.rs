//! Compatibility windows: for each two roles, the ranges of versions of which each one works with each.
//!
//! Only what was asked and seen working is in a range. What one version is to blame for alone (it is broken, flaky or could
//! not be built) is passed over, because it says nothing about its partners; every range that passes over it says so, and
//! why stands beside it.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{Cell, Party, RoleKind, RoleName, SourceName, Subject, VerdictKind, Version, VersionId};
use skew_core::text::count;

use super::input::Input;
use super::model::{Except, Window, Windows};
use super::range::runs;
use super::standing::Row;
use super::words::{Word, list, point};

/// Ranges told for one pair of roles.
const RANGES: usize = 6;

/// Versions of one role that ranges pass over; where more are to blame alone, each of them ends a range.
const PASSED_OVER: usize = 6;

/// Sets that are named one by one.
const SETS: usize = 3;

/// What is known of two parties, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Works,
    /// It works in every check that both have.
    WorksWhereThere,
    Open,
    Fails,
}

/// The windows of each pair of roles that some cell is about, in the order of the roles.
pub(super) fn windows(input: &Input<'_>, rows: &[Row<'_>]) -> Vec<Windows> {
    let matrix = input.judged.matrix;
    let mut roles: BTreeMap<&RoleName, usize> = BTreeMap::new();
    for (n, role) in matrix.roles.iter().enumerate() {
        // A pinned role (a database) has one version, which is in question nowhere.
        if !matches!(role.kind, RoleKind::Pinned(_)) {
            roles.insert(&role.name, n);
        }
    }
    let order: BTreeMap<&VersionId, usize> =
        matrix.versions.iter().zip(0..).map(|(version, n)| (&version.id, n)).collect();
    let key = |party: &Party| Some((*roles.get(&party.role)?, *order.get(&party.version)?));

    let except = except(rows);
    let mut pairs: BTreeMap<(usize, usize), Pairs> = BTreeMap::new();
    // What was asked first: of a pair that was not, nothing is told; but what was seen of one contradicts what was asked.
    let (asked, others): (Vec<&Row<'_>>, Vec<&Row<'_>>) = rows.iter().partition(|row| row.asked);
    for row in asked.into_iter().chain(others) {
        let (Subject::Ordered(a, b) | Subject::Symmetric(a, b)) = &row.cell.subject else { continue };
        if except.contains_key(a) || except.contains_key(b) {
            continue;
        }
        let (Some(a), Some(b)) = (key(a), key(b)) else { continue };
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let pairs = pairs.entry((a.0, b.0)).or_default();
        match pairs.get_mut(&(a.1, b.1)) {
            // What was not asked is no reason to say that it works, but one not to.
            Some(known) if row.asked || row.word != Word::Pass => known.add(row.word),
            Some(_) => {}
            None if row.asked => drop(pairs.insert((a.1, b.1), Tried::new(row.word))),
            None => {}
        }
    }
    let of = |((a, b), tried): ((usize, usize), Pairs)| {
        let pairs = tried.into_iter().filter_map(|(at, tried)| Some((at, tried.known()?))).collect();
        let members = |role: usize| -> Vec<usize> {
            let members = &matrix.roles[role].members;
            matrix.versions.iter().enumerate().filter(|(_, v)| members.contains_key(&v.id)).map(|(n, _)| n).collect()
        };
        let (row_members, column_members) = (members(a), members(b));
        let (a, b) = (&matrix.roles[a].name, &matrix.roles[b].name);
        let mut blamed: Vec<(&Party, &Blame<'_>)> =
            except.iter().filter(|(party, _)| party.role == *a || party.role == *b).map(|(p, b)| (*p, b)).collect();
        blamed.sort_by_key(|(party, _)| key(party));
        let passed_over = |role: &RoleName| -> BTreeSet<usize> {
            let of = blamed.iter().filter(|(party, _)| party.role == *role);
            let places: BTreeSet<usize> = of.filter_map(|(party, _)| Some(*order.get(&party.version)?)).collect();
            if places.len() > PASSED_OVER { BTreeSet::new() } else { places }
        };
        let side = |role, members| Side { role, members, passed_over: passed_over(role), versions: &matrix.versions };
        let field = Field::new(side(a, row_members), side(b, column_members), &pairs);
        let mut windows = field.windows(matrix.only.is_some());
        windows.except = blamed
            .iter()
            .map(|(party, blame)| Except {
                role: party.role.clone(),
                version: party.version.clone(),
                verdict: blame.word,
            })
            .collect();
        let mut rest: Vec<String> = blamed.iter().map(|(party, blame)| blame.text(party)).collect();
        rest.extend(sets(rows, a, b));
        rest.extend(others_of(&windows));
        windows.text.extend((!rest.is_empty()).then(|| format!("{a} – {b}: {}", rest.join("; "))));
        windows
    };
    pairs.into_iter().map(of).collect()
}

/// What is known of pairs of versions, by their places in the order of versions.
type Pairs = BTreeMap<(usize, usize), Tried>;

/// What the cells of a pair came to.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    /// The worst of what they say; none when all of them are of checks that one of the two does not have.
    worst: Option<Known>,
    /// Whether one is of a check that one of the two does not have.
    unsupported: bool,
}

impl Tried {
    fn new(word: Word) -> Self {
        let mut tried = Self::default();
        tried.add(word);
        tried
    }

    fn add(&mut self, word: Word) {
        let known = match word {
            Word::Pass => Known::Works,
            Word::Fail | Word::Broken | Word::Interference | Word::Flaky | Word::Unbuilt => Known::Fails,
            Word::Error | Word::Untested => Known::Open,
            Word::Unsupported => {
                self.unsupported = true;
                return;
            }
        };
        self.worst = self.worst.max(Some(known));
    }

    fn known(self) -> Option<Known> {
        match self.worst {
            Some(Known::Works) if self.unsupported => Some(Known::WorksWhereThere),
            worst => worst,
        }
    }
}

/// What a party is to blame for alone, at worst.
struct Blame<'a> {
    word: Word,
    cell: &'a Cell,
}

impl Blame<'_> {
    fn text(&self, party: &Party) -> String {
        let Party { role, version } = party;
        let with = if self.cell.axes.is_empty() { String::new() } else { format!(" with {}", point(&self.cell.axes)) };
        match self.word {
            Word::Unbuilt => format!("{role} {version} could not be built"),
            Word::Fail => format!("{role} {version} fails {}{with}", self.cell.check),
            word => format!("{role} {version} is {word} in {}{with}", self.cell.check),
        }
    }
}

/// Who is to blame alone, and for what at worst.
fn except<'a>(rows: &[Row<'a>]) -> BTreeMap<&'a Party, Blame<'a>> {
    let mut except: BTreeMap<&Party, Blame<'_>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.asked) {
        let party = match (&row.verdict.kind, &row.cell.subject) {
            (VerdictKind::Broken { party } | VerdictKind::Flaky { charged: Some(party) }, _) => party,
            (VerdictKind::Unbuilt { .. } | VerdictKind::Fail | VerdictKind::Flaky { .. }, Subject::Alone(party)) => {
                party
            }
            _ => continue,
        };
        let blame = Blame { word: row.word, cell: row.cell };
        match except.get_mut(party) {
            Some(worst) if worst.word <= blame.word => {}
            Some(worst) => *worst = blame,
            None => drop(except.insert(party, blame)),
        }
    }
    except
}

/// Sets that fail together and that hold both roles.
fn sets(rows: &[Row<'_>], a: &RoleName, b: &RoleName) -> Vec<String> {
    let mut failing = Vec::new();
    for row in rows {
        let Subject::Set(set) = &row.cell.subject else { continue };
        let of = |role: &RoleName| set.iter().filter(|party| party.role == *role).count();
        let holds_both = if a == b { of(a) > 1 } else { of(a) > 0 && of(b) > 0 };
        let how = match row.word {
            Word::Fail | Word::Broken | Word::Interference => "fail together",
            Word::Flaky => "are flaky together",
            Word::Unbuilt | Word::Error | Word::Untested | Word::Unsupported | Word::Pass => continue,
        };
        if holds_both {
            let axes = &row.cell.axes;
            let with = if axes.is_empty() { String::new() } else { format!(" with {}", point(axes)) };
            let names: Vec<String> = set.iter().map(|party| format!("{} {}", party.role, party.version)).collect();
            failing.push(format!("{} {how} in {}{with}", list(&names), row.cell.check));
        }
    }
    if failing.len() > SETS {
        failing = vec![format!("{} of these versions do not work together", count(failing.len() as u32, "set"))];
    }
    failing
}

/// What is in no range, apart from what one version is to blame for alone.
fn others_of(windows: &Windows) -> Vec<String> {
    let more = if windows.except.is_empty() { "" } else { "more " };
    let pairs = |n: u32| count(n, &format!("{more}pair"));
    let mut parts = Vec::new();
    if windows.works_elsewhere > 0 {
        let verb = if windows.works_elsewhere == 1 { "works" } else { "work" };
        parts.push(format!("{} {verb} besides", count(windows.works_elsewhere, "pair")));
    }
    if windows.fails > 0 {
        let verb = if windows.fails == 1 { "does" } else { "do" };
        parts.push(format!("{} {verb} not work", pairs(windows.fails)));
    }
    if windows.open > 0 {
        let verb = if windows.open == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} not settled", pairs(windows.open)));
    }
    parts
}

/// A role and its versions, by their places in the order of versions.
struct Side<'a> {
    role: &'a RoleName,
    /// Every version that it has.
    members: Vec<usize>,
    /// Those that a range may pass over.
    passed_over: BTreeSet<usize>,
    versions: &'a [Version],
}

impl Side<'_> {
    fn name(&self, at: usize) -> &str {
        self.versions[at].id.as_str()
    }

    fn source(&self, at: usize) -> &SourceName {
        &self.versions[at].source
    }

    /// `every node`, `node ≥ v3`, `node ≤ v3`, `node v3`, `node v3 and v4`, `node v3 … v5`, each with what it leaves out.
    fn range(&self, chosen: &[usize]) -> String {
        let role = self.role;
        let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return role.to_string() };
        if first == last {
            return format!("{role} {}", self.name(*first));
        }
        let span = self.members.iter().filter(|at| (first..=last).contains(at));
        let missing: Vec<usize> = span.filter(|at| !chosen.contains(at)).copied().collect();
        let one_source = self.members.iter().all(|at| self.source(*at) == self.source(*first));
        let (from_first, to_last) = (self.members.first() == Some(first), self.members.last() == Some(last));
        let whole = from_first && to_last;
        if (!one_source && !whole) || !missing.iter().all(|at| self.passed_over.contains(at)) {
            let names: Vec<&str> = chosen.iter().map(|at| self.name(*at)).collect();
            let place = |name: &str| self.members.iter().position(|at| self.name(*at) == name);
            let follows = |older: &str, newer: &str| match (place(older), place(newer)) {
                (Some(a), Some(b)) => a + 1 == b && self.source(self.members[a]) == self.source(self.members[b]),
                (Some(_) | None, _) => false,
            };
            return format!("{role} {}", list(&runs(&names, follows)));
        }
        let span = match (from_first, to_last) {
            (true, true) => format!("every {role}"),
            (false, true) => format!("{role} ≥ {}", self.name(*first)),
            (true, false) => format!("{role} ≤ {}", self.name(*last)),
            (false, false) if chosen.len() == 2 && missing.is_empty() => {
                format!("{role} {} and {}", self.name(*first), self.name(*last))
            }
            (false, false) => format!("{role} {} … {}", self.name(*first), self.name(*last)),
        };
        let missing: Vec<&str> = missing.iter().map(|at| self.name(*at)).collect();
        if missing.is_empty() { span } else { format!("{span} except {}", list(&missing)) }
    }
}

/// What is known of two roles: a row for each version of the first, a column for each of the second.
struct Field<'a> {
    a: Side<'a>,
    b: Side<'a>,
    /// Places in the order of versions.
    rows: Vec<usize>,
    columns: Vec<usize>,
    known: Vec<Vec<Option<Known>>>,
}

/// Rows and columns, the last included.
type Range = ((usize, usize), (usize, usize));

impl<'a> Field<'a> {
    fn new(a: Side<'a>, b: Side<'a>, pairs: &BTreeMap<(usize, usize), Known>) -> Self {
        let mut rows: BTreeSet<usize> = pairs.keys().map(|(row, _)| *row).collect();
        let mut columns: BTreeSet<usize> = pairs.keys().map(|(_, column)| *column).collect();
        if a.role == b.role {
            rows.append(&mut columns.clone());
            columns.clone_from(&rows);
        }
        let (rows, columns): (Vec<usize>, Vec<usize>) = (rows.into_iter().collect(), columns.into_iter().collect());
        let at = |row: usize, column: usize| pairs.get(&(row, column)).copied();
        let line = |row: &usize| columns.iter().map(|column| at(*row, *column)).collect();
        Self { a, b, known: rows.iter().map(line).collect(), rows, columns }
    }

    fn is_one_role(&self) -> bool {
        self.a.role == self.b.role
    }

    fn works(&self, row: usize, column: usize) -> bool {
        matches!(self.known[row][column], Some(Known::Works | Known::WorksWhereThere))
    }

    /// Covers what works with ranges, each time with the one that tells most that is not told yet. `narrowed` when less was
    /// asked than the strategy asks.
    fn windows(&self, narrowed: bool) -> Windows {
        let (height, width) = (self.rows.len(), self.columns.len());
        let mut left: Vec<Vec<bool>> =
            (0..height).map(|row| (0..width).map(|column| self.works(row, column)).collect()).collect();
        let mut ranges = Vec::new();
        while ranges.len() < RANGES
            && let Some(range) = self.best(&left)
        {
            let ((top, bottom), (first, last)) = range;
            for line in &mut left[top..=bottom] {
                line[first..=last].fill(false);
            }
            ranges.push(range);
        }
        let all = |what: Known| self.known.iter().flatten().filter(|known| **known == Some(what)).count() as u32;
        Windows {
            a: self.a.role.clone(),
            b: self.b.role.clone(),
            works: ranges.iter().map(|range| self.window(range)).collect(),
            works_elsewhere: left.iter().flatten().filter(|left| **left).count() as u32,
            fails: all(Known::Fails),
            open: all(Known::Open),
            except: Vec::new(),
            text: ranges.iter().map(|range| self.sentence(range, narrowed)).collect(),
        }
    }

    /// The range of pairs that work with the most that is not told yet. Of one role with itself, a range is either a row
    /// of versions that all work with each other, or two that share none.
    fn best(&self, left: &[Vec<bool>]) -> Option<Range> {
        let mut best: Option<((u32, usize), Range)> = None;
        let mut offer = |gain: u32, range: Range| {
            let ((top, bottom), (first, last)) = range;
            // Of those that tell as much that is new, the one that says most.
            let worth = (gain, (bottom - top + 1) * (last - first + 1));
            if gain > 0 && best.is_none_or(|(most, _)| worth > most) {
                best = Some((worth, range));
            }
        };
        for top in 0..self.rows.len() {
            if self.is_one_role() {
                // A square on the diagonal, of which the half above it is known.
                let (mut gain, mut bottom) = (0, top);
                while bottom < self.rows.len() && (top..=bottom).all(|row| self.works(row, bottom)) {
                    gain += (top..=bottom).filter(|row| left[*row][bottom]).count() as u32;
                    offer(gain, ((top, bottom), (top, bottom)));
                    bottom += 1;
                }
            }
            // Columns that work with every row from `top` to `bottom`, and how many of these are not told yet.
            let mut open = vec![Some(0_u32); self.columns.len()];
            for (bottom, left) in left.iter().enumerate().skip(top) {
                let mut run: Option<(usize, u32)> = None;
                for (column, open) in open.iter_mut().enumerate() {
                    let apart = !self.is_one_role() || column > bottom;
                    *open =
                        open.filter(|_| apart && self.works(bottom, column)).map(|gain| gain + u32::from(left[column]));
                    run = open.map(|gain| match run {
                        Some((first, sum)) => (first, sum + gain),
                        None => (column, gain),
                    });
                    if let Some((first, gain)) = run {
                        offer(gain, ((top, bottom), (first, column)));
                    }
                }
            }
        }
        best.map(|(_, range)| range)
    }

    fn window(&self, (rows, columns): &Range) -> Window {
        let ends = |(first, last): (usize, usize), of: &[usize], side: &Side<'_>| {
            [first, last].map(|at| side.versions[of[at]].id.clone())
        };
        Window { a: ends(*rows, &self.rows, &self.a), b: ends(*columns, &self.columns, &self.b) }
    }

    fn sentence(&self, (rows, columns): &Range, narrowed: bool) -> String {
        let a = self.a.range(&self.rows[rows.0..=rows.1]);
        let mut text = match (self.is_one_role() && rows == columns, rows.0 == rows.1) {
            (true, true) => format!("{a} works with itself"),
            (true, false) if a.starts_with("every ") => format!("{a} works with every other"),
            (true, false) => format!("{a} work with each other"),
            (false, _) => format!("{a} works with {}", self.b.range(&self.columns[columns.0..=columns.1])),
        };
        let partly =
            (rows.0..=rows.1).any(|row| self.known[row][columns.0..=columns.1].contains(&Some(Known::WorksWhereThere)));
        if partly {
            text.push_str(", in the checks that exist at both");
        }
        if narrowed {
            text.push_str(" (of what --only asked)");
        }
        text
    }
}

#[cfg(test)]
mod tests;
