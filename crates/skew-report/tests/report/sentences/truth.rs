//! What is true of a sweep, read from its raw verdicts alone: nothing here comes from the code that writes sentences.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use skew_core::model::{
    AxisPoint, Cell, CellId, ErrorSource, Overlay, Party, RoleName, Subject, Untested, Verdict, VerdictKind, VersionId,
};

use super::worlds::World;
use crate::report_sample::Sample;

/// Why a statement does not hold, or is none.
pub(crate) type Claim = Result<(), String>;

/// Fails with a text when something is not so.
pub(crate) fn ensure(so: bool, why: impl FnOnce() -> String) -> Claim {
    if so { Ok(()) } else { Err(why()) }
}

pub(crate) struct Truth<'a> {
    pub now: &'a Sample,
    pub past: &'a [Sample],
    pub by_id: BTreeMap<CellId, &'a Cell>,
}

/// How a verdict stands to what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stands {
    Wrong,
    Unexpected,
    Unknown,
    Known,
    Fine,
}

impl<'a> Truth<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let by_id = world.now.verdicts.keys().map(|cell| (cell.id(), cell)).collect();
        Self { now: &world.now, past: &world.past, by_id }
    }

    pub(crate) fn verdict(&self, cell: &Cell) -> Option<&'a Verdict> {
        self.now.verdicts.get(cell)
    }

    pub(crate) fn kind(&self, cell: &Cell) -> Option<&'a VerdictKind> {
        self.verdict(cell).map(|verdict| &verdict.kind)
    }

    pub(crate) fn passes(&self, cell: &Cell) -> bool {
        self.kind(cell) == Some(&VerdictKind::Pass)
    }

    /// Cells that reports show: those that say something.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&'a Cell, &'a Verdict)> {
        shown_of(self.now)
    }

    pub(crate) fn is_asked(&self, cell: &Cell) -> bool {
        asked_in(self.now, cell)
    }

    pub(crate) fn stands(&self, cell: &Cell) -> Stands {
        stands_in(self.now, cell)
    }

    /// The versions of a role, from old to new.
    pub(crate) fn members(&self, name: &str) -> Vec<VersionId> {
        let Some(axis) = self.now.matrix.role(&role(name)) else { return Vec::new() };
        let versions = self.now.matrix.versions.iter().filter(|version| axis.members.contains_key(&version.id));
        versions.map(|version| version.id.clone()).collect()
    }

    pub(crate) fn commit(&self, version: &VersionId) -> Option<String> {
        self.now.matrix.version(version).map(|version| version.commit.short().to_owned())
    }

    pub(crate) fn same_source(&self, a: &VersionId, b: &VersionId) -> bool {
        let source = |version| self.now.matrix.version(version).map(|version| version.source.clone());
        source(a).is_some() && source(a) == source(b)
    }

    /// `v1, v3 … v5 and v7` as versions of a role.
    pub(crate) fn versions(&self, name: &str, text: &str) -> Result<Vec<VersionId>, String> {
        let all = self.members(name);
        let place = |text: &str| {
            all.iter().position(|version| version.as_str() == text).ok_or_else(|| format!("{name} has no {text:?}"))
        };
        let mut versions = Vec::new();
        for item in text.replace(" and ", ", ").split(", ") {
            match item.split_once(" … ") {
                Some((first, last)) => {
                    let (first, last) = (place(first)?, place(last)?);
                    ensure(first + 1 < last, || format!("{item} is no range"))?;
                    ensure(self.same_source(&all[first], &all[last]), || format!("{item} is of two sources"))?;
                    versions.extend_from_slice(&all[first..=last]);
                }
                None => versions.push(all[place(item)?].clone()),
            }
        }
        Ok(versions)
    }

    /// The last sweep before this one that asked a cell, with what it came to; else what the last one knew.
    pub(crate) fn before(&self, cell: &Cell) -> Option<(&'a Sample, &'a Verdict, bool)> {
        let known = |sample: &'a Sample| {
            let verdict = sample.verdicts.get(cell)?;
            let says = verdict.kind != VerdictKind::Untested(Untested::NotAsked);
            says.then(|| (sample, verdict, asked_in(sample, cell)))
        };
        self.past.iter().rev().filter_map(known).find(|(.., asked)| *asked).or_else(|| known(self.past.last()?))
    }

    /// Whether the same works at other values of the axes, and at which.
    pub(crate) fn works_with(&self, cell: &Cell) -> BTreeSet<String> {
        let others = self.now.verdicts.iter().filter(|(other, verdict)| {
            other.check == cell.check
                && other.subject == cell.subject
                && other.axes != cell.axes
                && verdict.kind == VerdictKind::Pass
        });
        others.map(|(other, _)| point(&other.axes)).collect()
    }

    /// Whether a party fails a check, at these values of the axes, in a network of only its own version.
    pub(crate) fn fails_with_itself(&self, cell: &Cell, party: &Party) -> bool {
        self.now.verdicts.iter().any(|(own, verdict)| {
            own.check == cell.check
                && own.axes == cell.axes
                && !matches!(own.subject, Subject::Set(_))
                && own.subject.parties().contains(&party)
                && own.subject.parties().iter().all(|other| other.version == party.version)
                && matches!(verdict.kind, VerdictKind::Fail | VerdictKind::Broken { .. })
        })
    }
}

pub(crate) fn shown_of(sample: &Sample) -> impl Iterator<Item = (&Cell, &Verdict)> {
    sample.verdicts.iter().filter(|(_, verdict)| verdict.kind != VerdictKind::Untested(Untested::NotAsked))
}

pub(crate) fn asked_in(sample: &Sample, cell: &Cell) -> bool {
    matches!(cell.subject, Subject::Set(_)) || sample.asked.contains(cell)
}

pub(crate) fn stands_in(sample: &Sample, cell: &Cell) -> Stands {
    match sample.overlays.get(cell) {
        Some(Overlay::Expected { .. }) => return Stands::Known,
        Some(Overlay::UnexpectedPass { .. }) => return Stands::Unexpected,
        None => {}
    }
    let Some(verdict) = sample.verdicts.get(cell).filter(|_| asked_in(sample, cell)) else { return Stands::Fine };
    match &verdict.kind {
        kind if fails(kind) => Stands::Wrong,
        VerdictKind::Unsupported if was_there(sample, cell) => Stands::Wrong,
        VerdictKind::Error { .. } => Stands::Unknown,
        VerdictKind::Untested(
            Untested::NotSeated | Untested::Pending | Untested::Suspected { .. } | Untested::Exhausted,
        ) => Stands::Unknown,
        _ => Stands::Fine,
    }
}

/// Whether a check was there for the same roles at versions that are all as old or older.
fn was_there(sample: &Sample, cell: &Cell) -> bool {
    let order = |party: &Party| sample.matrix.version(&party.version).map(|version| (&version.source, version.order));
    let both = |subject: &Subject| -> Vec<Party> {
        match subject {
            Subject::Ordered(a, b) | Subject::Symmetric(a, b) => vec![a.clone(), b.clone()],
            other => other.parties().into_iter().cloned().collect(),
        }
    };
    let alike = |other: &Cell| {
        std::mem::discriminant(&other.subject) == std::mem::discriminant(&cell.subject)
            && other.check == cell.check
            && other.axes == cell.axes
    };
    sample.verdicts.iter().filter(|(other, _)| alike(other)).any(|(other, verdict)| {
        let there = matches!(
            verdict.kind,
            VerdictKind::Pass
                | VerdictKind::Fail
                | VerdictKind::Flaky { .. }
                | VerdictKind::Interference
                | VerdictKind::Broken { .. }
        );
        let pairs: Vec<(Party, Party)> = both(&other.subject).into_iter().zip(both(&cell.subject)).collect();
        there
            && both(&other.subject).len() == both(&cell.subject).len()
            && pairs.iter().all(|(older, newer)| {
                older.role == newer.role
                    && match (order(older), order(newer)) {
                        (Some((a, older)), Some((b, newer))) => a == b && older <= newer,
                        _ => false,
                    }
            })
    })
}

/// Whether a verdict says that something does not work.
pub(crate) fn fails(kind: &VerdictKind) -> bool {
    matches!(
        kind,
        VerdictKind::Fail
            | VerdictKind::Flaky { .. }
            | VerdictKind::Interference
            | VerdictKind::Broken { .. }
            | VerdictKind::Unbuilt { .. }
    )
}

pub(crate) fn is_check_error(kind: &VerdictKind) -> bool {
    matches!(kind, VerdictKind::Error { source: ErrorSource::Check, .. })
}

/// The party that is to blame alone for a verdict.
pub(crate) fn charged(cell: &Cell, kind: &VerdictKind) -> Option<Party> {
    match (kind, &cell.subject) {
        (VerdictKind::Broken { party } | VerdictKind::Flaky { charged: Some(party) }, _) => Some(party.clone()),
        (VerdictKind::Unbuilt { .. } | VerdictKind::Flaky { .. }, Subject::Alone(party)) => Some(party.clone()),
        _ => None,
    }
}

pub(crate) fn point(axes: &AxisPoint) -> String {
    let values: Vec<String> = axes.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
    format!("[{}]", values.join(", "))
}

/// Whether a printed percentage is this rate.
pub(crate) fn is_rate(printed: &str, rate: f64) -> Claim {
    let number: f64 = printed.trim_end_matches(" %").parse().map_err(|_| format!("{printed:?} is no percentage"))?;
    let (exact, off) = (rate * 100.0, if printed.contains('.') { 0.051 } else { 0.501 });
    ensure((number - exact).abs() <= off + 1e-9 || (exact > 99.9 && number >= 99.9), || {
        format!("{printed} is printed, {exact:.3} % is true")
    })
}

/// The rates that so many failures of so many leave possible: those that a uniform mixture does not beat by 20 to 1.
pub(crate) fn interval(failed: u32, all: u32) -> (f64, f64) {
    thread_local! {
        static KNOWN: RefCell<HashMap<(u32, u32), (f64, f64)>> = RefCell::new(HashMap::new());
    }
    KNOWN.with_borrow_mut(|known| *known.entry((failed, all)).or_insert_with(|| intervals(failed, all)))
}

fn intervals(failed: u32, all: u32) -> (f64, f64) {
    // The mixture's likelihood is 1/((n + 1)·C(n, k)); grown one factor at a time, on a grid of rates.
    let choose: f64 = (1..=failed).map(|i| (f64::from(all - failed + i) / f64::from(i)).ln()).sum();
    let possible = |p: f64| {
        let likelihood = f64::from(failed) * p.max(1e-300).ln() + f64::from(all - failed) * (1.0 - p).max(1e-300).ln();
        likelihood + choose + f64::from(all + 1).ln() > -(20.0_f64.ln())
    };
    let grid = || (0..=100_000).map(|step| f64::from(step) / 100_000.0);
    if all == 0 {
        return (0.0, 1.0);
    }
    (grid().find(|p| possible(*p)).unwrap(), grid().rev().find(|p| possible(*p)).unwrap())
}

/// A role of that name; one that no system has where the text is no name.
pub(crate) fn role(name: &str) -> RoleName {
    name.parse().unwrap_or_else(|_| "no-such-role".parse().unwrap())
}
