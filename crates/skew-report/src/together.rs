//! Which versions work together: the worst of all cells that were asked of one version towards another.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{CellId, RoleKind, Subject, VersionId};

use super::input::Input;
use super::model::{Pair, Together};
use super::standing::Row;
use super::words::{Standing, Word};

/// Cells named for one pair.
const WORST: usize = 10;

/// Sums the cells up by ordered pair of versions. None with fewer than two versions.
pub(super) fn together(input: &Input<'_>, rows: &[Row<'_>]) -> Option<Together> {
    // A pinned role (a database) has a version, which is in question nowhere.
    let is_pinned = |role| match input.judged.matrix.role(role).map(|role| &role.kind) {
        Some(RoleKind::Pinned(_)) => true,
        Some(RoleKind::Matrix | RoleKind::Follows(_)) | None => false,
    };
    let mut pairs: BTreeMap<(&VersionId, &VersionId), Vec<&Row<'_>>> = BTreeMap::new();
    let order: BTreeMap<&VersionId, usize> =
        input.judged.matrix.versions.iter().zip(0..).map(|(version, n)| (&version.id, n)).collect();
    for row in rows.iter().filter(|row| row.asked) {
        let (parties, both_ways) = match &row.cell.subject {
            Subject::Alone(party) => (vec![party], false),
            Subject::Ordered(a, b) => (vec![a, b], false),
            Subject::Symmetric(a, b) => (vec![a, b], true),
            // What fails only in company says nothing about two of that company.
            Subject::Set(_) => continue,
        };
        let versions: Vec<&VersionId> = parties
            .into_iter()
            .filter(|party| !is_pinned(&party.role) && order.contains_key(&party.version))
            .map(|party| &party.version)
            .collect();
        let (Some(a), Some(b)) = (versions.first(), versions.last()) else { continue };
        pairs.entry((a, b)).or_default().push(row);
        if both_ways && a != b {
            pairs.entry((b, a)).or_default().push(row);
        }
    }
    let mentioned: BTreeSet<(usize, &VersionId)> =
        pairs.keys().flat_map(|(a, b)| [*a, *b]).map(|version| (order[version], version)).collect();
    if mentioned.len() < 2 {
        return None;
    }
    let place: BTreeMap<&VersionId, usize> = mentioned.iter().map(|(_, version)| *version).zip(0..).collect();
    let mut summed: Vec<Pair> = pairs.iter().map(|((a, b), cells)| pair(place[a], place[b], cells)).collect();
    summed.sort_by_key(|pair| (pair.a, pair.b));
    Some(Together { versions: mentioned.into_iter().map(|(_, version)| version.to_string()).collect(), pairs: summed })
}

fn pair(a: usize, b: usize, cells: &[&Row<'_>]) -> Pair {
    // A check that one of them does not have, and never had, says nothing where others say something.
    let says = |row: &&&Row<'_>| (row.word, row.standing) != (Word::Unsupported, Standing::Fine);
    let mut sorted: Vec<&Row<'_>> = cells.iter().filter(says).copied().collect();
    if sorted.is_empty() {
        sorted = cells.to_vec();
    }
    // What is not as expected first: no known failure hides it.
    sorted.sort_by_cached_key(|row| (row.standing != Standing::Wrong, row.word, row.standing, row.cell.id()));
    let (verdict, standing) = sorted.first().map_or((Word::Untested, Standing::Fine), |row| (row.word, row.standing));
    let failing: Vec<CellId> = sorted.iter().filter(|row| row.word != Word::Pass).map(|row| row.cell.id()).collect();
    let passed: Vec<u32> =
        cells.iter().filter(|row| row.word == Word::Pass).map(|row| row.verdict.counts.passed).collect();
    Pair {
        a,
        b,
        verdict,
        standing,
        cells: cells.len() as u32,
        passed: passed.len() as u32,
        networks: passed.into_iter().filter(|networks| *networks > 0).min().unwrap_or(0),
        worst: failing.into_iter().take(WORST).collect(),
    }
}
