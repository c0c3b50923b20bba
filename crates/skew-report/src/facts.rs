//! What is known beside a cell: everything that its sentence may claim of others is looked up here.

use std::collections::BTreeMap;

use skew_core::model::{AxisPoint, Cell, CheckName, End, ErrorSource, Party, Subject, Verdict, VerdictKind, Verdicts};

use super::end::SweepEnd;
use super::input::Input;

/// The verdicts of a sweep, by what sentences ask of them.
pub(super) struct Facts<'a> {
    verdicts: &'a Verdicts,
    /// How the sweep ended.
    pub end: SweepEnd,
    /// Cells in which every party has one version, by the parties they name.
    own: BTreeMap<(&'a CheckName, &'a AxisPoint, &'a Party), Vec<&'a Cell>>,
    /// The values of the axes at which the same is asked.
    points: BTreeMap<(&'a CheckName, &'a Subject), Vec<&'a AxisPoint>>,
    checks: BTreeMap<&'a CheckName, CheckFacts>,
    /// Networks that asked a cell and that the infrastructure failed.
    infrastructure: BTreeMap<&'a Cell, u32>,
}

/// What is known of a check over all its cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CheckFacts {
    /// Cells that were asked; sets are found, never asked.
    pub asked: u32,
    /// Of those, the ones whose failures are likeliest the check's own.
    pub wrong: u32,
    /// Whether it passed anywhere.
    pub passed: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn new(input: &Input<'a>) -> Self {
        let judged = &input.judged;
        let mut facts = Self {
            verdicts: judged.verdicts,
            end: input.end,
            own: BTreeMap::new(),
            points: BTreeMap::new(),
            checks: BTreeMap::new(),
            infrastructure: BTreeMap::new(),
        };
        for (cell, verdict) in judged.verdicts {
            if !matches!(cell.subject, Subject::Set(_)) && cell.subject.is_diagonal() {
                for party in cell.subject.parties() {
                    facts.own.entry((&cell.check, &cell.axes, party)).or_default().push(cell);
                }
            }
            facts.points.entry((&cell.check, &cell.subject)).or_default().push(&cell.axes);
            let check = facts.checks.entry(&cell.check).or_default();
            check.passed |= verdict.kind == VerdictKind::Pass;
            if judged.asked.contains(cell) && !matches!(cell.subject, Subject::Set(_)) {
                check.asked += 1;
                check.wrong += u32::from(is_wrong_check(&verdict.kind));
            }
        }
        for attempt in input.attempts {
            if let End::Infrastructure { .. } = attempt.end {
                for cell in &attempt.network.asks {
                    *facts.infrastructure.entry(cell).or_default() += 1;
                }
            }
        }
        facts
    }

    /// What is known of a cell.
    pub(super) fn verdict(&self, cell: &Cell) -> Option<&'a Verdict> {
        self.verdicts.get(cell)
    }

    /// A cell like this one in which a party has only its own version beside it, and which has such a verdict.
    fn with_itself(
        &self,
        cell: &Cell,
        party: &Party,
        wanted: impl Fn(&VerdictKind) -> bool,
    ) -> Option<(&'a Cell, &'a Verdict)> {
        let own = self.own.get(&(&cell.check, &cell.axes, party)).into_iter().flatten();
        own.filter_map(|own| Some((*own, self.verdict(own)?))).find(|(_, verdict)| wanted(&verdict.kind))
    }

    /// Whether a party fails a check in a network of only its own version.
    pub(super) fn fails_with_itself(&self, cell: &Cell, party: &Party) -> bool {
        let fails = |kind: &VerdictKind| matches!(kind, VerdictKind::Fail | VerdictKind::Broken { .. });
        self.with_itself(cell, party, fails).is_some()
    }

    /// A cell in which a party flakes with only its own version beside it.
    pub(super) fn flakes_with_itself(&self, cell: &Cell, party: &Party) -> Option<(&'a Cell, &'a Verdict)> {
        self.with_itself(cell, party, |kind| matches!(kind, VerdictKind::Flaky { .. }))
    }

    /// The same at other values of the axes.
    pub(super) fn elsewhere(&self, cell: &Cell) -> Vec<(&'a AxisPoint, &'a Verdict)> {
        let points = self.points.get(&(&cell.check, &cell.subject)).into_iter().flatten();
        let others = points.filter(|point| ***point != cell.axes);
        let at = |point: &&'a AxisPoint| {
            self.verdict(&Cell { axes: (*point).clone(), ..cell.clone() }).map(|verdict| (*point, verdict))
        };
        others.filter_map(at).collect()
    }

    /// Whether everything that is known of a set's members by twos, and of smaller sets of them, passes; none when nothing
    /// is known of them by twos.
    pub(super) fn smaller_sets_pass(&self, cell: &Cell) -> Option<bool> {
        let Subject::Set(set) = &cell.subject else { return None };
        let mut seen = None;
        for (other, verdict) in self.verdicts {
            let inside = other.subject.parties().iter().all(|party| set.contains(*party));
            if other == cell || other.check != cell.check || other.axes != cell.axes || !inside {
                continue;
            }
            match &other.subject {
                Subject::Ordered(..) | Subject::Symmetric(..) => {
                    seen = Some(seen.unwrap_or(true) && verdict.kind == VerdictKind::Pass);
                }
                Subject::Set(_) if verdict.kind != VerdictKind::Pass => return Some(false),
                Subject::Set(_) | Subject::Alone(_) => {}
            }
        }
        seen
    }

    /// What is known of a check over all its cells.
    pub(super) fn check(&self, check: &CheckName) -> CheckFacts {
        self.checks.get(check).copied().unwrap_or_default()
    }

    /// Networks that asked a cell and that the infrastructure failed.
    pub(super) fn failed_by_infrastructure(&self, cell: &Cell) -> u32 {
        self.infrastructure.get(cell).copied().unwrap_or(0)
    }
}

/// Whether a failure is likeliest the check's own.
pub(super) fn is_wrong_check(kind: &VerdictKind) -> bool {
    matches!(kind, VerdictKind::Error { source: ErrorSource::Check, .. })
}
