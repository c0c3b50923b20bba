//! How each cell stands to what was expected of it: the same reading that the exit code has.

use std::collections::{BTreeMap, BTreeSet};

use skew_core::model::{
    Cell, Matrix, Overlay, Party, Subject, Untested, Verdict, VerdictKind, Verdicts, Version, VersionId,
};

use super::model::Tally;
use super::words::{Standing, Word};

/// What a sweep asked, and what is known.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    /// What was asked.
    pub matrix: &'a Matrix,
    /// What is known.
    pub verdicts: &'a Verdicts,
    /// The cells that the strategy asks; others with evidence are shown and count for nothing.
    pub asked: &'a BTreeSet<Cell>,
    /// How that stands to the known failures.
    pub overlays: &'a BTreeMap<Cell, Overlay>,
}

/// A cell that belongs in a report.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub cell: &'a Cell,
    pub verdict: &'a Verdict,
    pub word: Word,
    pub standing: Standing,
    /// Whether it was asked: others are shown where there is evidence about them, and count for nothing.
    pub asked: bool,
}

/// Reads every verdict that says something.
pub(super) fn rows<'a>(input: &Judged<'a>) -> Vec<Row<'a>> {
    let history = History::new(input);
    let silent = VerdictKind::Untested(Untested::NotAsked);
    let shown = input.verdicts.iter().filter(|(_, verdict)| verdict.kind != silent);
    shown
        .map(|(cell, verdict)| {
            // A set is found, never asked.
            let asked = matches!(cell.subject, Subject::Set(_)) || input.asked.contains(cell);
            let standing = match input.overlays.get(cell) {
                Some(Overlay::Expected { .. }) => Standing::Known,
                Some(Overlay::UnexpectedPass { .. }) => Standing::UnexpectedPass,
                None if !asked => Standing::Fine,
                None => standing(&verdict.kind, || history.had(cell)),
            };
            Row { cell, verdict, word: Word::of(&verdict.kind), standing, asked }
        })
        .collect()
}

/// Counts cells that were asked.
pub(super) fn tally<'a>(rows: impl IntoIterator<Item = &'a Row<'a>>) -> Tally {
    let mut tally = Tally::default();
    for row in rows.into_iter().filter(|row| row.asked) {
        tally.add(row.word, row.standing);
    }
    tally
}

/// How a verdict stands that no known failure explains.
fn standing(kind: &VerdictKind, was_supported: impl Fn() -> bool) -> Standing {
    match kind {
        VerdictKind::Fail
        | VerdictKind::Flaky { .. }
        | VerdictKind::Interference
        | VerdictKind::Broken { .. }
        | VerdictKind::Unbuilt { .. } => Standing::Wrong,
        // What an older version had is lost; what none had is new.
        VerdictKind::Unsupported if was_supported() => Standing::Wrong,
        VerdictKind::Error { .. }
        | VerdictKind::Untested(
            Untested::NotSeated | Untested::Pending | Untested::Suspected { .. } | Untested::Exhausted,
        ) => Standing::Unknown,
        VerdictKind::Pass
        | VerdictKind::Unsupported
        // What blocks it is wrong already, and is told once.
        | VerdictKind::Untested(
            Untested::Blocked { .. } | Untested::Unbuilt { .. } | Untested::NotAsked,
        ) => Standing::Fine,
    }
}

/// Which checks were there at which versions.
struct History<'a> {
    versions: BTreeMap<&'a VersionId, &'a Version>,
    there: BTreeMap<(&'a str, usize), Vec<&'a Cell>>,
}

impl<'a> History<'a> {
    fn new(input: &Judged<'a>) -> Self {
        let mut there: BTreeMap<_, Vec<&Cell>> = BTreeMap::new();
        for (cell, _) in input.verdicts.iter().filter(|(_, verdict)| verdict.kind.was_seen()) {
            there.entry(shape(cell)).or_default().push(cell);
        }
        let versions = input.matrix.versions.iter().map(|version| (&version.id, version));
        Self { versions: versions.collect(), there }
    }

    /// Whether the same check was there for the same roles at versions that are all as old or older.
    fn had(&self, cell: &Cell) -> bool {
        let parties = places(&cell.subject);
        let older = |other: &&&Cell| {
            let mut pairs = places(&other.subject).into_iter().zip(&parties);
            other.axes == cell.axes && pairs.all(|(older, party)| self.is_not_newer(older, party))
        };
        let others = self.there.get(&shape(cell));
        others.is_some_and(|others| others.iter().find(older).is_some())
    }

    fn is_not_newer(&self, older: &Party, party: &Party) -> bool {
        let order = |party: &Party| {
            let version = self.versions.get(&party.version)?;
            Some((&version.source, version.order))
        };
        older.role == party.role
            && match (order(older), order(party)) {
                (Some((a, older)), Some((b, newer))) => a == b && older <= newer,
                (Some(_) | None, _) => older.version == party.version,
            }
    }
}

/// The check, and how many parties in which relation: cells that differ in it are not compared.
fn shape(cell: &Cell) -> (&str, usize) {
    let shape = match &cell.subject {
        Subject::Ordered(..) => 0,
        Subject::Alone(_) => 1,
        Subject::Symmetric(..) => 2,
        Subject::Set(set) => 3 + set.len(),
    };
    (cell.check.as_ref(), shape)
}

/// The parties in their places: both of a pair, even when they are the same.
fn places(subject: &Subject) -> Vec<&Party> {
    match subject {
        Subject::Alone(party) => vec![party],
        Subject::Ordered(a, b) | Subject::Symmetric(a, b) => vec![a, b],
        Subject::Set(set) => set.iter().collect(),
    }
}
