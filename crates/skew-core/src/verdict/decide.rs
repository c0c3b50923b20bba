//! The engine's knowledge in words: a verdict for every cell.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Attempt, AttemptId, Cell, CheckName, Counts, End, ErrorSource, Explained, Explanation, Known, Matrix, Outcome,
    Overlay, Party, RoleKind, RoleName, Scope, Subject, Unbuilt, Untested, Verdict, VerdictKind, Verdicts,
};

use super::built_in::BUILDS;
use super::counts::tally;
use super::hunt::Core;
use super::judge::Judgement;
use super::key::{Key, PartyIx, Sub};
use super::state::{Charge, State};

/// What a sweep knows.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Every asked cell's verdict, and that of every other cell there is evidence about.
    pub verdicts: Verdicts,
    /// The cells that the strategy asks.
    pub asked: BTreeSet<Cell>,
    /// Asked cells that are not settled.
    pub open: BTreeSet<Cell>,
}

/// Decides every cell of a matrix by the rules of evidence.
pub fn decide<A: Borrow<Attempt>>(matrix: &Matrix, attempts: &[A]) -> Decision {
    Judgement::new(matrix, attempts).decision(attempts)
}

/// What of an attempt of an earlier sweep is carried over: `error` never settles, so what the harness failed is asked
/// again. `None` when nothing is left; most are carried over as they are, and not copied.
pub fn carry_over(attempt: Cow<'_, Attempt>) -> Option<Cow<'_, Attempt>> {
    match attempt.end {
        End::Infrastructure { .. } => return None,
        End::Completed => {}
    }
    let is_noise = |outcome: Outcome| matches!(outcome, Outcome::Error | Outcome::Missing);
    if !attempt.observations.iter().any(|observation| is_noise(observation.result)) {
        return Some(attempt);
    }
    let mut carried = attempt.into_owned();
    let noisy: BTreeSet<CheckName> =
        carried.observations.iter().filter(|o| is_noise(o.result)).map(|o| o.check.clone()).collect();
    carried.network.asks.retain(|cell| !noisy.contains(&cell.check));
    carried.observations.retain(|observation| !is_noise(observation.result));
    Some(Cow::Owned(carried))
}

/// How the verdicts stand to the known failures.
pub fn overlay(verdicts: &Verdicts, known: &[Known]) -> BTreeMap<Cell, Overlay> {
    let mut overlays = BTreeMap::new();
    for (cell, verdict) in verdicts {
        let Some(known) = known.iter().find(|known| matches(known, cell)) else {
            continue;
        };
        let reason = known.reason.clone();
        let overlay = match &verdict.kind {
            VerdictKind::Fail
            | VerdictKind::Flaky { .. }
            | VerdictKind::Interference
            | VerdictKind::Broken { .. }
            | VerdictKind::Unbuilt { .. } => Overlay::Expected { reason, link: known.link.clone() },
            VerdictKind::Pass => Overlay::UnexpectedPass { reason },
            VerdictKind::Unsupported | VerdictKind::Error { .. } | VerdictKind::Untested(_) => {
                continue;
            }
        };
        overlays.insert(cell.clone(), overlay);
    }
    overlays
}

fn matches(known: &Known, cell: &Cell) -> bool {
    let parties: Vec<&Party> = match &cell.subject {
        Subject::Alone(a) => vec![a],
        Subject::Ordered(a, b) | Subject::Symmetric(a, b) => vec![a, b],
        Subject::Set(set) => set.iter().collect(),
    };
    let in_order = |parties: &[&Party]| {
        parties.len() == known.parties.len()
            && parties.iter().zip(&known.parties).all(|(p, allowed)| allowed.contains(*p))
    };
    let arrow = match &cell.subject {
        Subject::Symmetric(..) => known.symmetric,
        Subject::Ordered(..) => !known.symmetric,
        Subject::Alone(_) | Subject::Set(_) => true,
    };
    let any_order = || match &cell.subject {
        Subject::Symmetric(a, b) => in_order(&[b, a]),
        Subject::Set(set) => {
            set.len() == known.parties.len()
                && set.iter().all(|party| known.parties.iter().any(|allowed| allowed.contains(party)))
                && known.parties.iter().all(|allowed| set.iter().any(|party| allowed.contains(party)))
        }
        Subject::Alone(_) | Subject::Ordered(..) => false,
    };
    let values = known.axes.iter().all(|(axis, value)| cell.axes.get(axis) == Some(value));
    known.check == cell.check && values && arrow && (in_order(&parties) || any_order())
}

impl Judgement<'_> {
    /// Puts the knowledge into words. `attempts` are those that the judgement was made from.
    pub fn decision<A: Borrow<Attempt>>(&self, attempts: &[A]) -> Decision {
        let mut verdicts = Verdicts::new();
        let (mut asked, mut open) = (BTreeSet::new(), BTreeSet::new());
        let open_keys = self.open();
        for (key, state) in &self.states {
            let is_asked = self.asked.contains(key);
            if *state == State::NotAsked && !is_asked {
                continue;
            }
            let cells = self.universe.cells(key);
            // It worked, and it failed, and why is not established: that is no pass.
            let unexplained = *state == State::Pass && self.is_unexplained(key);
            let verdict = self.verdict(key, if unexplained { &State::Open } else { state }, attempts);
            for cell in cells {
                if is_asked {
                    asked.insert(cell.clone());
                }
                if open_keys.contains(key) {
                    open.insert(cell.clone());
                }
                verdicts.insert(cell, verdict.clone());
            }
        }
        for (cell, verdict) in self.unbuilt() {
            asked.insert(cell.clone());
            verdicts.insert(cell, verdict);
        }
        Decision { verdicts, asked, open }
    }

    fn verdict<A: Borrow<Attempt>>(&self, key: &Key, state: &State, attempts: &[A]) -> Verdict {
        let (counts, mut trials) = match &key.sub {
            Sub::Set(set) => self.together(key, set),
            Sub::Alone(_) | Sub::Ordered(..) | Sub::Symmetric(..) => self.counts(key),
        };
        if trials.is_empty() {
            trials = self.evidence.asked.get(key).cloned().unwrap_or_default();
        }
        let evidence: Vec<AttemptId> =
            trials.iter().map(|trial| attempts[self.evidence.trials[*trial].attempt].borrow().id.clone()).collect();
        let party = |p: usize| self.universe.parties[p].label.clone();
        let kind = match state {
            State::Pass => VerdictKind::Pass,
            State::Fail => VerdictKind::Fail,
            State::Flaky(charged) => VerdictKind::Flaky { charged: charged.map(party) },
            State::Interference => VerdictKind::Interference,
            State::Broken(broken) => VerdictKind::Broken { party: party(*broken) },
            State::Unsupported => VerdictKind::Unsupported,
            State::Error(detail) => VerdictKind::Error { detail: detail.clone(), source: ErrorSource::default() },
            State::Suspicious => {
                let detail = "it failed wherever it ran, and has passed nowhere".to_owned();
                VerdictKind::Error { detail, source: ErrorSource::Check }
            }
            State::Open | State::Exhausted if counts.failed + counts.mixed > 0 => {
                VerdictKind::Untested(Untested::Suspected { networks: counts.failed + counts.mixed })
            }
            State::Open => VerdictKind::Untested(Untested::Pending),
            State::Blocked(by) => VerdictKind::Untested(Untested::Blocked { by: self.universe.cell(by) }),
            State::Exhausted => VerdictKind::Untested(Untested::Exhausted),
            State::NotSeated => VerdictKind::Untested(Untested::NotSeated),
            State::NotAsked => VerdictKind::Untested(Untested::NotAsked),
        };
        Verdict { kind, counts, evidence, explained: self.explained(key) }
    }

    /// The failures of a cell that something else explains, each explanation with its networks.
    fn explained(&self, key: &Key) -> Vec<Explained> {
        let mut by_cell: BTreeMap<&Key, BTreeSet<usize>> = BTreeMap::new();
        let mut by_noise: BTreeMap<(u32, u32), BTreeSet<usize>> = BTreeMap::new();
        for ix in self.evidence.naming.get(key).into_iter().flatten().filter(|ix| self.is_charged_elsewhere(**ix, key))
        {
            let trial = self.evidence.clauses[*ix].trial;
            match self.charges.get(ix) {
                Some(Charge::Cells(cells)) => {
                    for cell in cells {
                        by_cell.entry(cell).or_default().insert(trial);
                    }
                }
                Some(Charge::Noise(noise)) => {
                    by_noise.entry((noise.failed, noise.networks)).or_default().insert(trial);
                }
                Some(Charge::Check) | None => {}
            }
        }
        let count = |trials: &BTreeSet<usize>| u32::try_from(trials.len()).unwrap_or(u32::MAX);
        let cells = by_cell.into_iter().map(|(cell, trials)| Explained {
            networks: count(&trials),
            by: Explanation::Cell { cell: self.universe.cell(cell) },
        });
        let noise = by_noise.into_iter().map(|((failed, networks), trials)| Explained {
            networks: count(&trials),
            by: Explanation::Noise { failed, networks },
        });
        cells.chain(noise).collect()
    }

    /// How often each way those of a set that fail together were seen while all of it was there, and the trials in which
    /// they failed.
    fn together(&self, key: &Key, set: &[PartyIx]) -> (Counts, Vec<usize>) {
        let axis: Vec<PartyIx> =
            set.iter().copied().filter(|p| self.universe.is_axis(self.universe.parties[*p].role)).collect();
        let size = |trial: usize| self.evidence.trials[trial].composition.parties().len();
        let charged = |ix: usize| matches!(self.charges.get(&ix), Some(Charge::Cells(cells)) if cells.contains(key));
        let clauses = || self.evidence.clauses.iter().enumerate();
        let failing: BTreeSet<Core> =
            clauses().filter(|(ix, _)| charged(*ix)).map(|(_, clause)| Core::of(&self.evidence, clause)).collect();
        let seen = clauses().filter(|(_, clause)| {
            clause.check == key.check
                && failing.contains(&Core::of(&self.evidence, clause))
                && axis.iter().all(|p| self.evidence.trials[clause.trial].composition.seats(*p))
        });
        let seen = seen.map(|(ix, clause)| (clause, charged(ix)));
        let (counts, mut trials) = tally(&self.universe, &self.evidence, key, seen);
        trials.retain(|(passed, ..)| !passed);
        // The smallest networks show it best.
        trials.sort_by_key(|(_, _, trial)| (size(*trial), *trial));
        (counts, trials.into_iter().map(|(_, _, trial)| trial).collect())
    }

    /// The cells that name an image which could not be built; the engine has no party for those.
    fn unbuilt(&self) -> Vec<(Cell, Verdict)> {
        let matrix = self.universe.matrix;
        let mut cells = Vec::new();
        let verdict = Verdict::bare;
        let members = |name: &RoleName| -> Vec<(Party, Option<&Unbuilt>)> {
            let Some(role) = matrix.role(name) else {
                return Vec::new();
            };
            role.members.iter().map(|(id, member)| (Party::new(name, id), member.as_ref().err())).collect()
        };
        let builds = CheckName::new(BUILDS).ok();
        for point in &self.universe.points {
            for check in &matrix.checks {
                let mut add = |subject: Subject, unbuilt: &[&Party]| {
                    let Some(by) = builds.as_ref().zip(unbuilt.first()) else {
                        return;
                    };
                    let by =
                        Cell { check: by.0.clone(), subject: Subject::Alone((*by.1).clone()), axes: point.clone() };
                    let cell = Cell { check: check.name.clone(), subject, axes: point.clone() };
                    let reason = self.missing(unbuilt[0]);
                    let kind = match (check.name.as_str() == BUILDS, reason) {
                        (true, Some(reason)) if reason.infrastructure => {
                            VerdictKind::Error { detail: reason.detail.clone(), source: ErrorSource::default() }
                        }
                        (true, Some(reason)) => VerdictKind::Unbuilt { detail: reason.detail.clone() },
                        (true | false, _) => VerdictKind::Untested(Untested::Unbuilt { by }),
                    };
                    cells.push((cell, verdict(kind)));
                };
                match &check.scope {
                    Scope::Node { roles } => {
                        for (party, _) in roles.iter().flat_map(members).filter(|(_, unbuilt)| unbuilt.is_some()) {
                            add(Subject::Alone(party.clone()), &[&party]);
                        }
                    }
                    Scope::Network => {}
                    Scope::Pair { from, to, via, symmetric } => {
                        let is_axis = |role: &&RoleName| matrix.role(role).is_some_and(|r| r.kind == RoleKind::Matrix);
                        let mut pairs = vec![(from, to)];
                        for via in via.iter().filter(is_axis) {
                            pairs.extend([(from, via), (via, to)]);
                        }
                        for (a, b) in pairs {
                            for (x, x_unbuilt) in members(a) {
                                for (y, y_unbuilt) in members(b) {
                                    let unbuilt: Vec<&Party> = [(&x, x_unbuilt), (&y, y_unbuilt)]
                                        .iter()
                                        .filter(|p| p.1.is_some())
                                        .map(|p| p.0)
                                        .collect();
                                    if unbuilt.is_empty() {
                                        continue;
                                    }
                                    let subject = match symmetric {
                                        true => Subject::symmetric(x.clone(), y.clone()),
                                        false => Subject::Ordered(x.clone(), y.clone()),
                                    };
                                    if self.would_ask(&x, &y) {
                                        add(subject, &unbuilt);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    /// Whether the strategy would ask about two parties, one of which was not built.
    fn would_ask(&self, a: &Party, b: &Party) -> bool {
        use crate::model::Strategy;
        let matrix = self.universe.matrix;
        let (Some(v), Some(w)) = (self.universe.version_ix(&a.version), self.universe.version_ix(&b.version)) else {
            return true;
        };
        match matrix.strategy {
            Strategy::Pairs | Strategy::Packed => true,
            Strategy::PerRole => a.role != b.role,
            Strategy::Candidate => {
                matrix.candidate.as_ref().is_none_or(|candidate| a.version == *candidate || b.version == *candidate)
            }
            Strategy::Adjacent => self.universe.distance(v, w).is_some_and(|d| d as usize <= matrix.bounds.window),
        }
    }

    fn missing(&self, party: &Party) -> Option<&Unbuilt> {
        self.universe.matrix.role(&party.role)?.members.get(&party.version)?.as_ref().err()
    }
}
