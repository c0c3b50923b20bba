//! Compatibility windows: for each two roles, the ranges of versions of which each one works with each.
//!
//! Only what was seen working is in a range. What one version is to blame for alone (it is broken, flaky or could not be
//! built) is told once and passed over: it says nothing about its partners.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{Party, RoleKind, RoleName, Subject, VerdictKind, VersionId};

use super::input::Input;
use super::model::{Except, Window, Windows};
use super::standing::Row;
use super::words::{Word, count};

/// Ranges told for one pair of roles.
const RANGES: usize = 6;

/// What is known of two parties, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Works,
    Open,
    Fails,
}

/// The windows of each pair of roles that some cell is about, in the order of the roles.
pub(super) fn windows(input: &Input<'_>, rows: &[Row<'_>]) -> Vec<Windows> {
    let mut roles: BTreeMap<&RoleName, usize> = BTreeMap::new();
    for (n, role) in input.judged.matrix.roles.iter().enumerate() {
        // A pinned role (a database) has one version, which is in question nowhere.
        if !matches!(role.kind, RoleKind::Pinned(_)) {
            roles.insert(&role.name, n);
        }
    }
    let order: BTreeMap<&VersionId, usize> =
        input.judged.matrix.versions.iter().zip(0..).map(|(version, n)| (&version.id, n)).collect();
    let key = |party: &Party| Some((*roles.get(&party.role)?, *order.get(&party.version)?));

    let except = except(rows);
    let mut pairs: BTreeMap<(usize, usize), Pairs> = BTreeMap::new();
    for row in rows {
        let (Subject::Ordered(a, b) | Subject::Symmetric(a, b)) = &row.cell.subject else { continue };
        if except.contains_key(a) || except.contains_key(b) {
            continue;
        }
        let (Some(a), Some(b), Some(known)) = (key(a), key(b), known(row.word)) else { continue };
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let worst = pairs.entry((a.0, b.0)).or_default().entry((a.1, b.1)).or_insert(known);
        *worst = (*worst).max(known);
    }
    let names: Vec<&RoleName> = input.judged.matrix.roles.iter().map(|role| &role.name).collect();
    let versions: Vec<&VersionId> = input.judged.matrix.versions.iter().map(|version| &version.id).collect();
    let of = |((a, b), pairs): ((usize, usize), Pairs)| {
        let (a, b) = (names[a], names[b]);
        let out = except.iter().filter(|(party, _)| party.role == *a || party.role == *b);
        let mut out: Vec<Except> = out
            .map(|(party, verdict)| Except {
                role: party.role.clone(),
                version: party.version.clone(),
                verdict: *verdict,
            })
            .collect();
        out.sort_by_key(|except| (roles.get(&except.role).copied(), order.get(&except.version).copied()));
        Field::new(a, b, &pairs).windows(&versions, out)
    };
    pairs.into_iter().map(of).collect()
}

/// What is known of pairs of versions, by their places in the order of versions.
type Pairs = BTreeMap<(usize, usize), Known>;

/// Who is to blame alone, and for what at worst.
fn except(rows: &[Row<'_>]) -> BTreeMap<Party, Word> {
    let mut except: BTreeMap<Party, Word> = BTreeMap::new();
    for row in rows {
        let party = match (&row.verdict.kind, &row.cell.subject) {
            (VerdictKind::Broken { party } | VerdictKind::Flaky { charged: Some(party) }, _) => party,
            (VerdictKind::Unbuilt { .. } | VerdictKind::Fail | VerdictKind::Flaky { .. }, Subject::Alone(party)) => {
                party
            }
            _ => continue,
        };
        let worst = except.entry(party.clone()).or_insert(row.word);
        *worst = row.word.min(*worst);
    }
    except
}

/// What a verdict on a pair says; none when the question makes no sense for it.
fn known(word: Word) -> Option<Known> {
    match word {
        Word::Pass => Some(Known::Works),
        Word::Fail | Word::Broken | Word::Interference | Word::Flaky | Word::Unbuilt => Some(Known::Fails),
        Word::Error | Word::Untested => Some(Known::Open),
        Word::Unsupported => None,
    }
}

/// What is known of two roles: a row for each version of the first, a column for each of the second.
struct Field<'a> {
    a: &'a RoleName,
    b: &'a RoleName,
    /// Places in the order of versions.
    rows: Vec<usize>,
    columns: Vec<usize>,
    known: Vec<Vec<Option<Known>>>,
}

/// Rows and columns, the last included.
type Range = ((usize, usize), (usize, usize));

impl<'a> Field<'a> {
    fn new(a: &'a RoleName, b: &'a RoleName, pairs: &Pairs) -> Self {
        let mut rows: BTreeSet<usize> = pairs.keys().map(|(row, _)| *row).collect();
        let mut columns: BTreeSet<usize> = pairs.keys().map(|(_, column)| *column).collect();
        if a == b {
            rows.append(&mut columns.clone());
            columns.clone_from(&rows);
        }
        let (rows, columns): (Vec<usize>, Vec<usize>) = (rows.into_iter().collect(), columns.into_iter().collect());
        let at = |row: usize, column: usize| pairs.get(&(row, column)).copied();
        let line = |row: &usize| columns.iter().map(|column| at(*row, *column)).collect();
        Self { a, b, known: rows.iter().map(line).collect(), rows, columns }
    }

    fn is_one_role(&self) -> bool {
        self.a == self.b
    }

    /// Covers what works with ranges, each time with the one that tells most that is not told yet.
    fn windows(&self, versions: &[&VersionId], except: Vec<Except>) -> Windows {
        let mut left: Vec<Vec<bool>> =
            self.known.iter().map(|line| line.iter().map(|known| *known == Some(Known::Works)).collect()).collect();
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
        let mut windows = Windows {
            a: self.a.clone(),
            b: self.b.clone(),
            works: ranges.iter().map(|range| self.window(range, versions)).collect(),
            works_elsewhere: left.iter().flatten().filter(|left| **left).count() as u32,
            fails: all(Known::Fails),
            open: all(Known::Open),
            except,
            text: Vec::new(),
        };
        windows.text = ranges.iter().map(|range| self.sentence(range, versions)).collect();
        windows.text.extend(rest(&windows));
        windows
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
        let works = |row: usize, column: usize| self.known[row][column] == Some(Known::Works);
        for top in 0..self.rows.len() {
            if self.is_one_role() {
                // A square on the diagonal, of which the half above it is known.
                let (mut gain, mut bottom) = (0, top);
                while bottom < self.rows.len() && (top..=bottom).all(|row| works(row, bottom)) {
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
                    *open = open.filter(|_| apart && works(bottom, column)).map(|gain| gain + u32::from(left[column]));
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

    fn window(&self, (rows, columns): &Range, versions: &[&VersionId]) -> Window {
        let ends = |(first, last): (usize, usize), of: &[usize]| [first, last].map(|at| versions[of[at]].clone());
        Window { a: ends(*rows, &self.rows), b: ends(*columns, &self.columns) }
    }

    fn sentence(&self, (rows, columns): &Range, versions: &[&VersionId]) -> String {
        let (a, b) = (range(self.a, *rows, &self.rows, versions), range(self.b, *columns, &self.columns, versions));
        match (self.is_one_role() && rows == columns, rows.0 == rows.1) {
            (true, true) => format!("{a} works with itself"),
            (true, false) if rows.1 - rows.0 + 1 == self.rows.len() => format!("{a} works with every other"),
            (true, false) => format!("{a} work with each other"),
            (false, _) => format!("{a} works with {b}"),
        }
    }
}

/// `every node`, `node ≥ v3`, `node ≤ v3`, `node v3`, `node v3 and v4`, `node v3 … v5`.
fn range(role: &RoleName, (first, last): (usize, usize), of: &[usize], versions: &[&VersionId]) -> String {
    let name = |at: usize| versions[of[at]];
    match (first == 0, last + 1 == of.len()) {
        _ if first == last => format!("{role} {}", name(first)),
        (true, true) => format!("every {role}"),
        (false, true) => format!("{role} ≥ {}", name(first)),
        (true, false) => format!("{role} ≤ {}", name(last)),
        (false, false) if first + 1 == last => format!("{role} {} and {}", name(first), name(last)),
        (false, false) => format!("{role} {} … {}", name(first), name(last)),
    }
}

/// What is in no range, in one sentence.
fn rest(windows: &Windows) -> Option<String> {
    let mut parts = Vec::new();
    if windows.works_elsewhere > 0 {
        let verb = if windows.works_elsewhere == 1 { "works" } else { "work" };
        parts.push(format!("{} {verb} besides", count(windows.works_elsewhere, "pair")));
    }
    if windows.fails > 0 {
        let verb = if windows.fails == 1 { "does" } else { "do" };
        parts.push(format!("{} {verb} not work", count(windows.fails, "pair")));
    }
    if windows.open > 0 {
        let verb = if windows.open == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} open", count(windows.open, "pair")));
    }
    parts.extend(windows.except.iter().map(|Except { role, version, verdict }| match verdict {
        Word::Fail | Word::Broken => format!("{role} {version} is broken alone"),
        Word::Unbuilt => format!("{role} {version} could not be built"),
        other => format!("{role} {version} is {other} alone"),
    }));
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Draws a field: `+` works, `x` fails, `?` is open, `.` was not asked.
    fn told(a: &str, b: &str, lines: &[&str]) -> Vec<String> {
        let pairs: Pairs = lines
            .iter()
            .enumerate()
            .flat_map(|(row, line)| line.chars().enumerate().map(move |(column, c)| ((row, column), c)))
            .filter_map(|(at, c)| {
                Some((
                    at,
                    match c {
                        '+' => Known::Works,
                        'x' => Known::Fails,
                        '?' => Known::Open,
                        _ => return None,
                    },
                ))
            })
            .collect();
        let versions: Vec<VersionId> = (1..=9).map(|n| VersionId::new(&format!("v{n}"))).collect();
        let versions: Vec<&VersionId> = versions.iter().collect();
        let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
        Field::new(&a, &b, &pairs).windows(&versions, Vec::new()).text
    }

    #[test]
    fn windows_of_two_roles() {
        assert_eq!(told("node", "notary", &["++", "++"]), ["every node works with every notary"]);
        assert_eq!(
            told("node", "notary", &["xxx", "x++", "x++"]),
            ["node ≥ v2 works with notary ≥ v2", "5 pairs do not work"]
        );
        assert_eq!(
            told("node", "notary", &["+xx", "++?", "+++"]),
            [
                "node ≥ v2 works with notary ≤ v2",
                "every node works with notary v1",
                "node v3 works with every notary",
                "2 pairs do not work; 1 pair is open",
            ]
        );
        // What was not asked is claimed by nobody.
        assert_eq!(
            told("node", "notary", &["..+", "..+", "+++"]),
            ["every node works with notary v3", "node v3 works with every notary"]
        );
        assert_eq!(told("node", "notary", &["xx", "xx"]), ["4 pairs do not work"]);
    }

    #[test]
    fn windows_of_one_role() {
        assert_eq!(told("node", "node", &["+++", ".++", "..+"]), ["every node works with every other"]);
        assert_eq!(
            told("node", "node", &["++xx", ".+xx", "..++", "...+"]),
            ["node ≤ v2 work with each other", "node ≥ v3 work with each other", "4 pairs do not work"]
        );
        // A release that only its neighbours understand, and two that meet over its head.
        assert_eq!(
            told("node", "node", &["+++", ".+x", "..+"]),
            [
                "node ≤ v2 work with each other",
                "node v1 works with node ≥ v2",
                "node v3 works with itself",
                "1 pair does not work"
            ]
        );
        // A candidate with the others: a line, and no square.
        assert_eq!(
            told("node", "node", &["...+", "...+", "...+", "...+"]),
            ["node ≤ v3 works with node v4", "node v4 works with itself"]
        );
    }

    proptest! {
        /// No range claims a pair that was not seen working, and every pair that was is in a range or counted.
        #[test]
        fn ranges_claim_what_works(
            one_role in any::<bool>(),
            cells in proptest::collection::vec(proptest::option::of(0..4_u8), 49),
        ) {
            let pairs: Pairs = cells.iter().enumerate().filter_map(|(n, known)| {
                let at = (n / 7, n % 7);
                let known = match (*known)? { 0 => Known::Fails, 1 => Known::Open, _ => Known::Works };
                (!one_role || at.0 <= at.1).then_some((at, known))
            }).collect();
            let versions: Vec<VersionId> = (0..7).map(|n| VersionId::new(&format!("v{n}"))).collect();
            let versions: Vec<&VersionId> = versions.iter().collect();
            let (a, b) = ("node".parse().unwrap(), if one_role { "node" } else { "notary" }.parse().unwrap());
            let field = Field::new(&a, &b, &pairs);
            let windows = field.windows(&versions, Vec::new());
            let place = |version: &VersionId| versions.iter().position(|other| *other == version).unwrap();
            let mut claimed = BTreeSet::new();
            for Window { a, b } in &windows.works {
                let within = |places: &[usize], [oldest, newest]: &[VersionId; 2]| -> Vec<usize> {
                    places.iter().copied().filter(|at| (place(oldest)..=place(newest)).contains(at)).collect()
                };
                for row in within(&field.rows, a) {
                    for column in within(&field.columns, b) {
                        let at = if one_role { (row.min(column), row.max(column)) } else { (row, column) };
                        prop_assert_eq!(pairs.get(&at), Some(&Known::Works), "{:?} claims {:?}", windows, at);
                        claimed.insert(at);
                    }
                }
            }
            let works = pairs.values().filter(|known| **known == Known::Works).count();
            prop_assert_eq!(claimed.len() + windows.works_elsewhere as usize, works);
        }
    }
}
