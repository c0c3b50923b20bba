//! Which versions work together: the worst of all cells that are about exactly two versions.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{CellId, RoleKind, Subject, VersionId};

use super::input::Input;
use super::model::{Pair, Together};
use super::standing::Row;
use super::words::{Standing, Word};

/// Cells named for one pair.
const WORST: usize = 10;

/// What is known of one cell of a pair; sorts the worst first.
type Known = (Word, Standing, CellId);

/// Sums the cells up by pair of versions. None with fewer than two versions.
pub(super) fn together(input: &Input<'_>, rows: &[Row<'_>]) -> Option<Together> {
    // A pinned role (a database) has a version, which is in question nowhere.
    let is_pinned = |role| match input.judged.matrix.role(role).map(|role| &role.kind) {
        Some(RoleKind::Pinned(_)) => true,
        Some(RoleKind::Matrix | RoleKind::Follows(_)) | None => false,
    };
    let mut pairs: BTreeMap<(&VersionId, &VersionId), Vec<Known>> = BTreeMap::new();
    let order: BTreeMap<&VersionId, usize> =
        input.judged.matrix.versions.iter().zip(0..).map(|(version, n)| (&version.id, n)).collect();
    for Row { cell, word, standing, .. } in rows {
        // What fails only in company says nothing about two of that company.
        if let Subject::Set(_) = cell.subject {
            continue;
        }
        let versions: BTreeSet<(usize, &VersionId)> = cell
            .subject
            .parties()
            .into_iter()
            .filter(|party| !is_pinned(&party.role))
            .filter_map(|party| Some((*order.get(&party.version)?, &party.version)))
            .collect();
        if let (Some((_, a)), Some((_, b))) = (versions.first(), versions.last()) {
            pairs.entry((a, b)).or_default().push((*word, *standing, cell.id()));
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

fn pair(a: usize, b: usize, cells: &[Known]) -> Pair {
    // A check that one of them does not have, and never had, says nothing where others say something.
    let says = |(word, standing, _): &&Known| (*word, *standing) != (Word::Unsupported, Standing::Fine);
    let mut sorted: Vec<&Known> = cells.iter().filter(says).collect();
    if sorted.is_empty() {
        sorted = cells.iter().collect();
    }
    sorted.sort();
    let (verdict, standing) =
        sorted.first().map_or((Word::Untested, Standing::Fine), |(word, standing, _)| (*word, *standing));
    let failing = sorted.iter().filter(|(word, ..)| *word != Word::Pass);
    Pair {
        a,
        b,
        verdict,
        standing,
        cells: cells.len() as u32,
        passed: cells.iter().filter(|(word, ..)| *word == Word::Pass).count() as u32,
        worst: failing.take(WORST).map(|(_, _, id)| id.clone()).collect(),
    }
}
