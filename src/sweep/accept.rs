//! Failures as patterns of `[[known]]`: neighbours that share a fate are one pattern, and none matches a cell that works.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{AxisName, AxisPoint, Cell, CheckName, Matrix, Party, RoleName, Subject, Version, VersionId};
use skew_spec::Selector;

/// With more axes than these, patterns name a value of each.
const MOST_AXES: usize = 8;

/// A pattern, and the cells that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Its text.
    pub text: String,
    /// The failures that it accepts.
    pub cells: BTreeSet<Cell>,
}

/// Which cells are alike but for their versions and the values of axes: the check, the arrow, and the roles on both sides.
type Plane = (CheckName, &'static str, RoleName, Option<RoleName>);

/// Patterns for failures. Where all values of two ranges fail together that is one pattern; ranges are closed on both
/// sides, so that no later version is accepted unseen. Values of axes are written where not every value fails.
pub fn patterns(matrix: &Matrix, failures: &BTreeSet<Cell>) -> Vec<Pattern> {
    let mut at: BTreeMap<&AxisPoint, Vec<&Cell>> = BTreeMap::new();
    for cell in failures {
        at.entry(&cell.axes).or_default().push(cell);
    }
    // The values of axes at which the same pattern fails, in the order in which patterns were found.
    let mut texts: Vec<String> = Vec::new();
    let mut points: BTreeMap<String, BTreeMap<AxisPoint, BTreeSet<Cell>>> = BTreeMap::new();
    for (point, cells) in at {
        for Pattern { text, cells } in patterns_at(matrix, &cells) {
            if !points.contains_key(&text) {
                texts.push(text.clone());
            }
            points.entry(text).or_default().insert(point.clone(), cells);
        }
    }
    let pattern = |text: &String| -> Vec<Pattern> {
        let failing = &points[text];
        let written = |(values, points): (AxisPoint, Vec<AxisPoint>)| {
            let cells = points.iter().flat_map(|point| failing[point].clone()).collect();
            let values: Vec<String> = values.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
            let values = if values.is_empty() { String::new() } else { format!(" [{}]", values.join(", ")) };
            Pattern { text: format!("{text}{values}"), cells }
        };
        values_of(matrix, &failing.keys().cloned().collect()).into_iter().map(written).collect()
    };
    texts.iter().flat_map(pattern).collect()
}

/// Patterns for the failures at one value of each axis, which they do not name.
fn patterns_at(matrix: &Matrix, failures: &[&Cell]) -> Vec<Pattern> {
    let mut planes: BTreeMap<Plane, Vec<&Cell>> = BTreeMap::new();
    let mut patterns = Vec::new();
    for &cell in failures {
        match &cell.subject {
            Subject::Alone(a) => planes.entry((cell.check.clone(), "", a.role.clone(), None)).or_default().push(cell),
            Subject::Ordered(a, b) => {
                let plane = (cell.check.clone(), " -> ", a.role.clone(), Some(b.role.clone()));
                planes.entry(plane).or_default().push(cell);
            }
            Subject::Symmetric(a, b) => {
                let plane = (cell.check.clone(), " <-> ", a.role.clone(), Some(b.role.clone()));
                planes.entry(plane).or_default().push(cell);
            }
            Subject::Set(set) => {
                let parties: Vec<String> =
                    set.iter().map(|party| format!("{}@{}", party.role, one(matrix, party))).collect();
                let text = format!("{}: {{{}}}", cell.check, parties.join(", "));
                patterns.push(Pattern { text, cells: BTreeSet::from([cell.clone()]) });
            }
        }
    }
    for (plane, cells) in planes {
        patterns.extend(Merger { matrix, plane: &plane, cells: &cells }.merge());
    }
    patterns
}

/// As few values of axes as name exactly these points, and which of them each names: no values where all points are there.
fn values_of(matrix: &Matrix, points: &BTreeSet<AxisPoint>) -> Vec<(AxisPoint, Vec<AxisPoint>)> {
    let mut left = points.clone();
    let mut named = Vec::new();
    let all: usize = matrix.axes.iter().map(|axis| axis.values.len()).product();
    // Which axes are named: the fewest first. A system has few axes; with more than these, all are named.
    let subsets = 1_usize.checked_shl(matrix.axes.len() as u32).filter(|subsets| *subsets <= 1 << MOST_AXES);
    let mut subsets: Vec<usize> = subsets.map_or_else(|| vec![usize::MAX], |subsets| (0..subsets).collect());
    subsets.sort_by_key(|subset| (subset.count_ones(), *subset));
    for subset in subsets {
        let is_in = |axis: &AxisName| {
            let place = matrix.axes.iter().position(|other| other.name == *axis);
            place.is_none_or(|place| subset == usize::MAX || subset >> place & 1 == 1)
        };
        let of = |point: &AxisPoint| -> AxisPoint {
            point.iter().filter(|(axis, _)| is_in(axis)).map(|(axis, value)| (axis.clone(), value.clone())).collect()
        };
        let values: BTreeSet<AxisPoint> = left.iter().map(of).collect();
        for value in values {
            let matched: Vec<AxisPoint> = points.iter().filter(|point| of(point) == value).cloned().collect();
            let named_axes = matrix.axes.iter().filter(|axis| is_in(&axis.name));
            let there: usize = all / named_axes.map(|axis| axis.values.len()).product::<usize>().max(1);
            if matched.len() < there {
                continue;
            }
            let fresh: Vec<AxisPoint> = matched.into_iter().filter(|point| left.remove(point)).collect();
            if !fresh.is_empty() {
                named.push((value, fresh));
            }
        }
    }
    named
}

/// The cells of one plane.
struct Merger<'a> {
    matrix: &'a Matrix,
    plane: &'a Plane,
    cells: &'a [&'a Cell],
}

/// The versions that a pattern names on one side, from the first to the last of its source.
type Run = (usize, usize);

impl Merger<'_> {
    fn merge(&self) -> Vec<Pattern> {
        let (_, _, role, other) = self.plane;
        let rows = self.versions(role);
        let columns = other.as_ref().map(|other| self.versions(other)).unwrap_or_default();
        // Each row's runs of columns, then rows that share a run.
        let mut blocks: Vec<(Run, Run)> = Vec::new();
        for at in 0..rows.len() {
            let runs = if other.is_some() { self.runs(rows[at], &columns) } else { self.alone(rows[at]) };
            for run in runs {
                let grown = blocks.iter_mut().find(|((_, last), columns)| {
                    *columns == run && *last + 1 == at && rows[*last].source == rows[at].source
                });
                match grown {
                    Some(((_, last), _)) => *last = at,
                    None => blocks.push(((at, at), run)),
                }
            }
        }
        blocks.iter().flat_map(|(run, other)| self.written(&rows, *run, &columns, *other)).collect()
    }

    /// The versions of a role, in order.
    fn versions(&self, role: &RoleName) -> Vec<&Version> {
        let members = self.matrix.role(role).map(|axis| &axis.members);
        let is_member = |version: &&Version| members.is_some_and(|members| members.contains_key(&version.id));
        self.matrix.versions.iter().filter(is_member).collect()
    }

    fn cells_at(&self, a: &VersionId, b: Option<&VersionId>) -> Vec<&Cell> {
        let is = |cell: &&&Cell| match (&cell.subject, b) {
            (Subject::Alone(party), None) => party.version == *a,
            (Subject::Ordered(from, to) | Subject::Symmetric(from, to), Some(b)) => {
                from.version == *a && to.version == *b
            }
            (Subject::Alone(_) | Subject::Ordered(..) | Subject::Symmetric(..) | Subject::Set(_), _) => false,
        };
        self.cells.iter().filter(is).copied().collect()
    }

    fn alone(&self, row: &Version) -> Vec<Run> {
        if self.cells_at(&row.id, None).is_empty() { Vec::new() } else { vec![(0, 0)] }
    }

    fn runs(&self, row: &Version, columns: &[&Version]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            if self.cells_at(&row.id, Some(&column.id)).is_empty() {
                continue;
            }
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == at && columns[*last].source == column.source => *last = at,
                Some(_) | None => runs.push((at, at)),
            }
        }
        runs
    }

    /// One pattern for the whole block where ranges say exactly that, else one for each cell.
    fn written(&self, rows: &[&Version], run: Run, columns: &[&Version], other: Run) -> Vec<Pattern> {
        let (check, arrow, role, other_role) = self.plane;
        let rows = &rows[run.0..=run.1];
        let columns = if other_role.is_some() { &columns[other.0..=other.1] } else { &[] };
        let left = self.selector(role, rows);
        let right = other_role.as_ref().map(|role| self.selector(role, columns));
        let several = rows.len() > 1 || columns.len() > 1;
        let merged = match (left, right) {
            (Some(left), None) => Some(format!("{check}: {role}@{left}")),
            (Some(left), Some(Some(right))) => {
                other_role.as_ref().map(|other| format!("{check}: {role}@{left}{arrow}{other}@{right}"))
            }
            (None, _) | (_, Some(None)) => None,
        };
        if let Some(text) = merged.filter(|_| several) {
            let cells = rows.iter().flat_map(|row| match columns {
                [] => self.cells_at(&row.id, None),
                columns => columns.iter().flat_map(|column| self.cells_at(&row.id, Some(&column.id))).collect(),
            });
            return vec![Pattern { text, cells: cells.cloned().collect() }];
        }
        let mut patterns = Vec::new();
        for row in rows {
            let left = one(self.matrix, &Party::new(role, &row.id));
            match other_role {
                None => {
                    let cells = self.cells_at(&row.id, None).into_iter().cloned().collect();
                    patterns.push(Pattern { text: format!("{check}: {role}@{left}"), cells });
                }
                Some(other) => {
                    for column in columns {
                        let right = one(self.matrix, &Party::new(other, &column.id));
                        let cells = self.cells_at(&row.id, Some(&column.id)).into_iter().cloned().collect();
                        let text = format!("{check}: {role}@{left}{arrow}{other}@{right}");
                        patterns.push(Pattern { text, cells });
                    }
                }
            }
        }
        patterns
    }

    /// A selector of exactly these versions of a role, which are neighbours.
    fn selector(&self, role: &RoleName, versions: &[&Version]) -> Option<String> {
        let (first, last) = (versions.first()?, versions.last()?);
        if versions.len() == 1 {
            return Some(one(self.matrix, &Party::new(role, &first.id)));
        }
        let (low, high) = (first.semver.as_ref()?, last.semver.as_ref()?);
        let text = format!("{}:>={low}, <={high}", first.source);
        let selector = Selector::parse(&text).ok()?;
        let wanted: BTreeSet<&VersionId> = versions.iter().map(|version| &version.id).collect();
        let matched: BTreeSet<&VersionId> = self
            .versions(role)
            .into_iter()
            .filter(|version| selector.matches(version))
            .map(|version| &version.id)
            .collect();
        (matched == wanted).then_some(text)
    }
}

/// A selector of one version: its label, or with its source where another has the same.
fn one(matrix: &Matrix, party: &Party) -> String {
    let Some(version) = matrix.version(&party.version) else {
        return party.version.to_string();
    };
    let full = format!("{}/{}", version.source, version.label);
    let is_exact = |text: &str| {
        let Ok(selector) = Selector::parse(text) else { return false };
        let members = matrix.role(&party.role).map(|axis| &axis.members);
        let others = matrix.versions.iter().filter(|other| members.is_none_or(|all| all.contains_key(&other.id)));
        others.filter(|other| selector.matches(other)).all(|other| other.id == version.id) && selector.matches(version)
    };
    if is_exact(party.version.as_str()) { party.version.to_string() } else { full }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::testing;
    use skew_core::model::Axis;

    /// Which patterns accept these failures, and that they match nothing else.
    #[track_caller]
    fn check(failures: &[&str], expect: &[&str]) {
        let matrix = testing::matrix(&["v1.0.0", "v1.1.0", "v1.2.0", "main"], &["a", "b"]);
        let cells: BTreeSet<Cell> = failures.iter().map(|text| text.parse().unwrap()).collect();
        let patterns = patterns(&matrix, &cells);
        let texts: Vec<&str> = patterns.iter().map(|pattern| pattern.text.as_str()).collect();
        assert_eq!(texts, expect);
        let named: BTreeSet<Cell> = patterns.iter().flat_map(|pattern| pattern.cells.clone()).collect();
        assert_eq!(named, cells);
        assert_eq!(patterns.iter().map(|pattern| pattern.cells.len()).sum::<usize>(), cells.len(), "each once");
    }

    #[test]
    fn neighbours_are_one_pattern() {
        check(&["c: a@v1.0.0 -> b@v1.1.0"], &["c: a@v1.0.0 -> b@v1.1.0"]);
        check(&["c: a@v1.0.0 -> b@v1.1.0", "c: a@v1.0.0 -> b@v1.2.0"], &["c: a@v1.0.0 -> b@system:>=1.1.0, <=1.2.0"]);
        check(
            &[
                "c: a@v1.0.0 -> b@v1.1.0",
                "c: a@v1.0.0 -> b@v1.2.0",
                "c: a@v1.1.0 -> b@v1.1.0",
                "c: a@v1.1.0 -> b@v1.2.0",
            ],
            &["c: a@system:>=1.0.0, <=1.1.0 -> b@system:>=1.1.0, <=1.2.0"],
        );
        check(&["c: a@v1.0.0", "c: a@v1.1.0", "c: b@v1.1.0"], &["c: a@system:>=1.0.0, <=1.1.0", "c: b@v1.1.0"]);
    }

    #[test]
    fn values_of_axes_are_written_where_not_every_value_fails() {
        let mut matrix = testing::matrix(&["v1.0.0", "v1.1.0"], &["a", "b"]);
        let axis = |name: &str, values: &[&str]| Axis {
            name: AxisName::new(name).unwrap(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        matrix.axes = vec![axis("database", &["h2", "postgres"]), axis("tls", &["off", "on"])];
        let check = |failures: &[String], expect: &[&str]| {
            let cells: BTreeSet<Cell> = failures.iter().map(|text| text.parse().unwrap()).collect();
            let patterns = patterns(&matrix, &cells);
            let texts: Vec<&str> = patterns.iter().map(|pattern| pattern.text.as_str()).collect();
            assert_eq!(texts, expect);
            let named: Vec<Cell> = patterns.iter().flat_map(|pattern| pattern.cells.clone()).collect();
            assert_eq!(named.len(), cells.len(), "each once");
            assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), cells);
        };
        let pair = "c: a@v1.0.0 -> b@v1.1.0";
        let at = |text: &str, values: &[&str]| -> Vec<String> {
            values.iter().map(|values| format!("{text} [{values}]")).collect()
        };
        let all =
            ["database=h2, tls=off", "database=h2, tls=on", "database=postgres, tls=off", "database=postgres, tls=on"];
        let (every, h2) = (at(pair, &all), at(pair, &all[..2]));
        check(&every, &[pair]);
        check(&h2, &["c: a@v1.0.0 -> b@v1.1.0 [database=h2]"]);
        check(&at(pair, &all[1..2]), &["c: a@v1.0.0 -> b@v1.1.0 [database=h2, tls=on]"]);
        // All of h2, and what is left of tls=on.
        check(
            &at(pair, &[all[0], all[1], all[3]]),
            &["c: a@v1.0.0 -> b@v1.1.0 [database=h2]", "c: a@v1.0.0 -> b@v1.1.0 [tls=on]"],
        );
        // Ranges are found at each value.
        let more = at("c: a@v1.1.0 -> b@v1.1.0", &all[..2]);
        check(&[h2, more].concat(), &["c: a@system:>=1.0.0, <=1.1.0 -> b@v1.1.0 [database=h2]"]);
    }

    #[test]
    fn what_no_range_says_is_said_one_by_one() {
        check(
            &["c: a@v1.0.0 -> b@v1.0.0", "c: a@v1.0.0 -> b@v1.2.0"],
            &["c: a@v1.0.0 -> b@v1.0.0", "c: a@v1.0.0 -> b@v1.2.0"],
        );
        // A branch has no number here.
        check(
            &["c: a@v1.2.0 -> b@v1.2.0", "c: a@v1.2.0 -> b@main"],
            &["c: a@v1.2.0 -> b@v1.2.0", "c: a@v1.2.0 -> b@main"],
        );
        check(&["c: a@v1.0.0 <-> b@v1.1.0"], &["c: a@v1.0.0 <-> b@v1.1.0"]);
        check(&["c: {a@v1.0.0, a@v1.1.0, b@v1.2.0}"], &["c: {a@v1.0.0, a@v1.1.0, b@v1.2.0}"]);
    }
}
