//! Verdicts laid out: a matrix for each check, pair of roles and point of the axes.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{
    Attempt, AttemptId, AxisPoint, Cell, CheckName, Matrix, Overlay, Party, RoleName, Scope, Subject, Untested,
    VerdictKind, VersionId,
};

use super::evidence::{reproduce, shown};
use super::facts::{Facts, is_wrong_check};
use super::input::Input;
use super::model::{CellModel, CheckModel, Grid, Known};
use super::network::NetworkModel;
use super::sentence::{excludes, sentence};
use super::standing::{Row, tally};
use super::text::clean;
use super::words::UntestedReason;

/// Lays out every cell that is asked.
pub(super) fn checks(
    input: &Input<'_>,
    facts: &Facts<'_>,
    rows: &[Row<'_>],
    networks: &BTreeMap<AttemptId, NetworkModel>,
) -> Vec<CheckModel> {
    let layout = Layout {
        input,
        facts,
        networks,
        attempts: input.attempts.iter().map(|attempt| (&attempt.id, attempt)).collect(),
        version_order: input.judged.matrix.versions.iter().zip(0..).map(|(version, n)| (&version.id, n)).collect(),
        role_order: input.judged.matrix.roles.iter().zip(0..).map(|(role, n)| (&role.name, n)).collect(),
    };
    let mut by_check: BTreeMap<&CheckName, Vec<Row<'_>>> = BTreeMap::new();
    for row in rows {
        by_check.entry(&row.cell.check).or_default().push(*row);
    }
    let order: BTreeMap<&CheckName, usize> =
        input.judged.matrix.checks.iter().zip(0..).map(|(check, n)| (&check.name, n)).collect();
    let mut checks: Vec<_> = by_check.into_iter().collect();
    checks.sort_by_key(|(name, _)| (order.get(name).copied().unwrap_or(usize::MAX), *name));
    checks.into_iter().map(|(name, cells)| layout.check(name, cells)).collect()
}

/// What a matrix of a check is about: rows' role and columns' role, none for parties alone.
type Plane<'a> = (&'a AxisPoint, Option<(RoleName, RoleName)>);

/// A cell with its row's party and its column's.
type Placed<'a> = (Row<'a>, &'a Party, &'a Party);

struct Layout<'a> {
    input: &'a Input<'a>,
    facts: &'a Facts<'a>,
    networks: &'a BTreeMap<AttemptId, NetworkModel>,
    attempts: BTreeMap<&'a AttemptId, &'a Attempt>,
    version_order: BTreeMap<&'a VersionId, usize>,
    role_order: BTreeMap<&'a RoleName, usize>,
}

impl Layout<'_> {
    fn check(&self, name: &CheckName, cells: Vec<Row<'_>>) -> CheckModel {
        let ends = match self.input.judged.matrix.check(name).map(|check| &check.scope) {
            Some(Scope::Pair { from, to, .. }) => Some((from, to)),
            Some(Scope::Node { .. } | Scope::Network) | None => None,
        };
        let row_role = ends.map(|(from, _)| from);
        let mut planes: BTreeMap<Plane<'_>, Vec<Placed<'_>>> = BTreeMap::new();
        let mut sets = Vec::new();
        let tally = tally(&cells);
        for row in cells {
            let (a, b) = match &row.cell.subject {
                Subject::Alone(party) => (party, party),
                Subject::Ordered(a, b) => (a, b),
                // Stored with the smaller text first; shown with the check's `from`, or the older one, as the row.
                Subject::Symmetric(a, b) if a.role != b.role && row_role == Some(&b.role) => (b, a),
                Subject::Symmetric(a, b)
                    if a.role == b.role && self.version_key(&b.version) < self.version_key(&a.version) =>
                {
                    (b, a)
                }
                Subject::Symmetric(a, b) => (a, b),
                Subject::Set(_) => {
                    sets.push(self.cell(&row, None));
                    continue;
                }
            };
            let roles = match &row.cell.subject {
                Subject::Alone(_) => None,
                Subject::Ordered(..) | Subject::Symmetric(..) | Subject::Set(_) => {
                    Some((a.role.clone(), b.role.clone()))
                }
            };
            planes.entry((&row.cell.axes, roles)).or_default().push((row, a, b));
        }
        // What the check is named for stands before what it passes through.
        let mut planes: Vec<_> = planes.into_iter().collect();
        planes.sort_by_key(|((_, roles), _)| roles.as_ref().map(|(from, to)| (from, to)) != ends);
        CheckModel {
            name: name.clone(),
            about: about(self.input.judged.matrix, name),
            tally,
            grids: planes.into_iter().map(|(plane, cells)| self.grid(plane, &cells)).collect(),
            sets,
        }
    }

    fn grid(&self, (axes, roles): Plane<'_>, cells: &[Placed<'_>]) -> Grid {
        let symmetric = |cell: &Cell| match cell.subject {
            Subject::Symmetric(..) => true,
            Subject::Alone(_) | Subject::Ordered(..) | Subject::Set(_) => false,
        };
        let symmetric = cells.iter().any(|(row, ..)| symmetric(row.cell));
        let mirrored = symmetric && roles.as_ref().is_some_and(|(from, to)| from == to);
        let alone = roles.is_none();

        let mut rows = BTreeSet::new();
        let mut columns = BTreeSet::new();
        for (_, a, b) in cells {
            rows.insert(self.row_key(a, alone));
            columns.insert(self.version_key(&b.version));
            if mirrored {
                rows.insert(self.row_key(b, alone));
                columns.insert(self.version_key(&a.version));
            }
        }
        let place = |keys: &BTreeSet<(usize, String)>| -> BTreeMap<(usize, String), usize> {
            keys.iter().cloned().zip(0..).collect()
        };
        let (row_of, column_of) = (place(&rows), place(&columns));
        let mut cells: Vec<CellModel> = cells
            .iter()
            .map(|(row, a, b)| {
                let at = (row_of[&self.row_key(a, alone)], column_of[&self.version_key(&b.version)]);
                self.cell(row, Some(at))
            })
            .collect();
        // From old to new, as in the matrix; the order of their texts is another.
        cells.sort_by_key(|cell| (cell.row, cell.column));
        let (from, to) = roles.unzip();
        Grid {
            from,
            to,
            symmetric: mirrored,
            axes: axes.clone(),
            rows: rows.into_iter().map(|(_, text)| text).collect(),
            columns: columns.into_iter().map(|(_, text)| text).collect(),
            cells,
        }
    }

    fn row_key(&self, party: &Party, alone: bool) -> (usize, String) {
        if alone {
            let order = self.role_order.get(&party.role).copied().unwrap_or(usize::MAX);
            (order, party.role.to_string())
        } else {
            self.version_key(&party.version)
        }
    }

    fn version_key(&self, version: &VersionId) -> (usize, String) {
        (self.version_order.get(version).copied().unwrap_or(usize::MAX), version.to_string())
    }

    fn cell(&self, row: &Row<'_>, at: Option<(usize, usize)>) -> CellModel {
        let Row { cell, verdict, word, standing, asked } = *row;
        let overlay = self.input.judged.overlays.get(cell);
        let (row, column) = at.unzip();
        let decisive = verdict.evidence.first().and_then(|id| self.attempts.get(id));
        CellModel {
            id: cell.id(),
            cell: cell.to_string(),
            parties: cell.subject.parties().iter().map(ToString::to_string).collect(),
            axes: cell.axes.clone(),
            row,
            column,
            verdict: word,
            standing,
            asked,
            sentence: sentence(cell, verdict, self.facts),
            known: overlay.map(known),
            charged: charged(cell, &verdict.kind),
            because: because(&verdict.kind).map(Cell::id),
            counts: verdict.counts,
            excludes: excludes(verdict).map(|rate| (rate * 1e6).round() / 1e6),
            untested: match &verdict.kind {
                VerdictKind::Untested(why) => Some(UntestedReason::of(why)),
                _ => None,
            },
            suspected: match verdict.kind {
                VerdictKind::Untested(Untested::Suspected { networks }) => Some(networks),
                _ => None,
            },
            wrong_check: is_wrong_check(&verdict.kind),
            evidence: shown(verdict).iter().filter(|id| self.networks.contains_key(id)).cloned().collect(),
            evidence_total: verdict.evidence.len(),
            reproduce: decisive.map(|attempt| reproduce(self.input, &attempt.network.id)),
            change: None,
            history: Vec::new(),
        }
    }
}

fn known(overlay: &Overlay) -> Known {
    let (reason, link) = match overlay {
        Overlay::Expected { reason, link } => (reason, link.as_deref()),
        Overlay::UnexpectedPass { reason } => (reason, None),
    };
    // Nothing but the web: `javascript:` is a link, too.
    let is_web = |link: &&str| link.starts_with("https://") || link.starts_with("http://");
    Known { reason: clean(reason, 1000), link: link.filter(is_web).map(|link| clean(link, 1000)) }
}

/// Who is to blame alone.
fn charged(cell: &Cell, kind: &VerdictKind) -> Option<String> {
    let party = match (kind, &cell.subject) {
        (VerdictKind::Broken { party } | VerdictKind::Flaky { charged: Some(party) }, _) => party,
        (VerdictKind::Unbuilt { .. } | VerdictKind::Flaky { .. }, Subject::Alone(party)) => party,
        _ => return None,
    };
    Some(party.to_string())
}

fn because(kind: &VerdictKind) -> Option<&Cell> {
    match kind {
        VerdictKind::Untested(Untested::Blocked { by } | Untested::Unbuilt { by }) => Some(by),
        VerdictKind::Untested(
            Untested::NotSeated
            | Untested::NotAsked
            | Untested::Pending
            | Untested::Suspected { .. }
            | Untested::Exhausted,
        )
        | VerdictKind::Pass
        | VerdictKind::Fail
        | VerdictKind::Flaky { .. }
        | VerdictKind::Interference
        | VerdictKind::Broken { .. }
        | VerdictKind::Unbuilt { .. }
        | VerdictKind::Unsupported
        | VerdictKind::Error { .. } => None,
    }
}

/// Whom a check is about, in words.
fn about(matrix: &Matrix, name: &CheckName) -> String {
    let Some(check) = matrix.check(name) else {
        return "each role at each version".to_owned();
    };
    let mut text = match &check.scope {
        Scope::Pair { from, to, symmetric: true, .. } => format!("{from} and {to}, both ways at once"),
        Scope::Pair { from, to, .. } => format!("{from} towards {to}"),
        Scope::Node { roles } => {
            let roles: Vec<&str> = roles.iter().map(AsRef::as_ref).collect();
            format!("each {} by itself", roles.join(", each "))
        }
        Scope::Network => "the network as a whole".to_owned(),
    };
    if let Scope::Pair { via, .. } = &check.scope
        && !via.is_empty()
    {
        let via: Vec<&str> = via.iter().map(AsRef::as_ref).collect();
        text.push_str(&format!(", through {}", via.join(" and ")));
    }
    if let Some(reporter) = &check.reporter {
        text.push_str(&format!(", reported by {reporter}"));
    }
    if !check.after.is_empty() {
        let after: Vec<&str> = check.after.iter().map(AsRef::as_ref).collect();
        text.push_str(&format!(", after {}", after.join(" and ")));
    }
    text
}
